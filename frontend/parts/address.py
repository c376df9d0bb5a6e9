"""What a page keeps in the session as the address bar holds it, so that a reload or a copied address shows the same.

A page says in a table which words of the address stand for which keys of the session. An address that is not the one
the page wrote last is somebody's, and is taken over before the widgets are drawn; after them the page writes its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import streamlit as st

from frontend.keys import Key

LATE_S = 20.0  # of a busy machine
MOST_EARLIER = 40  # a slider's stops, there and back


def words_of(value: Any) -> str:
    """A value as a word of the address: a flag as 1 or 0, a number without needless digits."""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:g}" if isinstance(value, int | float) else str(value)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One word of the address. `read` gives the value that a text stands for, or None where it stands for none."""

    key: str
    default: Any
    read: Callable[[str], Any]
    say: Callable[[Any], str] = words_of
    quick: bool = False  # moved in many small steps, of which a browser tells more than it hears of


class Written(NamedTuple):
    """What a page wrote into the address, and what its keys held then."""

    words: dict[str, str]
    values: dict[str, Any]
    earlier: tuple[tuple[float, dict[str, str]], ...]  # of `quick` parts: when it wrote what before, in s


def fresh(known: Mapping[str, Part], *, last: Key) -> dict[str, str]:
    """These words of an address that is not the one this page wrote last; none where it is, or has none of them.

    `last` holds what the page wrote. A browser sends the address that it has by then, and after quick moves of a widget
    that is one that the page wrote before: what the widget says is newer.
    """
    given = {name: st.query_params[name] for name in known if st.query_params.get(name)}
    written: Written | None = st.session_state.get(last)
    if written is None:
        return given
    late = bool(st.session_state.get(Key.STAYED)) and (_moved(written) or given in _lately(written.earlier))
    return {} if late or given == written.words else given


def _moved(written: Written) -> bool:
    """Whether a key of this page has another value since; other pages have their own way of changing one."""
    memory = st.session_state
    return any(key in memory and memory[key] != value for key, value in written.values.items())


def _lately(earlier: Iterable[tuple[float, dict[str, str]]]) -> list[dict[str, str]]:
    return [words for at, words in earlier if time.monotonic() - at < LATE_S]


def adopt(known: Mapping[str, Part], *, last: Key, kept: Collection[str] = ()) -> bool:
    """Before the widgets: take over an address that is not the one this page wrote last, and fill in what is missing.

    Whether there was one. An empty address means that the visitor came from another page: then the session's values
    stay, as those of `kept` do where an address leaves them out.
    """
    memory, given = st.session_state, fresh(known, last=last)
    if given:
        for name, part in known.items():
            value = part.read(given[name]) if name in given else None
            if value is not None or name not in kept:
                memory[part.key] = part.default if value is None else value
    for part in known.values():
        if memory.get(part.key) is None and part.default is not None:
            memory[part.key] = part.default
    return bool(given)


def said(known: Mapping[str, Part], *, always: Collection[str] = ()) -> dict[str, str]:
    """The words for what is chosen; what is at its default is left out, unless it is one of `always`."""
    values = {name: st.session_state.get(part.key, part.default) for name, part in known.items()}
    return {
        name: part.say(values[name])
        for name, part in known.items()
        if values[name] not in (None, "") and (name in always or values[name] != part.default)
    }


def write(known: Mapping[str, Part], *, last: Key, always: Collection[str] = (), alone: bool = False) -> None:
    """What is chosen into the address: beside the page's other words, or `alone`."""
    put(known, said(known, always=always), last=last, alone=alone)


def put(known: Mapping[str, Part], words: Mapping[str, str], *, last: Key, alone: bool = False) -> None:
    """These words, and of `known` no others, into the address."""
    others = {name: value for name, value in st.query_params.items() if name not in known}
    if alone:
        if dict(st.query_params) != dict(words):
            st.query_params.from_dict(words)
    elif dict(st.query_params) != {**others, **words}:
        for name in [name for name in known if name in st.query_params and name not in words]:
            del st.query_params[name]
        st.query_params.update(words)  # words that a widget is bound to are its own to set
    before: Written | None = st.session_state.get(last)
    earlier: tuple[tuple[float, dict[str, str]], ...] = ()
    if before is not None and any(part.quick for part in known.values()):
        new = () if before.words == words else ((time.monotonic(), before.words),)
        earlier = (*before.earlier, *new)[-MOST_EARLIER:]
    values = {part.key: st.session_state.get(part.key) for part in known.values()}
    st.session_state[last] = Written(dict(words), values, earlier)


def one_of(names: Collection[str]) -> Callable[[str], str | None]:
    return lambda text: text if text in names else None


def number(text: str, known: Iterable[float]) -> Any:
    """The one of `known` that a text stands for, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return next((one for one in known if one == value), None)


def flag(text: str) -> bool | None:
    return {"1": True, "0": False}.get(text)
