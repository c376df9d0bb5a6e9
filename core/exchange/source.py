"""What is written into a file for other tools: a finished bundle's network as a plan, its weights and its input."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from core.backbones.naming import config_label
from core.backbones.plan import Node, Plan
from core.bundle import Bundle
from core.datasets.catalog import DATASETS
from core.errors import BadValue, BundleCorrupt
from core.recipes.build import plan_of
from core.schemas.run import Kind, RunConfig

BN_EPS = 1e-5  # torch's, which training had
#: Latency coding: a pixel darker than this sends no spike (core.engine.encodings).
SILENT_BELOW = 0.01
#: What works on the sums so far in a converted network that is never trained.
SUMMED = ("maxpool", "sigmoid")


@dataclass(frozen=True, kw_only=True)
class Source:
    """A trained network. `weights` by the plan's names; the input of a step is `scale` x pixel + `shift`, or spikes.

    scale, shift: [3] float32, one a channel; pixel in 0..255.
    """

    config: RunConfig
    plan: Plan
    weights: dict[str, np.ndarray] = field(repr=False)
    classes: tuple[str, ...]
    scale: np.ndarray
    shift: np.ndarray

    @property
    def spiking(self) -> bool:
        return self.config.kind is Kind.SNN

    @property
    def encoding(self) -> str:
        return self.config.encoding if self.spiking else "direct"

    @property
    def title(self) -> str:
        return f"{config_label(self.config)} on {self.config.dataset}"

    def weight(self, node: Node, name: str) -> np.ndarray:
        """One of a node's weights, float32."""
        return self.weights[f"{node.name}.{name}"]

    def affine(self, node: Node) -> tuple[np.ndarray, np.ndarray]:
        """A normalisation as y = a x + b, [C] float64 each."""
        gamma, beta, mean, variance = (
            self.weight(node, name).astype(np.float64) for name in ("weight", "bias", "running_mean", "running_var")
        )
        a = gamma / np.sqrt(variance + BN_EPS)
        return a, beta - mean * a

    def leak(self, node: Node) -> float:
        """1 / tau of a neuron layer with a leak; of a PLIF layer as it was learned."""
        if self.config.neuron.model != "plif":
            return 1.0 / self.config.neuron.tau
        return 1.0 / (1.0 + float(np.exp(-self.weight(node, "w").astype(np.float64))))

    def uses_sums(self, node: Node) -> bool:
        """Whether the node works on the sums so far, in a network where rates stand for values."""
        return self.config.is_converted and node.op in SUMMED and not node.constant


def read(bundle: Bundle, kernels: Mapping[str, np.ndarray] | None = None) -> Source:
    """The network of a finished bundle. Raises BundleCorrupt, UnknownName where its data set is not known here.

    kernels: what the convolutions of a compressed run compute with, by name (`core.engine.sources.kernels`), which a
    bundle holds as what they are made of. ValueError where they are not given.
    """
    config = bundle.config()
    if config.seeks.cell:
        expected = (
            "nothing: this network has every edge of its cells. Write the one that it found, once that is trained"
        )
        raise BadValue(field="search.what", value="cell", expected=expected)
    if config.changes_weights and not kernels:
        raise ValueError("a compressed network needs its kernels")
    made = {f"{name}.weight": kernel for name, kernel in (kernels or {}).items()}
    encoding = config.encoding if config.kind is Kind.SNN else "direct"
    plan = plan_of(config).encoded(encoding)
    spec = DATASETS[config.dataset]
    direct = encoding == "direct"
    mean = np.array(spec.mean if direct else (0.0, 0.0, 0.0))
    std = np.array(spec.std if direct else (1.0, 1.0, 1.0))
    source = Source(
        config=config,
        plan=plan,
        weights={
            name: value
            for name, value in bundle.weights().items()
            if not name.endswith(".scores") and not name.startswith("searched.")
        }
        | made,
        classes=tuple(bundle.predictions().classes),
        scale=(1 / (255 * std)).astype(np.float32),
        shift=(-mean / std).astype(np.float32),
    )
    for node in plan.nodes:
        for name, shape in _needed(node, source).items():
            found = source.weights.get(f"{node.name}.{name}")
            if found is None or found.shape != shape:
                why = f"{node.name}.{name} is {'missing' if found is None else f'of shape {found.shape}, not {shape}'}."
                raise BundleCorrupt(file="weights.safetensors", why=why)
    return source


def _needed(node: Node, source: Source) -> dict[str, tuple[int, ...]]:
    """Name -> shape of what a node needs among the weights."""
    channels = node.shape[:1]
    match node.op:
        case "conv":
            weight = (node.shape[0], node.in_shape[0] // node.groups, node.kernel, node.kernel)
            return {"weight": weight} | ({"bias": channels} if node.bias else {})
        case "bn":
            return dict.fromkeys(("weight", "bias", "running_mean", "running_var"), channels)
        case "act" if source.spiking and source.config.neuron.model == "plif":
            return {"w": ()}
    return {}
