"""Charts of one run's page: what they draw must be the numbers they got."""

from itertools import pairwise

import numpy as np
import pytest

from core.report.charts import calibration, curves, exits, flow, image_steps, probe, raster, steps
from core.schemas.bill import LayerBill, Layers
from core.schemas.diagnostics import Calibration, Diagnostics, ExitPoint, Exits, ReliabilityBin, StepPoint, Steps
from core.schemas.images import Answer, ImageAnswer, LayerSpikes, SeenImage
from core.schemas.results import Metrics
from core.schemas.run import Kind

EVIL = "<img src=x>%{x}"


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


def point(t, accuracy, energy_pj):
    return StepPoint(
        steps=t, accuracy=accuracy, f1_macro=0.5, confidence=0.7, ece=0.1, firing_rate=0.1, energy_pj=energy_pj
    )


def some_steps(*points, mode="exact"):
    return Steps(mode=mode, profile="horowitz-45nm", n=360, time_steps=len(points), points=list(points))


def bill(name, *, block=None, acs=0.0, macs=0.0, memory=0.0):
    return LayerBill(
        name=name, kind="conv", block=block, output_shape=(8, 4, 4), params=1, dense_ops=1, acs=acs, macs=macs,
        energy_pj=0.9 * acs + 4.6 * macs + memory, memory_energy_pj=memory, firing_rate=None, firing_rate_per_step=None,
    )  # fmt: skip


def layers_of(*bills):
    return Layers(
        mode="memory", profile="horowitz-45nm", n_samples=360, time_steps=2, layers=list(bills),
        total_acs=sum(b.acs for b in bills), total_macs=sum(b.macs for b in bills),
        total_energy_pj=sum(b.energy_pj for b in bills),
    )  # fmt: skip


def answer(kind, *, confidence, truth, energy, mean, correct=True, layers=()):
    said = Answer(run_id="r", kind=kind, prediction="cat" if correct else EVIL, confidence=confidence[-1],
                  correct=correct, confidence_per_step=confidence)  # fmt: skip
    return ImageAnswer(answer=said, truth_per_step=truth, layers=list(layers), energy_pj=energy, mean_energy_pj=mean)


def some_image(run, twin=None):
    return SeenImage(index=7, label="cat", image=None, mode="exact", profile="horowitz-45nm", run=run, twin=twin)


def some_diagnostics(**changes):
    fields = {
        "kind": Kind.SNN, "time_steps": 2, "n_probe": 64, "layers": ["stem.act", "F9.squeeze.act"], "epochs": [1, 2],
        "gradient_norm": [[[0.3, 0.4], [0.0, 0.0]], [[0.6, 0.8], [0.5, 1.2]]],
        "firing_rate": [[[0.2, 0.4], [0.0, 0.0]], [[0.1, 0.3], [0.5, 0.5]]],
        "active": [[[0.1, 0.2], [0.3, 0.4]], [[0.5, 0.6], [0.7, 0.8]]],
        "dead": [[0.1, 1.0], [0.25, 0.5]], "saturated": [[0.0, 0.0], [0.05, 0.0]],
    } | changes  # fmt: skip
    return Diagnostics(**fields)


def test_accuracy_rises_above_and_energy_stands_below_with_the_twin_as_a_level_line():
    found = some_steps(point(1, 0.5, 10e6), point(2, 0.8, 20e6))
    twin = some_steps(point(1, 0.9, 40e6))
    chart = steps.figure(found, twin=twin)
    own = trace(chart, "this network, stopped early")
    assert (list(own.x), list(own.y)) == ([1, 2], [50.0, 80.0])
    assert list(trace(chart, "energy").y) == [10.0, 20.0]  # µJ: 40e6 pJ is the largest
    assert chart.layout.yaxis2.title.text == "energy, µJ"
    levels = [list(one.y) for one in chart.data if one.name == "CNN twin, one pass"]
    assert levels == [[90.0, 90.0], [40.0, 40.0]]
    assert "mode exact" in chart.layout.meta["caption"] and "n = 360" in chart.layout.meta["caption"]
    assert "bills one step" in steps.figure(some_steps(point(1, 0.5, 1e6), mode="paper")).layout.meta["caption"]


