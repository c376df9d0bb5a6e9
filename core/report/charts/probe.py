"""What the probe batch saw in each activation layer: over the epochs, and over the time steps of one epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.heat import print_numbers
from core.report.charts.layer_order import height, layer_axis, unit
from core.schemas.diagnostics import Diagnostics
from core.schemas.run import Kind

Quantity = Literal["gradient", "rate", "active"]
MOST_NUMBERED = 8  # columns up to which a cell has room for its number


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """How a quantity is called and drawn; `field` is that of Diagnostics."""

    title: str
    what: str
    field: str
    log: bool = False


QUANTITIES: dict[Quantity, Meaning] = {
    "gradient": Meaning(
        title="Gradient at the spikes",
        what="L2 norm of the loss gradient at a layer's spikes",
        field="gradient_norm",
        log=True,
    ),
    "rate": Meaning(title="Firing rate", what="spikes / neurons", field="firing_rate"),
    "active": Meaning(
        title="Active zone", what="share of neurons within the surrogate's width at half maximum", field="active"
    ),
}


#: A CNN has outputs in place of spikes, and nothing in it fires.
OF_A_CNN: dict[Quantity, Meaning] = {
    "gradient": Meaning(
        title="Gradient at the activations",
        what="L2 norm of the loss gradient at a layer's outputs",
        field="gradient_norm",
        log=True,
    ),
    "rate": Meaning(title="Outputs above zero", what="share of a layer's outputs above 0", field="firing_rate"),
}


def meaning_of(diagnostics: Diagnostics, quantity: Quantity) -> Meaning:
    """In the words of the network's kind."""
    known = OF_A_CNN if diagnostics.kind is Kind.CNN else QUANTITIES
    return known.get(quantity, QUANTITIES[quantity])


def offered(diagnostics: Diagnostics) -> list[Quantity]:
    """The quantities that were measured: a CNN has no surrogate, so no active zone."""
    return [name for name, meaning in QUANTITIES.items() if getattr(diagnostics, meaning.field) is not None]


def values(diagnostics: Diagnostics, quantity: Quantity) -> np.ndarray:
    """[epochs, layers, T] float64."""
    return np.asarray(getattr(diagnostics, QUANTITIES[quantity].field), dtype=float)


def over_epochs(diagnostics: Diagnostics, quantity: Quantity, *, source: str = "") -> go.Figure:
    """Layer x epoch: norms added over the steps as a vector's parts are, shares as their mean."""
    meaning = meaning_of(diagnostics, quantity)
    title = f"{meaning.title}, layer by epoch"
    if not diagnostics.epochs:
        return theme.empty(name=f"probe-epochs-{quantity}", title=title, sentence="No epoch has been probed.")
    found = values(diagnostics, quantity)
    merged = np.sqrt((found**2).sum(2)) if meaning.log else found.mean(2)
    chart = _map(diagnostics, merged.T, meaning, columns=diagnostics.epochs, word="epoch")
    over = "over all steps" if meaning.log else "mean over steps"
    caption = [*_basis(diagnostics, meaning), over if diagnostics.time_steps > 1 else "", source]
    return theme.frame(
        chart,
        name=f"probe-epochs-{quantity}",
        title=title,
        caption=caption,
        height=height(len(diagnostics.layers)) - 24,
        legend=False,
    )


def over_steps(diagnostics: Diagnostics, quantity: Quantity, epoch: int, *, source: str = "") -> go.Figure:
    """Layer x time step after one epoch, which must be one of the diagnostics'."""
    meaning = meaning_of(diagnostics, quantity)
    found = values(diagnostics, quantity)[diagnostics.epochs.index(epoch)]
    chart = _map(diagnostics, found, meaning, columns=list(range(1, found.shape[1] + 1)), word="step")
    return theme.frame(
        chart,
        name=f"probe-steps-{quantity}",
        title=f"{meaning.title}, layer by time step",
        caption=[f"after epoch {epoch}", *_basis(diagnostics, meaning), source],
        height=height(len(diagnostics.layers)) - 24,
        legend=False,
    )


def health(diagnostics: Diagnostics, *, source: str = "") -> go.Figure:
    """Shares of dead and of saturated neurons in each layer after the last epoch."""
    title = "Dead and saturated neurons"
    if not diagnostics.epochs:
        return theme.empty(name="health", title=title, sentence="No epoch has been probed.")
    labels = _labels(diagnostics)
    always = "fire at every step for every image" if diagnostics.time_steps > 1 else "are positive for every image"
    chart = go.Figure()
    for name, word, shares, colour, pattern in (
        ("dead: never fire", "never fire", diagnostics.dead[-1], theme.NEUTRAL, ""),
        (f"saturated: {always}", always, diagnostics.saturated[-1], theme.ORANGE, "/"),
    ):
        chart.add_bar(
            x=[100 * share for share in shares], y=labels, orientation="h", name=name, hoverinfo="text",
            marker={"color": colour,
                    "pattern": {"shape": pattern, "fillmode": "overlay", "fgcolor": "rgba(255,255,255,.6)", "size": 5}},
            hovertext=[f"<b>{label}</b><br>{theme.percent(share)} of its neurons {word}"
                       for label, share in zip(labels, shares, strict=True)],
        )  # fmt: skip
    chart.update_layout(barmode="stack", bargap=0.25, legend_traceorder="normal")
    chart.update_xaxes(title_text="share of the layer's neurons, %", range=[0, 100], nticks=6)
    layer_axis(chart, [unit(name) for name in diagnostics.layers])
    caption = [
        f"after epoch {diagnostics.epochs[-1]}",
        f"probe of n = {diagnostics.n_probe} training images",
        "a neuron that is dead on the probe may fire for other images",
        source,
    ]
    return theme.frame(chart, name="health", title=title, caption=caption, height=height(len(diagnostics.layers)) + 20)


