"""A finished run: its figures at a glance, and below them one section at a time."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.schemas.bill import Layers
from core.schemas.results import Summary
from core.schemas.runs import Run
from core.schemas.share import ShareTarget
from core.units import format_count, format_energy
from frontend.client.connection import api, part
from frontend.keys import Key
from frontend.pages.run import classes as run_classes
from frontend.pages.run import energy as run_energy
from frontend.pages.run import files as run_files
from frontend.pages.run import history as run_history
from frontend.pages.run import images as run_images
from frontend.pages.run import neurons as run_neurons
from frontend.pages.run import robustness as run_robustness
from frontend.pages.run import search as run_search
from frontend.pages.run import summary as run_summary
from frontend.pages.run import time as run_time
from frontend.pages.run.section import Shown
from frontend.parts import address, lens, lens_address, sharing

TWIN_POLL_S = 3.0
#: Title of a section, which is also its name in the address -> what draws it.
SECTIONS: dict[str, Callable[[Shown], None]] = {
    "Summary": run_summary.draw,
    "Training": run_history.draw,
    "Classes": run_classes.draw,
    "Images": run_images.draw,
    "Energy": run_energy.draw,
    "Time steps": run_time.draw,
    "Neurons": run_neurons.draw,
    "Robustness": run_robustness.draw,
    "Files": run_files.draw,
}


def draw(run: Run, summary: Summary) -> None:
    """Lens, headline and sections; only the section that is open asks the API and is drawn."""
    first, second, third = st.columns([1.2, 1.4, 1.4], vertical_alignment="bottom")
    catalog = api().catalog()
    known = {name: part for name, part in lens_address.parts(catalog).items() if name in lens_address.KEPT}
    address.adopt(known, last=Key.RUN_ADDRESS, kept=lens_address.KEPT)
    chosen = lens.picker(catalog, first, second)
    address.write(known, last=Key.RUN_ADDRESS)
    with third:
        sharing.draw(ShareTarget(run_id=run.id, mode=chosen.mode, profile=chosen.profile))
    layers = api().layers(run.id, mode=chosen.mode, profile=chosen.profile)
    _headline(summary, layers)
    shown = Shown(run=run, summary=summary, lens=chosen, layers=layers)
    sections = {"Search": run_search.draw, **SECTIONS} if run.config.seeks.is_on else SECTIONS
    tabs = st.tabs(list(sections), key=Key.RUN_SECTION, bind="query-params")
    for tab, section in zip(tabs, sections.values(), strict=True):
        if tab.open:
            with tab:
                section(shown)


def _headline(summary: Summary, layers: Layers) -> None:
    figures = [
        (f"Accuracy, n = {summary.n_test:,}", f"{100 * summary.accuracy:.2f} %", "top-1 on the test set, of the epoch with the best validation accuracy"),
        ("Macro F1", f"{summary.f1_macro:.3f}", "mean over the classes"),
        ("Energy per inference", format_energy(layers.total_energy_pj), "estimated, in the mode and profile chosen above"),
        ("ACs", format_count(layers.total_acs), "accumulates per inference in this mode"),
        ("MACs", format_count(layers.total_macs), "multiply-accumulates per inference in this mode"),
        ("Parameters", f"{summary.params:,}", "trainable"),
        ("Firing rate", "none" if summary.firing_rate is None else f"{summary.firing_rate:.3f}",
         "spikes / (neurons × T) on the test set; a CNN has no spikes"),
    ]  # fmt: skip
    with st.container(horizontal=True, key="headline", gap="small"):
        for name, value, meaning in figures:
            st.metric(name, value, help=meaning, width="content", border=True)


def wait_for_twin(run: Run) -> None:
    """While the twin is under way, look after it: its answers join the page when it has ended."""
    if run.twin is not None and run.twin.state.is_active:
        st.fragment(run_every=TWIN_POLL_S)(part(_look_for_twin))(run.twin.id)


def _look_for_twin(twin_id: str) -> None:
    if not api().run(twin_id).state.is_active:
        st.rerun()
