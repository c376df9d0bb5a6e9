"""A run's state and progress in words and one sign, the same on every page."""

from __future__ import annotations

from datetime import UTC, datetime
from html import escape

import streamlit as st

from core.datasets.catalog import title_of
from core.schemas.run import RunState
from core.schemas.runs import Run, RunProgress
from core.units import format_duration

SIGN: dict[RunState, str] = {
    RunState.QUEUED: "◌",
    RunState.RUNNING: "▶",
    RunState.CANCELLING: "◐",
    RunState.SUCCEEDED: "✓",
    RunState.FAILED: "✗",
    RunState.CANCELLED: "■",
    RunState.LOST: "↻",
}
WORDS: dict[RunState, str] = {
    RunState.QUEUED: "queued",
    RunState.RUNNING: "running",
    RunState.CANCELLING: "asked to stop",
    RunState.SUCCEEDED: "succeeded",
    RunState.FAILED: "failed",
    RunState.CANCELLED: "stopped",
    RunState.LOST: "interrupted, will resume",
}


def words(state: RunState) -> str:
    return f"{SIGN[state]} {WORDS[state]}"


def badge(state: RunState) -> str:
    """HTML of the state as a pill."""
    return f'<span class="sf-state"><span aria-hidden="true">{SIGN[state]}</span>{escape(WORDS[state])}</span>'


def source(run: Run) -> str:
    """Where the figures of a run without results come from, for a caption: network, data set, seed."""
    return f"{run.label} · {title_of(run.config.dataset)} · seed {run.config.seed}"


def share_done(progress: RunProgress) -> float:
    """How much of the run lies behind, in [0, 1], if it uses all its epochs."""
    if progress.phase == "done":
        return 1.0
    if not progress.max_epochs:
        return 0.0
    if progress.phase == "testing":
        return 0.99
    # Validation is the short end of an epoch: the epoch counts as trained.
    inside = 1.0 if progress.phase == "validating" else progress.step / progress.steps if progress.steps else 0.0
    return min(max((progress.epoch - 1 + inside) / progress.max_epochs, 0.0), 0.99)


def sentence(run: Run) -> str:
    """What the run is doing now, with time left where it is known."""
    progress = run.progress
    if run.state is RunState.QUEUED:
        return f"Waiting for a free worker for {format_duration(age_s(run.created_at))}."
    if run.state is RunState.CANCELLING:
        return "Asked to stop. The trainer ends after its present step."
    if run.state is RunState.LOST:
        return "The worker went away. The run goes on from its last checkpoint."
    if progress.phase in ("waiting", "starting"):
        return "The trainer is starting."
    parts = ["First the CNN twin that it learns from"] if progress.part == "teacher" else []
    if progress.phase == "testing":
        parts.append("Testing the best epoch and counting operations")
    elif progress.max_epochs:
        doing = "validating" if progress.phase == "validating" else "training"
        parts.append(f"Epoch {progress.epoch} of at most {progress.max_epochs}, {doing}")
    if progress.images_per_s:
        parts.append(f"{progress.images_per_s:,.0f} images/s")
    if progress.eta_s is not None:
        parts.append(f"about {roughly(progress.eta_s)} left")
    return " · ".join(parts) or "Running."


def roughly(wall_s: float) -> str:
    """Seconds that are an estimate, no finer than it is: `45 s`, `12 min`, `2 h 5 min`."""
    step = 1 if wall_s < 60 else 60 if wall_s < 7200 else 300
    return format_duration(step * round(wall_s / step))


def bar(run: Run) -> None:
    st.progress(share_done(run.progress), text=sentence(run))


def age_s(moment: datetime) -> float:
    """Seconds since a moment of the API's clock."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((datetime.now(UTC) - known).total_seconds(), 0.0)


def ahead(moment: datetime) -> bool:
    """Whether a moment is still to come."""
    known = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return known > datetime.now(UTC)


def ago(moment: datetime | None) -> str:
    """`3 min ago`; coarse, since it is drawn once."""
    if moment is None:
        return ""
    seconds = age_s(moment)
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h")):
        if seconds < limit:
            return f"{round(seconds / size)} {unit} ago"
    return f"{round(seconds / 86400)} days ago"
