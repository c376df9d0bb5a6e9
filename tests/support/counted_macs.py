"""fvcore and ptflops behind one door: independent counts of a CNN's dense operations."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor, nn


@contextmanager
def _without_torchvision() -> Iterator[None]:
    """Both packages import torchvision where there is one, and fail where it does not fit the torch beside it."""
    hidden = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "torchvision"}
    for name in hidden:
        del sys.modules[name]
    sys.modules["torchvision"] = None  # type: ignore[assignment]  # what makes an import fail cleanly
    try:
        yield
    finally:
        del sys.modules["torchvision"]
        sys.modules.update(hidden)


def load(name: str) -> ModuleType:
    """A module of either package."""
    with _without_torchvision():
        return import_module(name)


def fvcore_macs(model: nn.Module, x: Tensor) -> dict[str, int]:
    """Multiply-accumulates of each convolution in one pass over x: [N, C, H, W], by the module's name.

    fvcore calls one a flop; it counts padding and leaves out the bias. The model must be in evaluation.
    """
    analysis = load("fvcore.nn").FlopCountAnalysis(model, x)
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_module = analysis.by_module_and_operator()
    return {name: int(by_module[name]["conv"]) for name, layer in model.named_modules() if isinstance(layer, nn.Conv2d)}


def ptflops_macs(model: nn.Module, x: Tensor) -> dict[str, int]:
    """What ptflops, with which the paper counted its CNNs, gives each layer in one pass over x: [1, C, H, W].

    It adds the bias to a convolution and bills normalisation, ReLUs and pools too.
    """
    engine = load("ptflops.pytorch_engine")
    counted = engine.add_flops_counting_methods(model)
    counted.eval()
    counted.start_flops_count(ost=None, verbose=False, ignore_list=[])
    try:
        with torch.no_grad():
            counted(x)
        leaves = [(name, layer) for name, layer in counted.named_modules() if not any(True for _ in layer.children())]
        return {name: int(layer.__flops__) for name, layer in leaves if hasattr(layer, "__flops__")}
    finally:
        counted.stop_flops_count()
        for method in ("start_flops_count", "stop_flops_count", "reset_flops_count", "compute_average_flops_cost"):
            delattr(model, method)
