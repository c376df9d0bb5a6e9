"""SqueezeNet as arithmetic: the printed parameters, and every one of the 255 masks."""

from itertools import product
from typing import get_args

import pytest

from core.backbones.catalog import BACKBONES, FIRE_MASKS, mask_name, parse_mask, plan_for
from core.backbones.plan import FREE, SYNAPTIC, OpKind, PlanBuilder
from core.backbones.squeezenet import BLOCKS
from core.errors import BadValue, ImpossibleMask, UnknownName

SQUEEZE = dict(zip(BLOCKS, (16, 16, 32, 32, 48, 48, 64, 64), strict=True))
EXPAND = dict(zip(BLOCKS, (64, 64, 128, 128, 192, 192, 256, 256), strict=True))
CIFAR10, CIFAR100, TINY = ((3, 32, 32), 10), ((3, 32, 32), 100), ((3, 64, 64), 200)
P = ("F4", "F6", "F8", "F9")
MASKS = [tuple(block for block, kept in zip(BLOCKS, bits, strict=True) if kept) for bits in product((0, 1), repeat=8)][
    1:
]


def plan(mask=BLOCKS, geometry=CIFAR10, definition="small"):
    return plan_for(
        backbone="squeezenet", mask=mask, input_shape=geometry[0], n_classes=geometry[1], definition=definition
    )


def params_by_hand(mask, classes):
    """Weights, biases and two BN parameters a channel, layer by layer."""
    total = 3 * 128 * 3 * 3 + 128 + 2 * 128
    channels = 128
    for block in mask:
        s, e = SQUEEZE[block], EXPAND[block]
        total += channels * s + s + 2 * s
        total += s * e + e + 2 * e
        total += s * e * 3 * 3 + e + 2 * e
        channels = 2 * e
    return total + channels * classes + classes


def dense_by_hand(mask, classes, side):
    """Weights of each convolution times its positions; pools halve after the places of F4 and F8."""
    total = 3 * 128 * 9 * side * side
    side, channels = side // 2, 128
    for block in BLOCKS:
        if block in mask:
            s, e = SQUEEZE[block], EXPAND[block]
            total += (channels * s + s * e + s * e * 9) * side * side
            channels = 2 * e
        if block in ("F4", "F8"):
            side //= 2
    return total + channels * classes * side * side


@pytest.mark.parametrize(
    ("mask", "geometry", "params"),
    [
        (BLOCKS, CIFAR10, 736_458),
        (BLOCKS, CIFAR100, 782_628),
        (BLOCKS, TINY, 833_928),
        (("F4", "F5", "F6", "F8", "F9"), CIFAR10, 599_130),
        (("F4", "F5", "F6", "F8", "F9"), CIFAR100, 645_300),
        (("F4", "F5", "F6", "F8", "F9"), TINY, 696_600),
        (P, CIFAR10, 549_114),
        (P, CIFAR100, 595_284),
        (P, TINY, 646_584),
    ],
)
def test_the_parameters_are_those_of_the_printed_tables(mask, geometry, params):
    assert plan(mask, geometry).params == params == params_by_hand(mask, geometry[1])


def test_the_imagenet_definition_has_squeezenet_1_0s_parameters():
    assert plan(geometry=((3, 224, 224), 1000), definition="imagenet").params == 1_248_424


def test_there_are_255_masks_and_every_one_has_the_parameters_and_dense_ops_of_a_count_by_hand():
    assert len(set(MASKS)) == 255
    for mask in MASKS:
        built = plan(mask)
        assert built.params == params_by_hand(mask, 10), mask
        assert built.dense_ops == dense_by_hand(mask, 10, 32), mask
        assert built.n_classes == 10 and built.nodes[-1].shape == (10, 1, 1)


def test_leaving_one_more_block_out_always_takes_parameters_dense_ops_and_neurons_away():
    """Channels never shrink along the network, so what follows a removed block gets no wider input."""
    for mask in MASKS:
        whole = plan(mask)
        for block in mask if len(mask) > 1 else ():
            smaller = plan(tuple(kept for kept in mask if kept != block))
            assert smaller.params < whole.params, (mask, block)
            assert smaller.dense_ops < whole.dense_ops, (mask, block)
            assert smaller.neurons < whole.neurons, (mask, block)


def test_every_mask_halves_the_image_three_times_whatever_is_left_out():
    for mask in MASKS:
        built = plan(mask, TINY)
        assert [built.node(name).shape[1] for name in ("pool1", "pool4", "pool8")] == [32, 16, 8]
        assert built.node("classifier.conv").in_shape[1:] == (8, 8)


def test_every_shape_follows_from_the_shapes_before_it():
    for mask in MASKS[::7]:
        shapes = {node.name: node.shape for node in plan(mask).nodes}
        for node in plan(mask).nodes[1:]:
            inputs = [shapes[name] for name in node.inputs]
            if node.op == "concat":
                assert node.shape == (sum(shape[0] for shape in inputs), *inputs[0][1:])
            else:
                assert node.in_shape == inputs[0]
            if node.op in ("bn", "act", "dropout"):
                assert node.shape == inputs[0]


