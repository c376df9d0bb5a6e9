"""How a GPU is used where a run trains on one. None of it is part of a config: it changes times, and figures by rounding."""

from __future__ import annotations

from core.schemas.base import Frozen


class OnGpu(Frozen):
    """graphs: steps are recorded and played again (`core.engine.graphs`); triton: normalisation and neurons run in Triton's
    kernels (`core.engine.fast.triton_norm`). Each where it is possible; where it is not, the log says why."""

    graphs: bool = False
    triton: bool = False


PLAIN = OnGpu()
