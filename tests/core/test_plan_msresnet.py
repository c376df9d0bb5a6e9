"""MS-ResNet: published parameters, blocks that keep shape, and spikes into every convolution but the stem."""

import numpy as np
import pytest
import torch

from core.backbones.catalog import layout_of, parse_mask, plan_for
from core.energy.modes import MODES, static_macs
from core.engine.count import Counter
from core.engine.network import Network
from core.errors import UnknownName
from core.schemas.architecture import ArchitectureConfig
from core.schemas.run import Kind, NeuronConfig, RunConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)


def plan(mask="Full", *, definition="small", side=32, classes=10, **options):
    chosen = ArchitectureConfig(**options)
    return plan_for(
        backbone="msresnet",
        mask=parse_mask("msresnet", mask, definition, chosen),
        input_shape=(3, side, side),
        n_classes=classes,
        definition=definition,
        architecture=chosen,
    )


def by_hand(widths, stages, classes, stem):
    """Weights and two normalisation parameters a channel; a 1x1 shortcut where a stage begins with other channels."""
    total, arrived = 3 * stem**2 * widths[0] + 2 * widths[0], widths[0]
    for channels, count in zip(widths, stages, strict=True):
        for _ in range(count):
            total += 9 * arrived * channels + 9 * channels * channels + 4 * channels
            total += 0 if arrived == channels else arrived * channels + 2 * channels
            arrived = channels
    return total + arrived * classes + classes


@pytest.mark.parametrize(
    ("options", "widths", "stages", "params"),
    [
        ({}, (16, 32, 64), (3, 3, 3), 272_474),  # ResNet-20 with 1x1 shortcuts; without them it is 269,722
        ({"depth": 32}, (16, 32, 64), (5, 5, 5), 466_906),
        ({"depth": 56}, (16, 32, 64), (9, 9, 9), 855_770),
        ({"width_multiplier": 1.4}, (24, 48, 88), (3, 3, 3), 540_802),
        ({"width_multiplier": 0.5}, (8, 16, 32), (3, 3, 3), 68_786),
    ],
)
def test_the_small_definition_by_hand(options, widths, stages, params):
    assert plan(**options).params == params == by_hand(widths, stages, 10, 3)


@pytest.mark.parametrize(("depth", "stages", "params"), [(18, (2,) * 4, 11_689_512), (34, (3, 4, 6, 3), 21_797_672)])
def test_the_imagenet_definition_has_the_published_parameters(depth, stages, params):
    of = plan(definition="imagenet", side=224, classes=1000, depth=depth)
    assert of.params == params == by_hand((64, 128, 256, 512), stages, 1000, 7)  # torchvision resnet18, resnet34
    assert of.node("pool1").shape == (64, 56, 56) and of.node("last.act").shape == (512, 7, 7)


def test_dense_operations_and_neurons():
    of = plan()
    assert of.node("stem.conv").dense_ops == 27 * 16 * 32 * 32
    in_stage = [9 * 16 * 16 * 1024, 9 * 32 * 32 * 256, 9 * 64 * 64 * 64]  # one 3x3 convolution: as many in each stage
    assert len(set(in_stage)) == 1
    down = 2 * (in_stage[0] // 2) + 16 * 32 * 256 + 32 * 64 * 64  # half the inputs, and the 1x1 shortcuts
    assert of.dense_ops == 442_368 + 16 * in_stage[0] + down + 640 * 64
    assert of.neurons == 6 * 16_384 + (16_384 + 8_192) + 4 * 8_192 + (8_192 + 4_096) + 4 * 4_096 + 4_096


def test_the_blocks_that_keep_shape_can_be_left_out_and_no_other():
    assert layout_of("msresnet").blocks == ("R1.1", "R1.2", "R1.3", "R2.2", "R2.3", "R3.2", "R3.3")
    deep = layout_of("msresnet", "small", ArchitectureConfig(depth=32)).blocks
    assert len(deep) == 5 + 4 + 4 and "R2.1" not in deep and deep[4:6] == ("R1.5", "R2.2")
    assert layout_of("msresnet", "imagenet").blocks == ("R1.1", "R1.2", "R2.2", "R3.2", "R4.2")
    for block in deep:
        assert plan([block], depth=32).mask == (block,)
    with pytest.raises(UnknownName, match="down2"):
        plan("down2")
    whole, part = plan(), plan("R1.1,R1.2,R2.2,R2.3,R3.2,R3.3")
    assert whole.params - part.params == 2 * (9 * 16 * 16) + 4 * 16


@pytest.mark.parametrize(
    ("definition", "side", "options"),
    [("small", 32, {}), ("small", 16, {"depth": 32, "width_multiplier": 0.5}), ("imagenet", 64, {})],
)
def test_spikes_stay_binary_and_all_convolutions_but_the_stem_cost_accumulates_alone(definition, side, options):
    of = plan(definition=definition, side=side, **options)
    sums = [node for node in of.nodes if node.op == "add"]
    assert sums and not any(node.spikes for node in sums)
    for node in of.nodes:  # a sum goes into neurons and the next sum, nowhere else
        assert node.op in ("act", "add") or not any(name.endswith(".add") for name in node.inputs)
    config = RunConfig(backbone="msresnet", definition=definition, mask=of.mask, neuron=LIVELY, time_steps=2)
    network = Network(of, config)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    network.train()(images)
    with Counter(network.eval()) as counter, torch.no_grad():
        network(images)
    counts = counter.counts(2)  # it raises where what should be spikes is neither 0 nor 1
    convolutions = [layer for layer in counts.layers if layer.kind == "conv"]
    for layer in convolutions:
        assert layer.input_is_spikes == (layer.name != "stem.conv")
        assert not any(layer.mac if layer.input_is_spikes else layer.ac), layer.name
    assert sum(np.sum(layer.ac) for layer in convolutions) > 0
    tally = MODES["exact"].tally(counts)
    assert tally.macs == sum(layer.macs for layer in tally.layers if layer.name == "stem.conv")


def test_additions_of_currents_are_listed_by_name_and_priced_as_additions():
    of = plan("R1.1,R1.2", side=16)
    network = Network(of, RunConfig(backbone="msresnet", mask=of.mask, neuron=LIVELY, time_steps=3)).eval()
    with Counter(network) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 16, 16))
    added = [layer for layer in counter.counts(1).layers if layer.kind == "add"]
    assert [layer.name for layer in added] == ["R1.1.add", "R1.2.add", "down2.add", "down3.add"]
    for name, per_element in (
        ("paper", 0),
        ("exact", 0),
        ("exact+neuron", 3),
    ):  # one add an element and step, no synapse
        tallied = {layer.name: layer for layer in MODES[name].tally(counter.counts(1)).layers}
        for layer in added:
            assert tallied[layer.name].acs == per_element * layer.output_numel and tallied[layer.name].macs == 0


def test_the_first_sum_of_constant_and_changing_current_changes():
    of = plan()
    assert of.node("stem.bn").constant and not of.node("R1.1.add").constant
    rate = of.encoded("rate")
    assert rate.node("stem.conv").inputs == ("input",) and rate.node("input").spikes


def test_a_cnn_of_it_has_the_macs_of_a_resnet():
    macs = static_macs(plan(), Kind.CNN, MODES["exact"], 1)
    assert 0.85 * plan().dense_ops < macs < plan().dense_ops  # padding is read for nothing
