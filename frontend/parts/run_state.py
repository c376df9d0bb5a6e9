"""A run's state and progress in words and one sign, the same on every page."""

from __future__ import annotations

from datetime import UTC, datetime

import streamlit as st

from core.datasets.catalog import title_of
from core.report.markup import piece
from core.schemas.results import RunProgress
from core.schemas.run import RunState
from core.schemas.runs import Run
from core.schemas.workers import RunBrief
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


#: What a trainer is at, within an epoch and after the last one; each follows "Epoch 2 of at most 4, " or stands alone.
WITHIN: dict[str, str] = {
    "training": "training",
    "averaging": "taking statistics of the averaged weights",
    "validating": "validating",
    "probing": "probing the neurons",
}
AFTER: dict[str, str] = {
    "testing": "Testing the best epoch and counting operations",
    "measuring": "Working out the figures and writing the bundle",
    "recounting": "Counting again with SpikingJelly",
}


def words(state: RunState) -> str:
    return f"{SIGN[state]} {WORDS[state]}"


def badge(state: RunState) -> str:
    """HTML of the state as a pill."""
    return piece("badge", SIGN[state], WORDS[state])


def source(run: Run) -> str:
    """Where the figures of a run without results come from, for a caption: network, data set, seed."""
    return f"{run.title} · {title_of(run.config.dataset)} · seed {run.config.seed}"


def share_done(progress: RunProgress) -> float:
    """How much of the run lies behind, in [0, 1], if it uses all its epochs."""
    if progress.phase == "done":
        return 1.0
    if progress.share is not None:
        return min(progress.share, 0.99)
    if not progress.max_epochs:
        return 0.0
    if progress.phase in AFTER:
        return 0.99
    # No pace is known yet: by epochs, of which training is taken to be nearly all.
    inside = 1.0 if progress.phase != "training" else progress.step / progress.steps if progress.steps else 0.0
    return min(max((progress.epoch - 1 + inside) / progress.max_epochs, 0.0), 0.99)


def sentence(run: Run | RunBrief) -> str:
    """What the run is doing now, with time left where it is known. One that a worker holds does not wait."""
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
    if progress.phase in AFTER:
        parts.append(AFTER[progress.phase])
    elif progress.max_epochs:
        parts.append(f"Epoch {progress.epoch} of at most {progress.max_epochs}, {WITHIN[progress.phase]}")
    if progress.images_per_s:
        parts.append(f"{progress.images_per_s:,.0f} images/s")
    if progress.eta_s is not None:
        of_it = " of the twin" if progress.part == "teacher" else ""
        parts.append(f"about {roughly(progress.eta_s)}{of_it} left")
    return " · ".join(parts) or "Running."


def roughly(wall_s: float) -> str:
    """Seconds that are an estimate, no finer than it is: `45 s`, `12 min`, `2 h 5 min`."""
    step = 1 if wall_s < 60 else 60 if wall_s < 7200 else 300
    return format_duration(step * round(wall_s / step))


def bar(run: Run | RunBrief) -> None:
    st.progress(share_done(run.progress), text=sentence(run))


def phase_bar(run: Run) -> None:
    """The phase that it is at, by name, and how much of that is done; nothing while it is at none."""
    progress = run.progress
    if run.state is not RunState.RUNNING or not progress.steps or progress.phase not in {**WITHIN, **AFTER}:
        return
    name = WITHIN.get(progress.phase) or AFTER[progress.phase]
    what = "images" if progress.phase == "probing" else "batches"
    count = f": {progress.step:,} of {progress.steps:,} {what}" if progress.steps > 1 else ""
    st.progress(progress.step / progress.steps, text=f"{name[0].upper()}{name[1:]}{count}")


def tab_title(run: Run) -> str:
    """For the browser's tab, the news first: `62 % · SNN-SqueezeNet Ref-1`."""
    news = WORDS[run.state]
    if run.state is RunState.SUCCEEDED and run.summary is not None:
        news = f"done, {100 * run.summary.accuracy:.1f} %"
    elif run.state is RunState.RUNNING:
        news = f"{100 * share_done(run.progress):.0f} %"
    return f"{news} · {run.title} · Spikefront"


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
