"""How to bring a data set to this machine."""

from __future__ import annotations

import streamlit as st

from core.schemas.catalog import DatasetInfo


def commands(info: DatasetInfo) -> None:
    """The exact commands, unless the data set's own note says that it cannot be trained on yet."""
    if "spikefront data" not in (info.note or ""):
        return
    st.code(
        f"spikefront data fetch {info.name}\n# or, from files that you have:\nspikefront data add {info.name} PATH",
        language="bash",
    )
