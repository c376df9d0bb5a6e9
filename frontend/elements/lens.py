"""The energy lens: which operations are charged (accounting mode) and what they cost (hardware profile)."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.schemas.api import Catalog
from frontend.keys import Key


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
    mode = mode_box.selectbox(
        "Accounting mode",
        list(modes),
        index=list(modes).index(chosen.mode),
        format_func=lambda name: modes[name].title,
        key=Key.MODE,
        help="\n\n".join(f"**{mode.title}**: {mode.description}" for mode in modes.values()),
        persist_state="session",
    )
    profile = profile_box.selectbox(
        "Hardware profile",
        list(profiles),
        index=list(profiles).index(chosen.profile),
        format_func=lambda name: profiles[name].title,
        key=Key.PROFILE,
        help="\n\n".join(
            f"**{item.title}**: {item.ac_pj:g} pJ per AC, {item.mac_pj:g} pJ per MAC. {item.source}"
            for item in profiles.values()
        ),
        persist_state="session",
    )
    return Lens(mode, profile)


def _known(key: Key, names: list[str], default: str) -> str:
    value = st.session_state.get(key, default)
    return value if value in names else default
