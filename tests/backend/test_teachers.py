"""A run that learns from its CNN twin: the worker is handed the twin that is here, and its epochs are not the run's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from backend.runs.new_runs import new_row
from backend.store.db import Database, migrate
from backend.store.lifecycle import Lifecycle
from backend.store.models import RunEventRow, RunRow
from core.recipes.build import build_config
from core.schemas.request import RunRequest
from core.schemas.results import EpochDone, Progress, Started
from core.schemas.run import RunConfig, RunState
from core.settings import Settings, prepare_home

START = datetime(2030, 1, 1, tzinfo=UTC)
PUPIL = build_config(RunRequest(mask="F9", overrides={"distillation": 0.5}))


@pytest.fixture
def database(tmp_path):
    settings = Settings(home=tmp_path)
    prepare_home(settings)
    migrate(settings)
    database = Database(settings.database_url)
    yield database
    database.close()


@pytest.fixture
def lifecycle(tmp_path, database):
    return Lifecycle(Settings(home=tmp_path), database=database, clock=lambda: START)


def add(database: Database, config: RunConfig, *, state: RunState, minutes: int = 0, **values: object) -> str:
    row = new_row(config, now=START + timedelta(minutes=minutes))
    row.state = state
    for name, value in values.items():
        setattr(row, name, value)
    with database.write() as session:
        session.add(row)
    return row.id


def claim(lifecycle: Lifecycle, run_id: str):
    return lifecycle.claim(run_id, worker="w", lease_s=60)


def test_a_claim_names_the_newest_succeeded_twin(database, lifecycle) -> None:
    add(database, PUPIL.twin(), state=RunState.SUCCEEDED)
    newest = add(database, PUPIL.twin(), state=RunState.SUCCEEDED, minutes=1)
    add(database, PUPIL.twin(), state=RunState.FAILED, minutes=2)
    add(database, PUPIL.twin(), state=RunState.SUCCEEDED, minutes=5, deleted_at=START)
    found = claim(lifecycle, add(database, PUPIL, state=RunState.QUEUED))
    assert found.teacher is not None and found.teacher.name == newest
    assert found.teacher.parent == found.out.parent


def test_another_network_is_no_teacher_and_a_run_without_need_gets_none(database, lifecycle) -> None:
    other = PUPIL.twin().model_copy(update={"seed": 1})
    add(database, other, state=RunState.SUCCEEDED)
    assert claim(lifecycle, add(database, PUPIL, state=RunState.QUEUED)).teacher is None
    plain = build_config(RunRequest(mask="F9"))
    add(database, plain.twin(), state=RunState.SUCCEEDED)
    assert claim(lifecycle, add(database, plain, state=RunState.QUEUED)).teacher is None


def test_a_teachers_training_shows_as_progress_and_leaves_no_epochs(database, lifecycle) -> None:
    run_id = add(database, PUPIL, state=RunState.QUEUED)
    held = claim(lifecycle, run_id)

    def part_shown() -> str:
        with database.read() as session:
            return session.get(RunRow, run_id).progress["part"]

    sizes = {"device": "cpu", "n_train": 9, "n_validation": 3, "n_test": 3, "steps_per_epoch": 1, "max_epochs": 2}
    epoch = {"lr": 1, "train_loss": 1, "train_accuracy": 0, "validation_loss": 1, "validation_accuracy": 0,
             "firing_rate": None, "wall_s": 1, "is_best": True}  # fmt: skip
    lifecycle.record(held, Started(**sizes, part="teacher"))
    assert part_shown() == "teacher"
    lifecycle.record(held, Progress(epoch=1, max_epochs=2, step=1, steps=1, part="teacher"))
    assert part_shown() == "teacher"
    for number in (1, 2):
        lifecycle.record(held, EpochDone(epoch=number, **epoch, part="teacher"))
    lifecycle.record(held, Started(**sizes))
    assert part_shown() == "run"
    lifecycle.record(held, EpochDone(epoch=1, **epoch))
    with database.read() as session:
        kept = session.scalars(select(RunEventRow).where(RunEventRow.run_id == run_id, RunEventRow.type == "epoch"))
        assert [row.payload["part"] for row in kept] == ["run"]
