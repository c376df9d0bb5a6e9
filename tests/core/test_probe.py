"""The probe: figures checked by hand and by plain autograd, and a network that does not notice it."""

import json
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from typer.testing import CliRunner

from core.backbones.catalog import plan_for
from core.backbones.plan import PlanBuilder
from core.bundle import Bundle
from core.cli.commands.bundle import app as bundle_app
from core.engine import probe as probing
from core.engine import train
from core.engine.data import Images
from core.engine.experiment import run
from core.engine.network import Network, observe
from core.engine.neurons import initial_w, run_steps
from core.engine.probe import Probe, in_active_zone, membranes
from core.engine.surrogates import SURROGATES
from core.errors import Interrupted
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.run import NeuronConfig, RunConfig, TrainingConfig

LIVELY = NeuronConfig(tau=1.3, v_threshold=0.6)


def as_float(images):
    """uint8 [N, H, W, 3] -> float32 [N, 3, H, W]: stands in for a data set's own normalisation."""
    return images.permute(0, 3, 1, 2).float() / 64 - 2


def part(n=20, side=16, classes=10, seed=0):
    draw = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, side, side, 3), generator=draw, dtype=torch.uint8)
    return Images(images=images, labels=torch.arange(n) % classes, index=np.arange(n))


def warmed(*, kind="snn", steps=3, neuron=LIVELY, encoding="direct", batch_size=8, backbone="squeezenet"):
    """A network with running statistics as after training, so that every layer fires in evaluation."""
    mask = ("F8", "F9")
    plan = plan_for(backbone=backbone, mask=mask, input_shape=(3, 16, 16), n_classes=10)
    training = TrainingConfig(batch_size=batch_size)
    network = Network(
        plan, RunConfig(mask=mask, kind=kind, time_steps=steps, neuron=neuron, encoding=encoding, training=training)
    )
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(as_float(part(16, seed=1).images))
    return network.eval()


def measured(network, images):
    probe = Probe(network, images, as_float)
    probe.measure(1)
    return probe.diagnostics


@pytest.mark.parametrize("kind", ["snn", "cnn"])
def test_every_figure_equals_a_direct_computation(kind):
    network, images = warmed(kind=kind), part(20)
    found = measured(network, images)
    steps, acts = network.steps, network.act_nodes
    assert found.layers == [node.name for node in acts] and found.epochs == [1] and found.n_probe == 20
    kept = {}
    with observe(network, lambda node, _, out: kept.update({node.name: out}), every_node=True):
        loss = F.cross_entropy(network(as_float(images.images)).mean(0), images.labels)
    outputs = [kept[node.name] for node in acts]
    for place, gradient in enumerate(torch.autograd.grad(loss, outputs)):
        spikes = outputs[place].detach().unflatten(0, (steps, 20)) > 0
        by_step = gradient.unflatten(0, (steps, 20)).flatten(1).double().norm(dim=1)
        assert found.gradient_norm[0][place] == pytest.approx(by_step.tolist(), rel=1e-4)
        assert found.firing_rate[0][place] == pytest.approx(spikes.double().flatten(1).mean(1).tolist())
        assert found.dead[0][place] == pytest.approx(1 - float(spikes.any(0).any(0).double().mean()))
        assert found.saturated[0][place] == pytest.approx(float(spikes.all(0).all(0).double().mean()))
    assert max(max(layer) for layer in found.firing_rate[0]) > 0 < min(map(sum, found.gradient_norm[0]))
    assert (found.active is None) == (kind == "cnn")


def test_a_chunk_is_no_other_probe(monkeypatch):
    network, images = warmed(), part(20)
    small = measured(network, images)
    monkeypatch.setattr(probing, "AT_ONCE", 3)
    other = measured(network, images)
    for name in ("firing_rate", "active", "dead", "saturated"):
        assert getattr(other, name) == getattr(small, name)
    assert np.allclose(other.gradient_norm, small.gradient_norm)


def test_no_more_images_than_a_training_batch_are_in_memory_at_once():
    network, sizes = warmed(batch_size=4), []
    with observe(network, lambda node, _, out: sizes.append(len(out)) if node.op == "input" else None):
        measured(network, part(10))
    assert sizes == [4, 4, 2]


def test_the_first_64_images_are_probed():
    assert probing.PROBE == 64
    network, images = warmed(batch_size=64), part(70)
    first = Images(images=images.images[:64], labels=images.labels[:64], index=images.index[:64])
    assert measured(network, images) == measured(network, first)
    assert measured(network, images).n_probe == 64


