"""Views, comparisons and sweeps as points: what stands where, in which unit, with which words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from core.report.charts import points
from core.schemas.pareto import PublishedPoint
from core.schemas.run import Kind, RunConfig
from core.schemas.share import SharedPareto, SharedPoint, SharedSweep, ShareView
from core.schemas.sweep import Aggregate, SweepGroup


def point(place: int, kind: str = "snn", **changes: object) -> SharedPoint:
    fields = {
        "run_id": f"run-{place}", "label": f"<b>{kind}</b>", "backbone": "squeezenet", "kind": kind, "mask": ("F9",),
        "mask_name": None, "dataset": "digits", "recipe": "smoke", "seed": 0, "accuracy": 0.5 + place / 10, "f1_macro": 0.4,
        "params": 1000 * place, "acs": 10.0, "macs": 5.0, "energy_pj": 2e6 * place, "firing_rate": 0.1, "time_steps": 4,
        "n_train": 32, "n_test": 360, "dataset_complete": True, "on_front": True, "finished_at": datetime(2026, 1, 1, tzinfo=UTC),
        "model_bytes": 4000 * place,
    } | changes  # fmt: skip
    return SharedPoint(**fields)


def plot(*shown: SharedPoint, published: tuple[PublishedPoint, ...] = ()) -> SharedPareto:
    return SharedPareto(
        dataset="digits", mode="exact", profile="horowitz-45nm", points=list(shown), front=[], published=list(published)
    )


def marks(figure) -> dict[str, tuple[list, list]]:
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data if trace.mode == "markers"}


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        ("energy", [2, 4]),
        ("params", [1000, 2000]),
        ("synops", [15, 15]),
        ("steps", [4, 4]),
        ("model_bytes", [4000, 8000]),
    ],
)
def test_each_axis_of_a_view_shows_its_own_quantity(x, expected) -> None:
    figure = points.view(plot(point(1), point(2)), ShareView(dataset="digits", x=x))
    assert marks(figure)["SNN-SqueezeNet"] == (expected, [60.0, 70.0])  # 2e6 pJ is 2 µJ
    assert points.X_WORDS[x] in figure.layout.xaxis.title.text and "360 test images" in figure.layout.meta["caption"]


def test_the_energy_axis_names_unit_mode_and_profile_and_the_parameter_axis_neither() -> None:
    energy = points.view(plot(point(1), point(2)), ShareView(dataset="digits"))
    assert energy.layout.xaxis.title.text.endswith("µJ") and energy.layout.xaxis.type == "log"
    assert "mode exact" in energy.layout.meta["caption"] and "profile horowitz-45nm" in energy.layout.meta["caption"]
    assert "profile" not in points.view(plot(point(1)), ShareView(dataset="digits", x="params")).layout.meta["caption"]


def test_the_front_of_a_view_is_that_of_its_own_axes() -> None:
    # by F1 the second run is best though the third is more accurate
    shown = plot(point(1, f1_macro=0.5), point(2, f1_macro=0.9), point(3, f1_macro=0.6))
    lines = {
        y: next(
            list(trace.y)
            for trace in points.view(shown, ShareView(dataset="digits", y=y)).data
            if trace.mode == "lines"
        )
        for y in ("accuracy", "f1_macro")
    }
    assert lines == {"accuracy": pytest.approx([60, 70, 80, 80]), "f1_macro": [0.5, 0.9, 0.9]}


def test_a_run_that_costs_nothing_stands_at_the_edge_of_a_log_axis() -> None:
    figure = points.view(plot(point(1, energy_pj=0.0), point(2)), ShareView(dataset="digits"))
    xs, _ = marks(figure)["SNN-SqueezeNet"]
    assert 0 < xs[0] < xs[1]


def test_printed_points_are_hollow_and_only_where_they_have_the_figure() -> None:
    printed = PublishedPoint(model="P", kind="snn", table="table 1", accuracy=0.7, f1_macro=None, params=None, acs=None,
                             macs=None, energy_pj=3e6)  # fmt: skip
    shown = plot(point(1), published=(printed,))
    (hollow,) = [t for t in points.view(shown, ShareView(dataset="digits")).data if t.name == "SNN, printed"]
    assert hollow.marker.symbol.endswith("-open") and list(hollow.x) == [3.0]
    for x, y in (("params", "accuracy"), ("energy", "f1_macro"), ("synops", "accuracy"), ("steps", "accuracy")):
        figure = points.view(shown, ShareView(dataset="digits", x=x, y=y))
        assert "SNN, printed" not in marks(figure), (x, y)


def test_labels_stay_print() -> None:
    figure = points.view(plot(point(1)), ShareView(dataset="digits"))
    assert "&lt;b&gt;snn" in figure.data[0].hovertext[0]


def group(n: int) -> SweepGroup:
    def of(mean: float) -> Aggregate | None:
        spread = mean / 10 if n > 1 else None
        return Aggregate(n=n, mean=mean, deviation=spread, low=None, high=None) if n else None

    return SweepGroup(label="SNN", values={}, config=RunConfig(mask=("F9",)), run_ids=["run-1"], seeds=[0], states={}, n=n,
                      accuracy=of(0.5), f1_macro=of(0.5), energy_pj=of(4e6), params=of(1e3), firing_rate=None)  # fmt: skip


def swept(*groups: SweepGroup) -> SharedSweep:
    return SharedSweep(shared_at=None, expires_at=None, version=None, title="t", mode="exact", profile="horowitz-45nm",
                       n_runs=2, states={}, groups=list(groups))  # fmt: skip


def test_groups_stand_at_their_means_with_the_deviation_over_seeds() -> None:
    figure = points.sweep(swept(group(3)))
    (trace,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert (list(trace.x), list(trace.y)) == ([4.0], [50.0]) and trace.marker.symbol == "circle"
    assert (list(trace.error_x.array), list(trace.error_y.array)) == ([pytest.approx(0.4)], [5.0])
    assert "mean of n = 3 seeds" in figure.layout.meta["caption"]
    assert Kind.SNN.value.upper() in trace.name


def test_one_seed_has_no_bars_and_an_unfinished_sweep_says_so() -> None:
    (trace,) = [trace for trace in points.sweep(swept(group(1))).data if trace.mode == "markers"]
    assert trace.error_y.array is None
    assert "No run of this sweep has ended yet." in points.sweep(swept(group(0))).layout.annotations[0].text
