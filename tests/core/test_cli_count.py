"""`spikefront count`: the contract of its JSON, its table, and its words for a wrong use."""

import json
import re
import subprocess
import sys

import pytest

from core.cli.main import main
from core.errors import UnknownName


@pytest.fixture
def count(capsys):
    """Run the command in this process; returns (exit code, stdout, stderr)."""

    def run(*args: str):
        with pytest.raises(SystemExit) as ended:
            main(["count", *args])
            raise SystemExit(0)
        out = capsys.readouterr()
        return ended.value.code or 0, out.out, out.err

    return run


def as_json(count, *args):
    code, out, _ = count(*args, "--json")
    assert code == 0
    return json.loads(out)


def test_the_contract_of_the_design(count):
    content = as_json(
        count, "--backbone", "squeezenet", "--kind", "snn", "--mask", "F4,F6,F8,F9", "--dataset", "cifar10",
        "--definition", "small", "--mode", "paper",
    )  # fmt: skip
    assert list(content) == ["params", "dense_macs", "macs", "layers"]
    assert (content["params"], content["macs"]) == (549_114, 4_227_232)
    stem = content["layers"][0]
    assert stem == {
        "name": "stem.conv",
        "kind": "conv",
        "output_shape": [128, 32, 32],
        "params": 3 * 9 * 128 + 128,
        "dense_macs": 3 * 9 * 128 * 32 * 32,
    }
    for key in ("params", "dense_macs"):
        assert sum(layer[key] for layer in content["layers"]) == content[key]


def test_a_real_process_gives_the_same_and_brings_in_no_torch():
    code = (
        "import sys; from core.cli.main import main\n"
        "try: main(['count', '--mask', 'P', '--json'])\n"
        "except SystemExit as e: assert not e.code\n"
        "assert not {'torch', 'spikingjelly', 'syops'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["params"] == 549_114


@pytest.mark.parametrize(
    ("dataset", "params", "macs"),
    [
        ("cifar10", 736_458, 4_466_848),
        ("cifar100", 782_628, 4_468_288),
        ("tiny_imagenet", 833_928, 17_879_552),
        ("digits", 736_458, None),
    ],
)
def test_every_data_set_is_counted_without_its_files(count, dataset, params, macs):
    content = as_json(count, "--mask", "Full", "--dataset", dataset)
    assert content["params"] == params
    assert macs is None or content["macs"] == macs


def test_the_cnn_twin_has_the_printed_macs(count):
    content = as_json(count, "--kind", "cnn", "--mask", "Full", "--dataset", "cifar10")
    assert content["macs"] == 54_754_624
    assert {layer["kind"] for layer in content["layers"]} == {"conv", "bn", "relu", "maxpool", "concat", "avgpool"}


def test_options_of_the_architecture_are_counted(count):
    half = ("--mask", "P", "--set", "architecture.stem_width=64", "--set", "stem_stride=2")
    content = as_json(count, *half)
    assert content["params"] == 545_146 and content["layers"][0]["output_shape"] == [64, 16, 16]
    assert content["dense_macs"] == 32_980_992 + 27 * 64 * 16 * 16
    _, out, _ = count(*half)
    assert "F4,F6,F8,F9 (Ref-1), stem 64/2" in out.replace("\n", " ")
    cnn = as_json(count, *half, "--kind", "cnn")
    assert cnn["params"] == content["params"] and cnn["macs"] > content["macs"]


def test_other_definitions_and_depths_are_counted(count):
    paper = as_json(count, "--backbone", "mnasnet", "--definition", "paper-cifar10", "--mask", "Full")
    assert (paper["params"], paper["macs"]) == (151_890, 12_131_594)
    deep = as_json(count, "--backbone", "msresnet", "--set", "depth=32", "--mask", "Full")
    assert deep["params"] == 466_906
    assert as_json(count, "--backbone", "msresnet", "--set", "depth=32", "--mask", "R1.5")["params"] < 272_474


def test_the_imagenet_definition_is_counted_at_its_own_geometry(count):
    content = as_json(count, "--definition", "imagenet", "--dataset", "imagenet")
    assert content["params"] == 1_248_424
    assert content["layers"][-1]["output_shape"] == [1000, 1, 1]


def test_dense_macs_are_of_one_pass_and_the_mode_changes_only_macs(count):
    paper = as_json(count, "--mode", "paper")
    exact = as_json(count, "--mode", "exact", "--time-steps", "8")
    assert paper["dense_macs"] == exact["dense_macs"] and paper["layers"] == exact["layers"]
    assert exact["macs"] == (3 * 32 - 2) ** 2 * 3 * 128  # the stem alone, once, without the padding


def test_the_table_shows_layers_total_and_what_the_mode_means(count):
    code, out, _ = count("--mask", "ref-1")
    assert code == 0
    assert "F4,F6,F8,F9 (Ref-1)" in out.replace("\n", " ")
    assert "classifier.conv" in out and "549,114" in out and "4,227,232" in out
    assert "one time step" in re.sub(r"\s+", " ", out)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("--backbone", "sqeezenet"), "Did you mean squeezenet"),
        (("--kind", "ann"), "kind of network named 'ann'"),
        (("--mask", "F1"), "F1"),
        (("--mask", ""), "at least one"),
        (("--mask", "F4,F4"), "once"),
        (("--dataset", "cifar-10"), "Did you mean cifar10"),
        (("--definition", "large"), "definition named 'large'"),
        (("--mode", "papre"), "Did you mean paper"),
        (("--definition", "imagenet", "--dataset", "digits"), "impossible"),
        (("--definition", "paper"), "definition named 'paper'"),
        (("--keep", "0"), "compression.keep is 0.0; it must be above 0"),
        (("--keep", "1.5"), "compression.keep is 1.5; it must be at most 1"),
        (("--bits", "9"), "compression.bits is 9; it must be at most 8"),
        (("--block-bits", "X1:2"), "compression.block_bits is 'X1:2'"),
        (("--set", "stem_width"), "FIELD=VALUE"),
        (("--set", "stem_with=64"), "Did you mean stem_width"),
        (("--set", "neuron.tau=2"), "architecture option named 'neuron.tau'"),
        (("--set", "architecture.stem_width=0"), "architecture.stem_width is '0'; it must be at least 1"),
        (("--backbone", "mixnet", "--set", "stem_width=64"), "left out: mixnet (small) has nothing to choose"),
        (("--definition", "imagenet", "--set", "bypass=simple"), "architecture.bypass"),
        (("--backbone", "msresnet", "--set", "depth=21"), "one of 20, 32, 44, 56"),
    ],
)
def test_a_wrong_word_ends_in_one_sentence_and_exit_code_1(count, args, words):
    code, out, err = count(*args)
    assert code == 1 and out == ""
    assert words in err and "Traceback" not in err and err.count("\n") == 1


