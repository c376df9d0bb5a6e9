"""The browser's Back button: one press leaves a page, whatever was chosen on it."""

from __future__ import annotations

from pathlib import Path

from core.report.markup import render

SCRIPT = Path(__file__).with_name("back.js")


def script() -> str:
    """The element whose code sees to it, for the head of every page: the first address is written at once."""
    return render("script.html", code=SCRIPT.read_text(encoding="utf-8"))
