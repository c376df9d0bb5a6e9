"""How the run stands noise, blur and fewer bits of a weight: measured on request, drawn against the strength."""

from __future__ import annotations

import streamlit as st

from core.report import robustness_words as words
from core.report.charts import robustness, theme
from core.report.tables import html
from core.schemas.robustness import DEFAULT_IMAGES, STRENGTHS, PricedRobustness, RobustnessRequest
from core.schemas.runs import Run
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, plain, show_problem
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts.chart_box import csv_button, show

POLL_S = 1.0
SIZES = (200, 500, DEFAULT_IMAGES, 2000, 5000)
PASSES = 1 + sum(map(len, STRENGTHS.values()))


def draw(shown: Shown) -> None:
    seen = api().robustness(shown.run.id, mode=shown.lens.mode, profile=shown.lens.profile)
    if seen.work is not None and seen.work.state == "running":
        st.fragment(run_every=POLL_S)(part(_under_way))(shown)
    else:
        if seen.work is not None and seen.work.problem is not None:
            st.error(
                f"**{plain(seen.work.problem.title)}**  \n{plain(seen.work.problem.detail)}", icon=":material/error:"
            )
        if seen.found is None:
            st.markdown(
                "Accuracy and energy under Gaussian noise, blur and fewer bits of a weight have not been measured for "
                f"this run. Test images go through its network {PASSES} times, on one CPU core: some minutes."
            )
        _ask(shown.run, n_test=shown.summary.n_test, again=seen.found is not None)
    if seen.found is not None:
        _figures(shown, seen.found)


def _ask(run: Run, *, n_test: int, again: bool) -> None:
    """The button, and how many images."""
    sizes = [size for size in SIZES if size < n_test] + [n_test]
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        images = st.selectbox(
            "Test images",
            sizes,
            index=sizes.index(DEFAULT_IMAGES) if DEFAULT_IMAGES in sizes else len(sizes) - 1,
            format_func=lambda size: f"{size:,}" if size < n_test else f"all {size:,}",
            key=Key.RUN_ROBUST.of("images"),
            help="Spread over the test set. More images take longer and give narrower intervals.",
            width=160,
        )
        asked = st.button(
            "Measure again" if again else "Measure",
            key=Key.RUN_ROBUST.of("measure"),
            icon=":material/vital_signs:",
            type="secondary" if again else "primary",
        )
    if asked:
        try:
            api().measure_robustness(run.id, RobustnessRequest(images=images))
        except ApiProblem as problem:
            show_problem(problem)
        else:
            st.rerun()


def _under_way(shown: Shown) -> None:
    """How far it is; draws the page again when it has ended."""
    work = api().robustness(shown.run.id, mode=shown.lens.mode, profile=shown.lens.profile).work
    if work is None or work.state != "running":
        st.rerun()
        return
    share = work.done / work.total if work.total else 0.0
    done = f"{work.done:,} of {theme.count_of(work.total, 'image')} through the network" if work.total else "starting"
    st.progress(min(share, 1.0), text=f"Measuring: {done}")


def _figures(shown: Shown, found: PricedRobustness) -> None:
    """A chart a kind, and every strength in a table."""
    for column, kind in zip(st.columns(len(STRENGTHS), gap="large"), STRENGTHS, strict=True):
        with column:
            show(
                robustness.figure(found, kind, source=shown.source),
                key=Key.RUN_CHART.of(f"robust_{kind}"),
                data=lambda kind=kind: robustness.rows(found, kind),
                file_name=f"{shown.file_stem}-{kind}.csv",
            )
    with st.expander("Every strength", icon=":material/table_rows:", expanded=True):
        st.html(html.cells(words.COLUMNS, [cells for _, cells in words.rows(found)], kind="sf-groups", focus=True))
        csv_button(
            lambda: robustness.rows(found),
            key=Key.RUN_ROBUST.of("csv"),
            file_name=f"{shown.file_stem}-robustness.csv",
            what="Every strength",
        )
    stored = f"{found.answers_equal:,} of {found.n:,} undisturbed answers are those stored with the run."
    st.caption(plain(f"{words.SAYS_NOT} {stored}"))
