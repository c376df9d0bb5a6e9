"""Try it: one image through a trained network, its spikes step by step, beside the twin's answer."""

from __future__ import annotations

import hashlib

import streamlit as st

from core.datasets.catalog import reading, title_of
from core.report.charts import prediction_steps, spikes, theme
from core.schemas.catalog import Catalog
from core.schemas.inference import MAX_PICTURE_BYTES, Inference, Tried
from core.schemas.run import Kind, RunState
from core.schemas.runs import Run
from frontend.client.api import ApiProblem
from frontend.client.connection import api, part, plain, show_problem
from frontend.keys import Key
from frontend.pages.tryit import answer as tried
from frontend.pages.tryit import clip, neuron
from frontend.parts import lens
from frontend.parts import run_state as state
from frontend.parts.chart_box import ground, show
from frontend.places import entitle, link, link_run

LISTED = 100
SHOWN = 18  # test images in the gallery
TICK_S = 0.9
TEST_IMAGE, OWN_PICTURE = "A test image", "Your picture"
WHICH = {"spread": "Of each class", "wrong": "It got wrong", "disagree": "Twins differ"}


def render() -> None:
    catalog = api().catalog()
    st.title("Try it")
    runs = api().runs(state=RunState.SUCCEEDED.value, limit=LISTED).items
    if not runs:
        st.markdown("No network is trained yet. When a run has succeeded, you can send images through it here.")
        link("launch")
        return
    run = _choose_run(runs, catalog)
    left, right = st.columns([1, 2.6], gap="large")
    with left:
        asked = _choose_image(run)
    with right:
        if asked is None:
            st.markdown("Choose an image, and see what every layer makes of it.")
            return
        _answer(run, asked, lens.current(catalog), catalog)


def _choose_run(runs: list[Run], catalog: Catalog) -> Run:
    """The run in the address, or else the newest spiking one; with the lens beside it."""
    known = {run.id: run for run in runs}
    wanted = st.query_params.get("run")
    if wanted and wanted not in known:
        try:
            run = api().run(wanted)
        except ApiProblem as problem:
            show_problem(problem)
        else:
            if run.state is RunState.SUCCEEDED:
                known[run.id] = run
            else:
                words = f"{run.label}, seed {run.config.seed}, has no trained network: {state.WORDS[run.state]}."
                st.info(f"{plain(words)} Another run is shown.", icon=":material/info:")
    first = next((run.id for run in runs if run.config.kind is Kind.SNN), runs[0].id)
    if st.session_state.get(Key.TRY_RUN) not in known:
        st.session_state[Key.TRY_RUN] = wanted if wanted in known else first
    columns = st.columns([1.6, 1, 1], vertical_alignment="bottom")
    with columns[0]:
        chosen = st.selectbox(
            "Trained network",
            list(known),
            format_func=lambda run_id: _name(known[run_id]),
            key=Key.TRY_RUN,
            on_change=_forget_image,
        )
    lens.picker(catalog, columns[1], columns[2])
    st.query_params["run"] = chosen
    entitle("tryit", known[chosen].label)
    return known[chosen]


def _name(run: Run) -> str:
    accuracy = f" · {theme.percent(run.summary.accuracy)}" if run.summary else ""
    return f"{run.title} · {title_of(run.config.dataset)}{accuracy} · seed {run.config.seed}"


def _forget_image() -> None:
    """Another network: its first test image, from the first step."""
    st.query_params.pop("index", None)
    st.session_state[Key.TRY_PLAY] = False


