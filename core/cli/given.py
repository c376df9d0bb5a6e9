"""Finished bundles that are given on the command line: a run to start from, a teacher; by their weights in the config."""

from __future__ import annotations

from pathlib import Path

from core.bundle import Bundle, whole_paths
from core.errors import BadValue
from core.recipes.build import override
from core.schemas.run import Kind, RunConfig


def starting_from(folder: Path, settings: dict[str, str]) -> dict[str, str]:
    """The settings with the start that `--from FOLDER` means; what they say of it themselves stays."""
    return {"start": "bundle", "start_bundle": _weights(folder, option="--from"), **settings}


def learning_from(config: RunConfig, folder: Path) -> RunConfig:
    """The config with the teacher that `--teacher FOLDER` means, unless that is the CNN twin, which needs no name.

    A config that learns from no teacher, names one, or is converted from its twin stays as it is: what does not fit is
    refused where the bundle is checked.
    """
    training = config.training
    if config.kind is Kind.CNN or not training.distillation or training.teacher or config.start == "converted":
        return config
    weights = _weights(folder, option="--teacher")
    with whole_paths(folder):
        found = Bundle(folder).config()
    if found.config_hash == config.twin().config_hash:
        return config
    return override(config, {"training.teacher": weights})


def _weights(folder: Path, *, option: str) -> str:
    bundle = Bundle(folder)
    if not bundle.complete:
        raise BadValue(field=option, value=str(folder), expected="the folder of a finished bundle")
    with whole_paths(folder):
        return bundle.weights_sha256
