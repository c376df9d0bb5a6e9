"""The network that a spiking network learns from: its CNN twin, trained first or brought along, or any finished run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from core.bundle import TEACHER, Bundle
from core.engine.network import Network
from core.engine.sources import check_taught, trained
from core.errors import BadValue, BundleCorrupt
from core.schemas.run import RunConfig

FOLDER = TEACHER  # in the run's own folder


def check(config: RunConfig, folder: Path) -> Bundle:
    """The finished bundle in `folder`, if it is the teacher of `config`: the one it names, or the twin it would train.

    Every file is held against its manifest. Raises BadValue for a config without a teacher, an unfinished bundle or
    another than the config asks for, and BundleCorrupt.
    """
    if config.has_given_teacher:
        return check_taught(config, folder)
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
            expected=f"a run of this config's CNN twin, with config hash {wanted[:12]}, not {found[:12]}: to learn from "
            "another, name its weights in training.teacher",
        )
    return bundle


def load_teacher(bundle: Bundle, device: torch.device) -> Network:
    """The network of a bundle with its weights, in evaluation mode. Raises BundleCorrupt."""
    bundle.verify()
    try:
        return trained(bundle, device)
    except BundleCorrupt as error:
        raise BundleCorrupt(file=f"{FOLDER}/{error.fields['file']}", why=error.fields["why"]) from None


def noted(bundle: Bundle) -> dict[str, Any]:
    """What environment.json says of a bundle that a run was made from."""
    summary = bundle.summary()
    return {
        "config_hash": summary.config_hash,
        "accuracy": summary.accuracy,
        "device": summary.device,
        "weights_sha256": bundle.weights_sha256,
    }