def _choose_image(run: Run) -> dict | None:
    """What to send: `index`, or `picture` and, but for a sound, `invert`; None until something is chosen."""
    if (how := reading(run.config.dataset)) is not None:
        if (source := clip.choose()) != clip.TEST_CLIP:
            return clip.bring(source)
        st.caption(how)
    else:
        source = st.segmented_control(
            "Image", [TEST_IMAGE, OWN_PICTURE], default=TEST_IMAGE, key=Key.TRY_SOURCE, persist_state="session"
        )
        if source == OWN_PICTURE:
            return _upload()
    which = st.segmented_control(
        "Which", list(WHICH), default="spread", format_func=WHICH.get, key=Key.TRY_WHICH, label_visibility="collapsed",
        wrap=True,
    )  # fmt: skip
    examples = api().examples(run.id, which=which or "spread", limit=SHOWN).items
    chosen = _index()
    if chosen is None and examples:
        chosen = examples[0].index
    if not examples:
        st.caption("None of the kept test images." if which != "disagree" else "The twins agree, or there is no twin.")
    st.html(tried.gallery_css(examples, chosen))
    with st.container(horizontal=True, key=Key.TRY_GALLERY, gap="small"):
        for item in examples:
            st.button(
                plain(item.label),
                key=Key.TRY_IMAGE.of(str(item.index)),
                on_click=_take,
                args=(item.index,),
                help=f"test image {item.index}, a {plain(item.label)}",
            )
    return None if chosen is None else {"index": chosen}


def _index() -> int | None:
    """The test image in the address."""
    given = st.query_params.get("index", "")
    return int(given) if given.isdecimal() and len(given) < 9 else None


def _take(index: int) -> None:
    st.query_params["index"] = str(index)
    st.session_state[Key.TRY_PLAY] = False


def _upload() -> dict | None:
    limit = MAX_PICTURE_BYTES >> 20
    file = st.file_uploader(
        f"PNG, JPEG or WebP, up to {limit} MiB",
        type=["png", "jpg", "jpeg", "webp"],
        max_upload_size=limit,
        key=Key.TRY_UPLOAD,
    )
    invert = st.toggle(
        "Take the negative",
        key=Key.TRY_INVERT,
        help="Digits and Fashion-MNIST are light on a dark ground. A dark drawing on white paper needs this.",
    )
    st.caption("The picture goes to your own API and nowhere else; no file of it is kept.")
    return None if file is None else {"picture": file.getvalue(), "invert": invert}


def _answer(run: Run, asked: dict, chosen: lens.Lens, catalog: Catalog) -> None:
    """Ask once for each image, network and lens; then show it step by step."""
    picture = asked.get("picture")
    name = hashlib.sha256(picture).hexdigest() if picture is not None else None
    question = (run.id, asked.get("index"), name, asked.get("invert"), chosen)
    if st.session_state.get(Key.TRY_ASKED) != question:
        try:
            with st.spinner("The network is at work. The first image takes some seconds more, while the engine loads."):
                result = api().try_image(run.id, mode=chosen.mode, profile=chosen.profile, **asked)
        except ApiProblem as problem:
            st.session_state.pop(Key.TRY_ASKED, None)
            if problem.concerns("clip"):
                st.error(clip.refused(problem), icon=":material/error:")
                return
            if problem.concerns("picture"):
                said = f"It is {problem.fields['value']}; it must be {problem.fields['expected']}."
                st.error(f"**This picture cannot be used.**  \n{plain(said)}", icon=":material/error:")
                return
            show_problem(problem)
            if problem.status >= 500:  # else the same picture would be refused again
                st.button("Try again", key=Key.TRY_AGAIN, icon=":material/replay:")
            return
        st.session_state[Key.TRY_ASKED], st.session_state[Key.TRY_RESULT] = question, result
    playing = st.session_state.get(Key.TRY_PLAY, False)
    travel = st.fragment(run_every=TICK_S if playing else None)(part(_travel))
    travel(st.session_state[Key.TRY_RESULT], _titles(chosen, catalog))
    neuron.draw(run, asked, st.session_state[Key.TRY_RESULT], question)
    link_run(run.id, "All results of this run", icon=":material/arrow_forward:")


