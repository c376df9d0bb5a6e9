"""LitE-SNN's cells: sizes by hand, wirings that fit and that do not, masks, and what a forward pass gives."""

import re
from itertools import combinations, product
from pathlib import Path

import pytest
import torch

from core.backbones.catalog import parse_mask, plan_for
from core.backbones.litesnn import BLOCKS, HALVINGS, RELEASED, edges_of, wiring
from core.engine.network import Network
from core.errors import BadValue
from core.recipes.build import build_config
from core.schemas.architecture import ArchitectureConfig
from core.schemas.request import RunRequest
from core.schemas.run import Kind, RunConfig

PAGE = (Path(__file__).parents[2] / "docs" / "backbones.md").read_text()


def plan(cell=None, filters=None, *, mask=BLOCKS, side=32, classes=10, classifier=None):
    architecture = ArchitectureConfig(cell=cell, filters=filters, classifier=classifier)
    return plan_for(
        backbone="litesnn", mask=mask, input_shape=(3, side, side), n_classes=classes, architecture=architecture
    )  # fmt: skip


def by_hand(cell: str, filters: int, side: int, classes: int) -> tuple[int, int, int]:
    """(weights, normalisation parameters, dense ops of one pass), by a loop over the edges."""
    stem = 3 * filters
    weights, ops = 27 * stem, 27 * stem * side**2
    norms = 2 * stem
    before = earlier = stem
    for halvings in (0, 0, 1, 1, 1, 2, 2, 2):
        channels, area = filters * 2**halvings, (side // 2**halvings) ** 2
        for first, pair in zip((0, 2, 5), cell.split("|"), strict=True):
            for edge in map(int, pair.split(",")):
                taken = (earlier, before, channels, channels)[edge - first]
                weights += 9 * taken * channels
                ops += 9 * taken * channels * area
                norms += 2 * channels
        before, earlier = 3 * channels, before
    return weights + before * classes, norms + 2 * classes, ops + before * classes


@pytest.mark.parametrize(
    ("cell", "filters", "side", "weights", "norms", "mega_ops"),
    [
        ("released-readme", 48, 32, 15_603_120, 11_828, 2212.3),
        ("released-code", 48, 32, 14_898_096, 11_828, 2063.7),
        ("released-readme", 16, 32, 1_735_824, 3_956, 246.7),
        ("released-readme", 4, 16, 109_092, 1_004, 3.9),
    ],
)
def test_the_released_networks_have_the_sizes_that_follow_by_hand(cell, filters, side, weights, norms, mega_ops):
    of = plan(cell, filters, side=side)
    assert by_hand(RELEASED[cell], filters, side, 10) == (weights, norms, of.dense_ops)
    assert sum(node.params for node in of.nodes if node.op == "conv") == weights
    assert sum(node.params for node in of.nodes if node.op == "bn") == norms and of.params == weights + norms
    assert round(of.dense_ops / 1e6, 1) == mega_ops


def test_all_eighteen_wirings_are_built_and_are_different_networks():
    choices = [list(combinations(edges_of(node), 2)) for node in range(3)]
    cells = ["|".join(f"{a},{b}" for a, b in chosen) for chosen in product(*choices)]
    assert len(cells) == 1 * 3 * 6
    built = {cell: plan(cell, 4, side=16) for cell in cells}
    assert len({of.nodes for of in built.values()}) == 18
    for cell, of in built.items():
        assert (of.params, of.dense_ops) == (sum(by_hand(cell, 4, 16, 10)[:2]), by_hand(cell, 4, 16, 10)[2])
        read = {name for node in of.nodes for name in node.inputs}
        assert {node.name for node in of.nodes} - read == {"classifier.bn"}  # nothing hangs in the air


def test_a_wiring_says_what_each_node_reads():
    # edges of node 3 are 5 (two cells before), 6 (cell before), 7 (node 1), 8 (node 2)
    assert wiring("0,1|2,4|5,8") == ((-2, -1), (-2, 0), (-2, 1))
    of = plan("0,1|2,4|5,8", 4, side=16)
    assert of.node("C1.node2.node1.conv").inputs == ("C1.node1.act",)
    assert of.node("C1.node3.node2.conv").inputs == ("C1.node2.act",)
    assert of.node("C3.node1.earlier.conv").inputs == ("C1.concat.halved",)
    assert of.node("C7.node1.earlier.conv").inputs == ("C5.concat.halved",)
    assert of.node("C8.node1.earlier.conv").inputs == ("C6.concat",)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("0,1|3,4", "or 3 nodes with | between them"),
        ("0,1|3,4|6,7|9,10", "or 3 nodes with | between them"),
        ("released", "released-code or released-readme, or 3 nodes"),
        ("0,1|3|6,7", "two of the edges 2 to 4, ascending, for node 2, not 1"),
        ("0,1|2,3,4|6,7", "two of the edges 2 to 4, ascending, for node 2, not 3"),
        ("0,1|4,5|6,7", "edge 5 is of a later node, which node 2 cannot read"),
        ("0,2|3,4|6,7", "edge 2 is of a later node, which node 1 cannot read"),
        ("0,1|3,4|4,7", "edge 4 is of an earlier node"),
        ("0,1|3,4|8,9", "edge 9 is of a later node"),
        ("0,1|4,3|6,7", "two of the edges 2 to 4, ascending, for node 2"),
        ("0,1|3,3|6,7", "two of the edges 2 to 4, ascending, for node 2"),
        ("0,1|3,x|6,7", "as whole numbers"),
        ("0,1|03,4|6,7", "as whole numbers"),
        ("0,1|3,²|6,7", "as whole numbers"),
        ("0,1|-3,4|6,7", "as whole numbers"),
    ],
)
def test_a_wiring_that_is_none_is_refused_and_what_would_be_right_is_said(cell, said):
    with pytest.raises(BadValue) as caught:
        plan(cell)
    assert caught.value.fields["field"] == "architecture.cell" and said in caught.value.fields["expected"]


