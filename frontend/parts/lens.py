"""The energy lens: which operations are charged (accounting mode) and what they cost (hardware profile, prices)."""

from __future__ import annotations

import re
from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.schemas.catalog import Catalog
from core.schemas.prices import AS_PUBLISHED, Factors, Profile
from frontend.keys import Key

#: Places of a price slider: nothing, then ten a decade from a tenth to ten times the profile's price.
STOPS = (0.0, *(float(f"{10 ** (tenth / 10):.3g}") for tenth in range(-10, 11)))
#: Where the first clause of a description ends.
FIRST_CLAUSE = re.compile(r"[.:;](?=\s[A-Za-z]|$)")
PRICES = {"ac": "AC", "mac": "MAC", "memory": "memory access"}


class Lens(NamedTuple):
    """How energy is looked at. Names are those of the catalogue."""

    mode: str
    profile: str


def current(catalog: Catalog) -> Lens:
    """What is chosen for this session, without drawing anything."""
    return Lens(
        _known(Key.MODE, [mode.name for mode in catalog.modes], catalog.default_mode),
        _known(Key.PROFILE, [profile.name for profile in catalog.profiles], catalog.default_profile),
    )


def picker(catalog: Catalog, mode_box: DeltaGenerator, profile_box: DeltaGenerator) -> Lens:
    """Two select boxes, each in its box; every figure of the page re-prices at once, nothing is trained again."""
    modes = {mode.name: mode for mode in catalog.modes}
    profiles = {profile.name: profile for profile in catalog.profiles}
    chosen = current(catalog)
    st.session_state[Key.MODE], st.session_state[Key.PROFILE] = chosen
    mode = mode_box.selectbox(
        "Accounting mode",
        list(modes),
        format_func=lambda name: modes[name].title,
        key=Key.MODE,
        help=modes_in_short(catalog),
        persist_state="session",
    )
    profile = profile_box.selectbox(
        "Hardware profile",
        list(profiles),
        format_func=lambda name: profiles[name].title,
        key=Key.PROFILE,
        help="\n\n".join(
            f"**{item.title}**: {item.ac_pj:g} pJ per AC, {item.mac_pj:g} pJ per MAC. {item.source}"
            for item in profiles.values()
        ),
        persist_state="session",
    )
    return Lens(mode, profile)


def modes_in_short(catalog: Catalog) -> str:
    """The first clause of each mode's description, as Markdown: all of them in full would not fit a screen."""
    short = [f"**{mode.title}**: {FIRST_CLAUSE.split(mode.description)[0]}." for mode in catalog.modes]
    return "\n\n".join([*short, "Settings has the chosen one in full."])


def factors() -> Factors:
    """The prices of this session, as multiples of the profile's."""
    return Factors(**{name: _known(Key.PRICE.of(name), STOPS, 1.0) for name in PRICES})


def sliders(profile: Profile, *, has_memory: bool) -> Factors:
    """Three sliders side by side: what an AC, a MAC and a memory access cost, from nothing to ten times.

    `has_memory`: whether the accounting mode charges memory accesses at all.
    """
    for name in PRICES:
        st.session_state[Key.PRICE.of(name)] = getattr(factors(), name)
    own = {"ac": profile.ac_pj, "mac": profile.mac_pj}
    for column, (name, words) in zip(st.columns(3), PRICES.items(), strict=True):
        column.select_slider(
            f"Price of an {words}" if name == "ac" else f"Price of a {words}",
            STOPS,
            format_func=lambda stop, name=name: _price(stop, own.get(name)),
            key=Key.PRICE.of(name),
            disabled=name == "memory" and not has_memory,
            help="The mode chosen charges no memory accesses: choose “With memory”."
            if name == "memory" and not has_memory
            else "As a multiple of the hardware profile's own price.",
            persist_state="session",
        )
    return factors()


def reset() -> None:
    """Back to the prices of the profile; for a button."""
    for name in PRICES:
        st.session_state[Key.PRICE.of(name)] = 1.0


def prices_in_words(profile: Profile, chosen: Factors) -> str:
    """`AC at 1.8 pJ, memory ×2`; empty where every price is the profile's."""
    words = []
    if chosen.ac != 1:
        words.append(f"AC at {profile.ac_pj * chosen.ac:.3g} pJ")
    if chosen.mac != 1:
        words.append(f"MAC at {profile.mac_pj * chosen.mac:.3g} pJ")
    if chosen.memory != 1:
        words.append(f"memory ×{chosen.memory:g}")
    return ", ".join(words)


def why(catalog: Catalog, chosen: Lens, moved: Factors) -> str:
    """What differs from the default lens, for a sentence; empty where nothing does."""
    words = []
    if chosen.mode != catalog.default_mode:
        title = next(mode.title for mode in catalog.modes if mode.name == chosen.mode)
        words.append("with memory traffic" if chosen.mode == "memory" else f"in the mode “{title}”")
    profile = next(profile for profile in catalog.profiles if profile.name == chosen.profile)
    if chosen.profile != catalog.default_profile:
        words.append(f"on {profile.title}")
    if moved != AS_PUBLISHED:
        words.append(f"with {prices_in_words(profile, moved)}")
    return " and ".join(words)


def _price(stop: float, pj: float | None) -> str:
    return f"×{stop:g}" if pj is None else f"{pj * stop:.3g} pJ"


def _known(key: Key | str, names: list[str] | tuple[float, ...], default: str | float) -> str | float:
    value = st.session_state.get(key, default)
    return value if value in names else default


def price_row(catalog: Catalog, *, opens: bool = True) -> None:
    """The sliders, under a title that names moved prices; open while one is moved, if it `opens`."""
    chosen, moved = current(catalog), factors() != AS_PUBLISHED
    profile = next(item for item in catalog.profiles if item.name == chosen.profile)
    words = prices_in_words(profile, factors())
    with st.expander(f"Energy lens: {words}" if words else "Energy lens: move the prices", expanded=moved and opens):
        sliders(profile, has_memory=chosen.mode == "memory")
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button("The profile's own prices", on_click=reset, disabled=not moved, type="tertiary",
                      icon=":material/restart_alt:")  # fmt: skip
            st.caption(f"{profile.title}: {profile.status}. Energy is estimated: counts × prices, re-priced at once.")
