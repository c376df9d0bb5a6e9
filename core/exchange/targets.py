"""What a network can be written as: one writer a format, `write(source, out)` -> the paths that it wrote."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from core.exchange import nir_file, onnx_file, spikingjelly_file
from core.exchange.source import Source
from core.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Target:
    """A format. `opened_with` completes "Open it with ..."."""

    write: Callable[[Source, Path], list[Path]]
    opened_with: str


TARGETS: Registry[Target] = Registry("export format")
TARGETS.add(
    "spikingjelly",
    Target(write=spikingjelly_file.write, opened_with="`import` in Python, where SpikingJelly is; it says how"),
)
TARGETS.add("nir", Target(write=nir_file.write, opened_with="`nir.read`, or a framework that imports NIR"))
TARGETS.add("onnx", Target(write=onnx_file.write, opened_with="onnxruntime, one step a call, state in and out"))