def test_early_exit_is_drawn_against_images_that_all_stop_at_the_same_step():
    found = Exits(mode="exact", profile="horowitz-45nm", n=360, time_steps=2, points=[
        ExitPoint(threshold=1.0, accuracy=0.8, mean_steps=2.0, energy_pj=20e6, images=[0, 360]),
        ExitPoint(threshold=0.0, accuracy=0.5, mean_steps=1.0, energy_pj=10e6, images=[360, 0]),
    ])  # fmt: skip
    chart = exits.figure(found, fixed=some_steps(point(1, 0.5, 10e6), point(2, 0.8, 20e6)))
    own, fixed = trace(chart, "each image stops when sure"), trace(chart, "every image takes T' steps")
    assert (list(own.x), list(own.y)) == ([10.0, 20.0], [50.0, 80.0])  # cheapest first, whatever the order
    assert (list(fixed.x), list(fixed.y)) == ([10.0, 20.0], [50.0, 80.0])
    assert "360 images stop after 1" in own.hovertext[0] and "stop after 2" not in own.hovertext[0]
    assert exits.rows(found)[1]["images_after_1"] == 360


def test_where_no_step_saves_energy_an_early_exit_is_drawn_over_its_steps() -> None:
    """Layer by layer all of the energy is spent before the first answer."""
    fixed = some_steps(point(1, 0.5, 20e6), point(2, 0.8, 20e6))
    found = Exits(
        mode="exact", profile="horowitz-45nm", n=400, time_steps=2,
        points=[
            ExitPoint(threshold=level, accuracy=0.5 + level / 4, energy_pj=20e6 + 1e-9 * level, mean_steps=1 + level, images=[1, 1])
            for level in (0.2, 0.8)
        ],
    )  # fmt: skip
    chart = exits.figure(found, fixed=fixed)
    assert [list(trace.x) for trace in chart.data] == [[1, 2], [1.2, 1.8]]
    assert chart.layout.xaxis.title.text == "mean time steps per image"
    assert all("layer by layer" in drawn.layout.meta["caption"] for drawn in (chart, steps.figure(fixed)))
    assert (
        "layer by layer"
        not in steps.figure(some_steps(point(1, 0.5, 10e6), point(2, 0.8, 20e6))).layout.meta["caption"]
    )


def test_an_empty_bin_of_the_reliability_diagram_has_no_bar():
    bins = [
        ReliabilityBin(low=0.0, high=0.5, n=0, confidence=None, accuracy=None),
        ReliabilityBin(low=0.5, high=1.0, n=10, confidence=0.9, accuracy=0.6),
    ]
    chart = calibration.figure(Calibration(n=10, accuracy=0.6, confidence=0.9, ece=0.3, brier=0.5, nll=0.7, bins=bins))
    bar = trace(chart, "share right")
    assert (list(bar.x), list(bar.y)) == ([0.75], [0.6])
    assert list(trace(chart, "at the bin's mean confidence").x) == [0.9]
    assert list(trace(chart, "images").y) == [10]
    assert "ECE 0.300" in chart.layout.meta["caption"]


def test_the_flow_carries_every_block_s_energy_to_its_kinds_and_loses_nothing():
    layers = layers_of(
        bill("stem.conv", macs=100),
        bill("F9.squeeze.conv", block="F9", acs=200),
        bill("F9.bn", block="F9"),
        bill("F9.expand1.conv", block="F9", acs=50, memory=30),
    )
    assert flow.flows(layers) == {
        "stem": pytest.approx((0, 460, 0)),
        "F9": pytest.approx((225, 0, 30)),
    }  # 4.6 a MAC, 0.9 an AC
    sankey = flow.figure(layers).data[0]
    assert list(sankey.node.label) == [
        "stem",
        "F9",
        "accumulates (AC)",
        "multiply-accumulates (MAC)",
        "memory and addresses",
    ]
    drawn = {
        (sankey.node.label[s], sankey.node.label[t]): v
        for s, t, v in zip(sankey.link.source, sankey.link.target, sankey.link.value, strict=True)
    }
    assert drawn[("stem", "multiply-accumulates (MAC)")] == pytest.approx(460)
    assert drawn[("F9", "memory and addresses")] == 30
    assert sum(drawn.values()) == pytest.approx(layers.total_energy_pj)