def test_a_wrong_word_is_json_too_when_json_was_asked_for(count):
    code, out, _ = count("--mode", "papre", "--json")
    assert code == 1
    content = json.loads(out)
    assert content["code"] == "unknown-name" and content["fields"]["near"] == ["paper"]


@pytest.mark.parametrize("args", [("--time-steps", "0"), ("--time-steps", "x"), ("--surprise",)])
def test_a_wrong_option_is_exit_code_2(count, args):
    assert count(*args)[0] == 2


def test_errors_of_the_domain_are_what_the_command_raises():
    from core.cli.commands.count import count as command

    with pytest.raises(UnknownName, match="no backbone named 'x'"):
        command(
            backbone="x", kind="snn", mask="P", dataset="cifar10", definition="small", mode="paper", time_steps=4,
            as_json=True,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("backbone", "params"),
    [("shufflenetv2", 911_794), ("mnasnet", 149_756), ("mixnet", 88_244), ("xception", 1_038_710)],
)
def test_every_backbone_is_counted_for_both_kinds(count, backbone, params):
    snn, cnn = (
        as_json(count, "--backbone", backbone, "--kind", kind, "--dataset", "cifar10") for kind in ("snn", "cnn")
    )
    assert snn["params"] == cnn["params"] == params
    assert snn["dense_macs"] == cnn["dense_macs"]
    assert [layer["name"] for layer in snn["layers"]] == [layer["name"] for layer in cnn["layers"]]
    assert 0 < snn["macs"] < cnn["macs"]  # layers of spikes have no MACs


def test_an_impossible_mask_is_told_block_by_block(count):
    args = ("--backbone", "shufflenetv2", "--mask", "S2.2", "--dataset", "cifar10")
    line = "pool1 24x8x8 arrives at S2.2, which needs 116 channels"
    code, _, err = count(*args)
    assert code == 1 and line in err and "Before that: S2.1 left out." in err
    code, out, _ = count(*args, "--json")
    assert json.loads(out)["fields"]["trace"] == ["S2.1 left out", line]


def test_a_compressed_network_says_what_is_kept_and_three_sizes(count):
    content = as_json(count, "--mask", "P", "--keep", "0.2", "--bits", "2", "--block-bits", "F9:1")
    layers = {layer["name"]: layer for layer in content["layers"]}
    # 512 x 64 weights, of which floor(0.8 n) go
    assert (layers["F9.squeeze.conv"]["kept_params"], layers["F9.squeeze.conv"]["weight_bits"]) == (32_768 - 26_214, 1)
    assert (layers["stem.conv"]["weight_bits"], layers["F4.squeeze.conv"]["weight_bits"]) == (4, 2)
    assert layers["F9.squeeze.bn"]["kept_params"] is None
    convolutions = [layer for layer in content["layers"] if layer["kind"] == "conv"]
    bits = sum(layer["kept_params"] * layer["weight_bits"] for layer in convolutions)
    size = content["size"]
    assert size["kept"] == sum(layer["kept_params"] for layer in convolutions)
    assert size["kept_bytes"] == -(-bits // 8)
    assert size["bitmap_bytes"] == -(-(bits + size["weights"]) // 8)
    assert size["kept_bytes"] < size["entropy_bytes"] < size["bitmap_bytes"]
    assert 4 * size["weights"] + size["rest_bytes"] == 4 * content["params"]
    _, shown, _ = count("--mask", "P", "--keep", "0.2", "--bits", "2")
    assert "Size, entropy bound" in shown and "108,628 of 543,104 (20 %)" in shown
