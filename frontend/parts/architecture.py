"""Options of a backbone's definition under the mask editor: stem, widths, bypass, depth; only those that it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import streamlit as st
from pydantic import ValidationError

from core.schemas.architecture import AS_DEFINED, ArchitectureConfig
from core.schemas.runs import OptionInfo
from frontend.client.api import ApiProblem
from frontend.client.connection import plain
from frontend.keys import Key
from frontend.parts.field import Field

FIELDS = (
    Field("architecture.depth", "Depth", "Layers with weights."),
    Field("architecture.stem_width", "Stem channels", "Of the first convolution, whose input is the image itself."),
    Field("architecture.stem_stride", "Stem stride", "2: in place of the pool behind the stem."),
    Field("architecture.width_multiplier", "Width multiplier", "Times the channels of every block."),
    Field("architecture.share_3x3", "Share of 3x3", "Of a Fire module's expand channels; the others are 1x1."),
    Field("architecture.bypass", "Bypass", "simple: around modules with as many channels out as in, before they fire."),
    Field("architecture.classifier", "Classifier", "neuron: a neuron behind its convolution, in LitE-SNN before it."),
    Field("architecture.cell", "Cell", "How the nodes of every cell are wired: a name, or edges such as 0,1|3,4|6,7."),
    Field("architecture.filters", "Filters F", "Channels of a node of the first two cells."),
)
BY_NAME = {field.name: field for field in FIELDS}
MOST_COLUMNS = 6


def chosen(options: Iterable[OptionInfo]) -> dict[str, str]:
    """What is not as the definition has it, as text."""
    texts = {one.field: (st.session_state.get(Key.LAUNCH_OVERRIDE.of(one.field)) or "").strip() for one in options}
    defaults = {one.field: str(one.default) for one in options}
    return {name: text for name, text in texts.items() if text and text != defaults[name]}


def config(texts: Mapping[str, str]) -> ArchitectureConfig:
    """The options as a drawing needs them: as defined where a text is no value, which the API then refuses."""
    try:
        return ArchitectureConfig.model_validate({name.rpartition(".")[2]: text for name, text in texts.items()})
    except ValidationError:
        return AS_DEFINED


def clear() -> None:
    """Every option as the definition has it; from a callback, or before the fields are drawn."""
    take(AS_DEFINED)


def take(architecture: ArchitectureConfig) -> None:
    """Set the options; from a callback, or before the fields are drawn."""
    for name, value in architecture:
        text = None if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        st.session_state[Key.LAUNCH_OVERRIDE.of(f"architecture.{name}")] = text


def draw(options: Sequence[OptionInfo], settled: ArchitectureConfig | None, problem: ApiProblem | None) -> None:
    """A field an option; `settled` is what the API made of them, where it took them."""
    if not options:
        return
    columns = st.columns(min(MOST_COLUMNS, max(3, len(options))))
    for place, option in enumerate(options):
        with columns[place % len(columns)]:
            _field(option)
            if problem is not None and problem.concerns(option.field):
                st.error(plain(problem.detail))
    if settled is not None and (names := idle(chosen(options), settled)):
        said = " and ".join(BY_NAME[name].title.lower() for name in names)
        st.caption(f"Changes nothing in this network, so it stays as it was: {said}.")


def idle(texts: Mapping[str, str], settled: ArchitectureConfig) -> list[str]:
    """The chosen options that make no other network with this mask."""
    return [name for name in texts if getattr(settled, name.rpartition(".")[2]) is None]


def _field(option: OptionInfo) -> None:
    field = BY_NAME[option.field]
    st.selectbox(
        field.title,
        list(map(str, option.values)),
        index=None,
        key=Key.LAUNCH_OVERRIDE.of(option.field),
        placeholder=str(option.default),
        accept_new_options=not option.closed,
        help=f"`{option.field}`. {field.meaning} Empty: {option.default}, as the definition has it.",
        persist_state="session",
    )
