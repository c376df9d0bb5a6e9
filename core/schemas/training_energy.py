"""Energy that a machine took to train a run, as its meters told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from core.schemas.base import Finite, Frozen

Joules = Annotated[Finite, Field(gt=0)]


class TrainingEnergy(Frozen, extra="ignore"):
    """`training_energy` of `environment.json`. Null: that part has no meter, or none that may be read; never 0 for it.

    All that the part took meanwhile, other runs and programs included. `whole_run` is false for a run that was resumed:
    what was taken before is not in it.
    """

    package_j: Joules | None = Field(default=None, description="processor packages, by RAPL")
    dram_j: Joules | None = Field(default=None, description="memory, by RAPL, where it is no part of the package's")
    gpu_j: Joules | None = Field(default=None, description="the GPU's board, by NVML")
    seconds: Finite = Field(default=0.0, ge=0)
    whole_run: bool = True
    unavailable: str | None = Field(default=None, description="why there is no figure at all")

    @property
    def parts(self) -> dict[str, float]:
        """Joules by what was measured."""
        told = {"processor": self.package_j, "memory": self.dram_j, "GPU": self.gpu_j}
        return {name: joules for name, joules in told.items() if joules is not None}
