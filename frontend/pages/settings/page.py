"""Settings: the energy lens of this window, data sets and how to add them, what runs here, the API, accounts."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import streamlit as st

from core.report.tables import html
from core.schemas.catalog import Catalog, DatasetInfo
from core.schemas.installation import Installation
from core.schemas.prices import Profile
from core.schemas.workers import WorkerInfo
from core.settings import Settings
from frontend.client.connection import api, part, plain
from frontend.keys import Key
from frontend.pages.settings import account
from frontend.parts import actions as acts
from frontend.parts import add_data, data_sets, lens
from frontend.parts import run_state as state
from frontend.places import link

POLL_S = 5.0
UNITS = ("B", "kB", "MB", "GB", "TB")


def render() -> None:
    catalog, here, me = api().catalog(), api().installation(), api().me()
    st.title("Settings")
    titles = ["Energy", "Data sets", "This installation", "API", *(["Account"] if me.accounts else [])]
    energy, data, machine, scripts, *people = st.tabs(titles)
    with energy:
        _lens(catalog)
        _own_profiles(here)
    with data:
        _datasets(catalog, here)
    with machine:
        _machine(here)
    with scripts:
        st.markdown(f"Every page speaks to the API; scripts can too. Its description: {api().docs_url}")
        words, token = token_in_words(Settings(), here.home)
        if me.accounts:
            words, token = "of your account, which the tab Account makes", "<token>"
        st.caption(f"It wants the bearer token {words}.")
        st.code(
            f'curl -H "Authorization: Bearer {token}" {api().public_url}/api/v1/runs', language="bash", wrap_lines=True
        )

    for tab in people:
        with tab:
            account.draw(me)


def token_in_words(settings: Settings, home: str) -> tuple[str, str]:
    """Where the token is, after `the bearer token`, and how a shell says it; never the token itself."""
    if settings.token is not None:
        return "that SPIKEFRONT_TOKEN gives", "$SPIKEFRONT_TOKEN"
    if settings.token_file_override is not None:
        return "from the file that SPIKEFRONT_TOKEN_FILE names", f"$(cat {shlex.quote(str(settings.token_file))})"
    return "from the file `token` in the data folder (SPIKEFRONT_HOME)", f"$(cat {shlex.quote(f'{home}/token')})"


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
    rows = [(item.title, _basis(item), (f"{item.ac_pj:g}", f"{item.mac_pj:g}")) for item in profiles]
    return html.named(rows, head=("Profile", "AC, pJ", "MAC, pJ"))


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


def _datasets(catalog: Catalog, here: Installation) -> None:
    if (found := data_sets.added()) is not None:
        data_sets.tell(found)
    with st.expander("Add images of your own", icon=":material/add_photo_alternate:"):
        data_sets.add_form()
        st.markdown("From the shell, a folder as well as an archive:")
        st.code(add_data.own(here.home), language="bash", wrap_lines=True)
    for info in sorted(catalog.datasets, key=lambda info: not info.ready):
        with st.container(border=True, key=f"dataset_{info.name}", gap="xsmall"):
            _dataset(info)


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
    if info.ready and st.toggle("Show pictures of each class", key=Key.DATA_WALL.of(info.name)):
        data_sets.wall(info.name, key=f"settings_{info.name}")
    if not info.ready and info.fetchable:
        data_sets.fetching(info, key="settings")
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
    return html.named([(name, place, (value,)) for name, place, value in rows], below_kind="sf-dim sf-path")


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
            if worker.offer is not None and worker.offer.packing is not None:
                st.caption(plain(f"{worker.name}, measured. {worker.offer.packing}"))


def _says(worker: WorkerInfo) -> str:
    """Such as `box:4711 takes the queue cpu · 1 of 2 slots busy · seen 3 s ago`, and what it can do."""
    slots = f"{len(worker.runs)} of {worker.slots} slot{'' if worker.slots == 1 else 's'} busy"
    said = f"{worker.name} takes the queue {worker.queue} · {slots} · seen {state.ago(worker.seen_at)}"
    return said if worker.offer is None else f"{said} · {worker.offer.words}"
