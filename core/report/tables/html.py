"""HTML of tables, from templates that escape whatever they are given: what stands in a cell is text."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import jinja2


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, label: str, kind: str = "") -> str:
    """A table in a box that scrolls; the first cell of a row is its heading. `label`: what a screen reader calls it."""
    return render("table.html", head=head, rows=rows, label=label, kind=kind)


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names and what they are, in words."""
    return render("facts.html", rows=rows)


def render(template: str, **words: object) -> str:
    """One of `templates`, filled in; a name that it lacks is an error."""
    return _environment().get_template(template).render(**words).strip()


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("core.report.tables", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
