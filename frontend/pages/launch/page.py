"""Launch: choose a network, data and a recipe; see at once what it will be; queue it, or a whole sweep of it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, NamedTuple

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.errors import BadValue
from core.schemas.base import Frozen
from core.schemas.catalog import BackboneInfo, Catalog, DatasetInfo
from core.schemas.compare import FEWEST
from core.schemas.preview import Preview
from core.schemas.request import LEAST_PRIORITY, MOST_PRIORITY, RunRequest
from core.schemas.run import RunState
from core.schemas.runs import OptionInfo
from core.schemas.sweep import SweepPreview, SweepRequest
from core.units import format_about
from frontend.client.api import ApiProblem
from frontend.client.connection import api, plain, show_problem
from frontend.keys import Key
from frontend.pages.launch import (
    advanced,
    mask_editor,
    network_stages,
    presets,
    preview,
    refill,
    suggestions,
    sweep_form,
)
from frontend.pages.launch import form as launching
from frontend.parts import add_data, architecture, data_sets
from frontend.places import entitle, open_place, open_run

KIND_TITLES = {"snn": "SNN", "cnn": "CNN", launching.TWINS: "Both twins"}
DEFINITION_TITLES = {
    "small": "Small",
    "imagenet": "ImageNet",
    "paper": "As printed",
    "paper-cifar10": "As printed, CIFAR-10",
}


DAY_S = 24 * 3600.0
LONG_S = 12 * 3600.0  # what is expected to take longer is asked about before it is launched


class Foreseen(NamedTuple):
    """What the API says of a form before anything is queued: one preview a kind, and the sweep's if it is one."""

    requests: list[RunRequest]
    previews: list[Preview]
    sweep: SweepRequest | None
    all_of_it: SweepPreview | None
    problem: ApiProblem | None


def render() -> None:
    catalog = api().catalog()
    st.title("Launch")
    refill.from_address(catalog)
    presets.from_address(catalog)
    _take_dataset(catalog)
    presets.draw(catalog)
    said = st.container()
    backbones = {item.name: item for item in catalog.backbones}
    *places, last = st.columns([1, 1, 1, 0.7])
    backbone, kind, dataset = _network(catalog, backbones, places)
    entitle("launch", f"{backbone.title} on {dataset.title}")
    with last:
        site = _site(backbone, dataset)
    options = _options(backbone, site)
    site = site.of(site.definition, architecture.config(architecture.chosen(options)))
    backbone = backbone.model_copy(update=site.layout()._asdict())
    mask_editor.prepare(backbone)
    drawing = network_stages.draw(site, mask_editor.kept(backbone))
    mask_editor.draw(backbone, drawing)
    option_fields = st.container()
    left, right = st.columns([1.1, 1], gap="large")
    with left:
        recipe, seeds_text = _training(catalog)
        with st.container():  # what comes and goes in here does not close the expanders below
            seeds = _seeds(seeds_text)
        recipe_fields = st.expander("Override the recipe", icon=":material/tune:")
        with st.expander("Sweep over more", icon=":material/grid_view:"):
            axes = sweep_form.draw(backbones, backbone, options)
        first_kind = launching.KINDS[kind][0]
        if dataset.ready and st.toggle(
            f"Pictures of {plain(dataset.title)}, class by class", key=Key.DATA_WALL.of("launch")
        ):
            data_sets.wall(dataset.name, key=f"launch_{dataset.name}")
        suggestions.draw(catalog, backbone, definition=site.definition, kind=first_kind, dataset=dataset.name)
    form = launching.Form(
        backbone=backbone.name,
        definition=site.definition,
        kinds=launching.KINDS[kind],
        mask=sweep_form.words(backbone, mask_editor.kept(backbone)),
        dataset=dataset.name,
        recipe=recipe,
        seeds=seeds or [0],
        overrides=advanced.chosen() | architecture.chosen(options),
        repeat=bool(st.session_state.get(Key.LAUNCH_REPEAT)),
        priority=int(st.session_state.get(Key.LAUNCH_PRIORITY) or 0),
        project=(st.session_state.get(Key.LAUNCH_PROJECT) or "").strip() or None,
        **axes._asdict(),
    )
    blocked = drawing.problem is not None and not axes.masks
    foreseen = Foreseen([], [], None, None, None) if blocked else _foresee(form)
    with option_fields:
        settled = foreseen.previews[0].config.architecture if foreseen.previews else None
        architecture.draw(options, settled, foreseen.problem)
    with recipe_fields:
        advanced.draw(_config(foreseen, form, blocked=blocked), foreseen.problem)
    with right:
        with st.container(border=True):
            _beside(foreseen, dataset, ready=bool(seeds), blocked=blocked)
        if foreseen.previews:
            preview.chart(foreseen.previews[0])
    with said:
        presets.note(form, backbone, {item.name: item.title for item in catalog.datasets})


