"""A finished run counts itself again: what it leaves, that nothing else depends on it, and that it fails nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import called

from core.bundle import Bundle
from core.cli.train_here import recounter
from core.engine.experiment import run
from core.oracles import recount as module
from core.oracles.recount import SHARE, after_test
from core.recipes.build import build_config
from core.report.recount_words import faults, headline
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig

TINY = {"training.max_epochs": 1, "training.train_limit": 48, "time_steps": 2}


def config_of(**overrides) -> RunConfig:
    return build_config(RunRequest(mask=["F9"], dataset="digits", recipe="smoke", overrides=TINY | overrides))


def trained(folder: Path, recount, **overrides) -> Bundle:
    data = folder.parent
    run(
        config_of(**overrides), out=folder, data_dir=data, device="cpu", threads=1, emit=lambda _: None, recount=recount
    )
    bundle = Bundle(folder)
    bundle.verify()
    return bundle


def numbers(bundle: Bundle) -> tuple:
    """All that a run measured, times apart."""
    weights = {name: value.tobytes() for name, value in bundle.weights().items()}
    summary = bundle.summary().model_dump(exclude={"train_wall_s", "train_images_per_s", "evaluate_wall_s"})
    metrics = bundle.metrics().model_dump(exclude={"wall_s"})
    return weights, summary, metrics, bundle.counts(), bundle.predictions().outputs.tobytes()


@pytest.fixture(scope="module")
def with_and_without(tmp_path_factory) -> tuple[Bundle, Bundle]:
    folder = tmp_path_factory.mktemp("runs")
    return trained(folder / "with", after_test), trained(folder / "without", None)


def test_a_run_leaves_its_recount_under_its_manifest(with_and_without):
    one, _ = with_and_without
    found = one.recount()
    assert [entry.name for entry in one.files()][-1] == "recount.json"
    assert found.equal and found.counter == "spikingjelly" and 8 <= found.n_images <= 64
    n = found.n_images
    assert headline(found) == f"Recounted by SpikingJelly 2.0.0: {n} of {n} answers and all operations equal."


def test_nothing_but_that_file_depends_on_it(with_and_without):
    one, other = with_and_without
    assert other.recount() is None and not (other.path / "recount.json").exists()
    assert numbers(one) == numbers(other)
    assert one.config().config_hash == other.config().config_hash


def test_the_config_says_nothing_of_it_so_that_old_hashes_stand():
    assert not [name for name in json.dumps(config_of().model_dump(mode="json")).split('"') if "recount" in name]


def test_a_recount_that_fails_is_recorded_and_the_run_is_none_the_worse(tmp_path, monkeypatch, with_and_without):
    def broken(*args, **options):
        raise RuntimeError("the rebuilt network is broken")

    monkeypatch.setattr(module, "recount", broken)
    bundle = trained(tmp_path / "run", after_test)
    found = bundle.recount()
    assert found.failure == "RuntimeError: the rebuilt network is broken"
    assert not found.equal and found.n_images == 0
    assert "The run's own counts are as they were" in faults(found)[0]
    assert numbers(bundle) == numbers(with_and_without[1])


def test_memory_that_runs_out_in_it_is_no_out_of_memory_of_the_run(tmp_path, monkeypatch):
    def too_large(*args, **options):
        raise MemoryError

    monkeypatch.setattr(module, "recount", too_large)
    assert trained(tmp_path / "run", after_test).recount().failure.startswith("MemoryError")


def test_it_is_told_to_stay_below_a_fiftieth_of_the_run_s_time(tmp_path, monkeypatch):
    asked = {}

    def noted(bundle, images, labels, **options):
        asked.update(options, images=images.shape, labels=len(labels))
        raise RuntimeError

    monkeypatch.setattr(module, "recount", noted)
    bundle = trained(tmp_path / "run", after_test)
    summary = bundle.summary()
    assert SHARE < 0.02 and asked["budget_s"] == SHARE * (summary.train_wall_s + summary.evaluate_wall_s)
    assert asked["labels"] == summary.n_test and asked["images"][0] == summary.n_test


def test_a_teacher_is_not_counted_again_its_student_is(tmp_path):
    bundle = trained(tmp_path / "run", after_test, **{"training.distillation": 0.5})
    assert bundle.recount().equal
    assert Bundle(bundle.path / "teacher").recount() is None


def test_where_spikingjelly_cannot_be_loaded_the_run_says_so_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "core.oracles.recount", raising=False)
    monkeypatch.setitem(sys.modules, "core.oracles.recount", None)  # an import of it fails
    hook = recounter("on")
    bundle = trained(tmp_path / "run", hook)
    assert bundle.recount().failure.startswith(("ImportError", "ModuleNotFoundError"))


def test_the_option_goes_before_the_setting(monkeypatch):
    monkeypatch.setenv("SPIKEFRONT_RECOUNT", "off")
    assert recounter() is None and recounter("on") is not None
    monkeypatch.setenv("SPIKEFRONT_RECOUNT", "on")
    assert recounter() is not None and recounter("off") is None
    monkeypatch.delenv("SPIKEFRONT_RECOUNT")
    assert recounter() is not None


IN_TURN = """
import json, os, sys
from core.cli.main import main
for words, environment, expected in json.loads(sys.argv[1]):
    os.environ.update(environment)
    try:
        main(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
    for name in environment:
        del os.environ[name]
    found = {"spikingjelly", "syops", "neurobench"} & set(sys.modules)
    assert found == set(expected), (words, found)
"""


def test_what_a_user_does_loads_the_tools_that_it_needs_and_no_others(tmp_path, with_and_without):
    # one process, which forgets no module: what loads none comes first, what loads two last
    changes = [word for name, value in TINY.items() for word in ("--set", f"{name}={value}")]
    train = ["train", "--mask", "F9", "--threads", "1", *changes]
    again = ["bundle", "recount", str(tmp_path / "off"), "--images", "8"]
    every = [
        (["bundle", "show", str(with_and_without[0].path)], {}, []),
        ([*train, "--out", str(tmp_path / "off"), "--recount", "off"], {}, []),
        ([*train, "--out", str(tmp_path / "set")], {"SPIKEFRONT_RECOUNT": "off"}, []),
        ([*train, "--out", str(tmp_path / "on")], {}, ["spikingjelly"]),
        (again, {}, ["spikingjelly"]),
        ([*again, "--with", "syops"], {}, ["spikingjelly", "syops"]),
    ]
    environment = {**os.environ, "SPIKEFRONT_HOME": "/nonexistent/spikefront", "OMP_NUM_THREADS": "1"}
    environment.pop("SPIKEFRONT_RECOUNT", None)
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps(every)],
        capture_output=True, text=True, timeout=200, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert Bundle(tmp_path / "on").recount().equal
    assert [Bundle(tmp_path / name).recount() for name in ("off", "set")] == [None, None]


def test_another_word_than_on_or_off_is_a_mistake(tmp_path):
    done = called("train", "--out", str(tmp_path), "--recount", "maybe")
    assert done.returncode == 1 and "it must be on or off" in done.stderr
