"""Settings: the energy lens of this window, data sets and how to add them, health, and the API's address."""

from __future__ import annotations

import streamlit as st

from core.schemas.api import Catalog, DatasetInfo
from frontend.connection import api, part, plain
from frontend.elements import add_data, lens

POLL_S = 5.0


def render() -> None:
    catalog = api().catalog()
    st.title("Settings")
    _lens(catalog)
    _datasets(catalog)
    st.subheader("Health")
    st.fragment(run_every=POLL_S)(part(_health))()
    st.subheader("API")
    st.markdown(f"Every page speaks to the API; scripts can too. Its description: {api().docs_url}")
    st.caption("It wants the bearer token from the file `token` in the data folder (SPIKEFRONT_HOME).")
    st.caption(
        f"Spikefront {plain(catalog.version)}. Light or dark follows the system; the menu at the top right changes it."
    )


def _lens(catalog: Catalog) -> None:
    st.subheader("How energy is counted and priced")
    first, second, _ = st.columns([1.2, 1.4, 1.4])
    chosen = lens.picker(catalog, first, second)
    st.caption("Holds on every page of this window. Counts are stored as integers, so a change needs no new run.")
    mode = next(item for item in catalog.modes if item.name == chosen.mode)
    profile = next(item for item in catalog.profiles if item.name == chosen.profile)
    st.markdown(
        f"**{plain(mode.title)}.** {plain(mode.description)}  \n**{plain(profile.title)}.** {profile.ac_pj:g} pJ per AC, "
        f"{profile.mac_pj:g} pJ per MAC. Source: {plain(profile.source)}"
    )


def _datasets(catalog: Catalog) -> None:
    st.subheader("Data sets")
    for info in catalog.datasets:
        with st.container(border=True, key=f"dataset_{info.name}"):
            _dataset(info)


def _dataset(info: DatasetInfo) -> None:
    shape = "×".join(map(str, info.image_shape))
    if info.ready:
        part_of = "complete" if info.complete else "a subset of the published set"
        st.markdown(
            f"✓ **{plain(info.title)}** · {part_of} · {info.n_train or 0:,} training and {info.n_test or 0:,} test images"
        )
    else:
        st.markdown(f"○ **{plain(info.title)}** · not on this machine")
    if info.note:
        st.caption(plain(info.note))
    st.caption(plain(f"{info.n_classes} classes, {shape}. {info.citation}. Licence: {info.licence}"))
    if not info.ready:
        add_data.commands(info)


def _health() -> None:
    ready = api().ready()
    workers = ", ".join(ready.workers)
    rows = [("API", "ok"), ("Database", ready.database), ("Queue", ready.broker),
            ("Workers", workers if workers else "none has reported itself lately: runs wait in the queue")]  # fmt: skip
    lines = []
    for name, word in rows:
        well = word == "ok" or (name == "Workers" and workers)
        lines.append(f"{'✓' if well else '✗'} **{name}**: {plain(word)}")
    st.markdown("  \n".join(lines))
