"""Masks worth training next, with their reasons; asked for only when somebody opens them."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.backbones.catalog import layout_of
from core.backbones.naming import differences
from core.datasets.catalog import title_of
from core.schemas.catalog import BackboneInfo, Catalog
from core.schemas.run import Kind, RunConfig
from core.schemas.suggestion import MaskSuggestion, MaskSuggestions
from core.units import format_count
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain, show_problem
from frontend.keys import Key
from frontend.pages.launch import advanced, mask_editor, refill, sweep_form
from frontend.parts import architecture, lens


def draw(catalog: Catalog, backbone: BackboneInfo, *, definition: str, kind: Kind, dataset: str) -> None:
    """An expander that works when it is opened."""
    with st.expander(
        "Suggest the next masks", icon=":material/lightbulb:", key=Key.LAUNCH_SUGGEST, on_change="rerun"
    ) as shown:
        if not shown.open:
            return
        look = lens.current(catalog)
        try:
            with st.spinner("Looking at all masks"):
                found = _found(backbone.name, definition, kind.value, dataset, look.mode, look.profile)
        except ApiProblem as problem:  # such as: this profile has no price for what this mode charges
            show_problem(problem)
            return
        _show(found, backbone, kind, {item.name for item in catalog.recipes})


@st.cache_data(ttl=30, max_entries=16, show_spinner=False)
def _found(backbone: str, definition: str, kind: str, dataset: str, mode: str, profile: str) -> MaskSuggestions:
    return api().suggestions(
        backbone=backbone, definition=definition, kind=kind, dataset=dataset, mode=mode, profile=profile
    )


def _show(found: MaskSuggestions, backbone: BackboneInfo, kind: Kind, recipes: set[str]) -> None:
    if not found.items:
        st.markdown(plain(found.note))
        st.caption("Launch a few masks first: a sweep over the named ones is a good start.")
        return
    base = found.base
    assert base is not None, "a prediction rests on runs"
    backbone = backbone.model_copy(update=layout_of(base.backbone, base.definition, base.architecture)._asdict())
    steps = f", T = {base.time_steps}" if kind is Kind.SNN else ""
    recipe = base.recipe if base.recipe in recipes else None
    changes = {} if recipe is None else refill.changes(base, recipe=recipe)
    changed = "".join(f", {name} {value}" for name, value in changes.items())
    options = "".join(f" ({word})" for word in differences(base.definition, base.architecture))
    st.caption(
        plain(
            f"From {found.n_runs} {kind.value.upper()} runs of {found.n_masks} masks{options} on {title_of(base.dataset)}, recipe "
            f"{base.recipe}{changed}{steps}; energy in mode {found.mode} at {found.profile}. {found.note}"
        )
    )
    for place, item in enumerate(found.items):
        _item(item, backbone, place, base, recipe, changes)
    masks = [sweep_form.words(backbone, item.mask) for item in found.items]
    st.button(
        f"Sweep over these {len(masks)}",
        key=Key.LAUNCH_USE.of("all"),
        icon=":material/grid_view:",
        on_click=_sweep,
        args=(masks, base, recipe, changes),
    )


def _item(
    item: MaskSuggestion,
    backbone: BackboneInfo,
    place: int,
    base: RunConfig,
    recipe: str | None,
    changes: dict[str, Any],
) -> None:
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        name = f"{item.mask_name}: {','.join(item.mask)}" if item.mask_name else ",".join(item.mask)
        sizes = f"{format_count(item.params)} parameters, {format_count(item.dense_ops)} dense MACs"
        st.markdown(f"**{plain(name)}** · {plain(sizes)}  \n{plain(item.reason)}", width="stretch")
        st.button(
            "Use",
            key=Key.LAUNCH_USE.of(str(place)),
            help=f"Set the mask {','.join(item.mask)}",
            on_click=_use,
            args=(backbone, item.mask, base, recipe, changes),
        )


def _use(
    backbone: BackboneInfo, mask: tuple[str, ...], base: RunConfig, recipe: str | None, changes: dict[str, Any]
) -> None:
    """The mask in the editor, with the network and the settings that its figures are predicted for."""
    sweep_form.forget_masks()
    architecture.take(base.architecture)
    mask_editor.take(backbone, mask)
    _take_recipe(recipe, changes)


def _sweep(masks: list[str], base: RunConfig, recipe: str | None, changes: dict[str, Any]) -> None:
    sweep_form.forget_masks()
    architecture.take(base.architecture)
    sweep_form.add_masks(masks)
    _take_recipe(recipe, changes)


def _take_recipe(recipe: str | None, changes: dict[str, Any]) -> None:
    if recipe:
        st.session_state[Key.LAUNCH_RECIPE] = recipe
        advanced.take(changes)
