"""Rows to load a dashboard with. They are drawn, not measured: a weight for timing, and never a result.

Each row says so in its note and tag, and all live in a temporary folder that goes away with the benchmark.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from backend.runs.new_runs import new_row
from backend.store.db import Database, migrate
from backend.store.models import Base, RunRow, RunTagRow, RunTallyRow
from core.energy.modes import MODES
from core.energy.price import energy_pj
from core.energy.profiles import profiles
from core.recipes.build import build_config, plan_of
from core.schemas.request import RunRequest
from core.schemas.results import Summary
from core.schemas.run import Kind, RunConfig, RunState
from core.settings import Settings, prepare_home

DATASET = "cifar10"
BLOCKS = tuple(f"F{number}" for number in range(2, 10))
PROFILES = ("horowitz-45nm", "loihi")  # the two prices that a rival holds as two columns
NOTE = "Drawn for timing the dashboard; nothing was trained."
TAG = "load-fixture"
BATCH = 2000  # rows a transaction


@cache
def _config(kind: Kind, mask: tuple[str, ...]) -> tuple[RunConfig, int, int]:
    """(config with seed 0, parameters, dense ops of one pass)."""
    config = build_config(RunRequest(kind=kind, mask=list(mask), dataset=DATASET, recipe="paper"))
    plan = plan_of(config)
    return config, plan.params, plan.dense_ops


def draw(n: int) -> list[dict[str, Any]]:
    """`n` rows, the same every time: no two share a config even without their seeds, so none are merged."""
    dice = random.Random(0)
    rows = []
    for place in range(n):
        kind = dice.choice((Kind.SNN, Kind.CNN))
        mask = tuple(sorted(dice.sample(BLOCKS, dice.randint(1, len(BLOCKS)))))
        config, params, dense = _config(kind, mask)
        config = config.model_copy(
            update={"seed": place, "training": config.training.model_copy(update={"lr": 1e-4 * (1 + place / n)})}
        )
        rate = dice.uniform(0.05, 0.4)
        acs = dense * rate * config.steps if kind is Kind.SNN else 0.0
        macs = dense * (0.1 if kind is Kind.SNN else dice.uniform(0.4, 1.0))
        accuracy = min(0.95, max(0.1, 0.3 + 0.06 * len(mask) + dice.gauss(0, 0.06)))
        priced = [energy_pj(acs, macs, profiles()[name], {}) for name in PROFILES]
        rows.append(
            {"config": config, "kind": kind.value, "mask": ",".join(mask), "seed": place, "lr": config.training.lr,
             "params": params, "acs": acs, "macs": macs, "rate": rate if kind is Kind.SNN else None,
             "accuracy": accuracy, "energy_pj": priced[0], "energy_other_pj": priced[1]}
        )  # fmt: skip
    return rows


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows as JSON can hold them, for programs that know no config of ours."""
    return [{name: value for name, value in row.items() if name != "config"} for row in rows]


def fill(settings: Settings, rows: list[dict[str, Any]]) -> None:
    """Put the rows straight into the database of an empty data folder, as runs that have succeeded."""
    prepare_home(settings)
    migrate(settings)
    database = Database(settings.database_url)
    start = datetime.now(UTC) - timedelta(seconds=len(rows) + 60)
    try:
        for first in range(0, len(rows), BATCH):
            with database.write() as session:
                for place, row in enumerate(rows[first : first + BATCH], first):
                    session.add_all(_made(row, start + timedelta(seconds=place)))
    finally:
        database.close()


def _made(row: dict[str, Any], when: datetime) -> list[Base]:
    config, summary = row["config"], _summary(row)
    run: RunRow = new_row(config, now=when)
    run.state, run.started_at, run.finished_at, run.note = RunState.SUCCEEDED, when, when, NOTE
    run.summary = summary.model_dump(mode="json")
    for name in ("accuracy", "f1_macro", "params", "firing_rate", "n_train", "n_test", "dataset_complete", "device"):
        setattr(run, name, getattr(summary, name))
    tallies = (RunTallyRow(run_id=run.id, mode=mode, acs=row["acs"], macs=row["macs"], other={}) for mode in MODES)
    return [run, RunTagRow(run_id=run.id, tag=TAG), *tallies]


def _summary(row: dict[str, Any]) -> Summary:
    config = row["config"]
    return Summary(
        accuracy=row["accuracy"], f1_macro=row["accuracy"], params=row["params"], acs=row["acs"], macs=row["macs"],
        energy_pj=row["energy_pj"], mode="exact", profile=PROFILES[0], firing_rate=row["rate"], seed=row["seed"],
        dataset=DATASET, dataset_complete=False, kind=config.kind, backbone=config.backbone, mask=config.mask,
        recipe=config.recipe, time_steps=config.steps, n_train=1, n_train_available=1, n_validation=1, n_test=1,
        best_epoch=1, best_validation_accuracy=0.0, epochs_run=1, train_wall_s=1.0, train_images_per_s=1.0,
        evaluate_wall_s=1.0, device="none: load fixture", config_hash=config.config_hash,
    )  # fmt: skip
