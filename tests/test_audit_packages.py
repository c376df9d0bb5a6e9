"""`make audit`: what is known is told, and not to have been able to ask is never taken for "nothing is known"."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


class Database(ThreadingHTTPServer):
    """Of vulnerabilities, as osv.dev answers; knows of one version of one package."""

    asked: list[dict[str, Any]]
    answer: Any = None

    class Handler(BaseHTTPRequestHandler):
        server: Database

        def do_POST(self) -> None:
            queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
            self.server.asked += queries
            bad = [
                {"vulns": [{"id": "PYSEC-1"}, {"id": "CVE-2"}]} if one["version"] == "0.9" else {} for one in queries
            ]
            told = {"results": bad} if self.server.answer is None else self.server.answer
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(told).encode())

        def log_message(self, *_: object) -> None:
            return None


@pytest.fixture
def database() -> Iterator[Database]:
    server = Database(("127.0.0.1", 0), Database.Handler)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def audit(port: int, *files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "scripts" / "audit", *files]
    env = {"OSV_URL": f"http://127.0.0.1:{port}", "PATH": "", "NO_PROXY": "127.0.0.1"}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture
def pins(tmp_path: Path) -> Path:
    file = tmp_path / "pins.txt"
    file.write_text("# a comment\nharmless==1.0\nholey==0.9  # why\n")
    return file


def test_what_is_known_is_told_and_fails(database: Database, pins: Path) -> None:
    done = audit(database.server_port, pins)
    assert done.returncode == 1, done.stderr
    assert "holey 0.9: https://osv.dev/vulnerability/PYSEC-1, https://osv.dev/vulnerability/CVE-2" in done.stdout
    assert "harmless 1.0" not in done.stdout and "2 packages asked about" in done.stdout


def test_every_pinned_version_is_asked_about(database: Database) -> None:
    done = audit(database.server_port)
    assert done.returncode == 0 and ", 0 with known vulnerabilities" in done.stdout, done.stderr
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    told = {f"{one['package']['name']}=={one['version']}" for one in database.asked}
    assert told == {line for line in lines if not line.startswith("#")} and len(told) > 100


@pytest.mark.parametrize("answer", [{}, {"results": []}, {"results": [{}]}, [], "no", {"results": "no"}], ids=str)
def test_a_half_answer_is_no_answer(database: Database, pins: Path, answer: Any) -> None:
    database.answer = answer
    done = audit(database.server_port, pins)
    assert (done.returncode, done.stdout) == (2, "") and "NOT AUDITED" in done.stderr


def test_a_database_that_cannot_be_reached_is_said_and_fails(database: Database, pins: Path) -> None:
    port = database.server_port
    database.server_close()
    done = audit(port, pins)
    assert (done.returncode, done.stdout) == (2, "")
    assert "NOT AUDITED" in done.stderr and "Nothing is known" in done.stderr


def test_a_line_without_a_version_is_said_and_fails(database: Database, tmp_path: Path) -> None:
    file = tmp_path / "pins.txt"
    file.write_text("harmless>=1.0\n")
    assert audit(database.server_port, file).returncode == 2 and not database.asked
