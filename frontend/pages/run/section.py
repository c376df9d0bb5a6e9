"""What every section of a finished run's page needs."""

from __future__ import annotations

from dataclasses import dataclass

from core.report.charts import theme
from core.schemas.bill import Layers
from core.schemas.results import Summary
from core.schemas.runs import Run
from frontend.parts.lens import Lens


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A succeeded run as it is looked at; `layers` are priced by the lens."""

    run: Run
    summary: Summary
    lens: Lens
    layers: Layers

    @property
    def source(self) -> str:
        """For the captions of its charts."""
        return theme.source(self.run.title, self.summary)

    @property
    def file_stem(self) -> str:
        """How files about this run begin."""
        return f"spikefront-{self.run.config.backbone}-{self.run.config.kind.value}-{self.run.id}"