def test_every_operation_that_a_plan_may_have_is_named_once_as_charged_or_free():
    assert sorted([*SYNAPTIC, *FREE]) == sorted(get_args(OpKind))  # as lists: one in both would stand there twice


def test_only_what_comes_before_the_first_neurons_is_constant():
    constant = [node.name for node in plan().nodes if node.constant]
    assert constant == ["input", "stem.conv", "stem.bn"]


def test_spikes_pass_through_pools_and_joins_but_not_through_weights_or_means():
    spikes = {node.name: node.spikes for node in plan().nodes}
    assert spikes["stem.act"] and spikes["pool1"] and spikes["F9.concat"]
    assert not (spikes["input"] or spikes["stem.conv"] or spikes["F2.squeeze.bn"] or spikes["pool"])


def test_the_nodes_of_a_block_carry_its_name():
    blocks = {node.block for node in plan(P).nodes}
    assert blocks == {None, *P}
    assert all(node.name.startswith(f"{node.block}.") for node in plan(P).nodes if node.block)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("F4,F6,F8,F9", P),
        ("f9, f8 ,F6,f4", P),
        ("P", P),
        ("ref-1", P),
        (["F9", "F4", "F8", "F6"], P),
        ("Full", BLOCKS),
        ("baseline", BLOCKS),
        ("F2", ("F2",)),
    ],
)
def test_a_mask_is_read_in_any_order_and_by_name(text, kept):
    assert parse_mask("squeezenet", text) == kept


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("", ImpossibleMask, "at least one"),
        (",", ImpossibleMask, "at least one"),
        ([], ImpossibleMask, "at least one"),
        ("F1", UnknownName, "F1"),
        ("F4,F10", UnknownName, "F10"),
        ("Ref-3", UnknownName, "Ref-1|Ref-2"),
        ("F4,F4", BadValue, "F4 once"),
    ],
)
def test_an_impossible_mask_is_refused_with_the_reason(text, error, words):
    with pytest.raises(error, match=words):
        parse_mask("squeezenet", text)


def test_the_nine_published_masks_have_names_and_others_have_none():
    assert list(FIRE_MASKS) == ["Full", "Head-1", "Head-2", "Tail-1", "Tail-2", "Alt-1", "Alt-2", "Ref-1", "Ref-2"]
    assert BACKBONES["squeezenet"].masks is FIRE_MASKS
    for name, mask in FIRE_MASKS.items():
        assert mask_name("squeezenet", mask) == name
    assert mask_name("squeezenet", ("F2",)) is None


def test_an_image_too_small_for_the_network_is_an_impossible_mask_with_its_size():
    with pytest.raises(ImpossibleMask, match="3x4x4"):
        plan(geometry=((3, 4, 4), 10))


@pytest.mark.parametrize(
    ("names", "words"), [({"backbone": "sqeezenet"}, "squeezenet"), ({"definition": "smal"}, "small")]
)
def test_unknown_names_suggest_near_ones(names, words):
    asked = {"backbone": "squeezenet", "mask": P, "input_shape": (3, 32, 32), "n_classes": 10} | names
    with pytest.raises(UnknownName, match=f"Did you mean {words}"):
        plan_for(**asked)


def test_a_node_cannot_be_added_twice():
    builder = PlanBuilder((3, 8, 8))
    builder.conv("c", "input", 4, kernel=3)
    with pytest.raises(ValueError, match="twice"):
        builder.conv("c", "input", 4, kernel=3)


def test_groups_must_divide_the_channels():
    with pytest.raises(ValueError, match="groups"):
        PlanBuilder((3, 8, 8)).conv("c", "input", 4, kernel=3, groups=2)


def test_a_ceiling_pool_keeps_a_last_window_that_starts_inside():
    builder = PlanBuilder((1, 6, 6))
    # floor: (6 - 3) / 2 = 1, so 2 windows; ceiling: 3 windows, the last one starts at 4 < 6
    assert builder.shape(builder.maxpool("floor", "input", kernel=3, stride=2)) == (1, 2, 2)
    assert builder.shape(builder.maxpool("ceil", "input", kernel=3, stride=2, ceil_mode=True)) == (1, 3, 3)
    # 2x2 windows at stride 3 on 6: a third window would start at 6, outside, and is dropped as in torch
    assert builder.shape(builder.maxpool("outside", "input", kernel=1, stride=3, ceil_mode=True)) == (1, 2, 2)


def test_a_grouped_convolution_has_the_weights_of_its_groups():
    builder = PlanBuilder((4, 5, 5))
    builder.conv("c", "input", 6, kernel=3, padding=1, groups=2)
    node = builder.finish(backbone="x", definition="small", blocks=(), mask=()).node("c")
    assert node.params == 6 * (4 // 2) * 9 + 6
    assert node.dense_ops == 6 * (4 // 2) * 9 * 25
    assert node.bias_ops == 6 * 25
