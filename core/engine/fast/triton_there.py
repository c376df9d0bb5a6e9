"""Whether Triton's kernels can run here, without loading Triton where they cannot."""

from __future__ import annotations

import logging
import os
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import torch

log = logging.getLogger(__name__)


def triton_norm(device: torch.device, *, wanted: bool) -> ModuleType | None:
    """`core.engine.fast.triton_norm`, or None where it is not wanted or, as a line in the log then says, cannot run."""
    if not wanted:
        return None
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        why = f"the device is {device.type}"
    elif find_spec("triton") is None:
        why = "Triton is not installed"
    else:
        return import_module("core.engine.fast.triton_norm")
    log.warning("triton.not_used", extra={"why": why})
    return None
