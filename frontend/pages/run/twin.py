"""A finished run beside its twin: what each costs, the CNN at few bits, the break-even firing rate."""

from __future__ import annotations

import streamlit as st

from core.report.charts import theme, twin
from core.schemas.run import Kind
from core.schemas.runs import Run
from core.schemas.twin import TwinEnergy
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts import run_state as state
from frontend.parts.chart_box import show


def draw(shown: Shown) -> None:
    title = f"Beside its {'CNN' if shown.run.config.kind is Kind.SNN else 'spiking'} twin"
    with st.container(border=True, key="run_twin"):
        try:
            found = api().twin(shown.run.id, mode=shown.lens.mode, profile=shown.lens.profile)
        except ApiProblem as problem:
            if problem.code != "not-ready":
                raise
            st.subheader(title)
            _alone(shown.run)
            return
        left, right = st.columns([1.3, 1], gap="medium", vertical_alignment="center")
        with left:
            show(
                twin.figure(found, title=title, source=shown.source),
                key=Key.RUN_CHART.of("twin"),
                data=lambda: twin.rows(found),
                file_name=f"{shown.file_stem}-twin.csv",
            )
        with right:
            st.markdown(plain(verdict(found)))
            st.caption(plain(" ".join(limits(found))))


def lonely(run: Run) -> str:
    """Why there is no finished twin, as a part of a sentence."""
    if run.twin is None:
        return "its twin has not been trained yet"
    return f"its {run.twin.kind.value.upper()} twin: {state.WORDS[run.twin.state]}"


def verdict(found: TwinEnergy) -> str:
    """The two rates and what they say, then the CNN at as few bits as the time steps are worth."""
    level = "" if found.break_even_rate is None else f"; both would cost the same at {_rate(found.break_even_rate)}"
    said = [f"Measured firing rate {_rate(found.measured_rate)}{level}.", found.reason]
    last = found.quantised[-1]
    if last.energy_ratio:
        ratio, steps = last.energy_ratio, found.time_steps
        much = f"{ratio:.3g} times the" if ratio >= 1 else f"{theme.percent(ratio)} of the"
        said.append(
            f"The spiking network takes {much} energy of the CNN at {theme.count_of(last.bits, 'bit')}, enough for the "
            f"{steps + 1} values that {theme.count_of(steps, 'time step')} can tell apart."
        )
    return " ".join(said)


def limits(found: TwinEnergy) -> list[str]:
    """Why a bar is missing, and what the figures do not say."""
    return [*dict.fromkeys(one.note for one in found.quantised if one.note), *found.not_said]


def _rate(rate: float) -> str:
    return f"{rate:.3f}" if rate >= 0.01 else f"{rate:.2g}"


def _alone(run: Run) -> None:
    waits = run.twin is not None and run.twin.state.is_active
    name = run.config.kind.twin.value.upper()
    way = "" if waits else f" “Train its {name} twin”, at the top of this page, launches it."
    st.caption(plain(f"Nothing to compare with: {lonely(run)}.{way}"))
