"""What `spikefront doctor` looks at. Each check tells what it found and what to do; none changes anything."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from urllib.parse import urlsplit

from packaging.requirements import Requirement

from core.addresses import broker_place, folder_of
from core.datasets.catalog import DATASETS
from core.datasets.load import status
from core.energy.profiles import faulty_profiles
from core.errors import BadValue, PortTaken, SpikefrontError
from core.forecast import STORAGE_MARGIN
from core.home.lock import running
from core.home.notes import read_notes
from core.homes import NOWHERE
from core.host.gpus import gpus
from core.host.machine import cores, memory_available_bytes
from core.host.ports import check_port
from core.host.versions import installed, program_version
from core.launcher import broker, health, workers
from core.launcher.database_checks import NO_WORKER, RESTORE, Check, asked_database
from core.settings import Settings, read_token, token_in

GIB = 1 << 30
MEMORY_WANTED_GIB = 2  # API, dashboard, worker and two trainers on the digits
DISK_WANTED_GIB = 2
ENGINE_TIMEOUT_S = 120
PROVIDER_LIMIT_S = 30
PROVIDER = (
    "SPIKEFRONT_OIDC_ISSUER must be what the provider calls itself, letter by letter, and be reached from here; people "
    "with a password still sign in."
)
FREE_SOME = "If the disk is full, free some space, or remove deleted runs for good (Runs, Deleted): runs then go on."


def examine(settings: Settings) -> Iterator[Check]:
    """All checks, quick ones first; one that breaks reports itself."""
    for check in (
        _python, _packages, _engine, _cpu, _gpu, _home, _disk, _store, _database, _provider, _token, _ports, _running, _workers, _broker, _data, _profiles,
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


def _store(settings: Settings) -> Iterator[Check]:
    """The folder of the bundles, where it is another than the home's."""
    address = settings.artifacts_url_override
    if address is None or ("://" in address and not address.startswith("file:")):
        return
    root = folder_of(address, setting="SPIKEFRONT_ARTIFACTS_URL")
    nearest = next(folder for folder in (root, *root.parents) if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        advice = "Mount it, or let this user write there; every machine of the installation needs the same folder."
        yield Check(name="store", status="fail", found=f"{nearest} cannot be written", advice=advice)
        return
    free = shutil.disk_usage(nearest).free
    found = f"{root}, {free / GIB:.1f} GiB free"
    if free < STORAGE_MARGIN:
        yield Check(name="store", status="fail", found=f"full: {found}, so no run starts", advice=FREE_SOME)
    elif nearest != root:
        advice = "Is it mounted? The first run makes it otherwise, on this machine's own disk."
        yield Check(name="store", status="warn", found=f"{root} is not there", advice=advice)
    else:
        yield Check(name="store", status="ok", found=found)


def _database(settings: Settings) -> Iterator[Check]:
    """Asked by a process that may import what speaks to it. Where there is no file yet: whether runs would be without it."""
    file = settings.home / "spikefront.db"
    if settings.database_url_override is not None:
        yield from asked_database(settings)
        return
    if file.exists():
        size_mb = file.stat().st_size / 1e6
        yield from asked_database(
            settings, shown=f"{file.name}, {size_mb:.1f} MB", if_dead=f"Stop Spikefront and {RESTORE}"
        )
        return
    n_runs = sum(1 for _ in (settings.home / "runs").glob("*/manifest.json"))
    if n_runs:
        found = f"{file.name} is gone; {n_runs} finished runs are still in the folder runs"
        advice = (
            "The next start lists them again, without tags, notes, sweeps and links. Or put a copy of the file back."
        )
        yield Check(name="database", status="warn", found=found, advice=advice)
    else:
        yield Check(name="database", status="ok", found=f"{file.name}, which the first start makes")


def _provider(settings: Settings) -> Iterator[Check]:
    """Whether people can sign in through it; nothing where none is set."""
    if settings.oidc_issuer is None:
        return
    ask = [sys.executable, "-m", "backend.provider"]
    told = {"HOME": settings.home, "OIDC_ISSUER": settings.oidc_issuer, "OIDC_CLIENT_ID": settings.oidc_client_id}
    told |= {"OIDC_CLIENT_SECRET_FILE": settings.oidc_client_secret_file}
    own = {f"SPIKEFRONT_{name}": str(value) for name, value in told.items() if value is not None}
    try:
        done = subprocess.run(
            ask, capture_output=True, text=True, timeout=PROVIDER_LIMIT_S, check=False, env={**os.environ, **own}
        )
        said, well = (done.stdout + done.stderr).strip().splitlines()[-1:], not done.returncode
    except subprocess.TimeoutExpired:
        said, well = [f"it did not answer within {PROVIDER_LIMIT_S} s"], False
    found = (said or ["no message"])[0].removeprefix("spikefront: ")
    yield Check(name="sign-in", status="ok" if well else "fail", found=found, advice="" if well else PROVIDER)


def _token(settings: Settings) -> Iterator[Check]:
    if settings.token is not None or settings.token_file_override is not None:
        read_token(settings)  # raises what `examine` reports
        yield Check(name="token", status="ok", found="given by a setting")
        return
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


def _workers(settings: Settings) -> Iterator[Check]:
    """Each worker that lives with what it can do, and why a run waits that none of them can."""
    asked = workers.ask(settings) if settings.token is not None or settings.token_file.exists() else None
    if asked is None:
        return
    if not asked[0].items:
        yield Check(name="worker", status="warn", found="none gave a sign of life in the last 30 s", advice=NO_WORKER)
    for one in asked[0].items:
        slots = f"{len(one.runs)} of {one.slots} slot{'' if one.slots == 1 else 's'} busy"
        found = f"{one.name}: {slots}" + (f" · {one.offer.words}" if one.offer is not None else "")
        yield Check(name="worker", status="ok" if one.paused is None else "warn", found=found, advice=one.paused or "")
    for why in workers.stuck(asked[1]):
        yield Check(name="queue", status="warn", found=why, advice="Start a worker that can do it, or cancel the run.")


def _broker(settings: Settings) -> Iterator[Check]:
    if settings.broker_url_override is not None:
        yield _external_broker(settings.broker_url)
        return
    program = broker.binary()
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        advice = "Set SPIKEFRONT_BROKER_URL to a Redis or Valkey server that runs."
        yield Check(name="broker", status="fail", found=f"{program.name} does not run: {error}", advice=advice)
        return
    found = done.stdout.strip().partition(" sha=")[0]
    if running(settings) is not None and (why := health.broker_waits(broker_place(settings.home))) is not None:
        advice = (
            f"Start Spikefront again; its log: {settings.home / 'logs'}. Until then workers look every five seconds."
        )
        yield Check(name="broker", status="fail", found=f"{found}: {why}", advice=advice)
    else:
        yield Check(name="broker", status="ok", found=found)


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
