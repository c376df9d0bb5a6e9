"""A training step recorded once and played again as one piece of work (CUDA graphs).

At small batches a GPU waits for the thousands of calls that a step is made of. A recorded step is one call. It computes
what the step computes, on the same memory: inputs are copied to where they lay when it was recorded, and outputs are
found where they lay, until the next step writes there.

No GPU has run this yet: it is off unless `SPIKEFRONT_CUDA_GRAPHS=on`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from core.backbones.plan import Plan
from core.schemas.run import RunConfig

log = logging.getLogger(__name__)

WARM = 3  # steps of each shape before it is recorded: libraries choose and set up what they use in the first ones

Work = Callable[..., Any]


class Recorder(Protocol):
    """How work is recorded; what it does must depend on nothing but the memory it reads."""

    def eager(self, work: Callable[[], Any]) -> Any:
        """Do the work, in the way that prepares a recording."""

    def record(self, work: Callable[[], Any]) -> Callable[[], Any]:
        """What does the work when it is called, and gives its outputs. Nothing is done yet. Raises RuntimeError."""


class CudaRecorder:
    """Records on the current CUDA device; all recordings share one pool of memory, since they never run together."""

    def __init__(self) -> None:
        self._beside = torch.cuda.Stream()
        self._pool: Any = None

    def eager(self, work: Callable[[], Any]) -> Any:
        """On the stream beside the usual one, where memory is not yet tied to it."""
        self._beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._beside):
            out = work()
        torch.cuda.current_stream().wait_stream(self._beside)
        return out

    def record(self, work: Callable[[], Any]) -> Callable[[], Any]:
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            out = work()
        self._pool = graph.pool()

        def play() -> Any:
            graph.replay()
            return out

        return play


class Tape:
    """`work(*inputs)`, done step by step at first and then as a recording, one for each shape of the inputs.

    inputs: tensors on the device. What is returned is written over by the next call. Where it cannot be recorded, a line
    in the log says why, and every step is done as it comes.
    """

    def __init__(self, work: Work, recorder: Recorder) -> None:
        self._work, self._recorder = work, recorder
        self._done: dict[tuple[torch.Size, ...], int] = {}
        self._inputs: dict[tuple[torch.Size, ...], tuple[Tensor, ...]] = {}
        self._plays: dict[tuple[torch.Size, ...], Callable[[], Any]] = {}
        self.failed = False

    @property
    def recorded(self) -> int:
        """Shapes that are played from a recording."""
        return len(self._plays)

    def __call__(self, *inputs: Tensor) -> Any:
        key = tuple(value.shape for value in inputs)
        if self.failed:
            return self._work(*inputs)
        done = self._done[key] = self._done.get(key, 0) + 1
        if done <= WARM:
            return self._recorder.eager(lambda: self._work(*inputs))
        if key not in self._plays:
            lying = self._inputs[key] = tuple(value.clone() for value in inputs)
            try:
                self._plays[key] = self._recorder.record(lambda: self._work(*lying))
            except RuntimeError as error:
                log.warning("graph.not_recorded", extra={"why": str(error)[:300]})
                self.failed = True
                self._plays.clear()
                return self._work(*inputs)
        for place, value in zip(self._inputs[key], inputs, strict=True):
            place.copy_(value)
        return self._plays[key]()


def can_record(plan: Plan, config: RunConfig, device: torch.device, *, wanted: bool) -> bool:
    """Whether a run's steps are to be played from a recording; where that is wanted and cannot be, the log says why."""
    why = hindrance(plan, config, device) if wanted else None
    if why is not None:
        log.warning("graph.not_used", extra={"why": why})
    return wanted and why is None


def hindrance(plan: Plan, config: RunConfig, device: torch.device) -> str | None:
    """Why a run's step cannot be played from a recording: what differs from step to step beside batch and rate."""
    if device.type != "cuda":
        return f"the device is {device.type}, and only a GPU plays graphs"
    if any(node.op == "dropout" for node in plan.nodes):
        return "dropout draws from a seed of each step"
    if config.has("encoding") and config.encoding == "rate":
        return "rate coding draws new spikes in each step"
    if config.has("training.distillation") and config.training.distillation > 0:
        return "a teacher answers in each step"
    if config.has("training.ac_penalty") and config.training.ac_penalty > 0:
        return "the weight of ac_penalty changes from step to step"
    if config.seeks.is_on:
        return "a search learns from other images in each step"
    return None