def test_the_blocks_of_the_flow_keep_the_network_s_order_and_do_not_overlap():
    layers = layers_of(*(bill(f"F{i}.conv", block=f"F{i}", acs=10.0**i) for i in range(2, 8)))
    sankey = flow.figure(layers).data[0]
    table = flow.flows(layers)
    sums, middles = [sum(parts) for parts in table.values()], list(sankey.node.y)[: len(table)]
    assert middles == sorted(middles)
    room = flow.figure(layers).layout.height - flow.figure(layers).layout.margin.t - 8
    scale = (1 - (len(sums) - 1) * flow.PAD / room) / sum(sums)
    ends = [(y - scale * s / 2, y + scale * s / 2) for y, s in zip(middles, sums, strict=True)]
    assert all(below[0] > above[1] for above, below in pairwise(ends))
    assert ends[0][0] >= -1e-9 and ends[-1][1] <= 1 + 1e-9


def test_a_mode_that_charges_nothing_says_so_in_place_of_a_flow():
    assert "nothing flows" in flow.figure(layers_of(bill("stem.conv"))).layout.annotations[0].text.replace("<br>", " ")


def test_the_raster_shows_shares_as_colour_and_spikes_as_numbers():
    layers = [
        LayerSpikes(name="stem.act", neurons=100, spikes=[10, 0]),
        LayerSpikes(name="F9.squeeze.act", neurons=50, spikes=[5, 25]),
    ]
    image = some_image(answer(Kind.SNN, confidence=[0.1, 0.2], truth=[0.1, 0.2], energy=None, mean=[1, 2]))
    chart = raster.figure(layers, image=image)
    heat = chart.data[0]
    assert np.allclose(heat.z, [[0.1, 0.0], [0.1, 0.5]])
    printed = {
        (x, y): text
        for one in chart.data
        if one.name == "numbers"
        for x, y, text in zip(one.x, one.y, one.text, strict=True)
    }
    assert printed == {(1, "stem"): "10", (2, "stem"): "0", (1, "F9.squeeze"): "5", (2, "F9.squeeze"): "25"}
    light = next(one for one in chart.data if one.name == "numbers" and one.textfont.color == "#ffffff")
    assert "25" not in light.text  # the brightest cell has dark print
    assert "40 spikes in 2 steps" in chart.layout.meta["caption"]
    assert raster.rows(layers)[3] == {"layer": "F9.squeeze.act", "step": 2, "spikes": 25, "neurons": 50}
    assert "A CNN has no spikes" in raster.figure([], image=image).layout.annotations[0].text


def test_a_wrong_answer_is_drawn_with_the_truth_beside_it_and_a_cnn_as_a_level_line():
    snn = answer(Kind.SNN, confidence=[0.4, 0.6], truth=[0.3, 0.2], energy=[1e6, 2e6], mean=[1e6, 3e6], correct=False)
    cnn = answer(Kind.CNN, confidence=[0.9], truth=[0.9], energy=[8e6], mean=[9e6])
    chart = image_steps.figure(some_image(snn, cnn))
    names = [one.name for one in chart.data]
    assert "SNN: the truth, cat" in names and "CNN: the truth, cat" not in names
    assert list(trace(chart, "SNN: the truth, cat").y) == [0.3, 0.2]
    assert list(trace(chart, "CNN: this image").y) == [8.0, 8.0]  # µJ, one pass
    assert list(trace(chart, "SNN: mean of the test set").y) == [1.0, 3.0]
    assert not any("<img" in name for name in names)
    assert "no energy of one image" not in chart.layout.meta["caption"]


