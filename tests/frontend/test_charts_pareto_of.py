"""Runs side by side and the groups of a sweep on the plot of many runs: what stands where, with which words."""

from __future__ import annotations

from typing import get_args

import pytest

from core.report.charts import pareto_of
from core.report.charts.axes import GROUPINGS, X_AXES, Y_AXES
from core.schemas.compare import ComparedRun, Comparison
from core.schemas.pareto import Grouping, XAxis, YAxis
from core.schemas.results import Gradients, Metrics
from core.schemas.run import Kind, RunConfig
from core.schemas.share import SharedSweep
from core.schemas.sweep import Aggregate, SweepGroup

NO_METRICS = Metrics(**{name: [] for name in Metrics.model_fields})


def compared(run_id: str, kind: str, *, accuracy: float, energy_pj: float, dataset: str = "digits") -> ComparedRun:
    return ComparedRun(
        id=run_id, label=f"{kind.upper()}-<b>Net</b> F9", kind=kind, mask_name=None, accuracy=accuracy, f1_macro=0.5,
        config=RunConfig(mask=("F9",), kind=kind, dataset=dataset), params=10, model_bytes=40, firing_rate=None, acs=1.0,
        macs=2.0, energy_pj=energy_pj, n_train=32, n_test=360, dataset_complete=True, metrics=NO_METRICS,
        gradients=Gradients(layers=[], epochs=[], norm=[]),
    )  # fmt: skip


def comparison(*runs: ComparedRun, **prices: float) -> Comparison:
    return Comparison(
        mode="exact", profile="horowitz-45nm", interval="", runs=list(runs), differences=[], twins=[], **prices
    )


def marks(figure) -> dict[str, tuple[list, list]]:
    return {trace.name: (list(trace.x), list(trace.y)) for trace in figure.data if trace.mode == "markers"}


def test_what_a_view_can_be_is_the_table_of_axes_and_groupings() -> None:
    for names, table in ((XAxis, X_AXES), (YAxis, Y_AXES), (Grouping, GROUPINGS)):
        assert set(get_args(names)) == set(table)


def test_compared_runs_stand_at_their_energy_and_accuracy_on_a_linear_axis_with_their_letters() -> None:
    found = comparison(
        compared("run-1", "snn", accuracy=0.6, energy_pj=2e6),
        compared("run-2", "cnn", accuracy=0.7, energy_pj=4e6),
        mac=2,
    )
    figure = pareto_of.comparison(found)
    assert marks(figure) == {"SNN-&lt;b&gt;Net&lt;/b&gt;": ([2], [60]), "CNN-&lt;b&gt;Net&lt;/b&gt;": ([4], [70])}
    assert figure.layout.xaxis.type != "log" and figure.layout.xaxis.title.text.endswith("µJ")
    hovers = [trace.hovertext[0] for trace in figure.data if trace.mode == "markers"]
    assert all("<b>Net" not in words for words in hovers)  # labels stay print
    assert any(words.startswith("<b>B · CNN-") for words in hovers) and "n = 360 test images" in hovers[0]
    said = figure.layout.meta["caption"]
    assert "profile horowitz-45nm with its price of MAC ×2" in said and "n = 360 test images" in said


def test_runs_on_different_data_sets_do_not_share_a_front() -> None:
    found = comparison(
        compared("run-1", "snn", accuracy=0.6, energy_pj=2e6),
        compared("run-2", "snn", accuracy=0.5, energy_pj=4e6, dataset="cifar10"),
    )
    lines = [trace.name for trace in pareto_of.comparison(found).data if trace.mode == "lines"]
    assert len(lines) == 2 and all(name.startswith("front of") for name in lines)


def group(n: int) -> SweepGroup:
    def of(mean: float) -> Aggregate | None:
        spread = mean / 10 if n > 1 else None
        return Aggregate(n=n, mean=mean, deviation=spread, low=None, high=None) if n else None

    return SweepGroup(label="SNN", values={}, config=RunConfig(mask=("F9",)), run_ids=["run-1", "run-2", "run-3"], seeds=[0, 1, 2], states={}, n=n,
                      accuracy=of(0.5), f1_macro=of(0.5), energy_pj=of(4e6), params=of(1e3), firing_rate=None)  # fmt: skip


def swept(*groups: SweepGroup) -> SharedSweep:
    return SharedSweep(shared_at=None, expires_at=None, version=None, title="t", mode="exact", profile="horowitz-45nm",
                       n_runs=2, states={}, groups=list(groups))  # fmt: skip


def test_groups_stand_at_their_means_with_the_deviation_over_seeds() -> None:
    figure = pareto_of.sweep(swept(group(3)))
    (trace,) = [trace for trace in figure.data if trace.mode == "markers"]
    assert (list(trace.x), list(trace.y)) == ([4.0], [50.0]) and trace.marker.symbol == "circle"
    assert "50.00 % ± 5.00 (n = 3 seeds)" in trace.hovertext[0]
    assert (list(trace.error_x.array), list(trace.error_y.array)) == ([pytest.approx(0.4)], [5.0])
    assert "means of up to 3 seeds" in figure.layout.meta["caption"]
    assert Kind.SNN.value.upper() in trace.name


def test_one_seed_has_no_bars_and_an_unfinished_sweep_says_so() -> None:
    (trace,) = [trace for trace in pareto_of.sweep(swept(group(1))).data if trace.mode == "markers"]
    assert trace.error_y.array is None and "n = " not in trace.hovertext[0]
    assert "No run of this sweep has ended yet." in pareto_of.sweep(swept(group(0))).layout.annotations[0].text


@pytest.mark.parametrize("deviation", [0.3, 1.0, 5.0])
def test_axes_reach_the_ends_of_the_error_bars(deviation: float) -> None:
    """Of an accuracy of 50 ± 20 and an energy of 4 µJ and as many times its deviation; at most a decade of a log axis."""

    def of(mean: float, share: float) -> Aggregate:
        return Aggregate(n=3, mean=mean, deviation=share * mean, low=None, high=None)

    wide = group(3).model_copy(update={"accuracy": of(0.5, 0.4), "energy_pj": of(4e6, deviation)})
    layout = pareto_of.sweep(swept(wide)).layout
    low, high = (10**end for end in layout.xaxis.range)
    assert low < max(4 * (1 - deviation), 0.4) and high > 4 * (1 + deviation) and low > 0.1
    assert layout.yaxis.range[0] < 30 and layout.yaxis.range[1] > 70


def test_names_stand_beside_the_line_of_the_front_and_within_the_plot() -> None:
    runs = [
        compared(f"run-{place}", "snn", accuracy=accuracy, energy_pj=energy_pj).model_copy(
            update={"config": RunConfig(mask=("F4", "F6", "F8", "F9"))}
        )
        for place, (accuracy, energy_pj) in enumerate(((0.6, 2e6), (0.9, 9e6)))
    ]
    (names,) = [trace for trace in pareto_of.comparison(comparison(*runs)).data if trace.name == "names"]
    best, cheap = zip(names.text, names.y, names.textposition, strict=True)
    assert (best, cheap) == (("Ref-1", 90, "bottom left"), ("Ref-1", 60, "bottom right"))
