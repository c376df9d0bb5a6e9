"""What a worker says that it can do follows its data folder."""

from __future__ import annotations

import os
from types import SimpleNamespace

from core.schemas.workers import OfferedDataset
from worker import ability
from worker.ability import DATASETS_EVERY_S, Ability
from worker.options import choose


def test_a_set_that_is_added_is_offered_at_once_and_others_are_looked_for_now_and_then(tmp_path, monkeypatch):
    now, looks = [0.0], []

    def offered(folder):
        looks.append(now[0])
        return [OfferedDataset(name=one.name) for one in sorted(folder.iterdir())]

    monkeypatch.setattr(ability, "offered", offered)
    data = tmp_path / "data"
    lifecycle = SimpleNamespace(artifacts=SimpleNamespace(datasets=list))
    one = Ability(lifecycle, options=choose(slots=1), data=data / "", clock=lambda: now[0])
    (data / "first").mkdir(parents=True)
    os.utime(data, ns=(1, 1))

    def names():
        return [each.name for each in one.offer().datasets]

    assert names() == names() == ["first"] and looks == [0.0]
    (data / "second").mkdir()
    assert names() == ["first", "second"] and looks == [0.0, 0.0]
    now[0] = DATASETS_EVERY_S  # what changes inside a set's folder does not touch that of all sets
    assert names() == ["first", "second"] and looks == [0.0, 0.0, DATASETS_EVERY_S]
