"""Finished runs that a run is made from: the bundle it starts from, the teacher it learns from; and their networks.

A config names such a bundle by the SHA-256 of its weights, which decides the numbers; where the bundle lies travels
beside the config. It is copied into the run's own folder, so that the run can go on when it is gone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from core.backbones.plan import SYNAPTIC
from core.bundle import Bundle
from core.engine.compress import kernel_of
from core.engine.network import Network
from core.errors import BadValue, BundleCorrupt
from core.recipes.build import plan_of
from core.schemas.run import RunConfig

CPU = torch.device("cpu")
WEIGHTS = "weights.safetensors"
START = "start"  # in the folder of the checkpoint, with which it goes when the run has ended


def require_weights(folder: Path, sha256: str, *, field: str) -> Bundle:
    """The finished bundle in `folder` whose weights have that digest, every file held against its manifest.

    Raises BadValue with `field` for an unfinished bundle or other weights, and BundleCorrupt.
    """
    bundle = Bundle(folder)
    if not bundle.complete:
        raise BadValue(field=field, value=str(folder), expected="the folder of a finished bundle")
    bundle.verify()
    if (found := bundle.weights_sha256) != sha256:
        raise BadValue(
            field=field, value=str(folder), expected=f"weights with SHA-256 {sha256[:12]}..., not {found[:12]}..."
        )
    return bundle


def check_start(config: RunConfig, folder: Path) -> Bundle:
    """The bundle in `folder`, if `config` starts from it. Raises BadValue or BundleCorrupt."""
    if config.start != "bundle":
        raise BadValue(field="start", value=config.start, expected="bundle where a bundle to start from is given")
    return require_weights(folder, config.start_bundle, field="start_bundle")


def check_taught(config: RunConfig, folder: Path) -> Bundle:
    """The bundle in `folder`, if it is the teacher that `config` names. Raises BadValue or BundleCorrupt."""
    bundle = require_weights(folder, config.training.teacher, field="training.teacher")
    if (dataset := bundle.config().dataset) != config.dataset:
        raise BadValue(
            field="training.teacher", value=str(folder), expected=f"a run on {config.dataset}, not on {dataset}"
        )
    return bundle


def kept(target: Bundle, given: Bundle | None, sha256: str, *, field: str, option: str) -> Bundle:
    """`target`, a copy of the bundle with those weights: there already, or made of what is given now.

    Raises BadValue where neither is.
    """
    if target.complete:
        return require_weights(target.path, sha256, field=field)
    if given is None:
        raise BadValue(
            field=field,
            value=sha256,
            expected=f"brought along: {option} with the folder of the run that has these weights",
        )
    adopt(given, target)
    return target


def adopt(source: Bundle, target: Bundle) -> None:
    """Copy a checked bundle, its manifest last: a run that goes on later finds it whatever became of the source."""
    for entry in source.files():
        target.write_bytes(entry.name, source.read(entry.name))
    target.seal()


def load_state(bundle: Bundle, device: torch.device) -> dict[str, Tensor]:
    """The weights of a bundle on the device. Raises BundleCorrupt."""
    try:
        state = load(bundle.read(WEIGHTS))
    except SafetensorError as error:
        raise BundleCorrupt(file=WEIGHTS, why=f"{str(error)[:500]}.") from None
    return {name: value.to(device) for name, value in state.items()}


def kernels(bundle: Bundle) -> dict[str, np.ndarray]:
    """What the convolutions of a compressed run compute with, [C_out, C_in / groups, K, K] float32 each, by name.

    Empty for any other run. Raises BundleCorrupt.
    """
    if not bundle.config().changes_weights:
        return {}
    network = trained(bundle)
    with torch.no_grad():
        return {
            node.name: kernel_of(network.get_submodule(node.name)).numpy()
            for node in network.plan.nodes
            if node.op in SYNAPTIC
        }


def trained(bundle: Bundle, device: torch.device = CPU, *, fused: bool = True) -> Network:
    """The network of a finished bundle with its weights, in evaluation mode. Raises BundleCorrupt."""
    config = bundle.config()
    network = Network(plan_of(config), config, fused=fused).to(device)
    try:
        network.load_state_dict(load_state(bundle, device))
    except RuntimeError as error:
        raise BundleCorrupt(file=WEIGHTS, why=f"{str(error)[:500]}.") from None
    return network.eval()
