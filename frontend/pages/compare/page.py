"""Compare: two to ten runs side by side, held against the first of them."""

from __future__ import annotations

import streamlit as st

from core.report.charts import compare, pareto_of
from core.report.charts.comparison_names import names
from core.report.tables import compare_latex, compare_tables, config_differences
from core.report.tables import csv_rows as tables
from core.schemas.catalog import Catalog
from core.schemas.compare import FEWEST, Comparison
from core.schemas.share import ShareTarget
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, plain, show_problem
from frontend.keys import Key
from frontend.pages.compare import ensemble as compare_ensemble
from frontend.pages.compare import images as compare_images
from frontend.pages.compare import pick as compare_pick
from frontend.parts import address, lens, lens_address, saving, sharing
from frontend.parts.chart_box import show
from frontend.places import entitle, link_run

EPOCHS = {True: "Last epoch", False: "First epoch"}


def render() -> None:
    catalog = api().catalog()
    st.title("Compare")
    known = lens_address.parts(catalog)
    address.adopt(known, last=Key.COMPARE_ADDRESS, kept=lens_address.KEPT)
    address.write(known, last=Key.COMPARE_ADDRESS)
    chosen = compare_pick.draw()
    if len(chosen) < FEWEST:
        return
    first, second, third = st.columns([1.6, 1, 1])
    compare_pick.base(chosen, first)
    priced = lens.picker(catalog, second, third)
    lens.price_row(catalog, opens=False)
    try:
        comparison = api().compare(
            list(chosen), mode=priced.mode, profile=priced.profile, **lens.factors().model_dump()
        )
    except ApiProblem as problem:  # the picker stays, so that the run it names can be taken out
        show_problem(problem)
        return
    entitle(
        "compare",
        " and ".join(run.label for run in chosen.values()) if len(chosen) == FEWEST else f"{len(chosen)} runs",
    )
    _figures(catalog, comparison)
    compare_images.draw(comparison)
    left, right = st.columns(2, gap="large")
    with left:
        show(
            compare.curves(comparison),
            key=Key.COMPARE_CHART.of("curves"),
            data=lambda: compare_tables.curve_rows(comparison),
        )
    with right:
        st.fragment(part(_gradients))(comparison)
    _twins(comparison)
    compare_ensemble.draw(comparison)
    _latex(comparison)
    pair = compare_ensemble.chosen(comparison)
    together = {} if pair is None else {"ensemble": lambda: compare_ensemble.figure(comparison, pair)}
    saving.button(
        {
            "points": lambda: pareto_of.comparison(comparison),
            "differences": lambda: compare.differences(comparison),
            "curves": lambda: compare.curves(comparison),
            "gradients-first": lambda: compare.gradients(comparison, last=False),
            "gradients-last": lambda: compare.gradients(comparison, last=True),
            **together,
        },
        key=Key.COMPARE_FIGURES,
        file_name="spikefront-comparison",
        label="All figures as one zip",
    )


def _figures(catalog: Catalog, comparison: Comparison) -> None:
    _differences(comparison)
    st.markdown(plain(compare_tables.summary(comparison)))
    st.html(compare_tables.html(comparison))
    with st.container(horizontal=True, vertical_alignment="center"):
        for run_id, label in names(comparison).items():
            with st.container(width="content"):
                link_run(run_id, plain(label))
        ids, pair = [run.id for run in comparison.runs], compare_ensemble.chosen(comparison)
        priced = {"mode": comparison.mode, "profile": comparison.profile, **comparison.factors.model_dump()}
        sharing.draw(ShareTarget(runs=ids, pair=None if pair is None else list(pair), **priced))
    mode = next(item.title for item in catalog.modes if item.name == comparison.mode)
    profile = next(item for item in catalog.profiles if item.name == comparison.profile)
    moved = lens.prices_in_words(profile, comparison.factors)
    prices = f" with {moved}" if moved else ""
    st.caption(
        plain(f"Energy per inference, estimated: {mode}, {profile.title}{prices}. Interval: {comparison.interval}")
    )
    left, right = st.columns(2, gap="large")
    with left:
        show(
            pareto_of.comparison(comparison),
            key=Key.COMPARE_CHART.of("points"),
            data=lambda: compare_tables.rows(comparison),
            file_name="spikefront-comparison-points.csv",
        )
    with right:
        show(
            compare.differences(comparison),
            key=Key.COMPARE_CHART.of("differences"),
            data=lambda: compare_tables.rows(comparison),
        )


def _differences(comparison: Comparison) -> None:
    """What differs in the configs, before any figure: it is what the figures may come from."""
    found = config_differences.html(comparison)
    if not found:
        st.caption("The configs of these runs do not differ, and neither do the images that they were trained on.")
        return
    st.html(found)
    if note := config_differences.note(comparison):
        st.caption(note)


def _gradients(comparison: Comparison) -> None:
    picture = st.container()  # the control lies below, so that both charts of the row begin at one height
    last = st.segmented_control(
        "Gradients of", list(EPOCHS), default=True, required=True, format_func=EPOCHS.__getitem__, key=Key.COMPARE_EPOCH,
        label_visibility="collapsed",
    )  # fmt: skip
    with picture:
        show(
            compare.gradients(comparison, last=last),
            key=Key.COMPARE_CHART.of("gradients"),
            data=lambda: compare_tables.gradient_rows(comparison),
        )


def _twins(comparison: Comparison) -> None:
    st.subheader("Spiking networks against their CNN twins")
    if not comparison.twins:
        st.caption("None of these runs has a twin that has succeeded. A twin is launched with the same settings.")
        return
    labels = _labels(comparison)
    st.html(compare_tables.twins_html(comparison, labels))
    beside = compare_tables.outsiders(comparison.twins, comparison.runs)
    note = " Twins without a letter are not compared above." if beside else ""
    profile = comparison.profile + comparison.moved_prices
    st.caption(plain(f"Same config but for the kind of network; mode {comparison.mode}, profile {profile}.{note}"))


def _latex(comparison: Comparison) -> None:
    labels = _labels(comparison)
    text = compare_latex.table(comparison)
    if comparison.twins:
        text += "\n" + compare_latex.twins(comparison, labels)
    with st.expander("For a paper: LaTeX and CSV", icon=":material/functions:"):
        st.code(text, language="latex", wrap_lines=True)
        with st.container(horizontal=True):
            st.download_button(
                "Download LaTeX",
                text,
                file_name="spikefront-comparison.tex",
                mime="application/x-tex",
                on_click="ignore",
                icon=":material/download:",
            )
            st.download_button(
                "Download CSV",
                tables.as_csv(compare_tables.rows(comparison)),
                file_name="spikefront-comparison.csv",
                mime="text/csv",
                on_click="ignore",
                icon=":material/download:",
            )
            if differing := config_differences.csv_rows(comparison):
                st.download_button(
                    "Differences as CSV",
                    tables.as_csv(differing),
                    file_name="spikefront-differences.csv",
                    mime="text/csv",
                    on_click="ignore",
                    icon=":material/download:",
                )
            if comparison.twins:
                st.download_button(
                    "Twins as CSV",
                    tables.as_csv(compare_tables.twin_rows(comparison, labels)),
                    file_name="spikefront-twins.csv",
                    mime="text/csv",
                    on_click="ignore",
                    icon=":material/download:",
                )


def _labels(comparison: Comparison) -> dict[str, str]:
    others = {run_id: api().run(run_id).title for run_id in compare_tables.outsiders(comparison.twins, comparison.runs)}
    return compare_tables.twin_labels(comparison, others)