def _network(
    catalog: Catalog, backbones: dict[str, BackboneInfo], places: list[DeltaGenerator]
) -> tuple[BackboneInfo, str, DatasetInfo]:
    datasets = {item.name: item for item in catalog.datasets}
    first, second, third = places
    chosen = st.session_state.get(Key.LAUNCH_BACKBONE, next(iter(backbones)))
    backbone = first.selectbox(
        "Backbone", list(backbones), format_func=lambda name: backbones[name].title, key=Key.LAUNCH_BACKBONE,
        help=plain(backbones[chosen].source), on_change=_forget_network, persist_state="session",
    )  # fmt: skip
    kind = second.segmented_control(
        "Network", list(KIND_TITLES), default=launching.TWINS, required=True, format_func=KIND_TITLES.__getitem__,
        key=Key.LAUNCH_KIND, persist_state="session",
        help="Twins are a spiking network and the CNN of the same plan, trained alike, so that they compare.",
    )  # fmt: skip
    dataset = third.selectbox(
        "Data set",
        list(datasets),
        key=Key.LAUNCH_DATASET,
        persist_state="session",
        format_func=lambda name: datasets[name].title + _where(datasets[name]),
    )
    if third.button(
        "Add images of your own", icon=":material/add_photo_alternate:", key=Key.DATA_OPEN, type="tertiary"
    ):
        data_sets.add_dialog()
    return backbones[backbone], kind, datasets[dataset]


def _where(dataset: DatasetInfo) -> str:
    return "" if dataset.ready else " (at a worker)" if dataset.workers else " (not here yet)"


def _take_dataset(catalog: Catalog) -> None:
    """Choose the data set that the address asks for, or that was added here a moment ago."""
    known = {item.name: item.title for item in catalog.datasets}
    asked = st.query_params.pop("dataset", None)
    if asked in known:
        st.session_state[Key.LAUNCH_DATASET] = asked
    if (found := data_sets.added()) is not None:
        st.session_state[Key.LAUNCH_DATASET] = found.dataset.name
        data_sets.tell(found)


def _forget_network() -> None:
    """What belongs to the backbone or definition that was left."""
    sweep_form.forget_masks()
    sweep_form.forget_options()
    architecture.clear()


def _options(backbone: BackboneInfo, site: network_stages.Site) -> list[OptionInfo]:
    return next((one.options for one in backbone.definitions if one.name == site.definition), [])


def _site(backbone: BackboneInfo, dataset: DatasetInfo) -> network_stages.Site:
    """The definition, where these images leave a choice."""
    site = network_stages.Site(
        backbone=backbone.name,
        definition="small",
        blocks=backbone.blocks,
        input_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
    )
    known = network_stages.definitions(site)
    if st.session_state.get(Key.LAUNCH_DEFINITION) not in known:
        st.session_state[Key.LAUNCH_DEFINITION] = known[0]
    if len(known) == 1:
        return site
    definition = st.segmented_control(
        "Definition", known, format_func=DEFINITION_TITLES.__getitem__, key=Key.LAUNCH_DEFINITION, required=True,
        persist_state="session", on_change=_forget_network,
        help="ImageNet: the published network, made for images of 224 pixels. Small: for images of 16 to 64 pixels. As "
        "printed: recovered from the counts of Kabir et al.; those on CIFAR-10 have one more layer of neurons.",
    )  # fmt: skip
    return site.of(definition)


