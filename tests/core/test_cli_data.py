"""`spikefront data`: list, add, verify and fetch, as a person and as a script use them."""

import json
import os
import subprocess
import sys

import pytest

from core.cli.main import main
from core.datasets.cifar import CifarReader
from core.datasets.load import load


@pytest.fixture
def data(capsys, tmp_path, monkeypatch):
    """Run `spikefront data ...` in this process on an empty data folder; returns (exit code, stdout, stderr)."""
    monkeypatch.setenv("SPIKEFRONT_DATA", str(tmp_path / "data"))

    def run(*args: str):
        with pytest.raises(SystemExit) as ended:
            main(["data", *args])
            raise SystemExit(0)
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return run


def test_list_names_every_data_set_and_its_state(data, tmp_path):
    code, out, _ = data("list")
    assert code == 0
    for word in ("digits", "complete", "cifar10", "not here", "imagenet", "counting only", str(tmp_path / "data")):
        assert word in out


def test_list_as_json_has_the_facts_of_each(data):
    rows = {row["name"]: row for row in json.loads(data("list", "--json")[1])}
    assert rows["digits"]["ready"] and rows["digits"]["complete"] is True
    assert rows["cifar10"]["ready"] is False and rows["cifar10"]["complete"] is None
    assert rows["cifar100"]["n_classes"] == 100 and rows["tiny_imagenet"]["image_shape"] == [3, 64, 64]


def test_add_then_list_then_verify(data, tmp_path, cifar10_files, small_cifar10):
    source = cifar10_files(tmp_path / "copy")
    code, out, _ = data("add", "cifar10", str(source))
    assert code == 0 and "ready: 100 training and 20 test images, complete" in out
    rows = {row["name"]: row for row in json.loads(data("list", "--json")[1])}
    assert rows["cifar10"]["complete"] is True and rows["cifar10"]["n_train"] == 100
    code, out, _ = data("verify", "cifar10")
    assert code == 0 and "complete" in out and "data_batch_5: ok 20 images" in out


def test_add_prints_the_state_as_json(data, tmp_path, cifar10_files, small_cifar10):
    code, out, _ = data("add", "cifar10", str(cifar10_files(tmp_path / "copy", train=2)), "--json")
    content = json.loads(out)
    assert code == 0
    assert content["name"] == "cifar10" and content["ready"] and content["complete"] is False
    assert "subset" in content["note"]


def test_a_subset_says_so(data, tmp_path, cifar10_files, small_cifar10):
    _, out, _ = data("add", "cifar10", str(cifar10_files(tmp_path / "copy", train=2)))
    assert "A subset: 40 of 100 training" in out and "complete" not in out


def test_verify_of_a_corrupt_set_names_the_file_and_exits_with_1(data, tmp_path, cifar10_files, small_cifar10):
    folder = cifar10_files(tmp_path / "data" / "cifar10")
    os.truncate(folder / "data_batch_3", 1000)
    code, out, _ = data("verify", "cifar10")
    assert code == 1 and "data_batch_3: corrupt" in out and "cut off" in out
    code, out, _ = data("verify", "cifar10", "--json")
    report = json.loads(out)
    assert code == 1 and report["state"] == "corrupt"
    assert [file["file"] for file in report["files"] if file["state"] == "corrupt"] == ["data_batch_3"]


def test_verify_without_a_name_checks_what_is_there(data):
    code, out, _ = data("verify", "--json")
    assert code == 0 and [report["name"] for report in json.loads(out)] == ["digits"]


def test_verify_of_a_set_that_is_not_here_exits_with_1(data):
    code, out, _ = data("verify", "cifar10")
    assert code == 1 and "missing" in out and "data fetch" in out


def test_images_of_ones_own_are_added_listed_and_verified(data, tmp_path, class_folders):
    source = class_folders(tmp_path / "copy", {"cat": 5, "dog": 5})
    code, out, _ = data("add", "pets", str(source), "--size", "24")
    assert code == 0 and "Pets is ready: 8 training and 2 test images, complete; 24x24 pixels." in out
    assert "a fifth of each class" in out
    row = json.loads(data("list", "--json")[1])[-1]
    assert (row["name"], row["image_shape"], row["n_classes"], row["ready"]) == ("pets", [3, 24, 24], 2, True)
    assert "pets" in data("list")[1]
    assert [report["name"] for report in json.loads(data("verify", "--json")[1])] == ["digits", "pets"]
    with open(tmp_path / "data" / "pets" / "test_images.npy", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"?")
    code, out, _ = data("verify", "pets")
    assert code == 1 and "Pets: corrupt" in out and "test_images.npy: corrupt" in out


def test_a_set_in_a_folder_of_its_own_is_listed_there_alone(data, tmp_path, class_folders):
    source = class_folders(tmp_path / "copy", {"cat": 5, "dog": 5})
    other = str(tmp_path / "other")
    added = json.loads(data("add", "pets", str(source), "--data", other, "--json")[1])
    assert added["ready"] and added["complete"] is True and (added["n_train"], added["n_test"]) == (8, 2)
    assert "pets" in data("list", "--data", other)[1] and "pets" not in data("list")[1]
    assert json.loads(data("verify", "pets", "--data", other, "--json")[1])["state"] == "complete"


