"""Neurons as single autograd operations over the compiled kernels. First derivatives only.

All tensors are folded: [T x N, C, H, W], time outermost, dense in either memory layout. An input with
N rows only is constant: the same at every step, so computed and stored once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.engine.fast import kernels
from core.engine.neurons import first_potential
from core.schemas.run import NeuronConfig

DTYPES = (torch.float32, torch.float64)
_GRAIN = 1 << 15  # elements below which a second thread costs more than it brings


@lru_cache(maxsize=4)
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=threads, thread_name_prefix="kernel")


def spread(work: Callable[[int, int], Any], size: int, weight: int = 1) -> None:
    """Call `work(start, stop)` over 0:size on as many threads as torch may use.

    `weight` is the number of elements behind each index. The parts are multiples of the kernels' block.
    """
    threads = torch.get_num_threads()
    parts = min(threads, size * weight // _GRAIN)
    if parts <= 1:
        work(0, size)
        return
    step = -(-size // parts)
    bounds = [(start, min(start + step, size)) for start in range(0, size, step)]
    futures = [_pool(threads).submit(work, *bound) for bound in bounds[1:]]
    work(*bounds[0])
    for future in futures:
        future.result()


def dense_layout(x: Tensor) -> torch.memory_format:
    """channels_last where x lies so, else contiguous."""
    if x.dim() == 4 and x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def flat(x: Tensor, rows: int) -> Any:
    """The memory of a dense tensor as a numpy array [rows, M], without a copy."""
    return x.detach().as_strided((rows, x.numel() // rows), (x.numel() // rows, 1)).numpy()


def is_compiled(neuron: NeuronConfig) -> bool:
    """Whether the CPU kernels know this neuron; every other runs in plain torch."""
    return neuron.model in ("lif", "if", "plif", "count") and neuron.surrogate in kernels.SURROGATES


@dataclass(frozen=True, kw_only=True)
class Membrane:
    """A neuron's constants as the kernels take them, in the tensor's type: H = keep V + X, or V + (X - V) / tau."""

    tau: Any  # None where multiplying by `inverse` is the same, bit for bit
    inverse: Any
    keep: Any  # None where the input decays too
    v_threshold: Any
    v_start: Any
    soft: bool
    detach: bool
    surrogate: int | None  # None for atan
    alpha: Any

    @classmethod
    def of(cls, neuron: NeuronConfig, real: Any, w: Tensor | None, v_start: float | None) -> Membrane:
        """`real`: the numpy type. `w`: of a PLIF layer, else None. `v_start`: None for the config's."""
        inverse, tau, keep = real(1 / neuron.tau), real(neuron.tau), None
        if float(np.frexp(neuron.tau)[0]) == 0.5:  # a power of two
            tau = None
        if w is not None:
            inverse, tau = real(w.detach().sigmoid().item()), None
        if neuron.model == "if":
            keep = real(1)
        elif not neuron.decay_input:
            keep = real(1 - 1 / neuron.tau) if w is None else real(1) - inverse
        return cls(
            tau=tau,
            inverse=inverse,
            keep=keep,
            v_threshold=real(neuron.v_threshold),
            v_start=real(first_potential(neuron) if v_start is None else v_start),
            soft=neuron.reset == "soft",
            detach=neuron.detach_reset,
            surrogate=kernels.SURROGATES.index(neuron.surrogate) or None,
            alpha=real(neuron.alpha),
        )

    @property
    def forward(self) -> tuple[Any, ...]:
        """In the order of the kernels' arguments."""
        return self.tau, self.inverse, self.keep, self.v_threshold, self.v_start, self.soft

    @property
    def backward(self) -> tuple[Any, ...]:
        return *self.forward, self.detach, self.surrogate, self.alpha

    def slope_of_w(self, by_q: float) -> float:
        """dL/dw from dL/dq, q = 1 / tau = sigmoid(w)."""
        return by_q * float(self.inverse) * (1 - float(self.inverse))


class FusedNeuron(torch.autograd.Function):
    """Spikes [T x N, ...] of a layer from its input [T x N, ...] or [N, ...] (constant)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor | None, steps: int, constant: bool, neuron: NeuronConfig, v_start: float | None
    ) -> Tensor:
        layout = dense_layout(x)
        x = x.contiguous(memory_format=layout)
        shape = (x.shape[0] * (steps if constant else 1), *x.shape[1:])
        out = torch.empty(shape, dtype=x.dtype, memory_format=layout)
        x_TM, s_TM = flat(x, 1 if constant else steps), flat(out, steps)
        membrane = Membrane.of(neuron, x_TM.dtype.type, w, v_start)
        spread(lambda a, b: kernels.lif_forward(x_TM, s_TM, *membrane.forward, a, b), s_TM.shape[1], steps)
        ctx.save_for_backward(x)
        ctx.steps, ctx.constant, ctx.membrane, ctx.layout, ctx.w = steps, constant, membrane, layout, w
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (x,) = ctx.saved_tensors
        steps, membrane = ctx.steps, ctx.membrane
        grad = grad.contiguous(memory_format=ctx.layout)
        gx = torch.empty_like(x)
        inputs = 1 if ctx.constant else steps
        x_TM, gs_TM, gx_TM = flat(x, inputs), flat(grad, steps), flat(gx, inputs)
        gq_M = None if ctx.w is None else np.empty(gs_TM.shape[1], gs_TM.dtype)
        spread(
            lambda a, b: kernels.lif_backward(x_TM, gs_TM, gx_TM, gq_M, *membrane.backward, a, b), gs_TM.shape[1], steps
        )
        gw = None
        if gq_M is not None:
            gw = torch.full_like(ctx.w, membrane.slope_of_w(float(gq_M.sum(dtype=np.float64))))
        return gx, gw, None, None, None, None


def spikes(
    x: Tensor, steps: int, constant: bool, neuron: NeuronConfig, w: Tensor | None = None, v_start: float | None = None
) -> Tensor:
    """FusedNeuron with names. w: of a PLIF layer; v_start: V before the first step, None for the config's."""
    return FusedNeuron.apply(x, w, steps, constant, neuron, v_start)


class FusedMaxPool(torch.autograd.Function):
    """Max-pooling of a channels_last tensor; keeps one byte an output for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: int, stride: int, size: tuple[int, int]) -> Tensor:
        x = x.contiguous(memory_format=torch.channels_last)
        shape = (x.shape[0], x.shape[1], *size)
        out = torch.empty(shape, dtype=x.dtype, memory_format=torch.channels_last)
        tap = torch.empty(shape, dtype=torch.uint8, memory_format=torch.channels_last)
        arrays = [part.detach().permute(0, 2, 3, 1).numpy() for part in (x, out, tap)]
        spread(lambda a, b: kernels.maxpool_forward(*arrays, kernel, stride, a, b), x.shape[0], x[0].numel())
        ctx.save_for_backward(tap)
        ctx.shape, ctx.kernel, ctx.stride = x.shape, kernel, stride
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (tap,) = ctx.saved_tensors
        grad = grad.contiguous(memory_format=torch.channels_last)
        gx = torch.empty(ctx.shape, dtype=grad.dtype, memory_format=torch.channels_last)
        arrays = [part.detach().permute(0, 2, 3, 1).numpy() for part in (grad, tap, gx)]
        spread(lambda a, b: kernels.maxpool_backward(*arrays, ctx.kernel, ctx.stride, a, b), gx.shape[0], gx[0].numel())
        return gx, None, None, None
