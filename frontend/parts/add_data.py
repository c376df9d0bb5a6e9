"""How to bring a data set to this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import streamlit as st

from core.schemas.catalog import DatasetInfo


def own(home: str) -> str:
    """The command that adds images of one's own to the data folder of this installation."""
    program = Path(sys.executable).with_name("spikefront")
    command = shlex.quote(str(program)) if program.exists() else "spikefront"
    return f"SPIKEFRONT_HOME={shlex.quote(home)} {command} data add NAME PATH --size 32"


def commands(info: DatasetInfo) -> None:
    """The exact commands, unless the data set's own note says that it cannot be trained on yet."""
    if "spikefront data" not in (info.note or ""):
        return
    st.code(
        f"spikefront data fetch {info.name}\n# or, from files that you have:\nspikefront data add {info.name} PATH",
        language="bash",
    )
