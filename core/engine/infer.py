"""One image through trained networks: what every layer gives at every step, and what is counted on the way."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from core.backbones.plan import Node
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.datasets.clip import hear
from core.datasets.picture import fit, png_uri
from core.datasets.spec import DatasetSpec
from core.engine.count import Counter
from core.engine.data import Normaliser
from core.engine.network import Network, observe
from core.engine.neurons import first_potential, trace_steps
from core.engine.sources import CPU, trained
from core.errors import BadValue
from core.schemas.inference import (
    Clip,
    Inferred,
    InferRequest,
    LayerActivity,
    Membrane,
    MembraneTrace,
    NeuronPlace,
    Pass,
    Picture,
)

MAP_SIDE = 32  # pixels: a larger layer is folded into squares
KEPT = 4  # networks kept in memory: two runs and their twins


class Networks:
    """Trained networks by their weights; the last KEPT that were asked for stay loaded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Network] = OrderedDict()

    def of(self, bundle: Bundle) -> Network:
        """The network of a finished bundle, in evaluation mode. Raises BundleCorrupt."""
        key = (bundle.weights_sha256, bundle.config().config_hash)
        if key not in self._kept:
            self._kept[key] = trained(bundle)
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def infer(request: InferRequest, networks: Networks) -> Inferred:
    """The picture, fitted to the data set of the first bundle, through each network; of a data set of sounds the sound's.

    Raises BadValue for a picture or sound that cannot be used, BundleCorrupt, UnknownName where the data set is gone.
    """
    with DATASETS.looking_in(request.data):
        loaded = [networks.of(Bundle(folder)) for folder in request.folders]
        spec = DATASETS[loaded[0].config.dataset]
    seen = _seen(request, spec, loaded[0])
    images = torch.from_numpy(seen.pixels.copy()).unsqueeze(0)
    passes = []
    for place, network in enumerate(loaded):
        x = Normaliser.of(network, spec, CPU)(images)
        trace = membrane(network, x, request.neuron) if request.neuron is not None and place == 0 else None
        passes.append(run(network, x).model_copy(update={"membrane": trace}))
    return Inferred(image=png_uri(seen.pixels), picture=seen.picture, clip=seen.clip, passes=passes)


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """pixels: [H, W, 3] uint8, what goes in; and what became of the picture or sound on its way."""

    pixels: np.ndarray
    picture: Picture | None = None
    clip: Clip | None = None


def _seen(request: InferRequest, spec: DatasetSpec, network: Network) -> _Seen:
    content = base64.b64decode(request.picture, validate=True)
    if spec.sound is not None and not request.kept:
        if request.invert:
            raise BadValue(field="invert", value=True, expected="false: a sound has no negative")
        heard = hear(content, spec.sound)
        return _Seen(pixels=heard.image, clip=heard.clip)
    _, height, width = network.plan.input_shape
    fitted = fit(content, height=height, width=width, invert=request.invert)
    return _Seen(pixels=fitted.image, picture=fitted.picture)


def run(network: Network, x: Tensor) -> Pass:
    """x: [1, C, H, W] real, as the network's input coding wants it. Rate coding draws the same spikes every time."""
    layers: list[LayerActivity] = []

    def see(node: Node, inputs: Sequence[Tensor], output: Tensor | None) -> None:
        if node.op == "act" or (node.op == "input" and not network.is_constant(node) and network.spiking):
            layers.append(activity(node, output))

    network.seed_encoding("try")
    with torch.inference_mode(), Counter(network) as counter, observe(network, see):
        outputs_TC = network(x)[:, 0]
    return Pass(outputs=outputs_TC.double().tolist(), counts=counter.counts(1), layers=layers)


def membrane(network: Network, x: Tensor, place: NeuronPlace) -> Membrane:
    """The neuron at `place` over the T steps of x: [1, C, H, W].

    Runs every node by itself, since the fused kernels keep no membrane. Raises BadValue for a network without membranes
    or a place that is not in it.
    """
    node = _neurons(network, place)
    given: list[Tensor] = []

    def see(seen: Node, inputs: Sequence[Tensor], output: Tensor | None) -> None:
        if seen.name == node.name:
            given.append(network.into_neurons(node, inputs[0])[:, place.channel, place.y, place.x].clone())

    network.seed_encoding("try")
    with torch.inference_mode(), observe(network, see, every_node=True):
        network(x)
        (drive,) = given  # [T], or [1] where the input is the same at every step
        parts = trace_steps(drive, network.steps, network.config.neuron, network.leak(node.name), network.v_start)
    before, after, spikes = (part.tolist() for part in parts)
    trace = MembraneTrace(
        input=drive.expand(network.steps).tolist(),
        before=before,
        after=after,
        spikes=[int(s) for s in spikes],
        v_threshold=network.config.neuron.v_threshold,
        v_start=first_potential(network.config.neuron) if network.v_start is None else network.v_start,
    )
    return Membrane(**place.model_dump(), trace=trace)


def _neurons(network: Network, place: NeuronPlace) -> Node:
    """The layer of a neuron that is there and has a membrane. Raises BadValue."""
    names = [node.name for node in network.plan.nodes if node.op == "act"]
    if not network.spiking or network.config.neuron.model == "count":
        expected = "of a spiking network whose neurons have a membrane: not of a CNN, nor of neurons of counts"
        raise BadValue(field="layer", value=place.layer, expected=expected)
    if place.layer not in names:
        raise BadValue(field="layer", value=place.layer, expected=f"one of {', '.join(names)}")
    node = network.plan.node(place.layer)
    for name, value, size in zip(("channel", "y", "x"), (place.channel, place.y, place.x), node.shape, strict=True):
        if value >= size:
            raise BadValue(field=name, value=value, expected=f"from 0 to {size - 1}, as {place.layer} has them")
    return node


def activity(node: Node, output: Tensor) -> LayerActivity:
    """output: [T, C, H, W] of one image. A spike is a value that is not 0."""
    filled = output != 0
    per_pixel = filled.sum(1, dtype=torch.int32)
    side = -(-max(per_pixel.shape[1:]) // MAP_SIDE)  # pixels of a square's side; 1 for a small layer
    folded = _folded(per_pixel, side)
    spikes = filled.flatten(1).sum(1).tolist()
    return LayerActivity(
        name=node.name,
        output_shape=node.shape,
        spikes=spikes,
        rate=[n / node.numel for n in spikes],
        map_shape=tuple(folded.shape[1:]),
        map_outputs=node.shape[0] * side * side,
        map=base64.b64encode(np.ascontiguousarray(folded.numpy().astype("<u2"))).decode(),
    )


def _folded(map_THW: Tensor, side: int) -> Tensor:
    """Sums over squares of side x side; the last ones are filled up with zeros."""
    if side == 1:
        return map_THW
    height, width = map_THW.shape[1:]
    filled = F.pad(map_THW, (0, -width % side, 0, -height % side))
    return filled.unflatten(1, (-1, side)).unflatten(3, (-1, side)).sum((2, 4))
