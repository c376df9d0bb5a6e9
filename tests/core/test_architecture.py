"""Options of a network: SqueezeNet's by arithmetic and as networks, one config for equal ones, refusals in words."""

import shlex
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.backbones.catalog import BACKBONES, layout_of, parse_mask, plan_for
from core.backbones.naming import network_name
from core.backbones.options import widened, words
from core.energy.modes import MODES, static_macs
from core.engine.count import Counter
from core.engine.network import Network, observe
from core.errors import BadValue, UnknownName
from core.paper.measured import printed_about
from core.recipes.build import build_config, command, options_of, override, plan_of
from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.request import RunRequest
from core.schemas.run import Kind, NeuronConfig, RunConfig

MAC_PJ = 4.6  # Horowitz, ISSCC 2014, 45 nm, fp32
LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)


def plan(mask="Full", *, side=32, classes=10, backbone="squeezenet", definition="small", **options):
    chosen = ArchitectureConfig(**options)
    return plan_for(
        backbone=backbone,
        mask=parse_mask(backbone, mask, definition, chosen),
        input_shape=(3, side, side),
        n_classes=classes,
        definition=definition,
        architecture=chosen,
    )


def config(**changes):
    overrides = changes.pop("overrides", {})
    return build_config(RunRequest(**({"mask": "Ref-1", "dataset": "cifar10"} | changes), overrides=overrides))


def behind_the_stem(of):
    return sum(node.dense_ops for node in of.nodes if node.inputs != ("input",))


def of_squeeze_spikes(of):
    return sum(node.dense_ops for node in of.nodes if ".expand" in node.name)


HALF = {"stem_width": 64, "stem_stride": 2}


@pytest.mark.parametrize(
    ("mask", "options", "params", "dense", "squeezed", "stem_uj", "neurons"),
    [
        ("P", {}, 549_114, 33.51, 29.49, 16.28, 278_528),
        ("P", {"stem_width": 64}, 545_146, 32.98, 29.49, 8.14, 212_992),
        ("P", HALF, 545_146, 32.98, 29.49, 2.03, 163_840),
        ("F5,F7,F8,F9", HALF, 545_146, 24.72, 21.63, 2.03, 108_544),
        ("F5,F6,F7,F9", HALF, 458_698, 19.61, 17.04, 2.03, 99_328),
        ("F6,F8,F9", HALF, 492_058, 21.38, 19.01, 2.03, 90_112),
        ("Alt-2", {}, 363_498, 15.81, 13.76, 16.28, 223_232),
        ("Alt-2", {"stem_width": 64}, 360_554, 15.55, 13.76, 8.14, 157_696),
        ("F8,F9", HALF, 375_050, 13.98, 13.11, 2.03, 62_464),
        ("F5,F7,F9", HALF, 346_810, 12.53, 11.14, 2.03, 71_680),
        ("F5,F9", HALF, 232_874, 5.72, 5.24, 2.03, 44_032),
        ("Head-1", {}, 312_298, 23.94, 20.97, 16.28, 306_176),
        ("P", HALF | {"width_multiplier": 0.75}, 303_346, 18.25, 16.22, 2.03, 126_720),
        ("P", HALF | {"width_multiplier": 0.5}, 140_930, 8.40, 7.37, 2.03, 90_112),
        ("P", HALF | {"share_3x3": 0.25}, 360_826, 21.18, 17.69, 2.03, 163_840),
        ("P", HALF | {"share_3x3": 0.25, "width_multiplier": 1.25}, 565_762, 33.36, 28.02, 2.03, 200_960),
        ("P", {"stem_width": 128, "stem_stride": 2}, 549_114, 33.51, 29.49, 4.07, 180_224),
        ("P", {"stem_width": 32}, 543_162, 32.72, 29.49, 4.07, 180_224),
    ],
)
def test_variants_have_these_sizes(mask, options, params, dense, squeezed, stem_uj, neurons):
    """Dense operations behind the stem and those that read squeeze spikes in millions, the stem's price in uJ."""
    found = plan(mask, **options)
    assert (found.params, found.neurons) == (params, neurons)
    assert (behind_the_stem(found) / 1e6, of_squeeze_spikes(found) / 1e6) == (
        pytest.approx(dense, abs=0.005),
        pytest.approx(squeezed, abs=0.005),
    )
    assert found.node("stem.conv").dense_ops * MAC_PJ * 1e-6 == pytest.approx(stem_uj, abs=0.005)


