"""One image through trained networks: the same numbers as the test gave, and maps that add up."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save

from core.backbones.plan import Node
from core.bundle import Bundle
from core.datasets.picture import png
from core.engine import infer as engine
from core.engine.data import Normaliser
from core.engine.experiment import run as train
from core.engine.infer import CPU, Networks, activity, infer
from core.engine.network import Network
from core.errors import BadValue, BundleCorrupt
from core.recipes.build import build_config, plan_of
from core.schemas.inference import INFER_ANSWER, InferRequest, NeuronPlace
from core.schemas.request import RunRequest
from core.schemas.run import Kind

TINY = {"training.max_epochs": 1, "training.train_limit": 32}


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Bundles of a tiny spiking network and its CNN twin."""
    made = {}
    for kind in Kind:
        folder = tmp_path_factory.mktemp("trained") / kind.value
        config = build_config(RunRequest(kind=kind, mask=["F9"], dataset="digits", recipe="smoke", overrides=TINY))
        train(config, out=folder, data_dir=folder, device="cpu", threads=1, emit=lambda event: None)
        made[kind.value] = Bundle(folder)
    return made


def request(picture: bytes, *bundles: Bundle) -> InferRequest:
    return InferRequest(
        folders=tuple(bundle.path for bundle in bundles),
        data=bundles[0].path,
        picture=base64.b64encode(picture).decode(),
    )


def decoded(layer) -> np.ndarray:
    return np.frombuffer(base64.b64decode(layer.map), "<u2").reshape(-1, *layer.map_shape)


def test_a_test_image_gets_the_outputs_and_the_counts_that_it_got_in_the_test(bundles):
    kept = bundles["snn"].examples()
    for place in (0, 7):
        answer = infer(request(png(kept.image[place]), bundles["snn"], bundles["cnn"]), Networks())
        for kind, done in zip(("snn", "cnn"), answer.passes, strict=True):
            bundle, index = bundles[kind], kept.index[place]
            assert np.allclose(done.outputs, bundle.predictions().outputs[index], atol=1e-4)
            stored = bundle.counts_per_sample()
            layers = {layer.name: layer for layer in done.counts.layers}
            for at, name in enumerate(stored["layers"].tolist()):
                for quantity in ("ac", "mac"):
                    assert list(getattr(layers[name], quantity)) == stored[quantity][index, at].tolist()


@pytest.mark.parametrize("kind", list(Kind))
def test_a_network_of_intensities_is_tried_on_intensities(kind, tmp_path):
    overrides = {**TINY, "input": "intensity"}
    config = build_config(RunRequest(kind=kind, mask=["F9"], dataset="digits", recipe="smoke", overrides=overrides))
    train(config, out=tmp_path / "run", data_dir=tmp_path, device="cpu", threads=1, emit=lambda event: None)
    bundle = Bundle(tmp_path / "run")
    kept = bundle.examples()
    (done,) = infer(request(png(kept.image[3]), bundle), Networks()).passes
    assert np.allclose(done.outputs, bundle.predictions().outputs[kept.index[3]], atol=1e-4)


def test_maps_add_up_to_the_spikes_that_the_counter_saw(bundles):
    (done,) = infer(request(png(bundles["snn"].examples().image[3]), bundles["snn"]), Networks()).passes
    counted = {layer.name: layer for layer in done.counts.layers}
    assert [layer.name for layer in done.layers] == ["stem.act", "F9.squeeze.act", "F9.expand1.act", "F9.expand3.act"]
    for layer in done.layers:
        maps = decoded(layer)
        assert maps.shape == (4, *layer.map_shape)
        assert maps.sum((1, 2)).tolist() == layer.spikes == list(counted[layer.name].spikes)
        assert layer.rate == [n / counted[layer.name].output_numel for n in layer.spikes]
    assert sum(layer.spikes[0] for layer in done.layers) > 0, "a network that is silent would pass the rest"


def test_a_relu_layer_shows_its_outputs_above_zero_in_one_step(bundles):
    (done,) = infer(request(png(bundles["cnn"].examples().image[3]), bundles["cnn"]), Networks()).passes
    assert len(done.outputs) == 1
    assert 0 < done.layers[0].rate[0] < 1
    assert decoded(done.layers[0]).shape == (1, 16, 16)