def _titles(chosen: lens.Lens, catalog: Catalog) -> tuple[str, str, bool]:
    """Title of the mode and of the profile, and whether the mode bills one step only."""
    mode = next(mode.title for mode in catalog.modes if mode.name == chosen.mode)
    profile = next(profile.title for profile in catalog.profiles if profile.name == chosen.profile)
    return mode, profile, chosen.mode == "paper"


def _travel(result: Tried, titles: tuple[str, str, bool]) -> None:
    """The image, the answers, the maps and the charts at one step; plays through the steps on request."""
    answer, twin = result.answer, result.twin
    step = _step(answer.time_steps)
    seen, says = st.columns([1, 1.9], vertical_alignment="center")
    seen.html(tried.seen(result))
    with says:
        st.html(tried.answers(result, step))
        st.caption(plain(tried.sentence(result, step)))
    if answer.time_steps > 1:
        _controls(answer.time_steps, step)
    shown = _look_inside(result)
    at = min(step, shown.time_steps)
    st.html(spikes.grid(shown, at, ground=ground()))
    st.caption(_legend(shown, at))
    networks = [network for network in (answer, twin) if network is not None]
    mode, profile, one_step = titles
    left, right = st.columns(2)
    with left:
        chart = prediction_steps.figure(answer, twin, step=step, source=_source(result, answer))
        show(chart, key=Key.TRY_CHART.of("prediction"), data=prediction_steps.rows(networks))
    with right:
        chart = prediction_steps.energy(answer, twin, step=step, mode=mode, profile=profile, one_step=one_step)
        show(chart, key=Key.TRY_CHART.of("energy"), data=prediction_steps.energy_rows(networks))
    chart = spikes.figure(shown, source=_source(result, shown))
    show(chart, key=Key.TRY_CHART.of("rates"), data=spikes.rows([shown]))


def _look_inside(result: Tried) -> Inference:
    """The network whose layers are shown: the chosen run's, or its twin's."""
    if result.twin is None:
        return result.answer
    networks = {"run": result.answer, "twin": result.twin}
    which = st.segmented_control(
        "Look inside",
        list(networks),
        default="run",
        format_func=lambda name: networks[name].label,
        key=Key.TRY_NETWORK,
        required=True,
        wrap=True,
    )
    return networks[which]


def _step(steps: int) -> int:
    """The step to show, in 1..T; one further at each tick while it plays, and at the end the clock stops."""
    step = min(st.session_state.get(Key.TRY_STEP, steps), steps)
    if st.session_state.get(Key.TRY_PLAY, False):
        if step >= steps:
            st.session_state[Key.TRY_PLAY] = False
            st.rerun()  # the whole page, without the clock
        step += 1
    if steps > 1:
        st.session_state[Key.TRY_STEP] = step
    return step


def _controls(steps: int, step: int) -> None:
    playing = st.session_state.get(Key.TRY_PLAY, False)
    icon = ":material/stop:" if playing else ":material/play_arrow:"
    with st.container(horizontal=True, vertical_alignment="bottom", key=Key.TRY_CONTROLS):
        if st.button("Stop" if playing else "Play", key=Key.TRY_BUTTON, icon=icon):
            st.session_state[Key.TRY_PLAY] = not playing
            if not playing and step >= steps:
                st.session_state[Key.TRY_STEP] = 0  # the first tick makes it 1
            st.rerun()
        st.slider("Time step", 1, steps, key=Key.TRY_STEP)


def _source(result: Tried, network: Inference) -> str:
    return f"{network.label} · {tried.source(result)}"


def _legend(shown: Inference, step: int) -> str:
    spiking = shown.kind is Kind.SNN
    each = "neurons that fire" if spiking else "outputs above 0"
    drawn = " Rate coding drew the input's spikes anew for this image." if shown.encoding == "rate" else ""
    return (
        f"Each map is one layer{f' at step {step}' if spiking else ''}: the stronger a place, the more {each} among its "
        f"channels, scaled layer by layer. The percentage is of the whole layer.{drawn}"
    )