def test_a_stem_by_hand():
    narrow, full = plan("P", **HALF), plan("P")
    assert narrow.node("stem.conv").shape == (64, 16, 16) and full.node("stem.conv").shape == (128, 32, 32)
    assert "pool1" not in {node.name for node in narrow.nodes}
    # 64 filters less of 27 weights, a bias and two of normalisation, and F4's squeeze sees 64 channels less
    assert full.params - narrow.params == 64 * (27 + 1 + 2) + 64 * 32
    assert [plan("P", side=side, stem_stride=2).node("pool4").shape[1] for side in (28, 32, 64)] == [7, 8, 16]


def test_a_share_of_3x3_keeps_the_sum_and_moves_weights():
    quarter = plan("F4", share_3x3=0.25)
    assert [quarter.node(f"F4.expand{k}.conv").shape[0] for k in (1, 3)] == [192, 64]
    assert plan("F4").params - quarter.params == 64 * 32 * (9 - 1)  # 64 of 32 inputs each become 1x1
    edges = (plan("F4", share_3x3=share) for share in (1e-9, 1 - 1e-9))
    assert [one.node("F4.expand3.conv").shape[0] for one in edges] == [1, 255]  # neither part is left without any


@pytest.mark.parametrize(
    ("multiplier", "channels", "found"),
    [(0.75, 48, 32), (1.25, 48, 64), (1.4, 16, 24), (1.4, 64, 88), (0.01, 16, 8), (1.0, 20, 20), (4.0, 64, 256)],
)
def test_widths_are_the_nearest_multiple_of_8_and_of_two_the_even_one(multiplier, channels, found):
    assert widened(channels, multiplier) == found


def test_the_bypass_goes_around_the_published_modules_where_channels_match():
    def bypassed(mask, **options):
        return [node.block for node in plan(mask, bypass="simple", **options).nodes if node.op == "add"]

    assert bypassed("Full") == ["F3", "F5", "F7", "F9"]  # Iandola et al., section 6
    assert bypassed("P") == ["F9"] and bypassed("F4,F6,F8") == []
    assert bypassed("F3") == ["F3"] and bypassed("F3", stem_width=64) == []  # the stem's 128 are F3's 2 x 64
    for mask in ("Full", "P"):  # it has no weights and no synaptic operations, and every neuron is still there
        one, other = plan(mask), plan(mask, bypass="simple")
        assert (one.params, one.dense_ops, one.neurons) == (other.params, other.dense_ops, other.neurons)


@pytest.mark.parametrize("kind", list(Kind))
def test_a_bypass_adds_what_arrives_to_the_current_before_the_neurons(kind):
    of = plan("P", side=16, bypass="simple")
    network = Network(of, RunConfig(mask=of.mask, kind=kind, neuron=LIVELY, time_steps=3)).train()
    seen = {}
    with torch.no_grad(), observe(network, lambda node, xs, out: seen.update({node.name: out}), every_node=True):
        network(torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)))
    arrived, added = seen["pool8"], seen["F9.bypass"]
    assert torch.equal(added, seen["F9.concat"] + arrived)
    if kind is Kind.SNN:
        assert arrived.unique().tolist() == [0, 1] and set(seen["F9.act"].unique().tolist()) <= {0, 1}
        assert of.node("F9.act").spikes and not of.node("F9.bypass").spikes
        assert len(added.unique()) > 2
    else:
        assert torch.equal(seen["F9.act"], added.relu())


options = st.fixed_dictionaries(
    {},
    optional={
        "stem_width": st.sampled_from([8, 32, 64, 128]),
        "stem_stride": st.sampled_from([1, 2]),
        "width_multiplier": st.sampled_from([0.25, 0.5, 1.25]),
        "share_3x3": st.sampled_from([0.25, 0.5, 0.9]),
        "bypass": st.sampled_from(["none", "simple"]),
        "classifier": st.sampled_from(["plain", "neuron"]),
    },
)


@given(chosen=options, mask=st.sets(st.sampled_from(BACKBONES["squeezenet"].blocks), min_size=1))
@settings(max_examples=15, deadline=None)
def test_whatever_is_chosen_every_convolution_but_the_stem_reads_spikes_and_the_twins_share_weights(chosen, mask):
    of = plan(sorted(mask), side=16, **chosen)
    assert all(of.node(node.inputs[0]).spikes for node in of.nodes if node.op == "conv" and node.name != "stem.conv")
    spiking, plain = (Network(of, RunConfig(mask=of.mask, kind=kind, neuron=LIVELY, time_steps=2)) for kind in Kind)
    assert spiking.state_dict().keys() == plain.state_dict().keys()
    assert sum(p.numel() for p in spiking.parameters()) == of.params
    with Counter(spiking.eval()) as counter, torch.no_grad():
        assert spiking(torch.randn(2, 3, 16, 16)).shape == (2, 2, 10)
    for layer in counter.counts(2).layers:  # raises where a value that should be spikes is none
        if layer.kind == "conv" and layer.name != "stem.conv":
            assert layer.input_is_spikes and not any(layer.mac)


