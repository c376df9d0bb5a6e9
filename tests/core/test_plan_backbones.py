"""The backbones as arithmetic: published parameters, every size, masks that fit and traces of those that do not."""

from itertools import combinations

import pytest

from core.backbones.catalog import BACKBONES, layout_of, mask_name, parse_mask, plan_for
from core.backbones.inverted import narrowed, parts
from core.backbones.plan import PlanBuilder, Unbuildable
from core.errors import ImpossibleMask
from core.paper.printed import printed_rows

SIDES = {10: 32, 100: 32, 200: 64}
every_backbone = pytest.mark.parametrize("backbone", list(BACKBONES))
adaptive = pytest.mark.parametrize("backbone", ["squeezenet", "mnasnet", "mixnet", "xception", "msresnet"])
every_definition = pytest.mark.parametrize(
    ("backbone", "definition"), [(name, which) for name, entry in BACKBONES.items() for which in entry.definitions]
)


def make(backbone, mask="Full", *, classes=10, side=32, definition="small"):
    return plan_for(
        backbone=backbone,
        mask=parse_mask(backbone, mask, definition),
        input_shape=(3, side, side),
        n_classes=classes,
        definition=definition,
    )


@pytest.mark.parametrize(
    ("backbone", "side", "params"),
    [
        ("squeezenet", 224, 1_248_424),  # torchvision squeezenet1_0
        ("shufflenetv2", 224, 1_366_792),  # torchvision shufflenet_v2_x0_5
        ("mnasnet", 224, 4_383_312),  # torchvision mnasnet1_0
        ("mixnet", 224, 4_134_606),  # the authors' MixNet-S
        ("xception", 299, 22_855_952),  # the author's Xception, trainable
        ("msresnet", 224, 11_689_512),  # torchvision resnet18
    ],
)
def test_the_imagenet_definition_has_the_published_parameters(backbone, side, params):
    assert make(backbone, classes=1000, side=side, definition="imagenet").params == params


@pytest.mark.parametrize(("backbone", "last"), [("shufflenetv2", 7), ("mnasnet", 7), ("mixnet", 7), ("xception", 10)])
def test_the_imagenet_definition_ends_with_the_published_map(backbone, last):
    plan = make(backbone, classes=1000, side=299 if backbone == "xception" else 224, definition="imagenet")
    assert plan.node("pool").in_shape[1:] == (last, last)


@pytest.mark.parametrize(
    ("backbone", "params"),
    [
        ("shufflenetv2", {10: 911_794, 100: 1_004_044, 200: 1_106_544}),
        ("mnasnet", {10: 149_756, 100: 161_366, 200: 174_266}),
        ("mixnet", {10: 88_244, 100: 111_374, 200: 137_074}),
        ("xception", {10: 1_038_710, 100: 1_084_880, 200: 1_136_180}),
    ],
)
def test_the_small_definitions_have_these_parameters(backbone, params):
    assert {classes: make(backbone, classes=classes, side=side).params for classes, side in SIDES.items()} == params


@pytest.mark.parametrize(("backbone", "head"), [("shufflenetv2", 1024), ("mnasnet", 128), ("mixnet", 256)])
def test_ninety_more_classes_cost_what_the_paper_prints(backbone, head):
    """The step from CIFAR-10 to CIFAR-100 shows the classifier's width: one weight a feature and a bias a class."""
    step = make(backbone, classes=100).params - make(backbone).params
    assert step == 90 * (head + 1)
    title = BACKBONES[backbone].title
    ten, hundred = (printed_rows()[f"table1/{dataset}/{title}"].params for dataset in ("cifar10", "cifar100"))
    rounding = 6000 if backbone == "shufflenetv2" else 100  # it is printed as 911k and 1000k
    assert hundred - ten == pytest.approx(step, abs=rounding)


def shufflenet_unit(arrived, width, stride):
    """Weights and two normalisation parameters a channel, by hand."""
    half = width // 2
    taken = arrived if stride == 2 else half
    right = taken * half + 2 * half + 9 * half + 2 * half + half * half + 2 * half
    left = 9 * arrived + 2 * arrived + arrived * half + 2 * half
    return right + (left if stride == 2 else 0)


def test_shufflenetv2_by_hand():
    total, arrived = 3 * 24 * 9 + 2 * 24, 24
    for width, repeats in ((116, 2), (232, 4), (464, 2)):
        total += shufflenet_unit(arrived, width, 2) + (repeats - 1) * shufflenet_unit(width, width, 1)
        arrived = width
    assert make("shufflenetv2").params == total + 464 * 1024 + 2 * 1024 + 1024 * 10 + 10


