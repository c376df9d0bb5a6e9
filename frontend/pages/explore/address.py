"""Explore's view as the address bar holds it, so that a reload, a bookmark or a colleague sees the same."""

from __future__ import annotations

import streamlit as st

from core.report.charts.axes import GROUPINGS, X_AXES, Y_AXES
from core.schemas.catalog import Catalog
from frontend.keys import Key
from frontend.parts import lens_address
from frontend.parts.lens_address import Part, number, one_of

ALL = "all"  # in place of a data set's name
MOST_STEPS = 64


def parts(catalog: Catalog, dataset: str) -> dict[str, Part]:
    """Name in the address -> what it stands for; `dataset` is the one shown where the address names none."""
    return {
        "dataset": Part(key=Key.EXPLORE_DATASET, default=dataset, read=one_of([ALL, *catalog.plotted])),
        **lens_address.parts(catalog),
        "x": Part(key=Key.EXPLORE_X, default="energy", read=one_of(X_AXES)),
        "y": Part(key=Key.EXPLORE_Y, default="accuracy", read=one_of(Y_AXES)),
        "log": Part(key=Key.EXPLORE_LOG, default=True, read=_flag),
        "colour": Part(key=Key.EXPLORE_COLOUR, default="family", read=one_of(GROUPINGS)),
        "shape": Part(key=Key.EXPLORE_SHAPE, default="kind", read=one_of(GROUPINGS)),
        "seeds": Part(key=Key.EXPLORE_SEEDS, default=False, read=_flag),
        "steps": Part(key=Key.EXPLORE_STEPS, default=0, read=lambda text: number(text, range(1, MOST_STEPS + 1))),
        "sure": Part(key=Key.EXPLORE_SURE, default=False, read=_flag),
    }


def adopt(catalog: Catalog, dataset: str) -> None:
    """Before the widgets; see `lens_address.adopt`."""
    known = parts(catalog, dataset)
    lens_address.adopt(known, last=Key.EXPLORE_ADDRESS, kept=("dataset", "mode", "profile"))


def write(catalog: Catalog, dataset: str) -> None:
    """After the widgets: the address of what is shown, which always names the data set."""
    said = lens_address.said(parts(catalog, dataset), always=("dataset",))
    if dict(st.query_params) != said:
        st.query_params.from_dict(said)
    st.session_state[Key.EXPLORE_ADDRESS] = said


def _flag(text: str) -> bool | None:
    return {"1": True, "0": False}.get(text)
