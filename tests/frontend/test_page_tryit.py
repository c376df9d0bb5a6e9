"""The page Try it, against the real API with its real engine."""

from __future__ import annotations

import json

import numpy as np
import pytest

from core.bundle import Bundle
from core.datasets.picture import png
from frontend.keys import Key


@pytest.fixture(scope="module")
def twins(stack):
    return stack.succeeded("snn"), stack.succeeded("cnn")


@pytest.fixture(scope="module")
def bundle(stack):
    return Bundle(stack.trained["snn"])


def charts(page) -> list[str]:
    return [json.loads(chart.proto.spec)["layout"]["title"]["text"] for chart in page.get("plotly_chart")]


def test_without_a_trained_network_the_page_leads_to_the_launch(visit, words):
    page = visit("tryit")
    assert "No network is trained yet." in words(page)
    assert page.get("page_link")


def test_it_opens_on_the_newest_spiking_run_with_its_first_test_image(twins, stack, visit, words):
    page = visit("tryit")
    said = words(page)
    first = stack.client.examples(twins[0].id, which="spread", limit=1).items[0].index
    assert page.selectbox(key=Key.TRY_RUN).value == twins[0].id == page.query_params["run"]
    assert f"test image {first}" in said
    assert "after step 4 of 4" in said and "one pass" in said
    assert said.count('class="sf-map') == 4 + 1  # four layers, and the grid
    assert charts(page) == ["Answer after each step", "Energy spent so far", "Firing rate by layer and step"]


def test_another_test_image_goes_into_the_address_and_a_reload_stays_there(twins, bundle, visit, words):
    page = visit("tryit", run=twins[0].id)
    index = int(bundle.examples().index[3])
    page.button(key=Key.TRY_IMAGE.of(str(index))).click().run()
    assert f"test image {index}" in words(page)
    assert page.query_params["index"] == str(index)
    assert f"test image {index}" in words(visit("tryit", run=twins[0].id, index=str(index)))


def test_the_slider_shows_an_earlier_step(twins, visit, words):
    page = visit("tryit", run=twins[0].id)
    page.slider(key=Key.TRY_STEP).set_value(2).run()
    assert "after step 2 of 4" in words(page) and "at step 2:" in words(page)


def test_playing_goes_on_by_a_step_a_tick_and_stops_at_the_last(twins, visit, words):
    page = visit("tryit", run=twins[0].id)
    page.button(key=Key.TRY_BUTTON).click().run()
    seen = []
    for _ in range(6):
        seen.append(page.slider(key=Key.TRY_STEP).value)
        page.run()
    # the click itself and each later run is a tick; after the last step nothing moves and the clock is off
    assert seen == [1, 2, 3, 4, 4, 4]
    assert page.button(key=Key.TRY_BUTTON).label == "Play"


def test_the_lens_prices_the_image_anew(twins, visit, words):
    page = visit("tryit", run=twins[0].id)
    exact = page.session_state[Key.TRY_RESULT].answer.energy_pj[-1]
    page.selectbox(key=Key.MODE).set_value("memory").run()
    assert page.session_state[Key.TRY_RESULT].answer.energy_pj[-1] > exact
    page.selectbox(key=Key.MODE).set_value("exact").run()


def test_one_can_look_inside_the_twin_too(twins, visit):
    page = visit("tryit", run=twins[0].id)
    page.segmented_control(key=Key.TRY_NETWORK).set_value("twin").run()
    assert charts(page)[-1] == "Active outputs by layer"


def test_a_picture_of_ones_own_is_shown_with_its_crop_and_a_bad_one_is_a_sentence(twins, visit, words):
    page = visit("tryit", run=twins[0].id)
    page.segmented_control(key=Key.TRY_SOURCE).set_value("Your picture").run()
    assert "Choose an image" in words(page)
    picture = png(np.full((20, 30, 3), 200, np.uint8))
    page.file_uploader(key=Key.TRY_UPLOAD).set_value(("a.png", picture, "image/png")).run()
    assert "30×20, of which 20×20 go in" in words(page)
    page.file_uploader(key=Key.TRY_UPLOAD).set_value(("b.png", b"nothing", "image/png")).run()
    said = words(page)
    assert "This picture cannot be used." in said
    assert "It is unreadable; it must be a whole PNG, JPEG or WebP file." in said and "Value not allowed" not in said
    assert not [button for button in page.button if button.key == Key.TRY_AGAIN]


def test_an_address_of_nothing_is_a_sentence_and_the_page_goes_on(twins, visit, words):
    said = words(visit("tryit", run="nowhere"))
    assert "There is no run with id 'nowhere'." in said and "after step 4 of 4" in said
    assert "no kept test image" in words(visit("tryit", run=twins[0].id, index="99999"))


def test_the_membrane_of_a_chosen_neuron_is_drawn_and_of_a_cnn_none(twins, visit, words):
    page = visit("tryit", run=twins[0].id)
    page.toggle(key=Key.TRY_MEMBRANE).set_value(True).run()
    assert "Membrane of one neuron" in charts(page)
    layer = page.selectbox(key=Key.TRY_NEURON.of("layer")).value
    assert f"layer {layer}, channel 0" in words(page)
    page.number_input(key=Key.TRY_NEURON.of(f"channel_{layer}")).set_value(1).run()
    assert f"layer {layer}, channel 1" in words(page)
    assert all(toggle.key != Key.TRY_MEMBRANE for toggle in visit("tryit", run=twins[1].id).toggle)
