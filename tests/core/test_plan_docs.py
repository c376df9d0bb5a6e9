"""docs/backbones.md: its figures are those of the plans, and its worked example is run as it stands."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch

from core.backbones.catalog import BACKBONES, Backbone, layout_of, parse_mask, plan_for
from core.backbones.options import words
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, static_macs
from core.engine.network import Network
from core.paper.printed import printed_rows
from core.schemas.architecture import ArchitectureConfig
from core.schemas.run import Kind, RunConfig
from core.units import mj_to_pj

PAGE = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()
REBUILT = ("shufflenetv2", "mnasnet", "mixnet", "xception")
PAPERS = ("cifar10", "cifar100", "tiny_imagenet")
MAC_PJ = 4.6  # Horowitz, ISSCC 2014, 45 nm, fp32: what the paper charges a MAC


def full(backbone, dataset):
    spec = DATASETS[dataset]
    return plan_for(
        backbone=backbone, mask=BACKBONES[backbone].blocks, input_shape=spec.image_shape, n_classes=spec.n_classes
    )


def short(count):
    return f"{count / 1e6:.2f}M" if count >= 1e5 else f"{count / 1e3:.1f}k"


def table_row(backbone, dataset):
    plan, title = full(backbone, dataset), BACKBONES[backbone].title
    printed = printed_rows()[f"table1/{dataset}/{title}"]
    macs = {kind: static_macs(plan, kind, MODES["paper"], 4) for kind in Kind}
    cells = [
        f"`{backbone}`",
        DATASETS[dataset].title,
        f"{plan.params:,}",
        f"{printed.params:,.0f} ({plan.params / printed.params - 1:+.1%})",
        short(macs[Kind.SNN]),
        short(printed.macs),
        short(macs[Kind.CNN]),
    ]
    twin = f"table2/{dataset}/{title}"
    cells.append(short(printed_rows()[twin].energy_pj / MAC_PJ) if twin in printed_rows() else "")
    return "| " + " | ".join(cells).replace("  ", " ") + " |"


@pytest.mark.parametrize("dataset", PAPERS)
@pytest.mark.parametrize("backbone", REBUILT)
def test_the_table_holds_the_figures_of_the_plans_beside_the_printed_ones(backbone, dataset):
    assert table_row(backbone, dataset) in PAGE


def test_the_table_of_definitions_has_the_parameters_of_the_imagenet_plans():
    for name in (name for name, entry in BACKBONES.items() if "imagenet" in entry.definitions):
        mask = layout_of(name, "imagenet").blocks
        plan = plan_for(backbone=name, mask=mask, input_shape=(3, 224, 224), n_classes=1000, definition="imagenet")
        assert re.search(rf"^\| `{name}` \|.*\| {plan.params:,} \|", PAGE, flags=re.MULTILINE), name


def test_the_page_names_every_mask_and_the_ends_of_every_run_of_blocks():
    for name, entry in BACKBONES.items():
        line = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |") and "Full" in line)
        _, _, blocks, masks, _ = (cell.strip() for cell in line.split("|"))
        listed = masks.rpartition(":")[2].split(",")
        assert [mask.strip() for mask in listed] == list(entry.masks), name
        assert spelt_out(blocks, entry.blocks) == entry.blocks, name


def spelt_out(text, blocks):
    """`S2.1 to S2.2, S3.1` as all blocks that it names."""
    found = []
    for part in re.split(", | and ", text):
        first, _, last = part.partition(" to ")
        found += blocks[blocks.index(first) : blocks.index(last or first) + 1]
    return tuple(found)


@pytest.mark.parametrize(("backbone", "definition"), [("mnasnet", "paper"), ("msresnet", "imagenet")])
def test_the_page_names_the_blocks_of_definitions_that_have_others(backbone, definition):
    text = re.search(
        rf"`{definition}` of `{backbone}` (?:has )?([^;,]*(?:, [^;,]*)*?)(?:;|, and)", " ".join(PAGE.split())
    )[1]
    blocks = layout_of(backbone, definition).blocks
    assert spelt_out(text, blocks) == blocks != BACKBONES[backbone].blocks


@pytest.mark.parametrize(
    ("definition", "dataset"), [("paper-cifar10", "cifar10"), *(("paper", dataset) for dataset in PAPERS)]
)
def test_the_recovered_definitions_stand_beside_the_printed_figures(definition, dataset):
    spec = DATASETS[dataset]
    plan = plan_for(
        backbone="mnasnet",
        mask=layout_of("mnasnet", definition).blocks,
        input_shape=spec.image_shape,
        n_classes=spec.n_classes,
        definition=definition,
    )
    printed = printed_rows()[f"table1/{dataset}/MnasNet"]
    snn, cnn = (static_macs(plan, kind, MODES["paper"], 4) for kind in Kind)
    twin = "24.57M" if dataset == "cifar10" else ""
    assert (
        f"| `{definition}` | {spec.title} | {plan.params:,} | {printed.params:,.0f} ({plan.params / printed.params - 1:+.1%}) "
        f"| {snn:,} | {short(printed.macs)} | {cnn:,} | {twin} |"
    ).replace("  ", " ") in PAGE.replace("|  |", "| |")


def test_the_table_of_options_is_that_of_the_backbones():
    for name, entry in BACKBONES.items():
        for definition, options in entry.options.items():
            for option in options:
                others = ", ".join(map(str, option.values[1:]))
                row = f"| `{name}` | `{definition}` | `architecture.{option.name}` | {option.default} | {others} |"
                assert row in PAGE
    declared = sum(len(options) for entry in BACKBONES.values() for options in entry.options.values())
    assert PAGE.count("| `architecture.") == declared


def test_the_table_of_variants_is_made_of_their_plans():
    rows = re.findall(
        r"^\| ([\w,-]+) \| ([^|]*)\| ([\d,]+) \| ([\d.]+)M \| ([\d.]+) µJ \| ([\d,]+) \|$", PAGE, re.MULTILINE
    )
    assert len(rows) == 12
    for mask, text, params, dense, stem, neurons in rows:
        given = {
            "stem_width": re.search(r"stem (\d+)", text),
            "stem_stride": re.search(r"stem \d+/(\d)", text),
            "width_multiplier": re.search(r"width x([\d.]+)", text),
            "share_3x3": re.search(r"share ([\d.]+)", text),
        }
        chosen = ArchitectureConfig(**{name: found[1] for name, found in given.items() if found})
        assert ", ".join(words(chosen)) == text.strip()
        plan = plan_for(
            backbone="squeezenet",
            mask=parse_mask("squeezenet", mask),
            input_shape=(3, 32, 32),
            n_classes=10,
            architecture=chosen,
        )
        at_stem = plan.node("stem.conv").dense_ops
        assert (f"{plan.params:,}", f"{plan.neurons:,}") == (params, neurons)
        assert (f"{(plan.dense_ops - at_stem) / 1e6:.1f}", f"{at_stem * MAC_PJ / 1e6:.1f}") == (dense, stem)


def test_the_table_of_depths_is_made_of_their_plans():
    for depth in BACKBONES["msresnet"].options["small"][0].values:
        chosen = ArchitectureConfig(depth=depth)
        mask = layout_of("msresnet", "small", chosen).blocks
        plan = plan_for(backbone="msresnet", mask=mask, input_shape=(3, 32, 32), n_classes=10, architecture=chosen)
        row = f"| {depth} | {plan.params:,} | {plan.dense_ops / 1e6:.1f}M | {plan.neurons:,} | {len(mask)} |"
        assert row in PAGE


def test_the_shown_trace_is_what_the_command_says():
    with pytest.raises(Exception, match="impossible") as caught:
        plan_for(backbone="shufflenetv2", mask=("S2.2", "S3.1"), input_shape=(3, 32, 32), n_classes=10)
    assert str(caught.value) in " ".join(PAGE.split())


def test_what_the_page_says_of_printed_and_own_macs():
    printed = printed_rows()

    def growth(backbone):
        title = BACKBONES[backbone].title
        return [printed[f"table1/{dataset}/{title}"].macs for dataset in ("cifar10", "tiny_imagenet")]

    small, large = growth("shufflenetv2")
    assert large > 4 * small
    snn, cnn = (static_macs(full("shufflenetv2", "cifar10"), kind, MODES["paper"], 4) for kind in Kind)
    assert cnn * MAC_PJ == pytest.approx(printed["table2/cifar10/ShuffleNetV2"].energy_pj, rel=0.05)
    assert 0.1 < 1 - snn / small < 0.13
    for name, ratio in (("MixNet", 20), ("Xception", 5.5)):
        twin = printed[f"table2/cifar10/{name}"].energy_pj / MAC_PJ
        assert twin / printed[f"table1/cifar10/{name}"].macs == pytest.approx(ratio, rel=0.02)
    assert mj_to_pj(1.0) == 1e9


def example(name):
    return re.search(rf"<!-- example: {name} -->\n```python\n(.*?)```", PAGE, flags=re.DOTALL)[1]


@pytest.fixture
def tinynet(monkeypatch):
    """The backbone of the worked example, in the table for one test."""
    module = types.ModuleType("core.backbones.tinynet")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(example("file"), "docs/backbones.md", "exec"), module.__dict__)
    monkeypatch.setattr(BACKBONES, "_entries", dict(BACKBONES._entries))
    names = {"BACKBONES": BACKBONES, "Backbone": Backbone, "tinynet": module}
    exec(compile(example("row"), "docs/backbones.md", "exec"), names)
    yield BACKBONES["tinynet"]
    plan_for.cache_clear()


def test_the_worked_example_is_a_backbone(tinynet):
    full, part = (
        plan_for(backbone="tinynet", mask=tinynet.masks[name], input_shape=(3, 16, 16), n_classes=10)
        for name in ("Full", "Ref-1")
    )
    written = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d", PAGE.partition("in the stem")[2])}
    assert full.params == 232 + 248 + 752 + 330 == 1562 and 1562 in written
    by_hand = 232 + (8 * 9 + 2 * 8) + (8 * 16 + 2 * 16) + (16 * 10 + 10)
    assert part.params == by_hand and by_hand in written
    for kind in Kind:
        config = RunConfig(backbone="tinynet", mask=part.mask, kind=kind, time_steps=2)
        network = Network(part, config)
        assert sum(parameter.numel() for parameter in network.parameters()) == part.params
        assert network(torch.randn(2, 3, 16, 16)).shape == (config.steps, 2, 10)
