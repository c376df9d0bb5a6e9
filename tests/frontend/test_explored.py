"""Many runs under one lens, in the dashboard's own process: prices, seeds, certainty, and what a lens changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from core.analysis.pareto import front
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.report import priced as explored
from core.report.charts import hypervolume, legend, pareto, pareto_marks, theme
from core.report.charts.axes import SIZES, X_AXES, group_of, x_of
from core.report.charts.pareto_marks import MANY, Spread, drawn, marks
from core.report.charts.pareto_names import CROWD, FRONT_PX
from core.report.tables import csv_rows as tables
from core.schemas.pareto import Pareto, ParetoColumns, ParetoPoint, PublishedPoint, View
from core.schemas.prices import AS_PUBLISHED, Factors, Profile
from core.schemas.run import Kind

HOROWITZ = profiles()["horowitz-45nm"]
MEMORY = {"sram-8k@event": 1e6}


def run(run_id, *, acs=0.0, macs=0.0, accuracy=0.8, kind=Kind.SNN, seed=0, other=None, **changes):
    fields = {
        "run_id": run_id, "label": f"{kind.value.upper()}-SqueezeNet Ref-1", "backbone": "squeezenet", "kind": kind,
        "mask": ("F4",), "mask_name": "Ref-1", "dataset": "digits", "recipe": "smoke", "seed": seed,
        "accuracy": accuracy, "f1_macro": accuracy - 0.1, "params": 1000, "acs": acs, "macs": macs,
        "energy_pj": 0.9 * acs + 4.6 * macs, "firing_rate": 0.1 if kind is Kind.SNN else None, "time_steps": 4,
        "n_train": 100, "n_test": 360, "dataset_complete": True, "on_front": False,
        "finished_at": datetime(2026, 1, 1, tzinfo=UTC), "model_bytes": 4000, "other": other or {}, "repeat": run_id,
        "twin": "t",
    }  # fmt: skip
    return ParetoPoint(**(fields | changes))


def lens(*points, profile=HOROWITZ, factors=AS_PUBLISHED):
    names = ParetoPoint.model_fields
    columns = ParetoColumns(
        dataset="digits", mode="memory", profile="horowitz-45nm", n=len(points), front=[], published=[],
        columns={name: [getattr(point, name) for point in points] for name in names},
    )  # fmt: skip
    read = ParetoColumns.model_validate_json(columns.model_dump_json())  # as it comes from the API
    return explored.Lens(runs=explored.runs_of(read), profile=profile, factors=factors)


def plot(*points, **changes):
    fields = {
        "dataset": "digits",
        "mode": "exact",
        "profile": "p",
        "points": list(points),
        "front": [],
        "published": [],
    }
    return Pareto(**(fields | changes))


def trace(figure, name):
    return next(one for one in figure.data if one.name == name)


# prices


def test_every_profile_prices_here_as_it_does_in_the_api():
    other = {"sram-8k@event": 3e6, "sram-32k": 1e5, "lif-update": 2e4, "host-add": 500.0}
    for name, profile in profiles().items():
        here = Profile.model_validate_json(profile.model_dump_json())
        assert here == profile
        (point,) = explored.priced(lens(run("a", acs=1e6, macs=2e6, other=other), profile=here))
        assert point.energy_pj == pytest.approx(energy_pj(1e6, 2e6, profile, other)), name


def test_a_moved_price_moves_every_run_by_its_own_operations():
    dear = lens(run("a", acs=10, macs=1), run("b", macs=3), factors=Factors(ac=2))
    points = explored.priced(dear)
    assert [point.energy_pj for point in points] == pytest.approx([10 * 1.8 + 4.6, 3 * 4.6])
    shown = explored.seen(dear, View()).pareto
    words = "profile horowitz-45nm with its price of AC ×2"
    assert words in pareto.figure(shown).layout.meta["caption"]
    assert words in hypervolume.figure(shown).layout.meta["caption"]
    assert {row["ac_price_times"] for row in tables.pareto_rows(shown)} == {2}


def test_the_front_is_found_once_a_draw(monkeypatch):
    looks = []

    def counted(*columns):
        looks.append(len(columns[0]))
        return front(*columns)

    monkeypatch.setattr(pareto_marks, "front", counted)
    view = View(y="f1_macro", seeds=True)
    seen = explored.seen(lens(run("a", acs=10), run("b", acs=20, accuracy=0.9), run("c", acs=30)), view)
    pareto.figure(seen.pareto, view=view, shown=seen.marks, sure=seen.sure)
    hypervolume.figure(seen.pareto, y=view.y, shown=seen.marks)
    hypervolume.steps(seen.pareto, x=view.x, y=view.y, shown=seen.marks)
    assert looks == [3]


def test_a_chart_of_marks_made_before_is_that_of_its_points():
    view = View()
    seen = explored.seen(lens(run("b", acs=20, accuracy=0.9), run("a", acs=10), run("c", acs=30)), view)
    assert pareto.figure(seen.pareto, view=view, shown=seen.marks) == pareto.figure(seen.pareto, view=view)
    assert hypervolume.figure(seen.pareto, shown=seen.marks) == hypervolume.figure(seen.pareto)


def test_a_lens_says_who_leaves_and_names_the_twin():
    snn = run("s", acs=1e6, accuracy=0.85, other=MEMORY)
    cnn = run("c", macs=2.5e5, accuracy=0.86, kind=Kind.CNN)
    before = [snn, cnn]  # 0.9 µJ and 1.15 µJ
    after = explored.priced(lens(snn, cnn))
    read = HOROWITZ.constant_pj("sram-8k")
    ratio = (0.9 + read) / 1.15
    found = explored.told(before, after, "with memory traffic", y="accuracy")
    assert [found.points[change.run].run_id for change in found.changes.left] == ["s"]
    said = f"{ratio:.2g}"
    assert found.sentence == (
        f"SNN-SqueezeNet Ref-1 leaves the front: with memory traffic it costs {said} times its CNN twin."
    )


# seeds


def test_seeds_of_one_config_become_one_mark_with_their_deviation():
    a, b = run("a", accuracy=0.8, acs=100, repeat="r"), run("b", accuracy=0.9, acs=300, seed=1, repeat="r")
    (mean, alone), spreads = explored.merged([a, b, run("c")])
    assert (mean.run_id, mean.accuracy, mean.acs) == ("a", pytest.approx(0.85), 200)
    # two values a distance d apart have the deviation d / sqrt(2)
    assert spreads["a"].accuracy == pytest.approx(0.1 / 2**0.5) and spreads["a"].energy_pj == pytest.approx(
        180 / 2**0.5
    )
    assert spreads["a"].run_ids == ("a", "b") and spreads["c"] == Spread(run_ids=("c",)) and alone.run_id == "c"


def test_a_mean_is_drawn_with_bars_and_carries_all_its_runs():
    points, spreads = explored.merged(
        [run("a", accuracy=0.8, acs=100, repeat="r"), run("b", accuracy=0.9, acs=300, repeat="r"), run("c", acs=50)]
    )
    figure = pareto.figure(plot(*points), view=View(x_log=False), spreads=spreads)
    snn = trace(figure, "SNN-SqueezeNet")
    assert [list(ids) for ids in snn.customdata] == [["a", "b"], ["c"]]
    assert list(snn.error_y.array) == pytest.approx([10 / 2**0.5, 0])
    assert "n = 2 seeds" in snn.hovertext[0] and "bars ± one standard deviation" in figure.layout.meta["caption"]


def test_how_sure_is_about_the_mean_of_seeds_where_they_are_merged():
    every = [
        run("a", accuracy=0.8, acs=1, repeat="r"),
        run("b", accuracy=0.84, acs=1, seed=1, repeat="r"),
        run("c", accuracy=0.83, acs=2),
    ]
    points, spreads = explored.merged(every)
    sure = explored.probabilities(points, spreads, every, HOROWITZ)
    assert sure["a"] == 1  # the cheapest
    # c is ahead of the mean where N(0.83, sqrt(.83 * .17 / 360)) > N(0.82, 0.0283 / sqrt(2)): z = 0.01 / 0.0281
    assert sure["c"] == pytest.approx(0.639, abs=0.1)
    figure = pareto.figure(plot(*points), spreads=spreads, sure=sure)
    assert trace(figure, "SNN-SqueezeNet").marker.opacity[0] == 1


# axes, groups, many marks


@pytest.mark.parametrize("axis", X_AXES)
def test_each_axis_shows_its_own_figure_and_finds_its_own_front(axis):
    small, big = (
        run("small", acs=10, macs=5, params=10, **dict.fromkeys((*SIZES, "bit_synops", "spikes"), 40), time_steps=1),
        run("big", acs=20, macs=6, accuracy=0.7, params=20, **dict.fromkeys((*SIZES, "bit_synops", "spikes"), 80)),
    )
    found = marks([small, big], x=axis, y="f1_macro")
    assert found.x.tolist() == [x_of(small, axis), x_of(big, axis)] and found.y.tolist() == pytest.approx([0.7, 0.6])
    assert found.fronts == {"digits": [0]}
    if axis in ("bit_synops", "spikes"):  # what has no such figure has no mark, and none at 0
        assert marks([small, run("none")], x=axis, y="f1_macro").x.tolist() == [40]
    figure = pareto.figure(plot(small, big), view=View(x=axis, y="f1_macro", x_log=False))
    assert X_AXES[axis].words in figure.layout.xaxis.title.text and figure.layout.yaxis.title.text == "macro F1"


def test_the_shaded_area_lies_under_the_front_and_reaches_the_edges():
    figure = pareto.figure(plot(run("a", acs=10, accuracy=0.5), run("b", acs=20, accuracy=0.9)), view=View(x_log=False))
    area = trace(figure, "dominated")
    right, floor = figure.layout.xaxis.range[1], figure.layout.yaxis.range[0]
    assert list(zip(area.x, area.y, strict=True)) == [
        (9, floor), (9, 50), (18, 50), (18, 90), (right, 90), (right, floor),
    ]  # fmt: skip


def test_runs_on_different_data_sets_have_fronts_of_their_own():
    figure = pareto.figure(plot(run("a", acs=10, accuracy=0.5), run("b", acs=20, accuracy=0.4, dataset="cifar10")))
    assert {one.name for one in figure.data if one.mode == "lines"} == {"front of Digits", "front of CIFAR-10"}
    assert not [one for one in figure.data if one.name == "dominated"]


def test_colours_and_shapes_follow_the_groups_that_were_asked_for():
    points = [run("a", acs=1, recipe="fast"), run("b", acs=2, sweep_ids=["s1"]), run("c", acs=3, kind=Kind.CNN)]
    figure = pareto.figure(plot(*points), view=View(colour="recipe", shape="sweep"))
    names = {one.name for one in figure.data if one.mode == "markers" and one.showlegend is not False}
    assert names == {"fast · in no sweep", "smoke · in no sweep", "smoke · sweep s1"}


def test_a_contradicted_printed_point_has_a_red_mark_and_says_what():
    printed = PublishedPoint(model="MixNet", kind=Kind.SNN, table="Table 1", accuracy=0.8, f1_macro=None, params=None,
                             acs=None, macs=None, energy_pj=3e7)  # fmt: skip
    figure = pareto.figure(plot(run("a", acs=1e7), published=[printed]), faults={"Table 1/MixNet": "energy"})
    cross = trace(figure, "contradicted by the audit")
    assert cross.marker.color == pareto.RED and len(cross.x) == 1
    assert "the audit contradicts: energy" in trace(figure, "SNN, printed").hovertext[0]
    assert not [one for one in pareto.figure(plot(run("a", acs=1), published=[printed])).data if one.name == cross.name]


def test_of_very_many_marks_the_front_and_the_chosen_are_always_drawn():
    points = [run(f"r{i}", acs=100 + i % 7, accuracy=0.5 + (i % 5) / 1000) for i in range(MANY + 500)]
    found = marks(points, x="energy", y="accuracy")
    places = drawn(found, x_log=True, always=frozenset({"r77"}))
    assert len(places) < MANY and set(found.on_front) <= set(places) and 77 in places
    places_of = {(found.x[i], found.y[i]) for i in range(len(points))}
    assert {(found.x[i], found.y[i]) for i in places} == places_of  # nothing that can be seen is missing


def test_a_name_stands_under_each_of_few_marks_and_under_none_of_very_many():
    few = pareto.figure(plot(run("a", acs=10, accuracy=0.5), run("b", acs=20, accuracy=0.4)))
    names = trace(few, "names")
    assert (list(names.text), list(names.y)) == (["Ref-1", "Ref-1"], [50, 40]) and "Ref-1" in trace(
        few, "SNN-SqueezeNet"
    ).hovertext[0]
    # a mark that holds the name at its distance and is never seen, chosen or listed
    assert (names.mode, names.marker.size, names.marker.opacity) == ("markers+text", FRONT_PX, 0)
    assert names.unselected.marker.opacity == 0 and names.hoverinfo == "skip"
    assert "names" not in [entry.name for entry in legend.entries(few)]
    many = pareto.figure(plot(*(run(f"r{i}", acs=100 + i % 7, accuracy=0.5) for i in range(MANY + 500))))
    assert "names" not in [one.name for one in many.data]


def printed_row(model: str, *, accuracy: float, energy_pj: float) -> PublishedPoint:
    return PublishedPoint(model=model, kind=Kind.SNN, table="Table 1", accuracy=accuracy, f1_macro=None, params=None,
                          acs=None, macs=None, energy_pj=energy_pj)  # fmt: skip


def names_of(*points, published=()) -> list[str]:
    return [
        text
        for one in pareto.figure(plot(*points, published=list(published))).data
        if one.name == "names"
        for text in one.text
    ]


def test_printed_rows_are_named_where_no_mark_and_no_other_name_is_in_the_way():
    far = printed_row("SqueezeNet-P", accuracy=0.9, energy_pj=1e3)
    near = printed_row("MixNet", accuracy=0.895, energy_pj=1.1e3)  # where the name of the other would stand
    apart = printed_row("Xception", accuracy=0.3, energy_pj=1e6)
    assert names_of(run("a", acs=1e5, accuracy=0.6), published=[far, near, apart]) == ["Ref-1", "MixNet", "Xception"]


def test_a_mask_without_a_name_is_called_by_its_blocks_where_they_are_few():
    few, many = ({"mask": blocks, "mask_name": None} for blocks in (("F8", "F9"), ("F2", "F3", "F4", "F5")))
    found = (
        run("a", acs=1e3, accuracy=0.6).model_copy(update=few),
        run("b", acs=1e5, accuracy=0.9).model_copy(update=many),
    )
    assert names_of(*found) == ["F8,F9"]


def test_of_a_crowd_the_front_alone_has_names():
    crowd = [run(f"r{i}", acs=100 * 2**i, accuracy=0.9 - i / 50) for i in range(CROWD + 1)]
    assert names_of(*crowd) == ["Ref-1"]
    assert len(names_of(*crowd[: CROWD // 2])) > 1


def test_the_caption_says_what_small_hollow_and_ringed_marks_are():
    two = plot(
        run("a", acs=10, accuracy=0.5),
        run("b", acs=20, accuracy=0.4),
        published=[printed_row("MixNet", accuracy=0.9, energy_pj=5)],
    )
    told = pareto.figure(two, chosen=["b"]).layout.meta["caption"]
    assert (
        "small and paler: off the front" in told
        and "hollow: printed by Kabir et al." in told
        and "ringed: chosen" in told
    )
    alone = pareto.figure(plot(run("a", acs=10))).layout.meta["caption"]
    assert "paler" not in alone and "hollow" not in alone and "ringed" not in alone


def test_the_legend_names_the_backbone_whatever_the_options_and_the_mask():
    wide = run("a", acs=10).model_copy(update={"label": "SNN-SqueezeNet F5,F9, stem 64/2"})
    assert group_of(wide, "family") == "SNN-SqueezeNet"


@pytest.mark.parametrize(("low", "high"), [(72.3, 83.0), (1.0, 900.0), (3.9, 4.1), (0.21, 0.45), (5.0, 5.0)])
def test_a_log_axis_has_numbers_on_it_however_narrow(low, high):
    ticks = theme.log_ticks(low, high)
    inside = [value for value in ticks["tickvals"] if low * 0.999 <= value <= high * 1.001]
    assert len(inside) >= (1 if low == high else 2)
    assert len(set(ticks["ticktext"])) == len(ticks["ticktext"]) < 20


# hypervolume


def test_the_hypervolume_rises_only_with_runs_that_move_the_front():
    day = datetime(2026, 1, 1, tzinfo=UTC)
    points = [
        run("late", acs=50, accuracy=0.5, finished_at=day + timedelta(days=2)),
        run("first", acs=100, accuracy=0.5, finished_at=day),
        run("poor", acs=100, accuracy=0.4, finished_at=day + timedelta(days=1)),
    ]
    rows = hypervolume.steps(plot(*points), x="energy", y="accuracy")
    assert [row["run"] for row in rows] == ["first", "poor", "late"]
    # reference 1.1 x 90 pJ: (99 - 90) x 0.5 / 99, then (99 - 45) x 0.5 / 99
    assert [row["hypervolume"] for row in rows] == pytest.approx([9 * 0.5 / 99, 9 * 0.5 / 99, 54 * 0.5 / 99])
    assert [row["moved_the_front"] for row in rows] == [True, False, True]
    figure = hypervolume.figure(plot(*points))
    assert [list(ids) for ids in figure.data[1].customdata] == [["first"], ["late"]]
    assert "2 moved the front" in figure.layout.meta["caption"]


def test_what_was_brought_in_has_the_time_of_its_arrival_and_says_where_from():
    """Imported runs never ended here: the axis does not say that they did, nor the table that they are own runs."""
    own = run("own", acs=100)
    imported = run("b", acs=90, imported=True)
    of_gallery = run("c", acs=80, imported=True, tags=["gallery", "mine"])
    tagged = run("d", acs=70, tags=["gallery"])  # by hand
    said = [point.origin for point in (own, imported, of_gallery, tagged)]
    assert said == ["own run", "imported", "gallery", "own run"]
    assert {row["from"] for row in tables.pareto_rows(plot(own, of_gallery))} == {"own run", "gallery"}
    assert hypervolume.figure(plot(own)).layout.xaxis.title.text == "run finished, UTC"
    assert hypervolume.figure(plot(own, imported)).layout.xaxis.title.text == "run finished or brought in, UTC"


def test_without_runs_the_hypervolume_is_a_sentence():
    assert not hypervolume.figure(plot()).data


def test_a_run_at_another_price_is_its_copy_with_another_energy():
    point = run("a", acs=5.0, macs=2.0, tags=["mine"], other=MEMORY)
    assert point.at(7.5) == point.model_copy(update={"energy_pj": 7.5}) and point.energy_pj != 7.5
    assert point.at(7.5).model_dump() == point.model_dump() | {"energy_pj": 7.5}
    assert point.at(7.5).model_fields_set == point.model_fields_set


def test_what_plotly_takes_whole_reaches_the_page_as_lists():
    points = [run(name, acs=acs, accuracy=0.5 + acs / 100) for name, acs in (("a", 10.0), ("b", 20.0), ("c", 15.0))]
    figure = json.loads(pareto.figure(plot(*points)).to_json())
    trace = next(one for one in figure["data"] if one["name"] == "SNN-SqueezeNet")
    assert [*map(tuple, trace["customdata"])] == [("a",), ("b",), ("c",)]
    assert len(trace["hovertext"]) == 3 and all(text.startswith("<b>SNN-SqueezeNet") for text in trace["hovertext"])
