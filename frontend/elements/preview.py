"""What a launch would be and cost, beside the form."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import streamlit as st

from core.schemas.api import Preview
from core.schemas.run import RunState
from core.units import format_count, format_duration
from frontend.charts import network
from frontend.connection import plain
from frontend.elements import state
from frontend.elements.figures import show
from frontend.pages import link_run


def table(columns: Sequence[Preview]) -> None:
    """The figures by arithmetic, one column a kind of network."""
    rows = [
        ("Parameters", [f"{preview.params:,}" for preview in columns]),
        ("Neurons", [f"{preview.neurons:,}" for preview in columns]),
        ("Dense MACs, one pass", [format_count(preview.dense_macs) for preview in columns]),
        ("Passes (T)", [str(preview.config.steps) for preview in columns]),
        ("MACs in mode paper, one step", [f"{preview.macs:,}" for preview in columns]),
        ("Training memory", [_bytes(preview.training_memory_bytes) for preview in columns]),
        ("Epochs, at most", [str(preview.config.training.max_epochs) for preview in columns]),
        ("Time here", [format_duration(preview.time.total_s) if preview.time else "not known" for preview in columns]),
    ]
    head = "".join(f"<th>{preview.config.kind.value.upper()}</th>" for preview in columns)
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{escape(value)}</td>' for value in values)}</tr>"
        for name, values in rows
    )
    st.html(f'<div class="sf-scroll"><table class="sf-table"><tr><th></th>{head}</tr>{body}</table></div>')


def time_note(previews: Sequence[Preview]) -> None:
    """How long all of it takes, one run after another, and what that rests on."""
    times = [preview.time for preview in previews if preview.time is not None]
    if not times:
        return
    total = format_duration(sum(time.total_s for time in times))
    many = f"{len(times)} runs, {total} if one follows the other. " if len(times) > 1 else ""
    bases = dict.fromkeys(("Measured: " if time.measured else "Estimate: ") + time.basis for time in times)
    st.caption(many + "  \n".join(plain(basis) for basis in bases))


def equal_runs(previews: Sequence[Preview]) -> None:
    """Runs that would give the same numbers exist: point at them instead of paying twice."""
    found = {
        preview.equal_run.id: (preview, preview.equal_run) for preview in previews if preview.equal_run is not None
    }
    if not found:
        return
    with st.container(border=True):
        one = len(found) == 1
        st.markdown("**An equal run exists.** It has the same numbers." if one else "**Equal runs exist.**")
        for preview, run in found.values():
            figure = f", {100 * run.accuracy:.1f} %" if run.accuracy is not None else ""
            name = f"{preview.config.kind.value.upper()}, seed {preview.config.seed}"
            link_run(run.id, f"Open {name}: {state.WORDS[RunState(run.state)]}{figure}")


def chart(preview: Preview) -> None:
    show(network.figure(preview), key="preview_chart")


def _bytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
