"""Hardware profiles: what one operation costs, in pJ, with the source of every constant."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from core.registry import Registry

DEFAULT_PROFILE = "horowitz-45nm"


@dataclass(frozen=True, kw_only=True)
class Constant:
    """One price and where it is printed."""

    name: str
    pj: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Prices of one piece of hardware.

    ac_pj, mac_pj: pJ of one accumulate and one multiply-accumulate. `constants` holds every priced kind of
    operation. Not modelled: memory, routing, control, leakage.
    """

    name: str
    title: str
    source: str
    process: str
    status: str
    ac_pj: float
    mac_pj: float
    constants: dict[str, Constant] = field(repr=False, hash=False)


def read_profile(text: str, *, origin: str) -> Profile:
    """A profile from TOML. Raises ValueError, naming `origin`, where a part or a source is missing."""
    try:
        content: dict[str, Any] = tomllib.loads(text)
        constants: dict[str, Constant] = {}
        for entry in content["constants"]:
            constant = Constant(name=entry["name"], pj=float(entry["pj"]), source=entry["source"].strip())
            if constant.name in constants:
                raise ValueError(f"{constant.name} is priced twice")
            if not (constant.pj >= 0.0 and constant.source):
                raise ValueError(f"{constant.name} needs a price of at least 0 and a source")
            constants[constant.name] = constant
        return Profile(
            **{key: content[key] for key in ("name", "title", "source", "process", "status")},
            ac_pj=constants[content["ac"]].pj,
            mac_pj=constants[content["mac"]].pj,
            constants=constants,
        )
    except KeyError as error:
        raise ValueError(f"{origin}: {error} is missing") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{origin}: {error}") from None


@cache
def profiles() -> Registry[Profile]:
    """All profiles, read once from the files beside this one."""
    registry: Registry[Profile] = Registry("hardware profile")
    folder = files("core.energy").joinpath("profiles")
    for file in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            profile = read_profile(file.read_text(encoding="utf-8"), origin=file.name)
            registry.add(profile.name, profile)
    return registry
