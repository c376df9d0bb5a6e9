"""What `spikefront doctor` looks at. Each check tells what it found and what to do; none changes anything."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from core.datasets.catalog import DATASETS
from core.datasets.load import status
from core.energy.profiles import faulty_profiles
from core.errors import BadValue, PortTaken, SpikefrontError
from core.forecast import STORAGE_MARGIN
from core.home.lock import running
from core.home.notes import read_notes
from core.homes import NOWHERE
from core.host.machine import cores, gpus, memory_available_bytes
from core.host.ports import check_port
from core.host.versions import installed, program_version
from core.launcher import broker, health
from core.settings import Settings, token_in

GIB = 1 << 30
MEMORY_WANTED_GIB = 2  # API, dashboard, worker and two trainers on the digits
DISK_WANTED_GIB = 2
ENGINE_TIMEOUT_S = 120
FREE_SOME = "If the disk is full, free some space, or remove deleted runs for good (Runs, Deleted): runs then go on."


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line. `advice` is empty when all is well."""

    name: str
    status: Literal["ok", "warn", "fail"]
    found: str
    advice: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, quick ones first; one that breaks reports itself."""
    for check in (
        _python, _packages, _engine, _cpu, _gpu, _home, _disk, _database, _token, _ports, _running, _broker, _data, _profiles,
    ):  # fmt: skip
        try:
            yield from check(settings)
        except SpikefrontError as error:
            yield Check(name=check.__name__.strip("_"), status="fail", found=error.message)


def _python(_: Settings) -> Iterator[Check]:
    yield Check(name="python", status="ok", found=f"{sys.version.split()[0]} at {sys.executable}")


def _packages(_: Settings) -> Iterator[Check]:
    """Every requirement of the installed distribution against what is there; nothing is imported."""
    try:
        wanted = [Requirement(text) for text in requires("spikefront") or []]
    except PackageNotFoundError:
        yield Check(name="packages", status="fail", found="spikefront is not installed", advice="Run make install.")
        return
    wrong = []
    wanted = [one for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    for requirement in wanted:
        have = installed(requirement.name)
        if have is None:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(have, prereleases=True):
            wrong.append(f"{requirement.name} is {have}, not {requirement.specifier}")
    if wrong:
        yield Check(name="packages", status="fail", found="; ".join(wrong), advice="Run make install.")
    else:
        yield Check(
            name="packages", status="ok", found=f"spikefront {program_version()} and its {len(wanted)} packages"
        )


def _engine(_: Settings) -> Iterator[Check]:
    """In a process of its own: only the engine may import torch."""
    code = "import torch; import core.engine.network; print(torch.__version__, torch.cuda.is_available())"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=ENGINE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        yield Check(name="engine", status="warn", found=f"torch did not load within {ENGINE_TIMEOUT_S} s")
        return
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        yield Check(name="engine", status="fail", found=last, advice="Run make install; torch must be the pinned one.")
        return
    torch_version, cuda = done.stdout.split()[-2:]
    if cuda == "True":
        yield Check(name="engine", status="ok", found=f"torch {torch_version} with CUDA")
    elif gpus():
        advice = "Install torch's CUDA build of the same version, and a driver that fits it."
        yield Check(name="engine", status="warn", found=f"torch {torch_version} cannot use the GPU", advice=advice)
    else:
        yield Check(name="engine", status="ok", found=f"torch {torch_version} on the CPU")


def _cpu(_: Settings) -> Iterator[Check]:
    available = memory_available_bytes()
    found = f"{cores()} cores"
    if available is None:
        yield Check(name="cpu", status="ok", found=found)
        return
    found += f", {available / GIB:.1f} GiB of memory free"
    if available < MEMORY_WANTED_GIB * GIB:
        advice = f"Free some: {MEMORY_WANTED_GIB} GiB are wanted, or training may be killed."
        yield Check(name="cpu", status="warn", found=found, advice=advice)
    else:
        yield Check(name="cpu", status="ok", found=found)


def _gpu(_: Settings) -> Iterator[Check]:
    found = gpus()
    if not found:
        yield Check(name="gpu", status="ok", found="none; runs train on the CPU")
        return
    names = "; ".join(f"{gpu.name}, {gpu.memory_mib / 1024:.0f} GiB, driver {gpu.driver}" for gpu in found)
    yield Check(name="gpu", status="ok", found=f"{names} (start a worker for them: spikefront worker -Q gpu)")


def _home(settings: Settings) -> Iterator[Check]:
    """Without making it: the nearest folder that exists decides."""
    home = settings.home.absolute()
    nearest = next(folder for folder in (home, *home.parents) if folder.exists())
    choose = "Choose another: SPIKEFRONT_HOME=<folder>."
    if home == NOWHERE:
        advice = "Choose a folder: SPIKEFRONT_HOME=<folder>."
        yield Check(name="home", status="fail", found="this user has no home directory", advice=advice)
    elif not nearest.is_dir():
        yield Check(name="home", status="fail", found=f"{nearest} is no folder", advice=choose)
    elif not os.access(nearest, os.W_OK | os.X_OK):
        yield Check(name="home", status="fail", found=f"{nearest} cannot be written", advice=choose)
    else:
        yield Check(name="home", status="ok", found=str(home) if nearest == home else f"{home} (will be made)")


def _disk(settings: Settings) -> Iterator[Check]:
    home = settings.home.absolute()
    free = shutil.disk_usage(next(folder for folder in (home, *home.parents) if folder.exists())).free
    found = f"{free / GIB:.1f} GiB free"
    if free < STORAGE_MARGIN:
        yield Check(
            name="disk", status="fail", found=f"full: {free / 1e6:.0f} MB free, so no run starts", advice=FREE_SOME
        )
    elif free < DISK_WANTED_GIB * GIB:
        yield Check(
            name="disk", status="warn", found=found, advice=f"{DISK_WANTED_GIB} GiB are wanted for data and runs."
        )
    else:
        yield Check(name="disk", status="ok", found=found)


def _database(settings: Settings) -> Iterator[Check]:
    """Without opening it: only whether runs would be without one."""
    file = settings.home / "spikefront.db"
    if settings.database_url_override is not None or file.exists():
        return
    n_runs = sum(1 for _ in (settings.home / "runs").glob("*/manifest.json"))
    if n_runs:
        found = f"{file.name} is gone; {n_runs} finished runs are still in the folder runs"
        advice = (
            "The next start lists them again, without tags, notes, sweeps and links. Or put a copy of the file back."
        )
        yield Check(name="database", status="warn", found=found, advice=advice)


def _token(settings: Settings) -> Iterator[Check]:
    try:
        mode = stat.S_IMODE(settings.token_file.stat().st_mode)
    except OSError:
        yield Check(name="token", status="ok", found="none yet; made at the first start")
        return
    if mode & 0o077:
        advice = f"Make it yours alone: chmod 600 {settings.token_file}"
        yield Check(name="token", status="fail", found=f"others can read it (mode {mode:o})", advice=advice)
        return
    try:
        token_in(settings.token_file)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        advice = "Delete it: the next start makes a new one, and download addresses under the old one end."
        yield Check(name="token", status="fail", found=f"the file 'token': {why}", advice=advice)
    else:
        yield Check(name="token", status="ok", found=f"mode {mode:o}")


def _ports(settings: Settings) -> Iterator[Check]:
    ours = running(settings)
    for name, port in (
        ("SPIKEFRONT_API_PORT", settings.api_port),
        ("SPIKEFRONT_DASHBOARD_PORT", settings.dashboard_port),
    ):
        label = "API port" if "API" in name else "dashboard port"
        try:
            check_port(settings.host, port, setting=name)
        except PortTaken:
            if ours is not None and ours.has(settings.host, port):
                where = ours.address.partition("?")[0]
                yield Check(name=label, status="ok", found=f"{port}, in use by this Spikefront at {where}")
            else:
                advice = f"Choose another: {name}=<port>."
                yield Check(name=label, status="fail", found=f"{port} is taken by another program", advice=advice)
        except BadValue as error:
            yield Check(name=label, status="fail", found=error.message)
        else:
            yield Check(name=label, status="ok", found=f"{port} is free")


def _running(settings: Settings) -> Iterator[Check]:
    """What a Spikefront that runs on this data folder says of its training."""
    if running(settings) is None:
        return
    notes = read_notes(settings)
    for name, sentence in notes.items():
        yield Check(name=name, status="fail", found=sentence, advice=f"Its log: {settings.home / 'logs'}.")
    why = health.training_halted(settings)
    if why in notes.values():
        return
    if why is None:
        yield Check(name="training", status="ok", found="runs are taken from the queue")
    else:
        yield Check(name="training", status="fail", found=why, advice=f"See {settings.home / 'logs'}. {FREE_SOME}")


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.broker_url_override is not None:
        yield _external_broker(settings.broker_url_override)
        return
    program = broker.binary()
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        advice = "Set SPIKEFRONT_BROKER_URL to a Redis or Valkey server that runs."
        yield Check(name="broker", status="fail", found=f"{program.name} does not run: {error}", advice=advice)
        return
    yield Check(name="broker", status="ok", found=done.stdout.strip().partition(" sha=")[0])


def _external_broker(url: str) -> Check:
    from kombu import Connection

    parts = urlsplit(url)
    shown = (
        f"{parts.scheme}://{parts.hostname or ''}{f':{parts.port}' if parts.port else ''}{parts.path}"  # no password
    )
    try:
        with Connection(url, connect_timeout=3) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=5)
    except Exception as error:  # noqa: BLE001  each transport has errors of its own
        advice = "Start it, or correct SPIKEFRONT_BROKER_URL."
        return Check(
            name="broker", status="fail", found=f"{shown} does not answer ({type(error).__name__})", advice=advice
        )
    return Check(name="broker", status="ok", found=f"{shown} answers")


def _data(settings: Settings) -> Iterator[Check]:
    folder: Path = settings.data
    for name, spec in DATASETS.items():
        if spec.reader is None:  # for counting only: nothing to add
            continue
        try:
            found = status(name, folder)
        except SpikefrontError as error:
            yield Check(name=f"data {name}", status="warn", found=error.message)
            continue
        if found.ready:
            note = "" if found.complete else " (a subset)"
            yield Check(name=f"data {name}", status="ok", found=f"{found.n_train} + {found.n_test} images{note}")
        else:
            advice = f"Optional: spikefront data fetch {name}, or data add {name} <folder or archive>."
            yield Check(name=f"data {name}", status="warn", found=f"not in {folder}", advice=advice)


def _profiles(settings: Settings) -> Iterator[Check]:
    """The user's own hardware profiles; those that come along are tested elsewhere."""
    for file, why in faulty_profiles(settings.home).items():
        advice = f"Mend or remove {settings.home / 'profiles' / file}; until then it is left out."
        yield Check(name="profile", status="warn", found=why, advice=advice)
