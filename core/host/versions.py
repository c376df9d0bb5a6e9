"""Which version of a package is installed."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version


def installed(package: str) -> str | None:
    """The version, or None where the package is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@cache
def program_version() -> str:
    """Spikefront's own; `unknown` when it runs from a source tree that was never installed."""
    return installed("spikefront") or "unknown"
