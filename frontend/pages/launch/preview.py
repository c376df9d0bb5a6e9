"""What a launch would be and cost, beside the form."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from core.report import size_words
from core.report.charts import network
from core.report.tables import csv_rows as tables
from core.report.tables import html
from core.schemas.preview import Preview
from core.schemas.request import RunRequest
from core.schemas.run import RunState
from core.schemas.sweep import Combination, SweepPreview
from core.units import format_count, format_duration
from frontend.client.connection import api, base_path, part, plain
from frontend.parts import run_state as state
from frontend.parts.chart_box import show
from frontend.places import link_run

LOOK_S = 3.0


def table(columns: Sequence[Preview]) -> None:
    """The figures by arithmetic, one column a kind of network."""
    rows = [
        ("Parameters", [f"{preview.params:,}" for preview in columns]),
        *_sizes(columns),
        ("Neurons", [f"{preview.neurons:,}" for preview in columns]),
        ("Dense MACs, one pass", [format_count(preview.dense_macs) for preview in columns]),
        ("Passes (T)", [str(preview.config.steps) for preview in columns]),
        ("MACs in mode paper, one step", [f"{preview.macs:,}" for preview in columns]),
        ("Training memory", [_bytes(preview.training_memory_bytes) for preview in columns]),
        ("Epochs, at most", [str(preview.config.training.max_epochs) for preview in columns]),
        ("Time here", [format_duration(preview.time.total_s) if preview.time else "not known" for preview in columns]),
    ]
    head = ["", *(preview.config.kind.value.upper() for preview in columns)]
    st.html(html.cells(head, [[name, *values] for name, values in rows]))
    if _sizes(columns):
        st.caption(size_words.NOTE)
    if any(preview.macs > preview.dense_macs for preview in columns):
        st.caption("The mode paper charges batch normalisation as well, so its MACs can exceed the dense ones.")


def _sizes(columns: Sequence[Preview]) -> list[tuple[str, list[str]]]:
    """Of compressed networks what is kept of the weights, and how large that is; the twins have the same."""
    sizes = [preview.size for preview in columns if preview.size is not None]
    if len(sizes) < len(columns) or not any(map(size_words.is_compressed, sizes)):
        return []
    told = [dict(size_words.rows(size)) for size in sizes]
    return [(name, [values.get(name, "") for values in told]) for name in dict.fromkeys(n for one in told for n in one)]


def title(preview: Preview) -> str:
    """Such as `SNN-SqueezeNet Ref-1, stem 64/2, seed 0`."""
    return f"{preview.label}, seed {preview.config.seed}"


def time_note(previews: Sequence[Preview]) -> None:
    """How long all of it takes, one run after another, and what that rests on."""
    times = [preview.time for preview in previews if preview.time is not None]
    if not times:
        return
    total = format_duration(sum(time.total_s for time in times))
    many = f"{len(times)} runs, {total} if one follows the other. " if len(times) > 1 else ""
    bases = dict.fromkeys(("Measured: " if time.measured else "Estimate: ") + time.basis for time in times)
    st.caption(many + "  \n".join(plain(basis) for basis in bases))


def waits(requests: Sequence[RunRequest], previews: Sequence[Preview]) -> None:
    """Why no worker can take the runs now. It is asked anew meanwhile: a worker offers a new data set after a moment."""
    if any(preview.waits for preview in previews):
        st.fragment(run_every=LOOK_S)(part(_waits))(requests)


def _waits(requests: Sequence[RunRequest]) -> None:
    reasons = {why for request in requests if (why := api().preview(request).waits)}
    if not reasons:
        st.rerun()
    for why in sorted(reasons):
        st.warning(plain(f"{why} The run waits until one can do it."))


def equal_runs(previews: Sequence[Preview]) -> None:
    """Runs that would give the same numbers exist: show them instead of paying twice."""
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


def sweep(found: SweepPreview, *, slots: int) -> None:
    """How many runs, how many of them are there already, how long the others take, and each of them.

    slots: runs that the workers train side by side; 0 while there is none.
    """
    with st.container(horizontal=True, gap="large"):
        for name, number in (("Runs", found.n_runs), ("To train", found.n_new), ("There already", found.n_existing)):
            st.metric(name, f"{number:,}", width="content")
    if found.n_new:
        basis = ("Measured: " if found.time.measured else "Estimate: ") + found.time.basis
        beside = f"; {format_duration(found.time.total_s / slots)} at best, in {slots} slots" if slots > 1 else ""
        st.markdown(f"**{format_duration(found.time.total_s)}** if one follows the other{beside}.")
        st.caption(plain(basis))
    if found.n_combinations > found.n_runs:
        st.caption(f"{found.n_combinations:,} combinations give {found.n_runs:,} different runs: a CNN has no neurons.")
    with st.expander(f"All {found.n_combinations:,} combinations"):
        st.dataframe(
            tables.inert_rows([_combination(item, there=found.n_existing > 0) for item in found.combinations]),
            hide_index=True,
            column_config={"open": st.column_config.LinkColumn("open", display_text="open")},
            alt="Each combination with its time, or the equal run that is taken",
        )


def _combination(item: Combination, *, there: bool) -> dict[str, str]:
    """A row of the table; columns about runs that are there only where there is one."""
    equal = item.equal_run
    row = {"run": item.label, "time": format_duration(item.time_s) if equal is None else ""}
    if not there:
        return row
    if equal is None:
        return row | {"there already": "", "open": ""}
    figure = f", {100 * equal.accuracy:.1f} %" if equal.accuracy is not None else ""
    return row | {
        "there already": state.WORDS[RunState(equal.state)] + figure,
        "open": f"{base_path()}/run?run={equal.id}",
    }


def chart(preview: Preview) -> None:
    show(network.figure(preview), key="preview_chart", data=network.data(preview))


def _bytes(size: int) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
