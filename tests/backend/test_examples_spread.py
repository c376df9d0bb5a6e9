"""Which examples a page shows first: one of each class, mistakes before right answers."""

from __future__ import annotations

from types import SimpleNamespace

from backend.results.images import _in_turn


def test_classes_take_turns_and_each_begins_with_its_mistakes() -> None:
    label = [0, 0, 0, 1, 1, 2]
    right = [True, True, False, True, False, True]
    own = SimpleNamespace(correct=right.__getitem__, cell=lambda index: (label[index], 0))
    assert _in_turn(list(range(6)), own) == [2, 4, 5, 0, 3, 1]  # type: ignore[arg-type]
    assert _in_turn([], own) == []  # type: ignore[arg-type]