def test_without_an_energy_of_one_image_the_mean_stands_alone_and_the_caption_says_why():
    snn = answer(Kind.SNN, confidence=[0.4, 0.6], truth=[0.4, 0.6], energy=None, mean=[1e6, 3e6])
    chart = image_steps.figure(some_image(snn))
    assert "SNN: this image" not in [one.name for one in chart.data]
    assert "no energy of one image" in chart.layout.meta["caption"]
    assert [row["energy_pj"] for row in image_steps.rows(some_image(snn))] == [None, None]


def test_gradients_add_over_steps_as_a_vector_and_rates_as_a_mean():
    found = some_diagnostics()
    heat = probe.over_epochs(found, "gradient").data[0]
    assert np.allclose(10 ** heat.z[0], [0.5, 1.0])  # 3-4-5 triangles
    assert np.isnan(heat.z[1][0]) and 10 ** heat.z[1][1] == pytest.approx(1.3)
    assert np.allclose(probe.over_epochs(found, "rate").data[0].z, [[0.3, 0.2], [0.0, 0.5]])


def test_a_gradient_of_zero_is_marked_and_not_coloured():
    chart = probe.over_epochs(some_diagnostics(), "gradient")
    marks = trace(chart, "zero or not finite")
    assert (list(marks.x), list(marks.y)) == ([1], ["F9.squeeze"])
    assert "no gradient arrives" in marks.hovertext[0]
    assert "zero or not finite" not in [one.name for one in probe.over_epochs(some_diagnostics(), "rate").data]


def test_the_map_over_steps_is_of_the_epoch_that_was_chosen():
    found = some_diagnostics()
    assert np.allclose(probe.over_steps(found, "active", 1).data[0].z, [[0.1, 0.2], [0.3, 0.4]])
    chart = probe.over_steps(found, "active", 2)
    assert np.allclose(chart.data[0].z, [[0.5, 0.6], [0.7, 0.8]])
    assert "after epoch 2" in chart.layout.meta["caption"] and "n = 64" in chart.layout.meta["caption"]


def test_a_cnn_has_no_active_zone_to_choose():
    assert probe.offered(some_diagnostics()) == ["gradient", "rate", "active"]
    assert probe.offered(some_diagnostics(active=None)) == ["gradient", "rate"]


def test_dead_and_saturated_shares_are_those_of_the_last_epoch():
    chart = probe.health(some_diagnostics())
    assert list(trace(chart, "dead: never fire").x) == [25.0, 50.0]
    assert list(trace(chart, "saturated: fire at every step for every image").x) == [5.0, 0.0]
    assert len(probe.rows(some_diagnostics())) == 2 * 2 * 2  # epochs x layers x steps


# Training curves.


def metrics(validation):
    n = len(validation)
    return Metrics(
        epoch=list(range(1, n + 1)), lr=[0.1] * n, train_loss=[2.0 - 0.1 * k for k in range(n)], train_accuracy=[0.5] * n,
        validation_loss=[None if value is None else 1.0 for value in validation], validation_accuracy=validation,
        firing_rate=[None] * n, wall_s=[1.0] * n,
    )  # fmt: skip


def test_a_curve_bridges_the_epochs_that_were_not_validated():
    found = curves.figure(metrics([None, 0.6, None, 0.7, 0.65]))
    loss, accuracy = (one for one in found.data if one.name == "validation")
    assert list(accuracy.y) == [None, 60.0, None, 70.0, 65.0] and accuracy.connectgaps and loss.connectgaps
    assert list(loss.y) == [None, 1.0, None, 1.0, 1.0]
    assert all(one.y[0] is not None for one in found.data if one.name == "training")
    star = trace(found, "best: epoch 4")
    assert (list(star.x), list(star.y)) == ([4], [70.0])


def test_before_the_first_validation_there_is_no_best_epoch():
    assert curves.best_place(metrics([None, None])) is None
    assert "No epoch was validated yet" in str(curves.figure(metrics([None, None])).layout)
    assert curves.best_place(metrics([])) is None
    assert curves.best_place(metrics([None, 0.2, 0.2])) == 1
