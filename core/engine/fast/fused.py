"""Neurons as single autograd operations over the compiled kernels. First derivatives only.

All tensors are folded: [T x N, C, H, W], time outermost, dense in either memory layout. An input with
N rows only is constant: the same at every step, so computed and stored once.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from core.engine.fast import kernels
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


class FusedLIF(torch.autograd.Function):
    """Spikes [T x N, ...] of a LIF layer from its input [T x N, ...] or [N, ...] (constant)."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, steps: int, constant: bool, neuron: NeuronConfig) -> Tensor:
        layout = dense_layout(x)
        x = x.contiguous(memory_format=layout)
        shape = (x.shape[0] * (steps if constant else 1), *x.shape[1:])
        out = torch.empty(shape, dtype=x.dtype, memory_format=layout)
        x_TM, s_TM = flat(x, 1 if constant else steps), flat(out, steps)
        real = x_TM.dtype.type
        tau, v_threshold = real(neuron.tau), real(neuron.v_threshold)
        spread(lambda a, b: kernels.lif_forward(x_TM, s_TM, tau, v_threshold, a, b), s_TM.shape[1], steps)
        ctx.save_for_backward(x)
        ctx.steps, ctx.constant, ctx.neuron, ctx.layout = steps, constant, neuron, layout
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        (x,) = ctx.saved_tensors
        steps, neuron = ctx.steps, ctx.neuron
        grad = grad.contiguous(memory_format=ctx.layout)
        gx = torch.empty_like(x)
        inputs = 1 if ctx.constant else steps
        x_TM, gs_TM, gx_TM = flat(x, inputs), flat(grad, steps), flat(gx, inputs)
        real = x_TM.dtype.type
        tau, v_threshold, alpha = real(neuron.tau), real(neuron.v_threshold), real(neuron.alpha)
        spread(
            lambda a, b: kernels.lif_backward(x_TM, gs_TM, gx_TM, tau, v_threshold, alpha, a, b), gs_TM.shape[1], steps
        )
        return gx, None, None, None


def lif(x: Tensor, steps: int, constant: bool, neuron: NeuronConfig) -> Tensor:
    """FusedLIF with names."""
    return FusedLIF.apply(x, steps, constant, neuron)


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