def mnasnet_block(arrived, channels, kernel, expansion):
    mid = arrived * expansion
    expand = arrived * mid + 2 * mid if expansion > 1 else 0
    return expand + mid * kernel**2 + 2 * mid + mid * channels + 2 * channels


def test_mnasnet_by_hand():
    stages = [(1, 4, 3, 1), (3, 6, 3, 3), (3, 8, 5, 3), (3, 16, 5, 6), (2, 20, 3, 6), (4, 38, 5, 6), (1, 64, 3, 6)]
    total, arrived = 3 * 32 * 9 + 2 * 32, 32
    for repeats, channels, kernel, expansion in stages:
        for _ in range(repeats):
            total += mnasnet_block(arrived, channels, kernel, expansion)
            arrived = channels
    assert make("mnasnet").params == total + 64 * 128 + 2 * 128 + 128 * 10 + 10


@every_backbone
@pytest.mark.parametrize("side", [16, 28, 32, 64])
def test_every_small_definition_builds_in_full_at_every_size(backbone, side):
    plan = make(backbone, side=side)
    assert plan.nodes[-1].shape == (10, 1, 1)
    assert plan.mask == plan.blocks == BACKBONES[backbone].blocks


@pytest.mark.parametrize("backbone", ["mnasnet", "mixnet", "xception"])
def test_these_small_definitions_end_with_an_eighth_of_the_side(backbone):
    assert [make(backbone, side=side).node("pool").in_shape[1] for side in (16, 32, 64)] == [2, 4, 8]


@every_definition
def test_every_named_mask_builds_and_has_its_blocks_and_its_name(backbone, definition):
    blocks, masks = layout_of(backbone, definition)
    assert masks["Full"] == blocks
    assert next(iter(masks)) == "Full" and 4 <= len(masks) and len(set(masks.values())) == len(masks)
    for name, mask in masks.items():
        plan = make(backbone, name, side=64, definition=definition)
        assert {node.block for node in plan.nodes} - {None} == set(mask)
        assert all(node.name.startswith(f"{node.block}.") for node in plan.nodes if node.block)
        assert mask_name(backbone, mask, definition) == name and parse_mask(backbone, mask, definition) == mask


@adaptive
def test_any_single_block_and_any_two_can_be_left_out(backbone):
    blocks = BACKBONES[backbone].blocks
    for gone in (*combinations(blocks, 1), *combinations(blocks, 2)):
        kept = [block for block in blocks if block not in gone]
        assert list(dict.fromkeys(node.block for node in make(backbone, kept).nodes if node.block)) == kept


@adaptive
def test_any_block_can_stand_alone(backbone):
    for block in BACKBONES[backbone].blocks:
        plan = make(backbone, block)
        assert {node.block for node in plan.nodes} == {None, block}


def test_a_left_out_reduction_takes_its_stride_and_its_channels_with_it():
    whole, part = make("mnasnet"), make("mnasnet", [b for b in BACKBONES["mnasnet"].blocks if b != "M3.1"])
    assert whole.node("M3.2.expand.conv").in_shape == (8, 16, 16)
    assert part.node("M3.2.expand.conv").in_shape == (6, 32, 32)
    names = {node.name for node in part.nodes}
    assert "M3.2.add" in {node.name for node in whole.nodes} and "M3.2.add" not in names  # 6 channels in, 8 out
    assert "M3.3.add" in names


def test_shufflenetv2_takes_exactly_the_masks_that_keep_the_first_block_of_a_stage_or_none_of_it():
    blocks = BACKBONES["shufflenetv2"].blocks
    for size in range(1, len(blocks) + 1):
        for mask in combinations(blocks, size):
            stages = {block[:2] for block in mask}
            if all(f"{stage}.1" in mask for stage in stages):
                assert make("shufflenetv2", mask).mask == mask
            else:
                with pytest.raises(ImpossibleMask, match="channels"):
                    make("shufflenetv2", mask)


def test_an_impossible_mask_says_block_by_block_what_arrived_where():
    with pytest.raises(ImpossibleMask) as caught:
        make("shufflenetv2", "S2.1,S3.2,S3.3,S4.1")
    # 32 / 2 in the stem, / 2 in the pool, / 2 in S2.1; S3.1, which would make 232 channels, is gone
    assert caught.value.fields["trace"] == [
        "pool1 24x8x8 arrives at S2.1",
        "S2.2 left out",
        "S3.1 left out",
        "S2.1 116x4x4 arrives at S3.2, which needs 232 channels",
    ]
    assert caught.value.fields["why"].startswith(
        "S2.1 116x4x4 arrives at S3.2, which needs 232 channels (input 3x32x32"
    )
    assert "Before that: pool1 24x8x8 arrives at S2.1; S2.2 left out; S3.1 left out." in caught.value.message


