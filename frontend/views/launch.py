"""Launch: choose a network, data and a recipe; see at once what it will be; queue it."""

from __future__ import annotations

import secrets

import streamlit as st

from core.errors import BadValue
from core.schemas.api import BackboneInfo, Catalog, DatasetInfo, Preview, RunRequest
from frontend import launching
from frontend.api import ApiProblem
from frontend.connection import api, plain, show_problem
from frontend.elements import add_data, fire_row, preview
from frontend.keys import Key
from frontend.pages import open_place, open_run

KIND_TITLES = {"snn": "SNN", "cnn": "CNN", launching.TWINS: "Both twins"}


def render() -> None:
    catalog = api().catalog()
    st.title("Launch")
    backbone, kind, dataset = _network(catalog)
    fire_row.prepare(backbone)
    fire_row.draw(backbone, _row(backbone.name, backbone.blocks, dataset.name))
    left, right = st.columns([1.1, 1], gap="large")
    with left:
        recipe, seeds_text = _training(catalog)
        seeds = _seeds(seeds_text)
        advanced = st.expander("Override the recipe", icon=":material/tune:")
    wanted = launching.requests(
        backbone=backbone.name,
        kinds=launching.KINDS[kind],
        mask=fire_row.kept(backbone),
        dataset=dataset.name,
        recipe=recipe,
        seeds=seeds or [0],
        overrides={
            name: st.session_state.get(Key.LAUNCH_OVERRIDE.of(name)) or "" for name, _, _ in launching.OVERRIDES
        },
    )
    previews, problem = _preview(wanted)
    with advanced:
        _overrides(previews[0] if previews else None, problem)
    with right, st.container(border=True):
        _beside(wanted, previews, problem, dataset, ready=bool(seeds))
    with left:
        if previews:
            preview.chart(previews[0])


def _network(catalog: Catalog) -> tuple[BackboneInfo, str, DatasetInfo]:
    backbones = {item.name: item for item in catalog.backbones}
    datasets = {item.name: item for item in catalog.datasets}
    first, second, third = st.columns([1, 1, 1])
    backbone = first.selectbox(
        "Backbone", list(backbones), format_func=lambda name: backbones[name].title, key=Key.LAUNCH_BACKBONE,
        help=backbones[next(iter(backbones))].source, persist_state="session",
    )  # fmt: skip
    kind = second.segmented_control(
        "Network", list(KIND_TITLES), default=launching.TWINS, required=True, format_func=KIND_TITLES.__getitem__,
        key=Key.LAUNCH_KIND, persist_state="session",
        help="Twins are a spiking network and the CNN of the same plan, trained alike, so that they compare.",
    )  # fmt: skip
    dataset = third.selectbox(
        "Data set", list(datasets), key=Key.LAUNCH_DATASET, persist_state="session",
        format_func=lambda name: datasets[name].title + ("" if datasets[name].ready else " (not here yet)"),
    )  # fmt: skip
    return backbones[backbone], kind, datasets[dataset]


def _training(catalog: Catalog) -> tuple[str, str]:
    recipes = {item.name: item for item in catalog.recipes}
    first, second = st.columns([1.6, 1])
    with first:
        recipe = st.segmented_control(
            "Recipe", list(recipes), default=next(iter(recipes)), required=True,
            format_func=lambda name: recipes[name].title, key=Key.LAUNCH_RECIPE, persist_state="session",
        )  # fmt: skip
        st.caption(plain(recipes[recipe].description))
    seeds = second.text_input(
        "Seeds", value="0", key=Key.LAUNCH_SEEDS, persist_state="session",
        help="One run each: `0`, or `0,1,2`, or `0-4`. Several seeds show how much luck is in a figure.",
    )  # fmt: skip
    return recipe, seeds


def _seeds(text: str) -> list[int]:
    try:
        return launching.parse_seeds(text)
    except BadValue as error:
        st.error(plain(error.message), icon=":material/error:")
        return []


@st.cache_data(ttl=600, max_entries=16, show_spinner=False)
def _row(backbone: str, blocks: tuple[str, ...], dataset: str) -> list[launching.Stage]:
    """The full network's stages; they do not depend on the mask, so clicking a module asks nothing again."""
    full = api().preview(RunRequest(backbone=backbone, mask=list(blocks), dataset=dataset))
    return launching.stages(full, blocks)


def _preview(wanted: list[RunRequest]) -> tuple[list[Preview], ApiProblem | None]:
    """All previews, or the problem of the first that is refused."""
    try:
        return [api().preview(request) for request in wanted], None
    except ApiProblem as problem:
        return [], problem


def _overrides(first: Preview | None, problem: ApiProblem | None) -> None:
    st.caption("Empty fields stay as the recipe has them.")
    config = first.config.model_dump() if first else {}
    columns = st.columns(3)
    for place, (name, title, meaning) in enumerate(launching.OVERRIDES):
        value = config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        with columns[place % 3]:
            st.text_input(
                title, key=Key.LAUNCH_OVERRIDE.of(name), help=f"`{name}`. {meaning}", persist_state="session",
                placeholder="all" if value is None and name.endswith("_limit") else "" if value is None else f"{value}",
            )  # fmt: skip
            if problem is not None and problem.concerns(name):
                st.error(plain(problem.detail))


def _beside(
    wanted: list[RunRequest], previews: list[Preview], problem: ApiProblem | None, dataset: DatasetInfo, *, ready: bool
) -> None:
    st.subheader("Before you pay for it")
    if problem is not None:
        show_problem(problem)
    columns = list({item.config.kind: item for item in previews}.values())
    if columns:
        preview.table(columns)
        preview.time_note(previews)
        preview.equal_runs(previews)
    _dataset_note(dataset)
    count = len(wanted) if ready else 0
    clicked = st.button(
        "Launch" if count == 1 else f"Launch {count} runs" if count else "Launch",
        key=Key.LAUNCH_SUBMIT,
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=not (previews and ready and dataset.ready),
    )
    _submit(wanted, clicked=clicked)


def _dataset_note(dataset: DatasetInfo) -> None:
    if dataset.ready:
        size = f"{dataset.n_train:,} training and {dataset.n_test:,} test images" if dataset.n_train else ""
        part = (
            "" if dataset.complete is not False else " A subset of the published set: figures do not compare with it."
        )
        st.caption(f"{plain(dataset.title)}: {size}.{part}")
        return
    st.warning(f"**{plain(dataset.title)} is not on this machine yet.** {plain(dataset.note or '')}")
    add_data.commands(dataset)


def _submit(wanted: list[RunRequest], *, clicked: bool) -> None:
    """Queue each request under a key made of this form's nonce and the request.

    The nonce changes only when the page is drawn without a click after a launch: a double click, or a
    click that a rerun repeats, sends the same keys and so gets the same runs.
    """
    memory = st.session_state
    if not clicked:
        if memory.pop(Key.LAUNCH_SPENT, False) or Key.LAUNCH_NONCE not in memory:
            memory[Key.LAUNCH_NONCE] = secrets.token_urlsafe(12)
        return
    nonce = memory.setdefault(Key.LAUNCH_NONCE, secrets.token_urlsafe(12))
    try:
        runs = [api().launch(request, idempotency_key=launching.idempotency_key(nonce, request)) for request in wanted]
    except ApiProblem as problem:
        show_problem(problem)
        return
    memory[Key.LAUNCH_SPENT] = True
    if len({run.config.seed for run in runs}) == 1:
        open_run(runs[0].id)
    open_place("runs")
