"""Packages of the extra `export`, loaded when a file is written and not before."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from core.errors import PackageMissing


def needed(package: str, for_what: str) -> ModuleType:
    """The package; raises PackageMissing with the extra that brings it."""
    try:
        return import_module(package)
    except ModuleNotFoundError:
        raise PackageMissing(package=package, extra="export", why=f"A file for {for_what}") from None