def one_neuron(values, *, steps, neuron):
    """Weights of 1 -> neurons -> mean: the neurons' current is the image itself."""
    b = PlanBuilder((3, 1, 1))
    b.global_avgpool("pool", b.act("spikes", b.conv("same", "input", 3, kernel=1, groups=3, bias=False)))
    plan = b.finish(backbone="t", definition="small", blocks=(), mask=())
    network = Network(plan, RunConfig(mask=("F2",), time_steps=steps, neuron=neuron))
    with torch.no_grad():
        network.get_parameter("same.weight").fill_(1.0)
    images = Images(
        images=torch.tensor(values, dtype=torch.uint8).reshape(-1, 1, 1, 3),
        labels=torch.zeros(len(values), dtype=torch.long),
        index=np.arange(len(values)),
    )
    probe = Probe(network, images, lambda x: x.permute(0, 3, 1, 2).float() / 100)
    probe.measure(1)
    return probe.diagnostics


def test_dead_saturated_and_active_neurons_on_one_hand():
    # tau = 2, threshold 1, constant currents of two images: 0 and 0, 2 and 2.55, 1.5 and 1.5
    #   X = 2    H = 1, a spike, at every step; X = 2.55 the same: that neuron is saturated
    #   X = 1.5  H = 0.75, then 0.75 + 0.375 = 1.125: a spike at step 2 alone, so not saturated, and not dead
    found = one_neuron([[0, 200, 150], [0, 255, 150]], steps=2, neuron=NeuronConfig(tau=2.0, v_threshold=1.0))
    assert found.dead == [[pytest.approx(1 / 3)]] and found.saturated == [[pytest.approx(1 / 3)]]
    assert found.firing_rate == [[[2 / 6, 4 / 6]]]
    # active: |u| <= 1 / pi = 0.318 for atan at alpha = 2.
    #   step 1: u = -1, 0 and -0.25 for image 1; -1, 0.275 and -0.25 for image 2: 4 of 6
    #   step 2: u = -1, 0 and 0.125; -1, 0.275 and 0.125: 4 of 6
    assert found.active == [[[4 / 6, 4 / 6]]]


@pytest.mark.parametrize("model", ["lif", "if", "plif"])
@pytest.mark.parametrize("reset", ["hard", "soft"])
@pytest.mark.parametrize("v_start", [0.0, 0.4])
def test_membranes_fire_exactly_where_the_neurons_do(model, reset, v_start):
    neuron = NeuronConfig(model=model, reset=reset, tau=1.7, v_threshold=0.8)
    w = torch.tensor(initial_w(neuron)) if model == "plif" else None
    x = torch.randn(6, 500, generator=torch.Generator().manual_seed(0)) * 2
    fired = torch.stack([u >= 0 for u in membranes(x, 6, neuron, w, v_start)])
    spikes = run_steps(x, 6, neuron, w, v_start)
    assert 0.05 < spikes.mean() < 0.95
    # the membrane is found from V' and S, so a value within an ulp of the threshold may fall on its other side
    assert (fired != spikes.bool()).double().mean() < 0.002


@pytest.mark.parametrize("surrogate", list(SURROGATES))
def test_the_active_zone_is_the_width_at_half_maximum(surrogate):
    alpha = 2.0
    neuron = NeuronConfig(surrogate=surrogate, alpha=alpha)
    u = torch.arange(-3000, 3001, dtype=torch.float64) / 1000
    derivative = SURROGATES[surrogate](u, alpha)
    assert derivative.max() == SURROGATES[surrogate](torch.zeros(1, dtype=torch.float64), alpha)
    half = {
        "atan": 2 / (math.pi * alpha),  # (pi alpha u / 2)^2 = 1
        "sigmoid": math.log(3 + math.sqrt(8)) / alpha,  # s (1 - s) = 1/8
        "fast_sigmoid": (math.sqrt(2) - 1) / alpha,  # (1 + alpha u)^2 = 2
        "piecewise_linear": 1 / (2 * alpha),  # 1 - alpha u = 1/2
        "exponential": math.log(2) / alpha,  # exp(-alpha u) = 1/2
    }[surrogate]
    inside = u[in_active_zone(u, neuron)].abs()
    assert inside.max() == pytest.approx(half, abs=1e-3) and len(inside) == pytest.approx(2 * half * 1000, abs=3)


@pytest.mark.parametrize("encoding", ["direct", "rate"])
def test_the_network_does_not_notice_the_probe(encoding):
    network, images = warmed(encoding=encoding), part(20)
    network.train()
    network(as_float(images.images)).sum().backward()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    slopes = {name: value.grad.clone() for name, value in network.named_parameters()}
    draw, chance = network._draw.get_state(), torch.get_rng_state()
    found = measured(network, images)
    assert network.training and not network._observers and not network._every_node
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]), name
    for name, value in network.named_parameters():
        assert torch.equal(value.grad, slopes[name]), name
    assert torch.equal(network._draw.get_state(), draw) and torch.equal(torch.get_rng_state(), chance)
    assert measured(network, images) == found  # and says the same again