def _training(catalog: Catalog) -> tuple[str, str]:
    recipes = {item.name: item for item in catalog.recipes}
    first, second = st.columns([1.6, 1])
    with first:
        recipe = st.segmented_control(
            "Recipe", list(recipes), default=next(iter(recipes)), required=True,
            format_func=lambda name: recipes[name].title, key=Key.LAUNCH_RECIPE, persist_state="session", wrap=True,
        )  # fmt: skip
        took = f"SNN-SqueezeNet-P on CIFAR-10: {format_about(recipes[recipe].expected_minutes)} on two cores."
        st.caption(plain(f"{recipes[recipe].description} {took}"))
    seeds = second.text_input(
        "Seeds",
        value="0",
        key=Key.LAUNCH_SEEDS,
        persist_state="session",
        help="One run each: `0`, or `0,1,2`, or `0-4`. Several seeds show how much luck is in a figure.",
    )
    return recipe, seeds


def _seeds(text: str) -> list[int]:
    try:
        return launching.parse_seeds(text)
    except BadValue as error:
        st.error(plain(f"Seeds must be {error.fields['expected']}."), icon=":material/error:")
        return []


def _foresee(form: launching.Form) -> Foreseen:
    """Everything the API can say, or the first problem."""
    requests, sweep = launching.requests(form), launching.sweep(form)
    previews, all_of_it = [], None
    try:
        previews = [api().preview(request) for request in requests]
        all_of_it = api().preview_sweep(sweep) if sweep else None
    except ApiProblem as problem:
        problem.detail = advanced.titled(problem.detail)
        return Foreseen(requests, previews, sweep, None, problem)
    return Foreseen(requests, previews, sweep, all_of_it, None)


def _config(foreseen: Foreseen, form: launching.Form, *, blocked: bool) -> dict[str, Any]:
    """What the form comes to; while it is refused, the recipe alone, so that its values stay in sight."""
    if foreseen.previews:
        return foreseen.previews[0].config.model_dump()
    plain_form = form._replace(overrides={}, fields={}, seeds=[0])
    if blocked:  # any mask will do for what a recipe says of training
        plain_form = plain_form._replace(mask=sweep_form.WHOLE)
    try:
        return api().preview(launching.requests(plain_form)[0]).config.model_dump()
    except ApiProblem:
        return {}


def _beside(foreseen: Foreseen, dataset: DatasetInfo, *, ready: bool, blocked: bool) -> None:
    st.subheader("Before you pay for it")
    if blocked:
        st.markdown("There is nothing to launch: this mask gives no network.")
    if foreseen.problem is not None:
        show_problem(foreseen.problem)
    if foreseen.all_of_it is not None:
        preview.sweep(foreseen.all_of_it, slots=api().queue().slots)
    if foreseen.previews:
        if foreseen.sweep is not None:
            st.caption(f"Its first combination, {plain(preview.title(foreseen.previews[0]))}:")
        preview.table(foreseen.previews)
    if foreseen.sweep is None and foreseen.previews:
        preview.time_note(foreseen.previews)
        preview.equal_runs(foreseen.previews)
    _dataset_note(dataset)
    preview.waits(foreseen.requests, foreseen.previews)
    with st.container(horizontal=True, gap="small"):
        st.number_input(
            "Priority", LEAST_PRIORITY, MOST_PRIORITY, 0, key=Key.LAUNCH_PRIORITY, width=160,
            help="The higher, the sooner it starts; 0 is usual. It changes no result.",
        )  # fmt: skip
        st.text_input(
            "Project", key=Key.LAUNCH_PROJECT, max_chars=64, placeholder="none", persist_state="session", width=220,
            help="A word that gathers runs; Runs can show those of one. It changes no result.",
        )  # fmt: skip
    able = ready and (dataset.ready or bool(dataset.workers)) and foreseen.problem is None
    if foreseen.sweep is None:
        _launch_networks(foreseen, able=able and bool(foreseen.previews))
    else:
        _launch_sweep(foreseen.sweep, foreseen.all_of_it, able=able)


def _dataset_note(dataset: DatasetInfo) -> None:
    if dataset.ready:
        size = f"{dataset.n_train:,} training and {dataset.n_test:,} test images" if dataset.n_train else ""
        part = (
            "" if dataset.complete is not False else " A subset of the published set: figures do not compare with it."
        )
        st.caption(f"{plain(dataset.title)}: {size}.{part}")
        return
    if dataset.workers:
        where = f"worker{'s' * (len(dataset.workers) > 1)} {', '.join(dataset.workers)}"
        st.caption(plain(f"{dataset.title} is not on this machine: the {where} can train on it."))
        return
    st.warning(f"**{plain(dataset.title)} is not on this machine yet.** {plain(dataset.note or '')}")
    if dataset.fetchable:
        data_sets.fetching(dataset, key="launch")
    add_data.commands(dataset)


