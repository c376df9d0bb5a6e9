"""The page of a share: one HTML document of its own, with no session and no way into anything else.

What it may do is bounded by `CSP`: its own script, style sheet and Plotly from `/s/assets/`, images
that stand in the page, and no connection to anywhere. The figures travel as JSON in a data block, so no
inline script is needed. Plotly (5 MB) is fetched by the page's script when the first figure comes near
the screen; without JavaScript all numbers still stand in the tables.

The offline page of a frozen share is the same document with all of that inside it, and says in a policy of
its own that it may connect to nothing.
"""

from __future__ import annotations

import json
from base64 import b64encode
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from backend.shares import layout as sheets
from core.datasets.catalog import title_of
from core.report import markup
from core.report.charts import theme
from core.schemas.share import AnyShared
from core.units import energy_in, format_count, format_energy

# style-src: Plotly adds its own style elements and style attributes while drawing, and has no nonce for
# them; a style cannot call anywhere, since images and fonts are bound too. No script is inline.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Assets carry their content's digest in their names, so a browser may keep them for ever.
ASSET_CACHE = "public, max-age=31536000, immutable"

_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def render(shared: AnyShared, *, results: bytes | None = None) -> str:
    """The whole page. Shows no id, host, path or user: the content that it is given names runs by their place.

    With `results`, the bytes of results.json, it is the offline page, which holds them.
    """
    sheet = sheets.sheet_of(shared)
    bare = {name: theme.untitled(chart) for name, chart in sheet.charts.items()}
    charts = {
        name: {"title": words.title, "caption": words.caption, "legend": Markup(words.legend)}  # noqa: S704  rendered by a template that escapes
        for name, (_, words) in bare.items()
    }
    offline = results is not None
    return (
        _environment()
        .get_template(sheet.template)
        .render(
            shared=shared,
            charts=charts,
            data=_data_block({name: content for name, (content, _) in bare.items()}, offline=offline),
            offline=_inlined() if offline else None,
            results=b64encode(results).decode() if results is not None else "",
            **sheet.words,
        )
    )


def gone() -> str:
    """The page behind a link that has expired, was withdrawn or never existed: all three look alike."""
    return _environment().get_template("gone.html").render(offline=None)


def asset(name: str) -> tuple[bytes, str] | None:
    """(content, media type) of a file that the page loads, by the name in the page; None for any other name."""
    return _assets().get(name)


@lru_cache(maxsize=1)
def _assets() -> dict[str, tuple[bytes, str]]:
    """Name in the page to content; read once, about 5 MB."""
    table = {}
    for name, content in _files().items():
        stem, _, ending = name.partition(".")
        table[f"{stem}-{sha256(content).hexdigest()[:12]}.{ending}"] = (content, _TYPES[ending])
    return table


def _files() -> dict[str, bytes]:
    ours = files("backend.shares") / "assets"
    plotly = files("plotly") / "package_data" / "plotly.min.js"
    return {"plotly.js": plotly.read_bytes()} | {name: (ours / name).read_bytes() for name in ("share.css", "share.js")}


def _asset_url(file: str) -> str:
    """Relative to /s/{token}, so the page also works below a prefix of a reverse proxy."""
    stem, _, ending = file.partition(".")
    return "assets/" + next(name for name in _assets() if name.startswith(f"{stem}-") and name.endswith(ending))


def _inlined() -> dict[str, Markup]:
    """The assets as content of their elements, and the policy that lets these scripts run and nothing else."""
    found = {name: content.decode() for name, content in _files().items()}
    scripts = [found["plotly.js"], found["share.js"]]
    assert not any("</script" in script.lower() for script in scripts), "a script would end its element"
    digests = " ".join(f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {digests}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    texts = {"css": found["share.css"], "plotly": scripts[0], "script": scripts[1], "policy": policy}
    return {name: Markup(text) for name, text in texts.items()}  # noqa: S704  files of ours


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    found = markup.environment("backend.shares")
    found.globals |= {"asset_url": _asset_url}
    found.filters |= {
        "energy": energy_in,
        "alone": format_energy,
        "count": format_count,
        "percent": theme.percent,
        "day": _day,
        "size": _size,
        "data_title": title_of,
    }
    return found


def _day(moment: Any) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _data_block(figures: dict[str, dict[str, Any]], *, offline: bool = False) -> Markup:
    """JSON for a `<script type="application/json">`: no `<`, `>` or `&`, so no text in it can end the element.

    The page's script adds the template of the reader's colour scheme.
    """
    content = {
        "figures": figures,
        "templates": {ground: theme.template(ground).to_plotly_json() for ground in ("light", "dark")},
        "config": theme.CONFIG,
        "plotly": None if offline else _asset_url("plotly.js"),
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704  no sign is left in it that HTML knows
