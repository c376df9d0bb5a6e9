"""The CNN twin that a spiking network learns from: a bundle of its own, trained first or brought along."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load

from core.bundle import TEACHER, Bundle
from core.engine.network import Network
from core.errors import BadValue, BundleCorrupt
from core.recipes.build import plan_of
from core.schemas.run import RunConfig

FOLDER = TEACHER  # in the run's own folder


def check(config: RunConfig, folder: Path) -> Bundle:
    """The finished bundle in `folder`, if it is the twin that `config` would train first.

    Every file is held against its manifest. Raises BadValue for a config without a teacher, an unfinished bundle or
    one of another config, and BundleCorrupt.
    """
    if not config.needs_teacher:
        raise BadValue(field="teacher", value=str(folder), expected="left out: this config learns from no teacher")
    bundle = Bundle(folder)
    if not bundle.complete:
        raise BadValue(field="teacher", value=str(folder), expected="the folder of a finished bundle")
    bundle.verify()
    wanted, found = config.twin().config_hash, bundle.config().config_hash
    if found != wanted:
        raise BadValue(
            field="teacher",
            value=str(folder),
            expected=f"a run of this config's CNN twin, with config hash {wanted[:12]}, not {found[:12]}",
        )
    return bundle


def adopt(source: Bundle, target: Bundle) -> None:
    """Copy a checked bundle, its manifest last: a run that goes on later has the same teacher, whatever became of it."""
    for entry in source.files():
        target.write_bytes(entry.name, source.read(entry.name))
    target.seal()


def load_teacher(bundle: Bundle, config: RunConfig, device: torch.device) -> Network:
    """The twin of `config` with the weights of its bundle. Raises BundleCorrupt."""
    bundle.verify()
    twin = config.twin()
    network = Network(plan_of(twin), twin)
    try:
        network.load_state_dict(load(bundle.read("weights.safetensors")))
    except (SafetensorError, RuntimeError) as error:
        raise BundleCorrupt(file=f"{FOLDER}/weights.safetensors", why=f"{error}.") from None
    return network.to(device).eval()


def noted(bundle: Bundle) -> dict[str, Any]:
    """What environment.json says of the teacher."""
    summary = bundle.summary()
    return {
        "config_hash": summary.config_hash,
        "accuracy": summary.accuracy,
        "device": summary.device,
        "weights_sha256": hashlib.sha256(bundle.read("weights.safetensors")).hexdigest(),
    }
