"""What `spikefront doctor` says of the database and of what only it knows: clocks, bundles that are gone, waiting runs.

It is asked by a process of its own, which may import what speaks to it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from core.settings import EXIT_OTHER_SCHEMA, Settings

DATABASE_TIMEOUT_S = 60
CLOCK_S = 2.0  # a difference that people see in times of runs; workers are held to be alive for 30 s
RESTORE = "restore a backup into a new folder: spikefront restore."
NO_WORKER = "Start one: spikefront worker, or spikefront up, which starts one by itself."
CORRECT = "Start it, or correct SPIKEFRONT_DATABASE_URL."
STORE = "Start it, or correct SPIKEFRONT_ARTIFACTS_URL and the AWS_ variables; runs wait meanwhile."


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line. `advice` is empty when all is well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


CONNECTIONS = "Raise max_connections of PostgreSQL, or lower SPIKEFRONT_DATABASE_POOL; fewer workers of more slots hold fewer, too."


def asked_database(settings: Settings, *, shown: str = "", if_dead: str = CORRECT) -> Iterator[Check]:
    """`shown` in place of what a database that is well says of itself."""
    ask = [sys.executable, "-m", "backend.store", "check", "--json"]
    try:
        done = subprocess.run(
            ask, capture_output=True, text=True, timeout=DATABASE_TIMEOUT_S, check=False, env=_env(settings)
        )
    except subprocess.TimeoutExpired:
        found = f"it did not answer within {DATABASE_TIMEOUT_S} s"
        yield Check(name="database", status="fail", found=found, advice=if_dead)
        return
    said = (done.stdout + done.stderr).strip().splitlines() or ["no message"]
    found = said[-1].removeprefix("spikefront: ")
    if done.returncode == EXIT_OTHER_SCHEMA:
        yield Check(name="database", status="warn", found=found, advice="A start does that, too.")
    elif done.returncode:
        yield Check(name="database", status="fail", found=found, advice=if_dead)
    else:
        yield Check(name="database", status="ok", found=shown or found)
        yield from of_facts(json.loads(said[0]))


def _env(settings: Settings) -> dict[str, str]:
    """The environment, with what these settings say of the database."""
    told = {
        "HOME": settings.home,
        "DATABASE_URL": settings.database_url_override,
        "DATABASE_PASSWORD_FILE": settings.database_password_file,
        "ARTIFACTS_URL": settings.artifacts_url_override,
    }
    return {**os.environ, **{f"SPIKEFRONT_{name}": "" if value is None else str(value) for name, value in told.items()}}


def of_facts(facts: dict[str, Any]) -> Iterator[Check]:
    """What follows from `backend.store.examining.facts`."""
    clock_s = facts["clock_s"]
    advice = "Let NTP set the clocks of all machines (timedatectl set-ntp true): times of runs and links go by them."
    if facts["ahead_s"]:
        found = (
            f"a worker gave its last sign of life {facts['ahead_s']:,.0f} s from now: a clock is wrong, or was set back"
        )
        yield Check(name="clock", status="warn", found=found, advice=advice)
    elif clock_s is not None and abs(clock_s) > CLOCK_S:
        found = f"the database's is {abs(clock_s):,.1f} s {'ahead of' if clock_s > 0 else 'behind'} this machine's"
        yield Check(name="clock", status="warn", found=found, advice=advice)
    elif clock_s is not None:
        yield Check(name="clock", status="ok", found=f"within {max(abs(clock_s), 0.001):.3f} s of the database's")
    if (room := facts["connections"]) is not None and room["needed"] > room["allowed"]:
        found = f"the server allows {room['allowed']:,} connections; one API and the workers that live may want {room['needed']:,}"
        yield Check(name="connections", status="warn", found=found, advice=CONNECTIONS)
    if facts["store_down"] is not None:
        yield Check(name="store", status="fail", found=facts["store_down"], advice=STORE)
    elif facts["store"] is not None:
        yield Check(name="store", status="ok", found=facts["store"])
    if n := facts["n_without_bundle"]:
        ids = ", ".join(facts["without_bundle"]) + (" and more" if n > len(facts["without_bundle"]) else "")
        found = f"{n:,} finished run{'s have' if n != 1 else ' has'} no bundle here: {ids}"
        advice = "Mount the folder that SPIKEFRONT_ARTIFACTS_URL names, or " + RESTORE
        yield Check(name="bundles", status="fail", found=found, advice=advice)
    if facts["n_waiting"] and not facts["n_workers"]:
        n = facts["n_waiting"]
        found = f"{n:,} run{'s wait' if n != 1 else ' waits'}, and no worker gave a sign of life in the last 30 s"
        yield Check(name="queue", status="warn", found=found, advice=NO_WORKER)
