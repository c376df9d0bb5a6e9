"""The compose files as Compose reads them: merged, with the variables of `.env` in their places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MAIN, LAN, WORKER = ROOT / "docker-compose.yml", ROOT / "deploy" / "lan.yml", ROOT / "deploy" / "worker.yml"
_VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<rest>[^}]*))?\}")


def composed(file: Path, variables: Mapping[str, str]) -> dict[str, Any]:
    """Raises KeyError for a variable that the file asks for and that is not there."""

    def value(found: re.Match[str]) -> str:
        if found["kind"] == "-":
            return variables.get(found["name"]) or found["rest"]
        return variables[found["name"]]

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {key: filled(inner) for key, inner in node.items()}
        if isinstance(node, list):
            return [filled(inner) for inner in node]
        return _VARIABLE.sub(value, node).replace("$$", "$") if isinstance(node, str) else node

    return filled(yaml.safe_load(file.read_text()))


def variables_of(file: Path) -> set[str]:
    return {found["name"] for found in _VARIABLE.finditer(file.read_text())}
