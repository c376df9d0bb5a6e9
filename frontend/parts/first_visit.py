"""What this is and where to begin: open on an empty first visit, behind a button later."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.schemas.runs import RunPage
from frontend.places import link

WHAT = (
    "**Spikefront trains small image networks twice**, once as a spiking network and once as its CNN twin, counts every "
    "operation of both, and shows what accuracy each one buys for its energy. It began with SqueezeNet-P of Kabir et al. "
    "(here SqueezeNet with the mask Ref-1). Energies are operations times published prices, so they are estimates; "
    "accuracies are measured here."
)
STEPS = (
    "1. **Launch** a network. Digits, recipe Smoke, *Both twins* takes about a minute; images of your own can be added there.  \n"
    "2. **Explore** shows both as points, accuracy against energy, under any prices.  \n"
    "3. Open a point for its layers, neurons and mistakes; **Compare** holds runs against each other; **Try it** "
    "sends one picture through."
)

FEW = 20  # more than the gallery has; of more runs some are somebody's own


def draw(newest: Callable[[int], RunPage]) -> None:
    """Open until something has been trained here, else behind a button; `newest` as in `begun`."""
    if begun(newest):
        with st.popover("What is this?", icon=":material/help:", type="tertiary"):
            _words()
        return
    with st.container(border=True, key="first_visit"):
        _words()


def begun(newest: Callable[[int], RunPage]) -> bool:
    """Whether a run has been trained here: those of the gallery were brought in, and everybody has them at first.

    `newest` gives at most so many of the runs that succeeded.
    """
    found = newest(1)
    if 1 < found.total <= FEW and found.items[0].imported:
        found = newest(FEW)
    return found.total > FEW or any(not run.imported for run in found.items)


def _words() -> None:
    st.markdown(WHAT)
    st.markdown(STEPS)
    with st.container(horizontal=True):
        link("launch")
        link("settings", "Images of your own")
        link("audit", "The printed tables")
