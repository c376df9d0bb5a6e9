"""A figure as a file for a paper: format, width, with or without its words; and several as one zip."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import plotly.graph_objects as go
import streamlit as st

from core.report.charts import printed, theme
from core.report.markup import piece, render
from frontend.client.connection import base_path

FORMATS = {"svg": "SVG", "png": "PNG", "pdf": "PDF"}
SCRIPT = Path(__file__).with_name("figures.js")
Figures = Mapping[str, Callable[[], go.Figure]]


def script() -> str:
    """The element whose code saves figures, for the head of every page."""
    code = SCRIPT.read_text(encoding="utf-8").replace("__BASE__", base_path())
    light = json.dumps(theme.template("light").to_plotly_json()).replace("<", "\\u003c")
    return render("script.html", code=code.replace("__LIGHT__", light))


def button(figures: Figures, *, key: str, file_name: str, label: str = "Save figure") -> None:
    """A small button that opens the choices; the figures are made when it is open, and drawn when Save is pressed."""
    box = st.popover(label, icon=":material/image:", type="tertiary", key=f"{key}_save", on_change="rerun")
    if not box.open:
        return
    with box:
        kind = st.segmented_control(
            "Format", list(FORMATS), default="pdf", required=True, format_func=FORMATS.__getitem__, key=f"{key}_format"
        )
        width = st.radio(
            "Width", list(printed.WIDTHS_IN), format_func=printed.WIDTHS_IN.__getitem__, key=f"{key}_width"
        )
        words = st.checkbox("Title and caption in the picture", value=False, key=f"{key}_words")
        told = job(figures, name=file_name, kind=kind, width_in=width, words=words)
        st.html(piece("save", json.dumps(told, separators=(",", ":")), "Save all" if len(figures) > 1 else "Save"))
        st.caption("On white ground in light colours, type of 9 pt. PNG: 300 dots an inch.")


def job(figures: Figures, *, name: str, kind: str, width_in: float, words: bool) -> dict[str, object]:
    """What the script is told: a name and a light figure for each file."""
    return {
        "name": safe(name),
        "format": kind,
        "figures": [
            {
                "name": safe(name if len(figures) == 1 else f"{name}-{title}"),
                "figure": json.loads(printed.printed(make(), width_in=width_in, words=words).to_json()),
            }
            for title, make in figures.items()
        ],
    }


def safe(name: str) -> str:
    """A file's name without an ending, of letters and digits."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")[:100] or "figure"