def test_a_large_layer_is_folded_into_squares_and_loses_no_spike():
    # 70 pixels a side make squares of ceil(70 / 32) = 3, so ceil(70 / 3) = 24 of them
    node = Node(name="a", op="act", inputs=("b",), shape=(5, 70, 70))
    spikes = (torch.rand(2, 5, 70, 70, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    layer = activity(node, spikes)
    assert layer.map_shape == (24, 24) and layer.map_outputs == 5 * 3 * 3
    maps = decoded(layer)
    assert maps.sum((1, 2)).tolist() == spikes.sum((1, 2, 3)).tolist() == layer.spikes
    assert maps[1, 0, 0] == spikes[1, :, :3, :3].sum()
    assert maps[0, 23, 23] == spikes[0, :, 69:, 69:].sum()  # the corner square holds one pixel, and zeros


@pytest.mark.parametrize(("encoding", "first"), [("direct", "stem.act"), ("rate", "input"), ("latency", "input")])
def test_the_input_comes_first_where_it_is_spikes_and_is_the_same_every_time(encoding, first):
    request = RunRequest(mask=["F9"], dataset="digits", overrides={"encoding": encoding})
    config = build_config(request)
    network = Network(plan_of(config), config).eval()
    from core.datasets.catalog import DATASETS

    image = torch.full((1, 16, 16, 3), 128, dtype=torch.uint8)
    x = Normaliser(DATASETS["digits"], CPU, network.encoding)(image)
    one, two = (engine.run(network, x) for _ in range(2))
    assert one.layers[0].name == first
    assert one == two
    if encoding == "rate":  # 768 draws of probability 128 / 255 a step: within six deviations of the mean
        assert one.layers[0].spikes == pytest.approx([386] * 4, abs=6 * (768 * 0.25) ** 0.5)


def test_networks_stay_loaded_until_others_take_their_place(bundles, monkeypatch):
    monkeypatch.setattr(engine, "KEPT", 1)
    networks = Networks()
    first = networks.of(bundles["snn"])
    assert networks.of(bundles["snn"]) is first and not first.training
    networks.of(bundles["cnn"])
    assert networks.of(bundles["snn"]) is not first


def test_weights_of_another_network_are_a_damaged_bundle(bundles, tmp_path):
    import shutil

    shutil.copytree(bundles["snn"].path, tmp_path / "run")
    (tmp_path / "run" / "weights.safetensors").write_bytes(save({"stem.conv.weight": torch.zeros(1)}))
    with pytest.raises(BundleCorrupt) as caught:
        Networks().of(Bundle(tmp_path / "run"))
    assert caught.value.fields["file"] == "weights.safetensors"


def test_the_command_answers_line_by_line_survives_bad_requests_and_ends_with_its_input(bundles, tmp_path):
    good = request(png(bundles["snn"].examples().image[0]), bundles["snn"]).model_dump_json()
    bad = request(b"no picture", bundles["snn"]).model_dump_json()
    gone = json.dumps({**json.loads(good), "folders": [str(tmp_path / "nowhere")]})
    done = subprocess.run(
        [sys.executable, "-m", "core.cli", "infer"],
        input=f"{good}\n{bad}\n{{\n{gone}\n{good}\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    ready, *answers = done.stdout.splitlines()
    assert json.loads(ready) == {"type": "ready"}
    first, refused, unreadable, missing, again = map(INFER_ANSWER.validate_json, answers)
    assert first.type == "inferred" and again == first
    assert [refused.code, unreadable.code, missing.code] == ["bad-value", "invalid-request", "bundle-corrupt"]


def test_a_membrane_is_that_of_the_neuron_whose_spikes_the_network_sent(bundles):
    picture = png(bundles["snn"].examples().image[0])
    network = Networks().of(bundles["snn"])
    seen = {}

    def see(node, inputs, output):
        if node.op == "act":
            seen[node.name] = output.clone()

    asked = request(picture, bundles["snn"], bundles["cnn"])
    image = engine.fit(picture, height=16, width=16, invert=False).image
    with engine.DATASETS.looking_in(bundles["snn"].path):
        x = Normaliser.of(network, engine.DATASETS["digits"], CPU)(torch.from_numpy(image.copy()).unsqueeze(0))
    with torch.inference_mode(), engine.observe(network, see, every_node=True):
        network(x)
    name, output = next((name, output) for name, output in seen.items() if 0 < output.mean() < 1)
    channel, y, across = (int(each) for each in output.sum(0).nonzero()[0])
    place = {"layer": name, "channel": channel, "y": y, "x": across}
    answer = infer(asked.model_copy(update={"neuron": NeuronPlace(**place)}), Networks())
    trace = answer.passes[0].membrane.trace
    assert trace.spikes == output[:, channel, y, across].int().tolist() and sum(trace.spikes) > 0
    for t, spike in enumerate(trace.spikes):
        assert (trace.before[t] >= trace.v_threshold) == bool(spike)
        assert trace.after[t] == (0.0 if spike else trace.before[t])
    assert answer.passes[1].membrane is None
    plain = infer(asked, Networks())
    assert plain.passes[0].outputs == answer.passes[0].outputs and plain.passes[0].membrane is None


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("snn", {"layer": "nothing"}, "layer is 'nothing'; it must be one of"),
        ("snn", {"channel": 100_000}, "channel is 100000; it must be from 0 to"),
        ("snn", {"x": 999}, "x is 999; it must be from 0 to"),
        ("cnn", {}, "not of a CNN"),
    ],
)
def test_a_neuron_that_is_not_there_is_refused_with_what_is(bundles, kind, change, says):
    name = next(node.name for node in plan_of(bundles[kind].config()).nodes if node.op == "act")
    place = NeuronPlace(**{"layer": name, "channel": 0, "y": 0, "x": 0, **change})
    asked = request(png(bundles[kind].examples().image[0]), bundles[kind]).model_copy(update={"neuron": place})
    with pytest.raises(BadValue, match=re.escape(says)):
        infer(asked, Networks())