def test_a_classifier_with_a_neuron_makes_the_pools_macs_accumulates():
    spiking = [static_macs(plan(classifier=which), Kind.SNN, MODES["paper"], 1) for which in ("plain", "neuron")]
    assert spiking == [4_466_848, 4_466_848 - 10 * 4 * 4]  # both print as 4.47 M
    assert plan(classifier="neuron").params == plan().params == 736_458


# One config for equal networks


@pytest.mark.parametrize(
    "same",
    [
        {"stem_width": 128}, {"architecture.stem_width": "128"}, {"stem_stride": 1}, {"share_3x3": 0.5},
        {"width_multiplier": 1}, {"width_multiplier": 1.001}, {"bypass": "none"}, {"classifier": "plain"},
        {"stem_width": None}, {"stem_width": "null"},
    ],
)  # fmt: skip
def test_an_option_that_changes_nothing_is_left_out_of_the_config_and_its_hash(same):
    found = config(overrides=same)
    assert found == config() and found.config_hash == config().config_hash


def test_a_bypass_that_no_kept_module_has_is_left_out():
    assert config(mask="F4,F6,F8", overrides={"bypass": "simple"}) == config(mask="F4,F6,F8")
    assert config(overrides={"bypass": "simple"}).architecture == ArchitectureConfig(bypass="simple")


def test_widths_that_round_alike_are_one_config():
    assert len({config(overrides={"width_multiplier": w}).config_hash for w in (0.75, 0.749, 0.7495)}) == 1


def test_defaults_stay_out_of_the_hash_and_every_choice_goes_in():
    assert (
        RunConfig(mask=("F4", "F6", "F8", "F9")).config_hash[:16] == "087fb5b9355040ca"
    )  # as before there were options
    changes = ({"stem_width": 64}, {"stem_stride": 2}, {"width_multiplier": 0.5}, {"share_3x3": 0.25},
               {"bypass": "simple"}, {"classifier": "neuron"})  # fmt: skip
    for kind in Kind:  # the CNN is another network too
        hashes = {config(kind=kind, overrides=change).config_hash for change in changes}
        assert len(hashes | {config(kind=kind).config_hash}) == len(changes) + 1
    spiking = config(overrides={"stem_width": 64})
    assert spiking.twin_hash == config(kind="cnn", overrides={"stem_width": 64}).twin_hash != config().twin_hash
    assert spiking.twin().architecture == spiking.architecture


def test_a_config_from_before_there_were_options_is_as_defined():
    stored = config().model_dump(mode="json")
    del stored["architecture"]
    assert RunConfig.model_validate(stored) == config()


@given(chosen=options, kind=st.sampled_from(Kind))
@settings(max_examples=25, deadline=None)
def test_the_command_of_a_config_with_options_gives_the_same_config(chosen, kind):
    made = config(kind=kind, overrides={f"architecture.{name}": value for name, value in chosen.items()})
    given_words = shlex.split(command(made))
    pairs = list(zip(given_words[2::2], given_words[3::2], strict=True))
    overrides = dict(value.split("=") for name, value in pairs if name == "--set")
    assert config(kind=kind, overrides=overrides) == made == config(kind=kind, overrides=options_of(made))


def test_a_whole_network_stays_whole_at_another_depth_and_a_mask_stays_itself():
    shallow = config(backbone="msresnet", mask="Full")
    deep = override(shallow, {"depth": 32})
    assert deep.mask == layout_of("msresnet", "small", ArchitectureConfig(depth=32)).blocks != shallow.mask
    assert override(deep, {"architecture.depth": "20"}) == override(deep, {"depth": None}) == shallow
    part = config(backbone="msresnet", mask="R1.1,R3.2")
    assert override(part, {"depth": 56}) == part  # further blocks are all left out: it is the same network
    assert config(backbone="msresnet", mask="R1.1,R1.4", overrides={"depth": 56}).architecture.depth == 32


# Names and refusals


