"""All masks, predictions from runs, and what to train next: on masks whose truth is known."""

import math
import random
import subprocess
import sys

import numpy as np
import pytest

from core.analysis.pareto import hypervolume
from core.backbones.catalog import BACKBONES, plan_for
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.search.masks import SAMPLE, mask_table, masks_of
from core.search.predict import KnownRun, Prediction, Predictions, predict
from core.search.suggest import known_points, suggest

BASE = build_config(RunRequest(dataset="digits", recipe="smoke"))
BLOCKS = BACKBONES["squeezenet"].blocks


@pytest.fixture(scope="module")
def points():
    return mask_table(BASE, n_train=1000, n_validation=100, n_test=100).points


def truth(mask, noise=0.0):
    """Each kept block is worth something of its own."""
    return 0.3 + sum((0.01, 0.02, 0.08, 0.01, 0.06, 0.02, 0.1, 0.12)[BLOCKS.index(block)] for block in mask) + noise


def runs_of(points, n, seed=0):
    draw = random.Random(seed)
    return [
        KnownRun(
            mask=point.mask,
            validation_accuracy=truth(point.mask, draw.gauss(0, 0.004)),
            energy_pj=0.5 * point.dense_ops * draw.uniform(0.95, 1.05),
        )
        for point in draw.sample(points, n)
    ]


def test_squeezenet_has_255_masks_each_once_with_the_sizes_of_its_plan(points):
    assert len(points) == len({point.mask for point in points}) == 2**8 - 1
    named = {point.name: point for point in points if point.name}
    plan = plan_for(backbone="squeezenet", mask=("F4", "F6", "F8", "F9"), input_shape=(3, 16, 16), n_classes=10)
    assert (named["Ref-1"].params, named["Ref-1"].dense_ops) == (plan.params, plan.dense_ops) == (549_114, 9_261_056)


def test_of_many_blocks_a_stated_sample_is_taken_with_the_whole_network_in_it(monkeypatch):
    import dataclasses

    entry = dataclasses.replace(BACKBONES["squeezenet"], blocks=tuple(f"B{n}" for n in range(13)), masks={})
    monkeypatch.setitem(BACKBONES._entries, "squeezenet", entry)
    masks, sampled = masks_of("squeezenet")
    assert sampled and len(masks) == len(set(masks)) == SAMPLE and entry.blocks in masks and () not in masks
    assert masks_of("squeezenet")[0] == masks


def test_masks_that_cannot_be_built_are_set_apart(monkeypatch):
    from core.errors import ImpossibleMask
    from core.search import masks

    real = masks.plan_of

    def no_f9(config):
        if "F9" in config.mask:
            raise ImpossibleMask(mask=config.mask, why="a test says so.")
        return real(config)

    monkeypatch.setattr(masks, "plan_of", no_f9)
    table = mask_table(BASE, n_train=10, n_validation=1, n_test=1)
    assert len(table.impossible) == 2**7 and len(table.points) == 2**7 - 1


def test_fewer_than_four_masks_give_no_prediction(points):
    runs = runs_of(points, 3)
    assert predict(points, runs * 2) is None  # six runs, but of three masks
    assert predict(points, runs_of(points, 4)) is not None


def test_with_many_runs_unseen_masks_are_predicted_better_than_by_their_mean(points):
    runs = runs_of(points, 40)
    predicted = predict(points, runs)
    seen = {run.mask for run in runs}
    unseen = [row for row in predicted.rows if row.point.mask not in seen]
    off = np.mean([abs(row.accuracy - truth(row.point.mask)) for row in unseen])
    spread = np.mean(
        [abs(truth(row.point.mask) - np.mean([run.validation_accuracy for run in runs])) for row in unseen]
    )
    assert off < 0.2 * spread
    assert predicted.accuracy_error < 0.3 * predicted.accuracy_error_of_mean
    inside = [abs(row.accuracy - truth(row.point.mask)) < 3 * row.accuracy_sd for row in unseen]
    assert np.mean(inside) > 0.95


def test_energy_follows_dense_ops_at_the_runs_ratio(points):
    runs = [KnownRun(mask=p.mask, validation_accuracy=0.5, energy_pj=0.5 * p.dense_ops) for p in points[:5]]
    predicted = predict(points, runs)
    for row in predicted.rows:
        assert row.energy_pj == pytest.approx(0.5 * row.point.dense_ops) and row.energy_log10_sd < 1e-9
    assert predicted.energy_error == pytest.approx(0, abs=1e-9)


def test_the_error_leaves_out_all_seeds_of_a_mask(points):
    # each mask twice with equal figures: were only one run left out, the other would give it away
    once = runs_of(points, 6)
    twice = predict(points, once * 2)
    assert twice.n_runs == 12 and twice.n_masks == 6
    # leaving one of six out, the mean of the other five is off by 6/5 of its deviation from the mean of all
    values = np.array([run.validation_accuracy for run in once])
    assert twice.accuracy_error_of_mean == pytest.approx(np.mean(np.abs(values - values.mean())) * 6 / 5)


def suggestions(points, n=3, **options):
    runs = runs_of(points, 12)
    return runs, suggest(predict(points, runs), runs, n, chance=0.1, **options)


def test_suggestions_are_untrained_masks_each_once_with_a_gain_and_a_reason(points):
    runs, found = suggestions(points, n=4, ops_per_s=1e9)
    masks = [row.prediction.point.mask for row in found.rows]
    assert len(set(masks)) == 4 and not set(masks) & {run.mask for run in runs}
    assert found.candidates == 255 - 12
    for row in found.rows:
        assert row.gain > 0 and row.cost_s == row.prediction.point.training_ops / 1e9
        assert row.gain_per_hour == pytest.approx(row.gain / (row.cost_s / 3600))
        assert "on validation" in row.reason and "Gain" in row.reason
    cost, value = known_points(runs)
    area = hypervolume(cost, value, worst_cost=math.log10(found.worst_energy_pj), worst_value=0.1)
    assert found.hypervolume == pytest.approx(area) and area > 0


def test_without_a_speed_gains_are_ranked_by_training_operations(points):
    _, found = suggestions(points)
    assert all(row.cost_s is None and row.gain_per_hour is None and "MACs" in row.reason for row in found.rows)
    _, timed = suggestions(points, ops_per_s=1e9)
    assert [row.prediction.point.mask for row in timed.rows] == [row.prediction.point.mask for row in found.rows]


def test_a_mask_that_was_suggested_leaves_nothing_to_gain_for_its_equal(points):
    runs, free = runs_of(points, 4), points[:3]
    rows = tuple(
        Prediction(
            point=point, accuracy=0.95 - worse, accuracy_sd=0.0, energy_log10_pj=4.0, energy_log10_sd=0.0, n_runs=0
        )
        for point, worse in zip(free, (0.0, 0.0, 0.1), strict=True)
    )
    predictions = Predictions(
        rows=rows, n_runs=4, n_masks=4, accuracy_error=0, accuracy_error_of_mean=0, energy_error=0
    )
    gains = [row.gain for row in suggest(predictions, runs, 3, chance=0.1).rows]
    assert gains[0] > 0 and gains[1] == pytest.approx(0, abs=1e-12) and gains[2] == pytest.approx(0, abs=1e-12)


def test_predictions_need_no_torch_and_load_scikit_learn_only_when_used():
    code = "import sys, core.search.suggest; assert not {'torch', 'sklearn', 'scipy', 'optuna'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
