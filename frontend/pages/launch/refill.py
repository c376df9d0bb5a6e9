"""The form as a run was launched, every field of it: to change something and launch again, or to go on from its weights.

`/launch?from=ID` fills it; with `&start=bundle` the new run starts from the weights of that one.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.schemas.catalog import Catalog
from core.schemas.request import RunRequest
from core.schemas.run import RunConfig
from core.schemas.runs import Run
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain, show_problem
from frontend.keys import Key
from frontend.pages.launch import advanced, sweep_form
from frontend.parts import architecture
from frontend.places import link_run


def from_address(catalog: Catalog) -> None:
    """Fill the form from the run in the address, once; before anything of it is drawn. Then say whose values they are."""
    memory, asked = st.session_state, st.query_params.get("from")
    if not asked:
        memory.pop(Key.LAUNCH_FROM, None)
        return
    go_on = st.query_params.get("start") == "bundle"
    try:
        run = api().run(asked)
        if memory.get(Key.LAUNCH_FROM) != (asked, go_on):
            fill(run, catalog, go_on=go_on)
    except ApiProblem as problem:  # such as: deleted, or a mistyped address
        show_problem(problem)
        return
    memory[Key.LAUNCH_FROM] = (asked, go_on)
    with st.container(border=True, horizontal=True, vertical_alignment="center", key="filled_from"):
        words = "It goes on from the weights of" if go_on else "Filled in as"
        st.markdown(
            f"{words} **{plain(run.label)}**, seed {run.config.seed}. Change what shall differ.", width="content"
        )
        link_run(run.id, "Open that run")


def fill(run: Run, catalog: Catalog, *, go_on: bool) -> None:
    """Raises ApiProblem, with nothing changed, where the run's recipe cannot be previewed here."""
    config, memory = run.config, st.session_state
    recipes = [item.name for item in catalog.recipes]
    recipe = config.recipe if config.recipe in recipes else recipes[0]
    values = changes(config, recipe=recipe)
    if go_on:
        values |= {"start": "bundle", "start_bundle": run.id}
    memory[Key.LAUNCH_BACKBONE] = config.backbone
    memory[Key.LAUNCH_DEFINITION] = config.definition
    memory[Key.LAUNCH_DATASET] = config.dataset
    memory[Key.LAUNCH_KIND] = config.kind.value
    memory[Key.LAUNCH_RECIPE] = recipe
    memory[Key.LAUNCH_SEEDS] = str(config.seed)
    memory[Key.LAUNCH_ROW] = None
    architecture.take(config.architecture)
    backbone = next((item for item in catalog.backbones if item.name == config.backbone), None)
    if backbone is not None:
        for block in {*backbone.blocks, *config.mask}:  # a depth of its own has blocks that the catalogue does not list
            memory[Key.LAUNCH_BLOCK.of(block)] = block in config.mask
    advanced.take(values)
    sweep_form.clear()


def changes(config: RunConfig, *, recipe: str) -> dict[str, Any]:
    """Field of the form -> the config's value, where it is not that recipe's."""
    asked = RunRequest(
        backbone=config.backbone,
        definition=config.definition,
        kind=config.kind,
        mask=list(config.mask),
        dataset=config.dataset,
        recipe=recipe,
        overrides={f"architecture.{name}": value for name, value in config.architecture if value is not None},
    )
    return advanced.differences(config, api().preview(asked).config)
