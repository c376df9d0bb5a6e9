"""Two of the compared runs that answer together: the mean of both, or the second asked where the first is unsure."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from core.analysis import ensemble as ensembles
from core.report import ensemble_words
from core.report.charts import ensemble as ensemble_chart
from core.report.charts.comparison_names import letters, names
from core.report.tables import compare_latex, ensemble_tables
from core.schemas.compare import Comparison
from core.schemas.ensemble import ComparedEnsemble
from frontend.client.connection import api, part, plain
from frontend.keys import Key
from frontend.parts.chart_box import show

TITLE = "Two networks, one answer"
NAME = "spikefront-ensemble"


def draw(comparison: Comparison) -> None:
    """For one pair at a time. A fragment of its own, so that choosing a pair compares nothing afresh."""
    st.fragment(part(_pair))(comparison)


def chosen(comparison: Comparison) -> tuple[str, str] | None:
    """(answers first, is asked): as picked, else the default; None where no two were tested alike."""
    memory, others = st.session_state, ensembles.partners(comparison.runs)
    first, second = memory.get(Key.COMPARE_FIRST), memory.get(Key.COMPARE_SECOND)
    if first in others:
        return first, second if second in others[first] else others[first][0]
    return ensembles.default_pair(comparison.runs)


def found(comparison: Comparison, pair: tuple[str, str]) -> ComparedEnsemble:
    """Asked of the API, in the comparison's mode, profile and prices."""
    priced = {"mode": comparison.mode, "profile": comparison.profile, **comparison.factors.model_dump()}
    return api().ensemble(*pair, **priced)


def figure(comparison: Comparison, pair: tuple[str, str]) -> go.Figure:
    """The section's chart, for its file."""
    return ensemble_chart.figure(found(comparison, pair), comparison)


def _pair(comparison: Comparison) -> None:
    st.subheader(TITLE)
    pair = chosen(comparison)
    if pair is None:
        st.caption("No two of these runs were tested on the same images, so none can answer for another.")
        return
    pair = _pick(comparison, pair)
    together = found(comparison, pair)
    first, second = (letters(comparison)[run_id] for run_id in pair)
    for sentence in ensemble_words.sentences(together, first, second):
        st.markdown(plain(sentence))
    show(
        ensemble_chart.figure(together, comparison),
        key=Key.COMPARE_CHART.of("ensemble"),
        data=lambda: ensemble_tables.csv_rows(together, first, second),
        file_name=f"{NAME}.csv",
    )
    st.html(ensemble_tables.html(together, first, second))
    st.caption(plain(f"{ensemble_words.energy_note(together, second)} {ensemble_words.OPTIMISTIC}"))
    st.download_button(
        "This table as LaTeX",
        data=lambda: compare_latex.ensemble(together, comparison),
        file_name=f"{NAME}.tex",
        mime="application/x-tex",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=Key.COMPARE_CHART.of("ensemble_latex"),
    )


def _pick(comparison: Comparison, pair: tuple[str, str]) -> tuple[str, str]:
    """Which of the runs answers first, and which is asked."""
    known, others = names(comparison), ensembles.partners(comparison.runs)
    st.session_state[Key.COMPARE_FIRST], st.session_state[Key.COMPARE_SECOND] = pair
    left, right = st.columns(2)
    first = left.selectbox(
        "Answers first",
        list(others),
        key=Key.COMPARE_FIRST,
        format_func=known.__getitem__,
        on_change=_turned,
        args=(pair,),
    )
    second = right.selectbox(
        "Asked where that one is unsure", others[first], key=Key.COMPARE_SECOND, format_func=known.__getitem__,
        help="Sure is a largest probability above the threshold.",
    )  # fmt: skip
    return first, second


def _turned(pair: tuple[str, str]) -> None:
    """Whoever puts the second run first wants the two the other way round."""
    if st.session_state[Key.COMPARE_FIRST] == pair[1]:
        st.session_state[Key.COMPARE_SECOND] = pair[0]