def test_bad_images_are_named_in_one_line(data, tmp_path, class_folders):
    source = class_folders(tmp_path / "copy", {"cat": 5, "dog": 5})
    for name in ("cat/0.png", "dog/4.png"):
        (source / name).write_bytes(b"")
    code, out, err = data("add", "pets", str(source))
    assert code == 1 and out == "" and err.count("\n") == 1
    assert "cat/0.png" in err and "2 files cannot be used" in err and "dog/4.png (it is empty)" in err


def test_a_network_for_images_of_ones_own_is_counted_and_trained_from_another_folder(tmp_path, class_folders, capsys):
    """`--data` decides which data set a name means, from the plan to the bundle."""
    source = class_folders(tmp_path / "copy", {"cat": 20, "dog": 20, "owl": 20}, side=16)
    for arguments in (
        ["data", "add", "birds", str(source), "--data", str(tmp_path / "other")],
        ["train", "--dataset", "birds", "--data", str(tmp_path / "other"), "--mask", "F9", "--recipe", "smoke",
         "--kind", "cnn", "--set", "max_epochs=1", "--set", "batch_size=16", "--out", str(tmp_path / "run"), "--json"],
    ):  # fmt: skip
        with pytest.raises(SystemExit) as ended:
            main(arguments)
            raise SystemExit(0)
        assert not ended.value.code
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["dataset"] == "birds" and summary["dataset_complete"] is True and summary["n_test"] == 12


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("add", "Pets", "."), "a name of at most 40"),
        (("add", "pets", "/nonexistent/folder"), "exists"),
        (("add", "pets", ".", "--size", "8"), "from 16 to 256"),
        (("add", "cifar10", ".", "--size", "16"), "data set of your own"),
        (("verify", "pets"), "no data set named 'pets'"),
        (("add", "cifar1", "."), "Did you mean cifar10"),
        (("add", "cifar10", "/nonexistent/folder"), "exists"),
        (("add", "imagenet", "."), "not possible yet"),
        (("add", "digits", "."), "built in"),
        (("fetch", "imagenet"), "not possible yet"),
        (("fetch", "cifar10", "--url", "file:///etc/passwd"), "http"),
        (("fetch", "cifar10", "--url", "http://127.0.0.1:1/x.tar.gz"), "refused"),
        (("verify", "imagenet"), "not possible yet"),
    ],
)
def test_a_wrong_use_ends_in_one_sentence_and_exit_code_1(data, args, words, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")  # what "." means
    code, out, err = data(*args)
    assert code == 1 and out == ""
    assert words in err and "Traceback" not in err and err.count("\n") == 1


def test_a_folder_option_wins_over_the_environment(data, tmp_path, cifar10_files, small_cifar10):
    data("add", "cifar10", str(cifar10_files(tmp_path / "copy")), "--data", str(tmp_path / "other"))
    assert (tmp_path / "other" / "cifar10").is_dir() and not (tmp_path / "data").exists()


def test_a_real_process_lists_without_torch_and_help_names_every_command(tmp_path):
    environment = os.environ | {"SPIKEFRONT_HOME": str(tmp_path / "home")}
    environment.pop("SPIKEFRONT_DATA", None)
    command = [sys.executable, "-m", "core.cli", "data"]
    listed = subprocess.run(
        [*command, "list", "--json"], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert listed.returncode == 0 and json.loads(listed.stdout)[0]["name"] == "digits"
    shown = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert all(name in shown.stdout for name in ("list", "fetch", "add", "verify"))
    assert not (tmp_path / "home").exists()  # looking makes nothing


MODULES = (
    "core.datasets.add, core.datasets.fetch, core.datasets.load, core.energy.price, core.energy.modes, "
    "core.analysis.pareto, core.analysis.confusion, core.analysis.predictions, core.paper.printed, "
    "core.backbones.catalog, core.schemas.runs, core.forecast, core.cli.commands.count, core.cli.commands.data"
)


def test_data_energy_and_analysis_bring_in_neither_torch_nor_scikit_learn():
    code = f"import sys, {MODULES}\nprint({{'torch', 'sklearn', 'spikingjelly', 'syops'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "set()", done.stderr


def test_a_set_is_added_whole_and_then_read_from_the_cache_alone(
    data, tmp_path, cifar10_files, small_cifar10, monkeypatch
):
    code, out, _ = data("add", "cifar10", str(cifar10_files(tmp_path / "copy")))
    assert code == 0 and "100 training and 20 test images, complete" in out
    decoded = []
    decode = CifarReader.decode
    monkeypatch.setattr(CifarReader, "decode", lambda *args: decoded.append(1) or decode(*args))
    assert load("cifar10", tmp_path / "data").complete and not decoded
    for cache in (tmp_path / "data").rglob("*.npy"):
        cache.unlink()
    assert load("cifar10", tmp_path / "data").complete and decoded  # without it they are decoded again