def _basis(diagnostics: Diagnostics, meaning: Meaning) -> list[str]:
    return [meaning.what, f"probe of n = {diagnostics.n_probe} training images"]


def _labels(diagnostics: Diagnostics) -> list[str]:
    return [theme.escape(unit(name)) for name in diagnostics.layers]


def _map(diagnostics: Diagnostics, found: np.ndarray, meaning: Meaning, *, columns: list[int], word: str) -> go.Figure:
    """found: [layers, columns]. On the log scale zeros and what is not finite have no colour, and are marked."""
    labels = _labels(diagnostics)
    drawable = np.isfinite(found) & ((found > 0) if meaning.log else True)
    shown = np.where(drawable, found, np.nan)
    bar = {"thickness": 10, "outlinewidth": 0, "tickfont": {"size": 10}, "xpad": 4}
    scale = {"zmin": 0, "zmax": float(np.nanmax(shown)) or 1.0} if drawable.any() else {"zmin": 0, "zmax": 1}
    if meaning.log:
        low, high = (shown[drawable].min(), shown[drawable].max()) if drawable.any() else (0.1, 1.0)
        first, last = math.floor(math.log10(low)), max(math.ceil(math.log10(high)), math.floor(math.log10(low)) + 1)
        ticks = list(range(first, last + 1, max(1, (last - first) // 5)))
        shown = np.log10(shown, out=np.full(shown.shape, np.nan), where=drawable)
        scale = {"zmin": first, "zmax": last}
        bar |= {"tickvals": ticks, "ticktext": [f"10<sup>{tick}</sup>" for tick in ticks]}
    chart = go.Figure(
        go.Heatmap(
            x=columns, y=labels, z=shown.astype(np.float32), colorscale="Viridis", ygap=1, name=meaning.title,
            colorbar=bar, hoverongaps=False, hoverinfo="text",
            hovertext=[[f"<b>{label}</b>, {word} {column}<br>{_said(value, meaning)}"
                        for column, value in zip(columns, row, strict=True)]
                       for label, row in zip(labels, found, strict=True)],
            **scale,
        )
    )  # fmt: skip
    if len(columns) <= MOST_NUMBERED and not meaning.log:
        text = [[f"{value:.2f}" for value in row] for row in found]
        print_numbers(chart, x=columns, y=labels, values=found, text=text)
    odd = np.argwhere(~drawable)
    if len(odd):
        chart.add_scatter(
            x=[columns[c] for _, c in odd], y=[labels[place] for place, _ in odd], mode="markers", hoverinfo="text",
            name="zero or not finite", marker={"symbol": "x", "size": 8, "color": theme.VERMILION},
            hovertext=[f"<b>{labels[place]}</b>, {word} {columns[c]}<br>{_said(found[place, c], meaning)}"
                       for place, c in odd],
        )  # fmt: skip
    edges = [columns[0] - 0.5, columns[-1] + 0.5]
    chart.update_xaxes(title_text="time step" if word == "step" else word, showgrid=False, range=edges, nticks=8)
    if len(columns) <= 8:
        chart.update_xaxes(tickmode="linear", dtick=1, tick0=columns[0])
    layer_axis(chart, [unit(name) for name in diagnostics.layers])
    return chart


def _said(value: float, meaning: Meaning) -> str:
    if not math.isfinite(value):
        return "not finite"
    if not meaning.log:
        return f"{value:.4f}"
    return "exactly zero: no gradient arrives" if value == 0 else f"{value:.3g}"


def rows(diagnostics: Diagnostics) -> list[dict[str, object]]:
    """Everything that the probe measured, a row an epoch, layer and step."""
    active = diagnostics.active
    return [
        {"epoch": epoch, "layer": layer, "step": t + 1,
         "gradient_norm": diagnostics.gradient_norm[e][place][t], "firing_rate": diagnostics.firing_rate[e][place][t],
         "active": active[e][place][t] if active is not None else None,
         "dead": diagnostics.dead[e][place], "saturated": diagnostics.saturated[e][place]}
        for e, epoch in enumerate(diagnostics.epochs)
        for place, layer in enumerate(diagnostics.layers)
        for t in range(diagnostics.time_steps)
    ]  # fmt: skip
