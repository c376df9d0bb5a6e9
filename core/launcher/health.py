"""Is a service healthy? Each answer is None for yes, or a sentence about what it waits for."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import httpx

from core.launcher import broker
from core.launcher.ports import origin
from core.settings import Settings

#: A worker writes its heartbeat every 5 s; the first one comes at once.
PROBE_TIMEOUT_S = 2.0


def broker_waits(path: Path) -> str | None:
    """For the embedded broker on its socket."""
    return None if broker.answers(path) else "it does not answer on its socket."


def api_waits(settings: Settings) -> str | None:
    return _get_waits(f"{origin(settings.host, settings.api_port)}/api/v1/health/live")


def dashboard_waits(settings: Settings) -> str | None:
    return _get_waits(f"{origin(settings.host, settings.dashboard_port)}/_stcore/health")


def worker_waits(settings: Settings, *, token: str, name: str) -> str | None:
    """Whether the worker called `name` wrote its heartbeat lately, as the API sees it."""
    url = f"{origin(settings.host, settings.api_port)}/api/v1/health/ready"
    try:
        ready = httpx.get(url, headers=bearer(token), timeout=PROBE_TIMEOUT_S, trust_env=False).json()
        if name in ready["workers"]:
            return None
        return "it has not reported itself."
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return f"the API does not tell ({type(error).__name__})."


def training_halted(settings: Settings) -> str | None:
    """Why no run starts, as the API says it; None while runs start. The route is open, so no token is needed."""
    try:
        ready = httpx.get(
            f"{origin(settings.host, settings.api_port)}/api/v1/health/ready", timeout=PROBE_TIMEOUT_S, trust_env=False
        ).json()
        return None if ready["training"] == "ok" else str(ready["training"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
        return f"The API does not tell whether runs start ({type(error).__name__})."


def worker_name(pid: int) -> str:
    """What the worker with this process id calls itself. One machine may hold several workers."""
    return f"{socket.gethostname()}:{pid}"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _get_waits(url: str) -> str | None:
    try:
        # trust_env: a proxy of the environment has no business between two processes of one machine
        status = httpx.get(url, timeout=PROBE_TIMEOUT_S, trust_env=False).status_code
    except httpx.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__})."
    return None if status == 200 else f"{url} answers with status {status}."


def wait_until(healthy, *, timeout_s: float, interval_s: float = 0.1, alive=lambda: True) -> str | None:
    """Poll `healthy` until it gives None; the last sentence when time is up or `alive` turns False."""
    deadline = time.monotonic() + timeout_s
    while (waits := healthy()) is not None:
        if not alive() or time.monotonic() > deadline:
            return waits
        time.sleep(interval_s)
    return None
