"""Which of the swept fields the accuracy depends on."""

from __future__ import annotations

import streamlit as st

from core.analysis.sweep_runs import finished
from core.report.charts import sweep as charts
from core.schemas.sweep import SweepDetail
from core.search.importance import Importance, importance
from frontend.keys import Key
from frontend.parts.chart_box import show


def draw(found: SweepDetail, *, source: str) -> None:
    told = _importance(found.id, [group.run_accuracy for group in found.groups], found)
    show(
        charts.importance(told.shares, n=told.n, why_not=told.why_not, source=source),
        key=Key.SWEEP_CHART.of("importance"),
        data=lambda: [{"field": name, "share": share} for name, share in told.shares.items()],
        file_name=f"spikefront-sweep-{found.id}-importance.csv",
    )


@st.cache_data(max_entries=64, show_spinner="Asking which field matters")
def _importance(sweep_id: str, accuracies: list[list[float | None]], _found: SweepDetail) -> Importance:
    """A forest takes a second, so once for the same finished runs of a sweep."""
    return importance(finished(_found.groups))
