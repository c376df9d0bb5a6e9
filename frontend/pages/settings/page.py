"""Settings: the energy lens of this window, data sets and how to add them, what runs here, and the API's address."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from html import escape

import streamlit as st

from core.schemas.catalog import Catalog, DatasetInfo
from core.schemas.installation import Installation
from core.schemas.prices import Profile
from core.schemas.workers import WorkerInfo
from frontend.client.connection import api, part, plain
from frontend.keys import Key
from frontend.parts import actions as acts
from frontend.parts import add_data, lens
from frontend.parts import run_state as state
from frontend.places import link

POLL_S = 5.0
UNITS = ("B", "kB", "MB", "GB", "TB")


def render() -> None:
    catalog, here = api().catalog(), api().installation()
    st.title("Settings")
    energy, data, machine, scripts = st.tabs(["Energy", "Data sets", "This installation", "API"])
    with energy:
        _lens(catalog)
        _own_profiles(here)
    with data:
        _datasets(catalog)
    with machine:
        _machine(here)
    with scripts:
        st.markdown(f"Every page speaks to the API; scripts can too. Its description: {api().docs_url}")
        st.caption("It wants the bearer token from the file `token` in the data folder (SPIKEFRONT_HOME).")
        st.code(
            f'curl -H "Authorization: Bearer $(cat {shlex.quote(f"{here.home}/token")})" {api().public_url}/api/v1/runs',
            language="bash",
            wrap_lines=True,
        )


def size(n_bytes: float) -> str:
    """Bytes for people, in powers of 1000 as disks are sold: `1.4 GB`."""
    for unit in UNITS:
        if n_bytes < 999.5 or unit == UNITS[-1]:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    raise AssertionError


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
    with st.expander(f"All {len(catalog.profiles)} hardware profiles and their prices", icon=":material/memory:"):
        st.html(_prices(catalog.profiles))
        st.caption("A chip that publishes no price of a MAC has its MACs done by a host, whose price stands here.")


def _prices(profiles: Sequence[Profile]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(item.title)}<br><span class="sf-dim">{escape(_basis(item))}</span></th>'
        f"<td>{item.ac_pj:g}</td><td>{item.mac_pj:g}</td></tr>"
        for item in profiles
    )
    head = '<th scope="col">Profile</th><th scope="col">AC, pJ</th><th scope="col">MAC, pJ</th>'
    return f'<table class="sf-table"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _basis(profile: Profile) -> str:
    """Such as `Pre-silicon simulation. Davies et al., IEEE Micro 38(1), 2018`."""
    return f"{profile.status[:1].upper()}{profile.status[1:]}. {profile.source}" if profile.status else profile.source


def _own_profiles(here: Installation) -> None:
    st.subheader("Hardware profiles of your own")
    st.markdown(
        f"A TOML file in `{here.home}/profiles` with prices and their sources is offered beside the others at the next "
        "look, without a restart."
    )
    for why in here.faulty_profiles.values():
        st.warning(f"**Left out.** {plain(why)}", icon=":material/warning:")


def _datasets(catalog: Catalog) -> None:
    for info in sorted(catalog.datasets, key=lambda info: not info.ready):
        with st.container(border=True, key=f"dataset_{info.name}", gap="xsmall"):
            _dataset(info)
    with st.expander("A data set of your own", icon=":material/add:"):
        st.markdown("A folder or an archive with one folder of pictures a class, under a name of your choice:")
        st.code("spikefront data add NAME PATH --size 32", language="bash")
        st.caption("`--size` is the side of its images in pixels; `spikefront data add --help` says more.")


def _dataset(info: DatasetInfo) -> None:
    _, height, width = info.image_shape
    if info.ready:
        part_of = "complete" if info.complete else "a subset of the published set"
        st.markdown(
            f"✓ **{plain(info.title)}** · {part_of} · {info.n_train or 0:,} training and {info.n_test or 0:,} test images"
        )
    else:
        st.markdown(f"○ **{plain(info.title)}** · not on this machine")
    if info.note:
        st.caption(plain(info.note))
    st.caption(
        plain(
            f"{info.n_classes:,} classes, images of {height}×{width} pixels. {info.citation}. Licence: {info.licence}"
        )
    )
    if not info.ready and "spikefront data" in (info.note or ""):
        with st.expander("How to add it", key=f"add_{info.name}"):
            add_data.commands(info)


def _machine(here: Installation) -> None:
    st.subheader("Health")
    st.fragment(run_every=POLL_S)(part(_health))()
    first, second = st.columns(2, gap="large")
    with first:
        st.subheader("Storage")
        stored = [(item.name, item.path, size(item.bytes)) for item in here.stored]
        st.html(_table([*stored, ("Free on this disk", here.home, size(here.free_bytes))]))
        bin_words = f", {here.n_in_bin:,} deleted that can still be brought back" if here.n_in_bin else ""
        st.caption(f"{here.n_runs:,} run{'' if here.n_runs == 1 else 's'}{bin_words}.")
        if here.n_unlisted:
            st.warning(
                f"{here.n_unlisted:,} run{'' if here.n_unlisted == 1 else 's'} in the folder of runs "
                "cannot be found in the database, as after it was deleted."
            )
            st.button("List again", key=Key.TAKE_UP, on_click=acts.take_up, icon=":material/restore_page:")
        with st.container(horizontal=True):
            link("runs")
            link("shares")
    with second:
        st.subheader("Versions")
        st.html(_table([(name, "", version) for name, version in here.versions.items()]))
        st.caption("Light or dark follows the system; the menu at the top right of each page changes it.")


def _table(rows: list[tuple[str, str, str]]) -> str:
    body = "".join(
        f'<tr><th scope="row">{escape(name)}'
        + (f'<br><span class="sf-dim sf-path">{escape(place)}</span>' if place else "")
        + f"</th><td>{escape(value)}</td></tr>"
        for name, place, value in rows
    )
    return f'<table class="sf-table"><tbody>{body}</tbody></table>'


def _health() -> None:
    ready = api().ready()
    workers = ", ".join(ready.workers)
    rows = [
        ("API", "ok"),
        ("Database", ready.database),
        ("Queue", ready.broker),
        ("Workers", workers if workers else "none has reported itself lately: runs wait in the queue"),
        ("Training", ready.training),
    ]
    lines = []
    for name, word in rows:
        well = word == "ok" or (name == "Workers" and workers)
        lines.append(f"{'✓' if well else '✗'} **{name}**: {plain(word)}")
    st.markdown("  \n".join(lines))
    if ready.database == "ok":
        for worker in api().workers().items:
            st.caption(plain(_says(worker)))


def _says(worker: WorkerInfo) -> str:
    """Such as `box:4711 takes the queue cpu · 1 of 2 slots busy · seen 3 s ago`."""
    slots = f"{len(worker.runs)} of {worker.slots} slot{'' if worker.slots == 1 else 's'} busy"
    return f"{worker.name} takes the queue {worker.queue} · {slots} · seen {state.ago(worker.seen_at)}"
