"""Explore's view as the address bar holds it, so that a reload, a bookmark or a colleague sees the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.schemas.api import Catalog
from frontend.charts.axes import GROUPINGS, X_AXES, Y_AXES
from frontend.elements import lens
from frontend.keys import Key

ALL = "all"  # in place of a data set's name
MOST_STEPS = 64


@dataclass(frozen=True, kw_only=True)
class Part:
    """One word of the address. `read` gives the value that a text stands for, or None where it stands for none."""

    key: str
    default: Any
    read: Callable[[str], Any]


def parts(catalog: Catalog, dataset: str) -> dict[str, Part]:
    """Name in the address -> what it stands for; `dataset` is the one shown where the address names none."""

    def one_of(names: Mapping[str, Any] | list[str]) -> Callable[[str], str | None]:
        return lambda text: text if text in names else None

    prices = {
        name: Part(key=Key.PRICE.of(name), default=1.0, read=lambda text: _number(text, lens.STOPS))
        for name in lens.PRICES
    }
    return {
        "dataset": Part(
            key=Key.EXPLORE_DATASET, default=dataset, read=one_of([ALL, *(item.name for item in catalog.datasets)])
        ),
        "mode": Part(
            key=Key.MODE, default=catalog.default_mode, read=one_of([item.name for item in catalog.modes])
        ),
        "profile": Part(
            key=Key.PROFILE, default=catalog.default_profile, read=one_of([item.name for item in catalog.profiles])
        ),
        **prices,
        "x": Part(key=Key.EXPLORE_X, default="energy", read=one_of(X_AXES)),
        "y": Part(key=Key.EXPLORE_Y, default="accuracy", read=one_of(Y_AXES)),
        "log": Part(key=Key.EXPLORE_LOG, default=True, read=_flag),
        "colour": Part(key=Key.EXPLORE_COLOUR, default="family", read=one_of(GROUPINGS)),
        "shape": Part(key=Key.EXPLORE_SHAPE, default="kind", read=one_of(GROUPINGS)),
        "seeds": Part(key=Key.EXPLORE_SEEDS, default=False, read=_flag),
        "steps": Part(key=Key.EXPLORE_STEPS, default=0, read=lambda text: _number(text, range(1, MOST_STEPS + 1))),
        "sure": Part(key=Key.EXPLORE_SURE, default=False, read=_flag),
    }  # fmt: skip


def adopt(catalog: Catalog, dataset: str) -> None:
    """Before the widgets: take over an address that is not the one this page wrote last, and fill in what is missing.

    An empty address means that the visitor came back from another page: then the session's view stays.
    """
    memory, known = st.session_state, parts(catalog, dataset)
    given = {name: st.query_params[name] for name in known if name in st.query_params}
    if given and given != memory.get(Key.EXPLORE_ADDRESS):
        for name, part in known.items():
            value = part.read(given[name]) if name in given else None
            if value is not None or name not in ("dataset", "mode", "profile"):
                memory[part.key] = part.default if value is None else value
    for part in known.values():
        if memory.get(part.key) is None:
            memory[part.key] = part.default


def write(catalog: Catalog, dataset: str) -> None:
    """After the widgets: the address of what is shown; what is at its default is left out, the data set never."""
    said = {}
    for name, part in parts(catalog, dataset).items():
        value = st.session_state[part.key]
        if name == "dataset" or value != part.default:
            said[name] = str(int(value)) if isinstance(value, bool) else f"{value:g}" if _is_number(value) else value
    if dict(st.query_params) != said:
        st.query_params.from_dict(said)
    st.session_state[Key.EXPLORE_ADDRESS] = said


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _flag(text: str) -> bool | None:
    return {"1": True, "0": False}.get(text)


def _number(text: str, known: Any) -> Any:
    try:
        value = float(text)
    except ValueError:
        return None
    return next((one for one in known if one == value), None)
