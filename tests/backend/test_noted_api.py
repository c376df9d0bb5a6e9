"""What a worker noted of a run, as the API gives it."""

from __future__ import annotations

import pytest

from backend.results.noted import LINES_SHOWN, LOG_SHOWN, history_in, log_in
from core.run_folder import HISTORY, LOG


def test_a_run_that_nothing_was_noted_of_has_empty_columns_and_no_lines(tmp_path):
    assert history_in(tmp_path / "gone").steps.loss == [] and log_in(tmp_path / "gone").lines == []


@pytest.mark.parametrize("content", [b"", b"[", b'{"steps": 1}', b"\xff\xfe", b'{"steps": {"loss": ["x"]}}'])
def test_a_history_that_cannot_be_read_is_as_none(tmp_path, content):
    (tmp_path / HISTORY).write_bytes(content)
    assert history_in(tmp_path / HISTORY).usage.at_s == []


def test_of_a_long_log_the_end_is_shown_in_whole_lines(tmp_path):
    lines = [f"line {number} {'x' * 80}" for number in range(2_000)]
    (tmp_path / LOG).write_text("\n".join(lines) + "\n")
    found = log_in(tmp_path / LOG)
    assert found.cut and found.lines == lines[-len(found.lines) :]
    assert LINES_SHOWN // 2 < len(found.lines) <= LINES_SHOWN and sum(map(len, found.lines)) < LOG_SHOWN


def test_a_short_log_is_shown_whole_whatever_bytes_it_holds(tmp_path):
    (tmp_path / LOG).write_bytes(b"one\ntw\xff\n")
    assert not log_in(tmp_path / LOG).cut and log_in(tmp_path / LOG).lines == ["one", "tw�"]
