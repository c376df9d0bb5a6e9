"""MnasNet as the printed counts of Kabir et al. have it: every count that their tables allow to be checked."""

import pytest

from core.backbones.catalog import BACKBONES, layout_of, parse_mask, plan_for
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, static_macs
from core.paper.printed import printed_rows
from core.schemas.run import Kind
from core.units import mj_to_pj

MAC_PJ = 4.6


def plan(definition, dataset="cifar10", mask="Full"):
    spec = DATASETS[dataset]
    return plan_for(
        backbone="mnasnet",
        mask=parse_mask("mnasnet", mask, definition),
        input_shape=spec.image_shape,
        n_classes=spec.n_classes,
        definition=definition,
    )


def macs(definition, dataset, kind=Kind.SNN):
    return static_macs(plan(definition, dataset), kind, MODES["paper"], 1)


@pytest.mark.parametrize(
    ("dataset", "params", "of_paper", "of_cifar10", "of_cnn"),
    [
        ("cifar10", 151_890, 12_918_026, 12_131_594, 23_900_426),
        ("cifar100", 163_500, 12_929_636, 12_143_204, 23_912_036),
        ("tiny_imagenet", 176_400, 51_692_744, 48_547_016, 95_622_344),
    ],
)
def test_parameters_and_macs(dataset, params, of_paper, of_cifar10, of_cnn):
    assert plan("paper", dataset).params == plan("paper-cifar10", dataset).params == params
    assert (macs("paper", dataset), macs("paper-cifar10", dataset)) == (of_paper, of_cifar10)
    assert macs("paper", dataset, Kind.CNN) == macs("paper-cifar10", dataset, Kind.CNN) == of_cnn


@pytest.mark.parametrize(
    ("definition", "dataset"), [("paper-cifar10", "cifar10"), ("paper", "cifar100"), ("paper", "tiny_imagenet")]
)
def test_the_printed_macs_are_these_to_the_digit(definition, dataset):
    printed = printed_rows()[f"table1/{dataset}/MnasNet"]
    assert f"{macs(definition, dataset) / 1e6:.2f}" == f"{printed.macs / 1e6:.2f}"
    # and the printed energy is that of the printed ACs and these MACs
    energy = printed.acs * 0.9 + macs(definition, dataset) * MAC_PJ
    assert energy == pytest.approx(printed.energy_pj, abs=mj_to_pj(0.00006))


def test_the_printed_parameters_are_these_on_cifar10_only_if_cut_and_not_rounded():
    printed = {data: printed_rows()[f"table1/{data}/MnasNet"].params / 1e3 for data in ("cifar100", "tiny_imagenet")}
    assert printed == {data: plan("paper", data).params / 1e3 for data in printed}
    ten = printed_rows()["table1/cifar10/MnasNet"].params / 1e3
    assert int(plan("paper").params / 100) / 10 == ten == 151.8 != round(plan("paper").params / 1e3, 1)


def test_on_cifar10_they_lack_exactly_what_the_first_expansion_costs():
    """A neuron behind the first block's projection makes the next expansion's input spikes; it has no parameters."""
    assert macs("paper", "cifar10") - macs("paper-cifar10", "cifar10") == 16 * 48 * 32 * 32 == 786_432
    real = plan("paper").node("M2.1.expand.conv")
    assert not plan("paper").node(real.inputs[0]).spikes
    spiking = plan("paper-cifar10")
    assert spiking.node(spiking.node("M2.1.expand.conv").inputs[0]).spikes


def test_the_twins_printed_energy_needs_more_than_convolutions_and_normalisation():
    printed = printed_rows()["table2/cifar10/MnasNet"].energy_pj
    assert macs("paper", "cifar10", Kind.CNN) * MAC_PJ / printed == pytest.approx(0.973, abs=0.001)
    of = plan("paper")
    with_relu = macs("paper", "cifar10", Kind.CNN) + of.neurons
    assert f"{with_relu * MAC_PJ / 1e9:.3f}" == "0.113"


TABLE = """
stem 464 442368
M1.1.depth 176 147456
M1.1.project 288 262144
M2.1.expand 864 786432
M2.1.depth 528 442368
M2.1.project 1200 1179648
M2.2.expand 1872 1769472
M2.2.depth 792 663552
M2.2.project 1776 1769472
M3.1.expand 1872 1769472
M3.1.depth 792 165888
M3.1.project 2960 737280
M3.2.expand 5040 1228800
M3.2.depth 1320 276480
M3.2.project 4880 1228800
M4.1.expand 10080 2457600
M4.1.depth 2640 138240
M4.1.project 19360 1228800
M4.2.expand 39360 2457600
M4.2.depth 5280 276480
M4.2.project 38560 2457600
head 10496 655360
"""


def test_layer_by_layer():
    of = plan("paper")
    for line in TABLE.split("\n")[1:-1]:
        name, params, dense = line.split()
        conv, bn = of.node(f"{name}.conv"), of.node(f"{name}.bn")
        assert (conv.params + bn.params, conv.dense_ops) == (int(params), int(dense)), name
    assert [node.name for node in of.nodes if node.op == "add"] == ["M2.2.add", "M3.2.add", "M4.2.add"]
    assert of.node("pool").in_shape == (128, 8, 8)
    assert of.node("classifier.conv").params == 129 * 10


def test_its_blocks_are_some_of_the_published_ones_and_take_their_strides_along():
    blocks, masks = layout_of("mnasnet", "paper")
    assert blocks == ("M1.1", "M2.1", "M2.2", "M3.1", "M3.2", "M4.1", "M4.2")
    assert set(blocks) < set(BACKBONES["mnasnet"].blocks)
    assert masks["Full"] == blocks and masks["Alt-1"] == ("M1.1", "M2.2", "M3.2", "M4.2")
    assert plan("paper", mask="M1.1,M2.1,M2.2,M3.2,M4.2").node("pool").in_shape[1:] == (32, 32)


def test_the_other_definitions_are_what_they_were():
    blocks = BACKBONES["mnasnet"].blocks
    assert plan("small").params == 149_756 and plan("small").mask == blocks
    assert layout_of("mnasnet", "imagenet").blocks == blocks
