"""What one launch shall vary beside the seed: backbones, masks, and any field of the config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import streamlit as st

from core.schemas.catalog import BackboneInfo
from core.schemas.runs import OptionInfo
from core.schemas.sweep import MAX_COMBINATIONS
from frontend.keys import Key
from frontend.pages.launch import advanced, mask_editor
from frontend.pages.launch import form as launching
from frontend.parts import architecture
from frontend.parts.field import Field

#: Fields whose values hold commas themselves, with an example of several: semicolons or spaces stand between them.
COMMAS_INSIDE = {"architecture.cell": "0,1|2,3|5,6; 0,1|3,4|6,7", "compression.block_bits": "F4:2,F6:1; F4:1,F6:1"}
WHOLE = "Full"  # the one mask that every backbone has
Sampler = Literal["random", "pareto"]
WAYS: dict[str, Sampler | None] = {"Every combination": None, "Random study": "random", "Pareto study": "pareto"}
_RANGES = (
    "A field takes choices as above, or a range such as 0.0001:0.01:log or 2:8. The mask `any` makes each block a choice. Of the "
    "seeds above the first is used, of the networks each is a choice."
)
STUDIES: dict[Sampler, str] = {
    "random": f"Each trial is drawn at random. {_RANGES}",
    "pareto": f"Trials look for more validation accuracy at less energy, four at once, each after what came before. {_RANGES}",
}


class Axes(NamedTuple):
    """What was chosen; an empty axis is not varied."""

    backbones: tuple[str, ...]
    masks: tuple[str, ...]
    fields: dict[str, tuple[str, ...]]
    name: str
    sampler: Sampler | None = None  # of a study; None: every combination
    trials: int = 0


def clear() -> None:
    """Vary nothing; from a callback, or before the form is drawn."""
    memory = st.session_state
    memory[Key.LAUNCH_SWEEP_BACKBONES] = []
    memory[Key.LAUNCH_SWEEP_MASKS] = []
    memory[Key.LAUNCH_SWEEP_FIELDS] = []
    memory[Key.LAUNCH_SWEEP_NAME] = ""


def forget_masks() -> None:
    """Masks are of one backbone; for a callback of its change."""
    st.session_state[Key.LAUNCH_SWEEP_MASKS] = []


def forget_options() -> None:
    """Options of the network are of one definition; for a callback of its change."""
    names = st.session_state.get(Key.LAUNCH_SWEEP_FIELDS) or []
    st.session_state[Key.LAUNCH_SWEEP_FIELDS] = [name for name in names if name in advanced.BY_NAME]


def draw(backbones: Mapping[str, BackboneInfo], backbone: BackboneInfo, options: Sequence[OptionInfo] = ()) -> Axes:
    """The form; every combination of what it names becomes a run. `options`: those of the network."""
    memory = st.session_state
    way = st.segmented_control(
        "Runs", list(WAYS), default=next(iter(WAYS)), key=Key.LAUNCH_SWEEP_STUDY, persist_state="session",
        help="A study takes some of the combinations, chosen at random or by what earlier trials came to.",
    )  # fmt: skip
    sampler, trials = WAYS[way or next(iter(WAYS))], 0
    if sampler is None:
        st.caption("Every combination becomes a run, with each seed above. An empty field is not varied.")
    else:
        st.caption(STUDIES[sampler])
        trials = st.number_input(
            "Trials", 2, MAX_COMBINATIONS, 20, key=Key.LAUNCH_SWEEP_TRIALS, width=160, persist_state="session"
        )
    first, second = st.columns(2)
    chosen = first.multiselect(
        "Backbones",
        list(backbones),
        format_func=lambda name: backbones[name].title,
        placeholder=backbone.title,
        key=Key.LAUNCH_SWEEP_BACKBONES,
        persist_state="session",
    )
    several = len(chosen) > 1 or (len(chosen) == 1 and chosen != [backbone.name])
    own = memory.get(Key.LAUNCH_SWEEP_MASKS) or []
    shared = [name for name in backbone.masks if all(name in backbones[other].masks for other in chosen)]
    edited = words(backbone, mask_editor.kept(backbone))
    with second:
        masks = st.multiselect(
            "Masks",
            list(dict.fromkeys([*(shared if several else backbone.masks), *own])),
            format_func=lambda name: mask_editor.mask_title(backbone.name, name),
            placeholder=WHOLE if several else f"the one above: {edited or 'none'}",
            key=Key.LAUNCH_SWEEP_MASKS,
            accept_new_options=True,
            wrap=True,
            persist_state="session",
            help="Names of masks, or blocks such as F4,F6.",
        )
        st.button(
            "Add the mask above", key=Key.LAUNCH_ADD_MASK, icon=":material/add:", type="tertiary",
            on_click=add_masks, args=([edited],), disabled=not edited or several or edited in masks,
        )  # fmt: skip
    if several:
        st.caption("Several backbones share masks by name only; without one, each is whole.")
    words_of = {one.field: tuple(map(str, one.values)) if one.closed else () for one in options}
    fields = {name: architecture.BY_NAME[name] for name in words_of} | advanced.BY_NAME
    names = st.multiselect(
        "Fields",
        list(fields),
        format_func=lambda name: fields[name].title,
        placeholder="none; such as tau, learning rate, time steps",
        key=Key.LAUNCH_SWEEP_FIELDS,
        persist_state="session",
    )
    columns = st.columns(2)
    values = {
        name: _values(fields[name], words_of.get(name) or advanced.choices(name), columns[place % 2])
        for place, name in enumerate(names)
    }
    if sampler is not None and not (names or masks or chosen):
        st.caption("Nothing is varied yet: choose fields, or the mask `any`.")
    name = st.text_input(
        "Name of the sweep",
        key=Key.LAUNCH_SWEEP_NAME,
        placeholder="made from what it varies",
        max_chars=100,
        persist_state="session",
    )
    return Axes(
        backbones=tuple(chosen),
        masks=tuple(masks) or ((WHOLE,) if several else ()),
        fields={name: some for name, some in values.items() if some},
        name=name,
        sampler=sampler,
        trials=int(trials),
    )


def words(backbone: BackboneInfo, mask: Sequence[str]) -> str:
    """A mask as an axis holds it: its name, or its blocks with commas."""
    return mask_editor.name_of(backbone, tuple(mask)) or ",".join(mask)


def add_masks(masks: Sequence[str]) -> None:
    """For a callback: put masks on the axis."""
    memory = st.session_state
    memory[Key.LAUNCH_SWEEP_MASKS] = list(dict.fromkeys([*(memory.get(Key.LAUNCH_SWEEP_MASKS) or []), *masks]))


def _values(field: Field, choices: tuple[str, ...], column) -> tuple[str, ...]:
    key = Key.LAUNCH_SWEEP_VALUES.of(field.name)
    shared = {"key": key, "help": f"`{field.name}`. {field.meaning}", "persist_state": "session"}
    if choices:
        return tuple(column.multiselect(f"{field.title}: values", choices, **shared))
    commas = field.name in COMMAS_INSIDE
    text = column.text_input(f"{field.title}: values", placeholder=COMMAS_INSIDE.get(field.name, "1, 2, 3"), **shared)
    return tuple(launching.parse_values(text, commas=not commas))