def test_a_map_that_shrinks_to_nothing_is_traced_too():
    with pytest.raises(ImpossibleMask) as caught:
        make("squeezenet", "F2,F9", side=4)
    # 4 -> 2 -> 1 in pool1 and pool4; a window of 2 finds nothing in 1
    assert caught.value.fields["trace"][-1] == "pool4 128x1x1 arrives at pool8, which leaves nothing of it"
    with pytest.raises(ImpossibleMask, match="input 3x4x4 arrives at stem2.conv|stem1 32x1x1 arrives at stem2.conv"):
        make("xception", side=4, definition="imagenet")


def build_with(operation, *shapes):
    """A builder with one convolution of each shape's channels on a 4x4 image, and `operation` on them."""
    b = PlanBuilder((3, 4, 4))
    xs = [b.conv(f"c{n}", "input", channels, kernel=kernel) for n, (channels, kernel) in enumerate(shapes)]
    return operation(b, *xs)


@pytest.mark.parametrize(
    ("operation", "shapes", "line"),
    [
        (lambda b, x, y: b.add("sum", x, y), [(4, 1), (5, 1)], "c1 5x4x4 arrives at sum, which adds it to 4x4x4"),
        (
            lambda b, x, y: b.concat("join", (x, y)),
            [(4, 1), (4, 2)],
            "c0 4x4x4 arrives at join, which cannot join 4x4x4 and 4x3x3",
        ),
        (
            lambda b, x: b.split("part", x, start=2, channels=3),
            [(4, 1)],
            "c0 4x4x4 arrives at part, which takes channels 2 to 4",
        ),
        (
            lambda b, x: b.shuffle("mix", x, groups=3),
            [(4, 1)],
            "c0 4x4x4 arrives at mix, which has 3 groups: they do not divide 4 channels",
        ),
        (
            lambda b, x, y: b.scale("gated", x, y),
            [(4, 1), (4, 1)],
            "c1 4x4x4 arrives at gated, which multiplies it with 4x4x4",
        ),
        (lambda b, x: b.conv("big", x, 2, kernel=5), [(4, 1)], "c0 4x4x4 arrives at big, which leaves nothing of it"),
    ],
)
def test_every_shape_that_does_not_fit_is_refused_in_the_same_words(operation, shapes, line):
    with pytest.raises(Unbuildable) as caught:
        build_with(operation, *shapes)
    assert caught.value.trace == (line,)


def test_the_flags_of_new_operations_follow_from_what_arrives():
    plan = make("shufflenetv2")
    spikes = {node.name: node.spikes for node in plan.nodes}
    assert spikes["S2.2.pass"] and spikes["S2.2.take"] and spikes["S2.2.concat"] and spikes["S2.2.shuffle"]
    assert not spikes["S2.2.depth.bn"]
    gates = {node.op: node.spikes for node in make("mixnet").nodes if node.name.startswith("X3.1.gate.")}
    assert gates["act"] and not gates["sigmoid"] and not gates["scale"] and not gates["global_avgpool"]
    assert not any(node.spikes for node in make("xception").nodes if node.op == "add")


def test_moves_keep_spikes_and_arithmetic_does_not():
    b = PlanBuilder((4, 4, 4))
    x = b.act("spikes", "input")
    moved = b.shuffle("shuffle", b.concat("join", (b.split("part", x, start=0, channels=2), x)), groups=2)
    assert b.is_activated(b.maxpool("pool", moved, kernel=3, stride=2, padding=1))
    gate = b.sigmoid("gate", b.global_avgpool("mean", x))
    # 1 + 1 = 2, and a gate is any number in (0, 1)
    assert not any(map(b.is_activated, (b.add("sum", x, x), b.scale("scaled", x, gate), gate, b.bn("norm", x))))


def test_shortcuts_follow_the_published_rule_of_stride_one_and_equal_channels():
    added = {node.block for node in make("mixnet", definition="imagenet", side=224).nodes if node.op == "add"}
    # the first block of a stage changes channels or size, except X1.1: 16 from the stem, 16 out
    assert added == {"X1.1", "X2.2", "X3.2", "X3.3", "X3.4", "X4.2", "X4.3", "X5.2", "X5.3", "X6.2", "X6.3"}


def test_parts_and_narrowed_widths():
    assert parts(10, 3) == (4, 3, 3) and sum(parts(241, 5)) == 241 and parts(7, 1) == (7,)
    # 9.6 lies nearest to 8, but 8 is below 0.9 x 9.6 = 8.64
    assert [narrowed(c, 0.12, 8) for c in (16, 24, 40, 80, 120, 200)] == [8, 8, 8, 16, 16, 24]
    assert [narrowed(c, 0.2, 2) for c in (16, 24, 40, 80, 96, 192, 320)] == [4, 6, 8, 16, 20, 38, 64]
