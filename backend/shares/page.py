"""The page of a share: one HTML document of its own, with no session and no way into anything else.

What it may do is bounded by `CSP`: its own script, style sheet and Plotly from `/s/assets/`, images
that stand in the page, and no connection to anywhere. The figures travel as JSON in a data block, so no
inline script is needed. Plotly (5 MB) is fetched by the page's script when the first figure comes near
the screen; without JavaScript all numbers still stand in the tables.
"""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from backend.shares.words import Comparison, compare, energy_note, facts, headlines
from core.analysis.findings import gradient_findings
from core.backbones.catalog import mask_name
from core.recipes.build import command
from core.schemas.api import SharedRun
from core.units import format_count, format_energy
from frontend.charts import confusion, curves, energy, firing, gradients, theme

# style-src: Plotly adds its own style elements and style attributes while drawing, and has no nonce for
# them; a style cannot call anywhere, since images and fonts are bound too. No script is inline.
CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "connect-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: Assets carry their content's digest in their names, so a browser may keep them for ever.
ASSET_CACHE = "public, max-age=31536000, immutable"

MOST_EXAMPLES = 24
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}


def render(shared: SharedRun) -> str:
    """The whole page. Shows no id, host, path or user: it is given none but the answers' run ids, and drops those."""
    source = theme.source(shared.label, shared.summary)
    charts = {
        "curves": curves.figure(shared.metrics, source=source),
        "confusion": confusion.figure(shared.confusion, source=source),
        "gradients": gradients.figure(shared.gradients, source=source),
        "firing": firing.figure(shared.layers, source=source),
        "energy": energy.figure(shared.layers, source=source),
    }
    bare = {name: theme.untitled(chart) for name, chart in charts.items()}
    comparison = compare(shared.summary, shared.twin.summary) if shared.twin else None
    return (
        _environment()
        .get_template("share.html")
        .render(
            shared=shared,
            summary=shared.summary,
            config=shared.config,
            mask=mask_name(shared.config.backbone, shared.config.mask),
            headlines=headlines(shared.summary),
            facts=facts(shared.summary, shared.config),
            energy_note=energy_note(shared.summary),
            comparison=comparison,
            comparison_rows=_comparison_rows(shared, comparison),
            examples=[item for item in shared.examples.items if item.image.startswith("data:image/png;base64,")][
                :MOST_EXAMPLES
            ],
            worst=confusion.worst(shared.confusion),
            findings=gradient_findings(shared.gradients),
            command=command(shared.config),
            charts={name: {"title": title, "caption": caption} for name, (_, title, caption) in bare.items()},
            data=_data_block({name: content for name, (content, _, _) in bare.items()}),
            best_epoch=_best_epoch(shared),
        )
    )


def gone() -> str:
    """The page behind a link that has expired, was withdrawn or never existed: all three look alike."""
    return _environment().get_template("gone.html").render()


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


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("backend.shares", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset_url"] = _asset_url
    environment.filters |= {"energy": format_energy, "count": format_count, "percent": theme.percent, "day": _day}
    return environment


def _day(moment: Any) -> str:
    return f"{moment.day} {moment:%B %Y}"


def _data_block(figures: dict[str, dict[str, Any]]) -> Markup:
    """JSON for a `<script type="application/json">`: no `<`, `>` or `&`, so no text in it can end the element.

    The page's script adds the template of the reader's colour scheme.
    """
    content = {
        "figures": figures,
        "templates": {ground: theme.template(ground).to_plotly_json() for ground in ("light", "dark")},
        "config": theme.CONFIG,
        "plotly": _asset_url("plotly.js"),
    }
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def _best_epoch(shared: SharedRun) -> int | None:
    place = curves.best_place(shared.metrics)
    return None if place is None else shared.metrics.epoch[place]


def _comparison_rows(shared: SharedRun, comparison: Comparison | None) -> list[tuple[str, str, str]]:
    """(what, this run, its twin) as print."""
    if shared.twin is None or comparison is None:
        return []
    one, two = shared.summary, shared.twin.summary
    rows = [
        ("Accuracy", theme.percent(one.accuracy, 2), theme.percent(two.accuracy, 2)),
        ("Macro F1", f"{one.f1_macro:.3f}", f"{two.f1_macro:.3f}"),
        ("Accumulates (AC)", format_count(one.acs), format_count(two.acs)),
        ("Multiply-accumulates (MAC)", format_count(one.macs), format_count(two.macs)),
        ("Parameters", f"{one.params:,}", f"{two.params:,}"),
        ("Test images", f"{one.n_test:,}", f"{two.n_test:,}"),
        ("Training images", f"{one.n_train:,}", f"{two.n_train:,}"),
        ("Seed", str(one.seed), str(two.seed)),
    ]
    if comparison.same_accounting:
        rows.insert(2, ("Energy per inference", format_energy(one.energy_pj), format_energy(two.energy_pj)))
    return rows
