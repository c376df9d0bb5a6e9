"""`celery -A worker ...`: the application as Celery's own commands and Flower find it.

Made when it is asked for, of the settings of the environment. It asks and shows; a worker is started by
`spikefront worker`, since this one would only take bells and train nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery


@lru_cache(maxsize=1)
def _app() -> Celery:
    from core.settings import Settings
    from worker.app import build_app

    def refuse() -> None:
        raise RuntimeError("This is no worker: start one with 'spikefront worker'.")

    return build_app(Settings(), ring=refuse)


def __getattr__(name: str) -> Any:
    if name == "app":
        return _app()
    raise AttributeError(name)
