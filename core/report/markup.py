"""HTML from templates that escape whatever they are given: what stands in a cell is text. The one place that makes it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2


def render(template: str, **words: object) -> str:
    """One of `templates`, filled in; a name that it lacks is an error."""
    return _ours().get_template(template).render(**words).strip()


def piece(name: str, *words: object) -> str:
    """One of the small pieces in `templates/bits.html`, by its macro's name."""
    return str(getattr(_bits(), name)(*words)).strip()


def environment(package: str, **settings: Any) -> jinja2.Environment:
    """Templates of `package`, in its folder `templates`, as all of Spikefront's HTML is made."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **settings,
    )


@lru_cache(maxsize=1)
def _ours() -> jinja2.Environment:
    return environment("core.report")


@lru_cache(maxsize=1)
def _bits() -> Any:
    return _ours().get_template("bits.html").module
