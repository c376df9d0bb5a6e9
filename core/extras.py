"""Packages that only some need come as extras; here the command that brings one, for whoever lacks it."""

from __future__ import annotations

import sys
from pathlib import Path

SOURCE = Path(__file__).parents[1]


def with_extra(extra: str, *, source: Path = SOURCE, prefix: str = sys.prefix) -> str:
    """`pip install ...`: from a clone as `make install` does it, since pip would look for the name of the product in an
    index, and install a copy beside the clone. `prefix`: the virtual environment's folder; of paths only what lies in
    the clone is told."""
    if not (source / "pyproject.toml").is_file():
        return f"pip install 'spikefront[{extra}]'"
    environment = Path(prefix)
    pip = f"{environment.relative_to(source)}/bin/pip" if environment.is_relative_to(source) else "pip"
    return f"{pip} install -c constraints.txt -e '.[{extra}]' in the folder of the clone"