def _launch_networks(foreseen: Foreseen, *, able: bool) -> None:
    """One network or its twins: what an equal run answers already is shown, and not trained again unless asked for."""
    equal = [item.equal_run.id for item in foreseen.previews if item.equal_run is not None]
    repeat = bool(equal) and _repeat()
    missing = [
        request
        for request, item in zip(foreseen.requests, foreseen.previews, strict=False)
        if repeat or item.equal_run is None
    ]
    all_there = bool(equal) and not missing
    several = len(set(equal)) >= FEWEST and all(
        item.equal_run.state == RunState.SUCCEEDED for item in foreseen.previews
    )
    label = (
        "Compare the equal runs"
        if all_there and several
        else "Open the equal run"
        if all_there
        else "Launch"
        if len(missing) <= 1
        else f"Launch {len(missing)} runs"
    )
    wanted = [item for item in foreseen.previews if repeat or item.equal_run is None]
    total_s = sum(item.time.total_s for item in wanted if item.time is not None)
    nonce = _nonce(clicked := _agreed(label, total_s, missing, able=able))
    if not clicked:
        return
    if all_there and several:
        open_place("compare", runs=",".join(dict.fromkeys(equal)))
    if all_there:
        open_run(equal[0])
    try:
        run_ids = [
            api().launch(request, idempotency_key=launching.idempotency_key(nonce, request)) for request in missing
        ]
    except ApiProblem as problem:
        show_problem(problem)
        return
    st.session_state[Key.LAUNCH_SPENT] = True
    open_run(run_ids[0])


def _launch_sweep(sweep: SweepRequest, found: SweepPreview | None, *, able: bool) -> None:
    if found is not None and (found.n_existing or sweep.repeat):
        _repeat()  # its value is in the form, and so in the sweep that was foreseen
    count = 0 if found is None else found.n_new
    label = f"Launch {count} run{'' if count == 1 else 's'}" if count else "Show these runs as a sweep"
    total_s = found.time.total_s if found is not None and found.n_new else 0.0
    nonce = _nonce(clicked := _agreed(label, total_s, [sweep], able=able and found is not None))
    if not clicked:
        return
    try:
        made = api().launch_sweep(sweep, idempotency_key=launching.idempotency_key(nonce, sweep))
    except ApiProblem as problem:
        show_problem(problem)
        return
    st.session_state[Key.LAUNCH_SPENT] = True
    open_place("runs", sweep=made.id)


def _repeat() -> bool:
    return st.checkbox(
        "Train equal runs again",
        key=Key.LAUNCH_REPEAT,
        help="They give the same numbers on the same machine; on another one this is a check.",
    )


def _agreed(label: str, total_s: float, asked: Sequence[Frozen], *, able: bool) -> bool:
    """Whether it was clicked; what takes long says so on its button, and is asked about once."""
    if total_s <= LONG_S:
        return _button(label, able=able)
    memory, what = st.session_state, launching.idempotency_key("long", *asked)
    long = f"about {total_s / DAY_S:.2g} days" if total_s > 2 * DAY_S else format_about(total_s / 60)
    if memory.get(Key.LAUNCH_LONG) == what:
        st.warning(
            f"This is expected to keep a slot busy for {long}. Launch it all the same?", icon=":material/schedule:"
        )
        clicked = _button(f"Yes, {label[0].lower()}{label[1:]}: {long}", able=able)
        if clicked:
            memory.pop(Key.LAUNCH_LONG)
        return clicked
    if _button(f"{label}: {long}", able=able):
        memory[Key.LAUNCH_LONG] = what
        st.rerun()
    return False


def _button(label: str, *, able: bool) -> bool:
    return st.button(
        label, key=Key.LAUNCH_SUBMIT, type="primary", icon=":material/play_arrow:", width="stretch", disabled=not able
    )


def _nonce(clicked: bool) -> str:
    """Part of the key under which a launch is sent.

    It changes only when the page is drawn without a click after a launch: a double click, or a click that a
    rerun repeats, sends the same keys and so gets the same runs.
    """
    memory = st.session_state
    if not clicked and memory.pop(Key.LAUNCH_SPENT, False):
        memory.pop(Key.LAUNCH_NONCE, None)
    return memory.setdefault(Key.LAUNCH_NONCE, secrets.token_urlsafe(12))
