"""What `spikefront health` says; a container's check takes its exit code. The compose file's own test sees the good case."""

from __future__ import annotations

import socket
from datetime import timedelta
from pathlib import Path

import pytest

from backend.store.db import Database, migrate, utc_now
from backend.store.models import WorkerRow
from core.launcher.health import api_unready, dashboard_waits
from core.settings import Settings, prepare_home
from worker import health


@pytest.mark.parametrize(
    ("name", "age_s", "well"),
    [
        ("{host}:7", 1, True),
        ("{host}", 1, True),
        ("{host}-3f2a", 1, True),
        ("{host}:7", 60, False),
        ("{host}x:7", 1, False),
    ],
)
def test_a_worker_is_well_when_one_of_its_host_reported_itself_lately(
    tmp_path: Path, monkeypatch, capsys, name, age_s, well
):
    monkeypatch.setenv("SPIKEFRONT_HOME", str(tmp_path))
    settings = Settings()
    prepare_home(settings)
    migrate(settings)
    database = Database(settings.database_url)
    with database.write() as session:
        seen = utc_now() - timedelta(seconds=age_s)
        session.add(WorkerRow(name=name.format(host=socket.gethostname()), queue="cpu", slots=1, busy=0, seen_at=seen))
    database.close()
    assert health.main() == (0 if well else 1)
    said = capsys.readouterr()
    assert said.out == "ok\n" if well else "has reported itself lately" in said.err


def test_parts_that_do_not_answer_are_a_sentence_with_their_address(tmp_path: Path):
    with socket.socket() as taken:  # bound and not listened on: nobody answers there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        settings = Settings(home=tmp_path, api_port=port, dashboard_port=port)
        for why in (api_unready(settings), dashboard_waits(settings)):
            assert f"127.0.0.1:{port}" in why and why.endswith("does not answer (ConnectError).")