@pytest.mark.parametrize("model", ["if", "plif"])
def test_other_neurons_are_probed_too(model):
    found = measured(warmed(neuron=NeuronConfig(model=model, reset="soft", surrogate="sigmoid")), part(6))
    assert max(max(layer) for layer in found.firing_rate[0]) > 0
    assert all(0 <= share <= 1 for layer in found.active[0] for share in layer)


# In a run.


def trained(folder, name, *, stop_after=None, **overrides):
    looks = iter(range(10_000))
    small = {"train_limit": 40, "batch_size": 16, "max_epochs": 2, "time_steps": 2}
    config = build_config(RunRequest(kind=overrides.pop("kind", "snn"), mask="F9", overrides={**small, **overrides}))
    run(
        config,
        out=folder / name,
        data_dir=folder,
        threads=1,
        emit=lambda event: None,
        should_stop=lambda: next(looks) == stop_after,
    )
    return Bundle(folder / name)


def weights_of(bundle):
    return {name: value.tobytes() for name, value in bundle.weights().items()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("whole"), "run")


def test_a_run_writes_its_diagnostics_epoch_by_epoch(whole):
    found = whole.diagnostics()
    assert found.epochs == [1, 2] and found.n_probe == 40 and found.time_steps == 2  # fewer images than PROBE
    assert found.layers[0] == "stem.act" and found.layers == list(dict.fromkeys(found.layers))
    for name in ("gradient_norm", "firing_rate", "active"):
        assert np.shape(getattr(found, name)) == (2, len(found.layers), 2), name
    for name in ("dead", "saturated"):
        assert np.shape(getattr(found, name)) == (2, len(found.layers)), name
    assert found.gradient_norm[0] != found.gradient_norm[1]


@pytest.mark.parametrize("kind", ["snn", "cnn"])
def test_training_gives_the_same_bits_with_and_without_the_probe(whole, tmp_path, monkeypatch, kind):
    with_probe = whole if kind == "snn" else trained(tmp_path, "with", kind="cnn")
    monkeypatch.setattr(Probe, "measure", lambda self, epoch, *_: None)
    without = trained(tmp_path, "without", kind=kind)
    assert without.diagnostics().epochs == []
    assert weights_of(without) == weights_of(with_probe)
    assert without.metrics().train_loss == with_probe.metrics().train_loss
    assert without.predictions().outputs.tobytes() == with_probe.predictions().outputs.tobytes()
    assert without.gradients() == with_probe.gradients()


@pytest.mark.parametrize("stop_after", [1, 3, 7])  # inside epoch 1, in its validation, inside epoch 2
def test_a_resumed_run_has_the_diagnostics_of_an_uninterrupted_one(whole, tmp_path, stop_after):
    with pytest.raises(Interrupted):
        trained(tmp_path, "run", stop_after=stop_after)
    resumed = trained(tmp_path, "run")
    assert resumed.diagnostics() == whole.diagnostics()
    assert weights_of(resumed) == weights_of(whole)


def test_a_checkpoint_from_before_the_probe_goes_on(whole, tmp_path, monkeypatch):
    """Such a run has the diagnostics of the epochs that were still to come."""
    monkeypatch.setattr(train, "save_checkpoint", _without_diagnostics(train.save_checkpoint))
    with pytest.raises(Interrupted):
        trained(tmp_path, "run", stop_after=7)
    monkeypatch.undo()
    resumed = trained(tmp_path, "run")
    assert resumed.diagnostics().epochs == [2]
    assert resumed.diagnostics().firing_rate == whole.diagnostics().firing_rate[1:]


def _without_diagnostics(save):
    return lambda folder, tensors, state: save(folder, tensors, {k: v for k, v in state.items() if k != "diagnostics"})


def test_bundle_show_prints_the_diagnostics_in_short_and_as_json_whole(whole):
    shown = json.loads(CliRunner().invoke(bundle_app, ["show", str(whole.path), "--json"]).stdout)
    assert shown["diagnostics"] == whole.diagnostics().model_dump(mode="json")
    assert [point["steps"] for point in shown["steps"]["points"]] == [1, 2]
    assert shown["steps"]["points"][-1]["energy_pj"] == pytest.approx(whole.summary().energy_pj)
    assert shown["exits"]["points"][0]["images"] == [360, 0]
    assert shown["calibration"]["accuracy"] == pytest.approx(whole.summary().accuracy)
    short = CliRunner().invoke(bundle_app, ["show", str(whole.path)]).stdout
    assert f"ECE {shown['calibration']['ece']:.4f}" in short and "T' = 2" in short and "exit 0.9 " in short
    assert shown["findings"] and all(f"finding      {sentence}" in short for sentence in shown["findings"])
