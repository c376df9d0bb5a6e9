"""Is a service healthy? Each answer is None for yes, or a sentence about what it waits for."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx

from core.addresses import origin
from core.launcher import broker
from core.settings import Settings

#: A worker writes its heartbeat every 5 s; the first one comes at once.
PROBE_TIMEOUT_S = 2.0
READY_TIMEOUT_S = 4.0  # it asks database and broker


def broker_waits(path: Path) -> str | None:
    """For the embedded broker on its socket."""
    return None if broker.answers(path) else "it does not answer on its socket."


def api_waits(settings: Settings) -> str | None:
    return _get_waits(f"{origin(settings.host, settings.api_port)}/api/v1/health/live")


def api_unready(settings: Settings) -> str | None:
    """Whether the API can take work: its database and its broker answer too."""
    url = f"{origin(settings.host, settings.api_port)}/api/v1/health/ready"
    try:
        ready = httpx.get(url, timeout=READY_TIMEOUT_S, trust_env=False).json()
        return None if ready["ok"] else " ".join(ready[part] for part in ("database", "broker") if ready[part] != "ok")
    except httpx.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__})."
    except (ValueError, KeyError, TypeError):
        return f"{url} answers, and not as the API does."


def dashboard_waits(settings: Settings) -> str | None:
    return _get_waits(f"{origin(settings.host, settings.dashboard_port)}/_stcore/health")


def worker_waits(settings: Settings, *, token: str, name: str) -> str | None:
    """Whether the worker called `name`, or that and a random part, wrote its heartbeat lately, as the API sees it."""
    url = f"{origin(settings.host, settings.api_port)}/api/v1/health/ready"
    try:
        ready = httpx.get(url, headers=bearer(token), timeout=PROBE_TIMEOUT_S, trust_env=False).json()
        if any(one == name or one.startswith(f"{name}-") for one in ready["workers"]):
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


def worker_name(settings: Settings, pid: int) -> str:
    """How the name begins that the worker with this process id gives itself; a random part may follow."""
    return settings.worker_name or f"{socket.gethostname()}:{pid}"


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _get_waits(url: str) -> str | None:
    try:
        # trust_env: a proxy of the environment has no business between two processes of one machine
        status = httpx.get(url, timeout=PROBE_TIMEOUT_S, trust_env=False).status_code
    except httpx.HTTPError as error:
        return f"{url} does not answer ({type(error).__name__})."
    return None if status == 200 else f"{url} answers with status {status}."
