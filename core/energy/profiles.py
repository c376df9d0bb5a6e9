"""Hardware profiles: what one operation costs, in pJ, with the source of every constant.

A profile is a TOML file: those beside this module, and those that a user puts into
`<SPIKEFRONT_HOME>/profiles`. `docs/accounting.md` explains the format.
"""

from __future__ import annotations

import logging
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from core.registry import Registry
from core.schemas.prices import Constant, Profile
from core.settings import settings_now
from core.text import text_of

log = logging.getLogger("spikefront.energy")


def read_profile(text: str, *, origin: str, hosts: Mapping[str, Profile] | None = None) -> Profile:
    """A profile from TOML; `hosts` are those that `mac_from` may name.

    Raises ValueError, naming `origin`, where a part or a source is missing.
    """
    try:
        return _profile(tomllib.loads(text), hosts or {})
    except KeyError as error:
        raise ValueError(f"{origin}: {error} is missing") from None
    except (ValueError, AttributeError, TypeError) as error:
        raise ValueError(f"{origin}: {error}") from None


def _profile(content: dict[str, Any], hosts: Mapping[str, Profile]) -> Profile:
    host = None
    if "mac_from" in content:
        if content["mac_from"] not in hosts:
            raise ValueError(f"mac_from names {content['mac_from']!r}; known are {', '.join(hosts) or 'none here'}")
        host = hosts[content["mac_from"]]
    words = {key: content[key] for key in ("name", "title", "source", "process", "status")}
    for key, word in words.items():
        if not isinstance(word, str) or not word.strip():
            raise ValueError(f"{key} must be a text that is not empty")
    own = _constants(content["constants"])
    ac_pj = own[content["ac"]].pj
    mac_pj = own[content["mac"]].pj if host is None else host.mac_pj
    if unknown := content.keys() - _PARTS:
        raise ValueError(f"{', '.join(sorted(unknown))} is no part of a profile; parts are {', '.join(_PARTS)}")
    return Profile(
        **words,
        ac_pj=ac_pj,
        mac_pj=mac_pj,
        constants=(host.constants if host else {}) | own,
        ac_range=_range(content, "ac_range", own, ac_pj),
        mac_range=_range(content, "mac_range", own, mac_pj) if host is None else host.mac_range,
        mac_from=host.name if host else None,
        synop_with_memory=bool(content.get("synop_with_memory", False)),
        neuron_pj=own[content["neuron"]].pj if "neuron" in content else None,
        host_ac_pj=host.ac_pj if host else None,
        word_bits=host.word_bits if host else int(content.get("word_bits", 32)),
    )


_PARTS = (
    "name", "title", "source", "process", "status", "ac", "mac", "mac_from", "ac_range", "mac_range", "neuron",
    "synop_with_memory", "word_bits", "constants",
)  # fmt: skip


def _constants(entries: list[dict[str, Any]]) -> dict[str, Constant]:
    constants: dict[str, Constant] = {}
    for entry in entries:
        constant = Constant(name=entry["name"], pj=float(entry["pj"]), source=entry["source"].strip())
        if constant.name in constants:
            raise ValueError(f"{constant.name} is priced twice")
        if not (0.0 <= constant.pj < float("inf") and constant.source):
            raise ValueError(f"{constant.name} needs a price of at least 0 and a source")
        constants[constant.name] = constant
    return constants


def _range(content: dict[str, Any], key: str, own: dict[str, Constant], pj: float) -> tuple[float, float]:
    """The prices of the two constants that `key` names, around `pj`."""
    if key not in content:
        return pj, pj
    low, high = (own[name].pj for name in content[key])
    if not low <= pj <= high:
        raise ValueError(f"{key} is {low:g} to {high:g} pJ, which leaves out the price of {pj:g} pJ")
    return low, high


def profiles(home: Path | None = None) -> Registry[Profile]:
    """All profiles: the shipped ones, then those in the folder `profiles` of `home`.

    `home` is SPIKEFRONT_HOME unless given. Files are read again only when the folder changes. A faulty file is left
    out and logged; `faulty_profiles` says why.
    """
    return _read(*_own_files(home))[0]


@lru_cache(maxsize=1)
def shipped_profiles() -> Registry[Profile]:
    """Those that everybody has: without the user's own."""
    return _shipped()


def faulty_profiles(home: Path | None = None) -> dict[str, str]:
    """File name -> what is wrong with it, of the user's profiles that cannot be used."""
    return _read(*_own_files(home))[1]


def _own_files(home: Path | None) -> tuple[Path, tuple[tuple[str, int, int], ...]]:
    """The user's folder, and name, time and size of each file in it: a key that changes when they do."""
    folder = (home or settings_now().home) / "profiles"
    found = []
    for file in sorted(folder.glob("*.toml")):
        if file.name.startswith("."):  # a system's companion of the file, not one of its owner's
            continue
        try:
            stat = file.stat()
        except OSError:  # gone, or a link to nothing; reading says which
            found.append((file.name, 0, 0))
        else:
            found.append((file.name, stat.st_mtime_ns, stat.st_size))
    return folder, tuple(found)


@lru_cache(maxsize=8)
def _read(folder: Path, own: tuple[tuple[str, int, int], ...]) -> tuple[Registry[Profile], dict[str, str]]:
    registry = _shipped()
    faults: dict[str, str] = {}
    for name, _, _ in own:
        try:
            text = text_of((folder / name).read_bytes())
            profile = read_profile(text, origin=name, hosts=registry)
            registry.add(profile.name, profile)
        except (OSError, ValueError) as error:
            faults[name] = str(error) if str(error).startswith(name) else f"{name}: {error}"
            log.warning("profile.skipped", extra={"file": name, "reason": faults[name]})
    return registry, faults


def _shipped() -> Registry[Profile]:
    """A new registry of the files beside this one: those with a MAC price first, since others borrow it."""
    registry: Registry[Profile] = Registry("hardware profile")
    texts = {
        file.name: file.read_text(encoding="utf-8")
        for file in sorted(files("core.energy").joinpath("profiles").iterdir(), key=lambda entry: entry.name)
        if file.name.endswith(".toml") and not file.name.startswith(".")
    }
    for name in sorted(texts, key=lambda name: ("mac_from" in tomllib.loads(texts[name]), name.removesuffix(".toml"))):
        profile = read_profile(texts[name], origin=name, hosts=registry)
        registry.add(profile.name, profile)
    return registry