def test_a_name_says_what_is_not_as_defined():
    assert network_name("squeezenet", ("F4", "F6", "F8", "F9")) == "SqueezeNet Ref-1"
    half = ArchitectureConfig(**HALF, width_multiplier=0.75, share_3x3=0.25, bypass="simple", classifier="neuron")
    assert (
        network_name("squeezenet", ("F2", "F9"), "small", half)
        == "SqueezeNet F2,F9, stem 64/2, width x0.75, 3x3 share 0.25, bypass, neuron classifier"
    )
    deep = ArchitectureConfig(depth=32)
    blocks = layout_of("msresnet", "small", deep).blocks
    assert network_name("msresnet", blocks, "small", deep) == "MS-ResNet Full, depth 32"
    paper = layout_of("mnasnet", "paper").blocks
    assert network_name("mnasnet", paper, "paper") == "MnasNet Full, paper"
    assert words(ArchitectureConfig(stem_width=64)) == ["stem 64"]
    assert words(ArchitectureConfig(stem_stride=2)) == ["stem stride 2"]
    assert network_name("gone", ("A", "B"), "odd", deep) == "gone A,B, odd, depth 32"
    every = {
        name: {"stem_stride": 2, "bypass": "simple", "classifier": "neuron"}.get(name, 1) for name, _ in AS_DEFINED
    }
    for name, value in every.items():  # no option without a word
        assert words(AS_DEFINED.model_copy(update={name: value})), name


@pytest.mark.parametrize(
    ("changes", "field", "value", "expected"),
    [
        ({"backbone": "mixnet", "overrides": {"stem_width": 64}}, "architecture.stem_width", 64, "mixnet (small)"),
        ({"definition": "imagenet", "overrides": {"bypass": "simple"}}, "architecture.bypass", "simple", "left out"),
        ({"overrides": {"depth": 32}}, "architecture.depth", 32, "architecture.stem_width"),
        ({"backbone": "msresnet", "overrides": {"depth": 21}}, "architecture.depth", 21, "one of 20, 32, 44, 56"),
        (
            {"backbone": "msresnet", "definition": "imagenet", "overrides": {"depth": 20}},
            "architecture.depth",
            20,
            "18, 34",
        ),
        ({"overrides": {"stem_stride": 3}}, "architecture.stem_stride", 3, "at most 2"),
        ({"overrides": {"stem_width": 0}}, "architecture.stem_width", 0, "at least 1"),
        ({"overrides": {"stem_width": "64.5"}}, "architecture.stem_width", "64.5", "a whole number"),
        ({"overrides": {"share_3x3": 1.0}}, "architecture.share_3x3", 1.0, "below 1"),
        ({"overrides": {"width_multiplier": "nan"}}, "architecture.width_multiplier", "nan", "4"),
        ({"overrides": {"bypass": "complex"}}, "architecture.bypass", "complex", "'none' or 'simple'"),
    ],
)
def test_an_option_that_a_network_has_not_is_refused_with_what_it_has(changes, field, value, expected):
    with pytest.raises(BadValue) as caught:
        config(**({"mask": "Full"} | changes))
    assert (caught.value.fields["field"], caught.value.fields["value"]) == (field, value)
    assert expected in caught.value.fields["expected"]


def test_definitions_are_a_backbones_own():
    with pytest.raises(UnknownName, match="'paper'"):
        config(definition="paper")
    with pytest.raises(UnknownName, match=r"R1\.4"):
        config(backbone="msresnet", mask="R1.4")
    assert config(backbone="mnasnet", definition="paper", mask="Full").mask == layout_of("mnasnet", "paper").blocks


def test_every_declared_option_is_a_field_and_its_values_can_be_built():
    for name, entry in BACKBONES.items():
        assert set(entry.options) <= set(entry.definitions)
        for definition, declared in entry.options.items():
            as_it_is = plan(backbone=name, definition=definition, side=64)
            for option in declared:
                chosen = [ArchitectureConfig(**{option.name: value}) for value in option.values]
                made = [plan(backbone=name, definition=definition, side=64, **one.model_dump()) for one in chosen]
                assert made[0].nodes == as_it_is.nodes, (name, option)  # the first is the definition's own
                assert all(one.nodes != as_it_is.nodes for one in made[1:])


def test_a_network_with_options_is_held_against_no_printed_row():
    from core.measured import MeasuredRun  # only its config is looked at

    as_printed, other = (
        MeasuredRun(path=None, config=one, summary=None, bills={})
        for one in (config(), config(overrides={"stem_width": 64}))
    )
    assert printed_about(as_printed.config) and not printed_about(other.config)
    assert replace(as_printed, config=config(kind="cnn")).config.architecture == AS_DEFINED


def test_the_plan_of_a_config_has_its_options():
    made = config(overrides=HALF)
    assert plan_of(made).architecture == made.architecture
    assert plan_of(made).params == 545_146
