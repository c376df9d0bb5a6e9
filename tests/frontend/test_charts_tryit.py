"""The charts of one image: maps that decode to what was sent, answers and energies step by step."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from core.report.charts import prediction_steps, spikes, theme
from core.schemas.inference import Inference, LayerActivity, Picture, Tried
from core.schemas.run import Kind
from frontend.pages.tryit import answer as words

CLASSES = ["cat", "dog", "<b>ship</b>"]


def layer(name: str, counts: np.ndarray, channels: int) -> LayerActivity:
    """counts: [T, h, w], the neurons that fire at each place out of `channels`."""
    _, height, width = counts.shape
    sums = counts.sum((1, 2)).tolist()
    return LayerActivity(
        name=name,
        output_shape=(channels, height, width),
        spikes=sums,
        rate=[n / (channels * height * width) for n in sums],
        map_shape=(height, width),
        map_outputs=channels,
        map=base64.b64encode(counts.astype("<u2").tobytes()).decode(),
    )


def inference(kind: Kind, confidence: list[list[float]], energy_pj: list[float], layers=()) -> Inference:
    return Inference(
        run_id=f"{kind}-1", kind=kind, label=f"{kind.upper()}-SqueezeNet Ref-1", time_steps=len(confidence),
        classes=CLASSES, confidence=confidence, energy_pj=energy_pj, encoding="direct", layers=list(layers),
    )  # fmt: skip


#: Two steps; at the first one a single place of the first layer fires with 2 of 4 channels, at the second all do.
COUNTS = np.array([[[0, 0], [0, 2]], [[4, 4], [4, 4]]])
SNN = inference(
    Kind.SNN,
    [[0.2, 0.5, 0.3], [0.7, 0.2, 0.1]],
    [2000.0, 3000.0],
    [layer("stem.act", COUNTS, 4), layer("F9.squeeze.act", 0 * COUNTS, 4)],
)
CNN = inference(Kind.CNN, [[0.05, 0.9, 0.05]], [6000.0], [layer("stem.act", COUNTS[:1], 4)])


def pixels(html: str, place: int) -> np.ndarray:
    uri = re.findall(r'src="data:image/png;base64,([^"]+)"', html)[place]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri))))


def test_a_map_is_the_share_of_channels_that_fire_and_its_layers_own_maximum_is_opaque():
    assert spikes.decode(SNN.layers[0]).tolist() == (COUNTS / 4).tolist()
    first = pixels(spikes.grid(SNN, 1, ground="light"), 0)
    assert first[..., 3].tolist() == [[0, 0], [0, 128]]  # 2 of 4, where the layer reaches 4 of 4 at the second step
    assert pixels(spikes.grid(SNN, 2, ground="light"), 0)[..., 3].min() == 255


def test_maps_name_layer_step_and_share_and_say_silent():
    html = spikes.grid(SNN, 1, ground="light")
    assert 'alt="stem at step 1: 12.5 % of 16 neurons fire"' in html  # 2 of 4 x 2 x 2
    assert html.index("<b>stem</b>") < html.index("<b>F9.squeeze</b>")
    assert html.count("silent</span>") == 1


def test_a_dark_ground_gets_a_lighter_colour():
    light, dark = (pixels(spikes.grid(SNN, 2, ground=ground), 0)[0, 0, :3].sum() for ground in ("light", "dark"))
    assert dark > light


def test_rates_are_a_row_a_layer_and_a_column_a_step():
    chart = spikes.figure(SNN, source="here")
    assert chart.data[0].z.tolist() == [[12.5, 100.0], [0.0, 0.0]]
    assert list(chart.data[0].x) == [1, 2]
    printed = {(word, trace.textfont.color) for trace in chart.data[1:] for word in trace.text}
    assert printed == {("12.5", "#ffffff"), ("0.0", "#ffffff"), ("100.0", "#101418")}  # to be read on its cell
    assert "n = 1 image" in chart.layout.meta["caption"] and "here" in chart.layout.meta["caption"]
    assert [(row["layer"], row["step"], row["nonzero_outputs"]) for row in spikes.rows([SNN])] == [
        ("stem.act", 1, 2),
        ("stem.act", 2, 16),
        ("F9.squeeze.act", 1, 0),
        ("F9.squeeze.act", 2, 0),
    ]


def test_a_single_pass_is_drawn_as_bars():
    assert list(spikes.figure(CNN).data[0].x) == [12.5]
    bars = prediction_steps.figure(CNN, SNN, step=1).data
    assert [bar.type for bar in bars] == ["bar", "bar"]
    assert list(bars[0].x) == pytest.approx([90, 5, 5]) and list(bars[1].x) == pytest.approx([20, 70, 10])


def test_the_final_answer_comes_first_then_what_was_likely_at_any_step():
    assert prediction_steps.top_classes(SNN) == [0, 1, 2]
    chart = prediction_steps.figure(SNN, CNN, step=2)
    assert [list(trace.y) for trace in chart.data[:2]] == [pytest.approx([20, 70]), pytest.approx([50, 20])]
    assert chart.data[2].name == "&lt;b&gt;ship&lt;/b&gt;"
    assert chart.data[-1].name == "CNN twin: dog, 90.0 %" and list(chart.data[-1].y) == pytest.approx([90, 90])


def test_energy_is_what_was_spent_by_each_step_with_the_twins_total():
    chart = prediction_steps.energy(SNN, CNN, step=1, mode="Exact", profile="45 nm")
    assert list(chart.data[0].y) == [2.0, 3.0]  # nJ
    assert chart.layout.yaxis.title.text == "energy, nJ"
    assert list(chart.data[1].y) == [6.0, 6.0]
    assert chart.data[0].marker.color == (theme.BLUE, theme.tint(theme.BLUE, 0.3))  # step 2 is still to come
    assert "Exact" in chart.layout.meta["caption"] and "45 nm" in chart.layout.meta["caption"]
    assert (
        "bills one step"
        in prediction_steps.energy(SNN, CNN, step=1, mode="Paper", profile="45 nm", one_step=True).layout.meta[
            "caption"
        ]
    )


def test_rows_hold_every_step_and_class():
    assert len(prediction_steps.rows([SNN, CNN])) == 2 * 3 + 3
    assert prediction_steps.energy_rows([SNN, CNN])[-1] == {"network": CNN.label, "step": 1, "energy_pj": 6000.0}


def tried(**changes) -> Tried:
    whole = {
        "image": "data:image/png;base64,AAAA", "picture": None, "index": 7, "truth": "cat", "mode": "exact",
        "profile": "horowitz-45nm", "answer": SNN, "twin": CNN,
    }  # fmt: skip
    return Tried(**{**whole, **changes})


def test_answers_follow_the_step_and_a_single_pass_does_not():
    first, last = words.answers(tried(), 1), words.answers(tried(), 2)
    assert "after step 1 of 2" in first and "50.0 %" in first and "2 nJ" in first
    assert "after step 2 of 2" in last and "70.0 %" in last and "3 nJ" in last
    assert all("one pass" in html and "90.0 %" in html and "6 nJ" in html for html in (first, last))
    assert first.count("wrong</span>") == 2 and last.count("wrong</span>") == 1  # at last the spiking one is right


def test_the_sentence_says_since_when_and_at_what_price():
    assert words.sentence(tried(), 1).startswith("At step 1 it says dog. So far it has spent 0.33 times")
    assert words.sentence(tried(), 2).startswith("At step 2 it says cat. So far it has spent 0.50 times")
    steady = inference(Kind.SNN, [[0.9, 0.1, 0.0]] * 3, [1.0, 2.0, 3.0])
    assert words.sentence(tried(answer=steady, twin=None), 3) == "It has said cat since step 1."


def test_text_of_a_data_set_is_no_markup_and_an_image_is_no_address():
    ship = inference(Kind.SNN, [[0.0, 0.1, 0.9]], [1.0])
    assert "<b>ship" not in words.answers(tried(answer=ship), 1)
    assert "http" not in words.seen(tried(image="https://elsewhere.example/x.png"))
    assert 'src=""' in words.seen(tried(image='data:image/png;base64,AA" onerror="x'))


def test_the_part_that_was_taken_is_framed():
    picture = Picture(width=200, height=100, crop=(50, 0, 150, 100), preview="data:image/png;base64,AAAA")
    html = words.seen(tried(picture=picture, index=None, truth=None))
    assert "left:25.00%;top:0.00%;width:50.00%;height:100.00%" in html
    assert "200×100, of which 100×100 go in" in html


def test_where_each_layer_runs_all_its_steps_first_the_picture_says_why_no_step_is_cheaper():
    flat = SNN.model_copy(update={"energy_pj": [3000.0, 3000.0]})
    said = [
        prediction_steps.energy(answer, None, step=1, mode="m", profile="p").layout.meta["caption"]
        for answer in (flat, SNN)
    ]
    assert "layer by layer" in said[0] and "layer by layer" not in said[1]


def test_energies_of_the_networks_share_a_unit_after_every_step():
    answer = SNN.model_copy(update={"energy_pj": [0.4e6, 0.9e6]})
    tried = Tried(
        answer=answer,
        twin=CNN.model_copy(update={"energy_pj": [2e6]}),
        image="",
        index=0,
        truth="cat",
        picture=None,
        mode="exact",
        profile="p",
    )
    assert all("nJ" not in words.answers(tried, step) for step in (1, 2))
