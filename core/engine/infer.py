"""One image through trained networks: what every layer gives at every step, and what is counted on the way."""

from __future__ import annotations

import base64
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor
from torch.nn import functional as F

from core.backbones.catalog import plan_for
from core.backbones.plan import Node
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.datasets.picture import fit, png_uri
from core.engine.count import Counter
from core.engine.data import Normaliser
from core.engine.network import Network, observe
from core.errors import BundleCorrupt
from core.recipes.build import plan_of
from core.schemas.inference import Inferred, InferRequest, LayerActivity, Pass
from core.schemas.run import RunConfig

MAP_SIDE = 32  # pixels: a larger layer is folded into squares
KEPT = 4  # networks kept in memory: two runs and their twins
CPU = torch.device("cpu")


class Networks:
    """Trained networks by their weights; the last KEPT that were asked for stay loaded."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], Network] = OrderedDict()

    def of(self, bundle: Bundle) -> Network:
        """The network of a finished bundle, in evaluation mode. Raises BundleCorrupt."""
        config = bundle.config()
        weights = next((entry.sha256 for entry in bundle.files() if entry.name == "weights.safetensors"), "")
        key = (weights, config.config_hash)
        if key not in self._kept:
            network = Network(plan_of(config), config)
            try:
                network.load_state_dict(load(bundle.read("weights.safetensors")))
            except (SafetensorError, RuntimeError) as error:
                raise BundleCorrupt(file="weights.safetensors", why=f"{str(error)[:500]}.") from None
            self._kept[key] = network.eval()
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


def warm_up() -> None:
    """Load the compiled kernels of an evaluation, so that the first image need not wait for them."""
    config = RunConfig(mask=("F9",), time_steps=2)
    plan = plan_for(backbone="squeezenet", mask=config.mask, input_shape=(3, 16, 16), n_classes=2)
    run(Network(plan, config).eval(), torch.zeros(1, 16, 16, 3).permute(0, 3, 1, 2))


def infer(request: InferRequest, networks: Networks) -> Inferred:
    """The picture, fitted to the data set of the first bundle, through each network.

    Raises BadValue for a picture that cannot be used, BundleCorrupt, UnknownName where the data set is gone.
    """
    with DATASETS.looking_in(request.data):
        loaded = [networks.of(Bundle(folder)) for folder in request.folders]
        spec = DATASETS[loaded[0].config.dataset]
    _, height, width = loaded[0].plan.input_shape
    content = base64.b64decode(request.picture, validate=True)
    fitted = fit(content, height=height, width=width, invert=request.invert)
    images = torch.from_numpy(fitted.image.copy()).unsqueeze(0)
    passes = [run(network, Normaliser.of(network, spec, CPU)(images)) for network in loaded]
    return Inferred(image=png_uri(fitted.image), picture=fitted.picture, passes=passes)


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