@pytest.mark.parametrize("filters", [1, 3, 49, 1024])
def test_filters_are_from_4_to_48(filters):
    with pytest.raises(BadValue, match="architecture.filters is .*; it must be from 4 to 48"):
        plan(filters=filters)


@pytest.mark.parametrize("side", [16, 28, 40, 64, 5])
def test_odd_and_other_sides_are_halved_alike(side):
    of = plan(filters=4, side=side)
    half, quarter = -(-side // 2), -(-side // 4)
    assert {of.node(f"{name}.concat").shape[1] for name in ("C3", "C4", "C5")} == {half}
    assert of.node("pool").in_shape == (3 * 16, quarter, quarter)


@pytest.mark.parametrize("size", [1, 2])
def test_masks_of_few_cells_keep_the_resolution_path_and_leave_no_node_unread(size):
    for mask in combinations(BLOCKS, size):
        of = plan(filters=4, side=16, mask=mask)
        read = {name for node in of.nodes for name in node.inputs}
        assert {node.name for node in of.nodes} - read == {"classifier.bn"}, mask
        assert of.node("pool").in_shape[1:] == (4, 4)
        assert all(of.node(f"{name}.concat").shape[1] == 16 >> HALVINGS[name] for name in mask)


def test_spikes_stay_spikes_up_to_the_mean():
    of = plan(filters=4, side=16)
    real = {node.name for node in of.nodes if node.op == "conv" and not of.node(node.inputs[0]).spikes}
    assert real == {"stem.conv", "classifier.conv"}
    fires = plan(filters=4, side=16, classifier="neuron")
    assert fires.node("classifier.conv").inputs == ("pool.act",) and fires.node("pool.act").spikes


def test_taking_every_other_pixel_is_what_the_network_does():
    """A pass by hand through the stem and one cell, in double precision."""
    of = plan("0,1|2,4|5,8", 4, mask=("C3",), side=8)
    network = Network(of, RunConfig(backbone="litesnn", mask=of.mask, kind=Kind.CNN)).double().eval()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    weights = dict(network.state_dict())

    def current(name, x):
        y = torch.nn.functional.conv2d(x, weights[f"{name}.conv.weight"], padding=1)
        return y / (1 + 1e-5) ** 0.5  # a fresh normalisation in evaluation: mean 0, variance 1

    def key(name):
        return next(full for full in weights if full.endswith(f"{name}.conv.weight"))[: -len(".conv.weight")]

    arrived = current(key("stem"), x).relu()[:, :, ::2, ::2]
    first = (current(key("C3.node1.earlier"), arrived) + current(key("C3.node1.before"), arrived)).relu()
    second = (current(key("C3.node2.earlier"), arrived) + current(key("C3.node2.node1"), first)).relu()
    third = (current(key("C3.node3.earlier"), arrived) + current(key("C3.node3.node2"), second)).relu()
    mean = torch.cat([first, second, third], 1)[:, :, ::2, ::2].mean((2, 3))
    last = next(full for full in weights if full.endswith("classifier.conv.weight"))
    due = mean @ weights[last][:, :, 0, 0].T / (1 + 1e-5) ** 0.5
    with torch.no_grad():
        assert torch.allclose(network(x)[-1], due, atol=1e-9)


def test_equal_networks_have_one_config_and_old_hashes_stand():
    def config(**overrides):
        named = {f"architecture.{name}": value for name, value in overrides.items()}
        return build_config(
            RunRequest(backbone="litesnn", kind="snn", mask="Full", dataset="digits", overrides=named)
        )  # fmt: skip

    own = config()
    assert (
        config(cell="0,1|3,4|6,7", filters=8).config_hash == config(cell="released-code").config_hash == own.config_hash
    )
    assert config(cell="0,1|2,3|5,7").architecture.cell == "released-readme"
    assert config(filters=4).config_hash != own.config_hash
    assert "architecture" not in own.identity()  # as before there were these options


def test_the_pages_table_is_made_of_the_plans():
    rows = re.findall(r"^\| (released-\w+) \| (\d+) \| ([\d,]+) \| ([\d,.]+)M \|$", PAGE, re.MULTILINE)
    assert len(rows) == 5
    for cell, filters, params, ops in rows:
        of = plan(cell, int(filters))
        assert (f"{of.params:,}", f"{of.dense_ops / 1e6:,.1f}") == (params, ops)


def test_named_masks_keep_cells():
    assert parse_mask("litesnn", "Firsts") == ("C1", "C3", "C6")
