"""The energy lens as the address bar holds it: mode, profile and moved prices, on every page that prices runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.schemas.catalog import Catalog
from frontend.keys import Key
from frontend.parts import lens


@dataclass(frozen=True, kw_only=True)
class Part:
    """One word of the address. `read` gives the value that a text stands for, or None where it stands for none."""

    key: str
    default: Any
    read: Callable[[str], Any]


def parts(catalog: Catalog) -> dict[str, Part]:
    """Name in the address -> what it stands for."""
    prices = {
        name: Part(key=Key.PRICE.of(name), default=1.0, read=lambda text: number(text, lens.STOPS))
        for name in lens.PRICES
    }
    return {
        "mode": Part(key=Key.MODE, default=catalog.default_mode, read=one_of([item.name for item in catalog.modes])),
        "profile": Part(
            key=Key.PROFILE, default=catalog.default_profile, read=one_of([item.name for item in catalog.profiles])
        ),
        **prices,
    }


def adopt(known: Mapping[str, Part], *, last: Key, kept: Collection[str] = ("mode", "profile")) -> None:
    """Before the widgets: take over an address that is not the one this page wrote last, and fill in what is missing.

    `last` holds the words that the page wrote. An empty address means that the visitor came from another page: then the
    session's values stay, as those of `kept` do where an address leaves them out.
    """
    memory = st.session_state
    given = {name: st.query_params[name] for name in known if name in st.query_params}
    if given and given != memory.get(last):
        for name, part in known.items():
            value = part.read(given[name]) if name in given else None
            if value is not None or name not in kept:
                memory[part.key] = part.default if value is None else value
    for part in known.values():
        if memory.get(part.key) is None:
            memory[part.key] = part.default


def said(known: Mapping[str, Part], *, always: Collection[str] = ()) -> dict[str, str]:
    """The words for what is chosen; what is at its default is left out, unless it is one of `always`."""
    words = {}
    for name, part in known.items():
        value = st.session_state[part.key]
        if name in always or value != part.default:
            words[name] = str(int(value)) if isinstance(value, bool) else f"{value:g}" if _is_number(value) else value
    return words


def write(known: Mapping[str, Part], *, last: Key) -> None:
    """After `adopt`: these words into the address, beside the page's others."""
    words = said(known)
    for name in known:
        if name in words and st.query_params.get(name) != words[name]:
            st.query_params[name] = words[name]
        elif name not in words:
            st.query_params.pop(name, None)
    st.session_state[last] = words


def one_of(names: Collection[str]) -> Callable[[str], str | None]:
    return lambda text: text if text in names else None


def number(text: str, known: Iterable[float]) -> Any:
    """The one of `known` that a text stands for, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return next((one for one in known if one == value), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)
