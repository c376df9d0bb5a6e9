"""Test images: many with both answers at a glance, and one of them step by step."""

from __future__ import annotations

import streamlit as st

from core.datasets.catalog import reading
from core.report.charts import image_steps, raster
from core.report.markup import piece
from core.schemas.images import Example, Examples, ImageAnswer, SeenImage
from core.units import common_energy_scale, energy_in
from frontend.client.connection import api
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts import examples
from frontend.parts.chart_box import show
from frontend.places import page

WHICH: dict[str, str] = {"first": "First images", "wrong": "Wrong answers", "disagree": "Twins disagree"}
PAGE = 12
MOST = 96


def draw(shown: Shown) -> None:
    which = st.segmented_control(
        "Which images", list(WHICH), default="first", required=True, format_func=WHICH.__getitem__,
        key=Key.RUN_EXAMPLES, label_visibility="collapsed", on_change=_fewer, wrap=True,
    )  # fmt: skip
    limit = st.session_state.get(Key.RUN_MORE, PAGE)
    found = api().examples(shown.run.id, which=which, limit=limit + 1)
    if not found.items:
        st.caption(_nothing(which, twin=found.twin_run_id is not None))
        return
    more = len(found.items) > limit
    found = found.model_copy(update={"items": found.items[:limit]})
    st.html(examples.html(found))
    beside = "both twins' answers" if found.twin_run_id else "no twin has been trained"
    with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
        st.caption(" ".join(filter(None, (reading(shown.run.config.dataset), examples.basis(found, beside=beside)))))
        if more and limit < MOST:
            st.button("Show more", key=Key.RUN_FILE.of("more"), on_click=_more)
    _closer(shown, found)


def _more() -> None:
    st.session_state[Key.RUN_MORE] = st.session_state.get(Key.RUN_MORE, PAGE) + PAGE


def _fewer() -> None:
    st.session_state.pop(Key.RUN_MORE, None)


def _nothing(which: str, *, twin: bool) -> str:
    if which == "disagree" and not twin:
        return "There is no finished twin to disagree with. Launch it with the same settings."
    return "No stored test image fits: nothing wrong among them." if which == "wrong" else "No stored test image fits."


def _closer(shown: Shown, found: Examples) -> None:
    """One image: its answers, confidence and energy after each step, spikes of each layer."""
    st.subheader("One image, step by step")
    listed = {item.index: item for item in found.items}
    if st.session_state.get(Key.RUN_IMAGE) not in listed:
        st.session_state[Key.RUN_IMAGE] = next(iter(listed))
    picker, link = st.columns([1.4, 2], vertical_alignment="bottom")
    index = picker.selectbox("Image", list(listed), key=Key.RUN_IMAGE, format_func=lambda i: _named(listed[i]))
    with link:
        st.page_link(
            page("tryit"),
            label="See its spikes travel through the layers",
            icon=":material/animation:",
            query_params={"run": shown.run.id, "index": str(index)},
        )
    seen = api().image(shown.run.id, index, mode=shown.lens.mode, profile=shown.lens.profile)
    first, second, third = st.columns([0.62, 1.3, 1.2], gap="medium")
    with first:
        st.html(examples.html(found.model_copy(update={"items": [listed[index]]})))
        st.html(_costs(seen))
    with second:
        show(
            image_steps.figure(seen, source=shown.source),
            key=Key.RUN_CHART.of("image"),
            data=lambda: image_steps.rows(seen),
            file_name=f"{shown.file_stem}-image-{index}.csv",
        )
    with third:
        spiking = next((one for one in (seen.run, seen.twin) if one is not None and one.layers), None)
        layers = spiking.layers if spiking is not None else []
        of = "" if spiking is seen.run or spiking is None else "spikes of its SNN twin · "
        show(
            raster.figure(layers, image=seen, source=of + shown.source),
            key=Key.RUN_CHART.of("raster"),
            data=(lambda: raster.rows(layers)) if layers else None,
            file_name=f"{shown.file_stem}-image-{index}-spikes.csv",
        )


def _named(item: Example) -> str:
    said = "right" if item.answer.correct else f"taken for {item.answer.prediction}"
    return f"#{item.index}, a {item.label}: {said}"


def _costs(seen: SeenImage) -> str:
    """Energy of this image, network by network, as a table."""
    answers = [answer for answer in (seen.run, seen.twin) if answer is not None]
    answers.sort(key=lambda one: one.answer.kind.value != "snn")
    unit = common_energy_scale(answer.mean_energy_pj[-1] for answer in answers)
    return piece("costs", [_cost(answer, unit) for answer in answers])


def _cost(answer: ImageAnswer, unit: tuple[float, str]) -> tuple[str, str, str]:
    own = "none of one image in this mode" if answer.energy_pj is None else energy_in(answer.energy_pj[-1], unit)
    mean = f"mean image {energy_in(answer.mean_energy_pj[-1], unit)}"
    return f"{answer.answer.kind.value.upper()} energy", own, mean
