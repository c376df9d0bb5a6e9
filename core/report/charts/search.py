"""The course of a search: time steps and bits as shares over the epochs, the terms of its loss, a cell as a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.backbones.litesnn import NODES, edges_of_nodes, wiring
from core.report.charts import theme
from core.schemas.compression import bits_by_block
from core.schemas.search import SearchEpoch, SearchFound

COLOURS = (theme.BLUE, theme.ORANGE, theme.GREEN, theme.VERMILION, theme.SKY, theme.PURPLE, theme.NEUTRAL, "#999933")
TERMS = {"cross_entropy": "cross-entropy", "size": "size", "bit_synops": "Bit-SynOps"}
_TERM_COLOURS = {"cross_entropy": theme.BLUE, "size": theme.ORANGE, "bit_synops": theme.GREEN}
_PANEL_PX, _GAP_PX = 110, 36
#: Of the graph of a cell: the two cells before, then its nodes, from left to right, at heights that keep lines apart.
_PLACES = {"two cells before": (0.0, 1.0), "cell before": (0.0, 0.0), "node 1": (1.0, 0.8), "node 2": (2.0, 0.2)}
_PLACES |= {"node 3": (3.0, 0.8)}
_WIDEST_PX = 9.0


def figures(found: SearchFound, *, source: str = "") -> dict[str, go.Figure]:
    """The charts of what is searched, by name; none before the first epoch has ended."""
    if not found.epochs:
        return {}
    drawn = {"search-terms": terms}
    if found.search.steps:
        drawn = {"search-steps": steps} | drawn
    if found.search.bits:
        drawn["search-bits"] = bits
    if found.search.cell:
        drawn = {"search-cell": cell} | drawn
    return {name: figure(found, source=source) for name, figure in drawn.items()}


def steps(found: SearchFound, *, source: str = "") -> go.Figure:
    """q over T, a row a T, a column an epoch."""
    epochs = found.epochs
    columns = [epoch.steps for epoch in epochs]
    chart = go.Figure(
        go.Heatmap(
            x=[epoch.epoch for epoch in epochs], y=list(range(1, found.time_steps + 1)), z=list(zip(*columns, strict=True)),
            colorscale=theme.scale(theme.BLUE), zmin=0, zmax=max(map(max, columns)), colorbar={"title": {"text": "q"}, "thickness": 12},
            hovertemplate="epoch %{x}, T = %{y}: q = %{z:.4f}<extra></extra>",
        )
    )  # fmt: skip
    chart.add_scatter(
        x=[epoch.epoch for epoch in epochs], y=[epoch.decoded.time_steps for epoch in epochs], mode="lines+markers",
        name="decoded", line={"color": theme.VERMILION, "width": 2}, marker={"size": 5},
        hovertemplate="epoch %{x}: T = %{y} would be decoded<extra></extra>",
    )  # fmt: skip
    chart.update_xaxes(title_text="epoch", **_whole(found))
    chart.update_yaxes(title_text="T", dtick=1)
    caption = ["probability q of each number of steps, q = softmax(psi)", "the line: what would be decoded", source]
    return theme.frame(chart, name="search-steps", title="Time steps", caption=caption, height=240, legend=False)


def bits(found: SearchFound, *, source: str = "") -> go.Figure:
    """Stacked shares of the candidates over the epochs, a panel a block."""
    n = len(found.blocks)
    titles = [_decoded(found, block) for block in found.blocks]
    spacing = _GAP_PX / (_PANEL_PX * n)
    chart = make_subplots(rows=n, cols=1, shared_xaxes=True, vertical_spacing=spacing, subplot_titles=titles)
    chart.update_annotations(font_size=12)
    epochs = [epoch.epoch for epoch in found.epochs]
    for row in range(n):
        for place, candidate in enumerate(found.search.candidates):
            chart.add_bar(
                x=epochs, y=[epoch.bits[row][place] for epoch in found.epochs], name=theme.count_of(candidate, "bit"),
                legendgroup=str(candidate), showlegend=row == 0, marker={"color": COLOURS[place], "line": {"width": 0}},
                hovertemplate=f"epoch %{{x}}, {theme.escape(found.blocks[row])}: {candidate} bit %{{y:.4f}}<extra></extra>",
                row=row + 1, col=1,
            )  # fmt: skip
    chart.update_layout(barmode="stack", bargap=0.1)
    chart.update_yaxes(range=[0, 1], tickvals=[0, 0.5, 1])
    chart.update_xaxes(**_whole(found)).update_xaxes(title_text="epoch", row=n, col=1)
    caption = ["probability of each number of bits, a panel a block", source]
    return theme.frame(
        chart, name="search-bits", title="Bits of each block", caption=caption, height=90 + _PANEL_PX * n, above=18
    )


def _whole(found: SearchFound) -> dict[str, object]:
    """An axis of epochs: no halves between few of them."""
    return {"tickmode": "linear", "tick0": 1, "dtick": 1} if len(found.epochs) < 9 else {"nticks": 8}


def _decoded(found: SearchFound, block: str) -> str:
    """A block with the bits that it would get; only before the first epoch has ended it has none."""
    bits = bits_by_block(found.decoded.block_bits) if found.decoded else {}
    now = f": {theme.count_of(bits[block], 'bit')} now" if block in bits else ""
    return theme.escape(block) + now


def terms(found: SearchFound, *, source: str = "") -> go.Figure:
    """Each weighed term of the architecture's loss on a logarithmic axis; one that is 0 has no mark."""
    chart = go.Figure()
    names = list(dict.fromkeys(name for epoch in found.epochs for name in epoch.terms))
    for name in names:
        values = [epoch.terms.get(name, 0.0) for epoch in found.epochs]
        shares = [100 * epoch.shares.get(name, 0.0) for epoch in found.epochs]
        chart.add_scatter(
            x=[epoch.epoch for epoch in found.epochs], y=[v if v > 0 and math.isfinite(v) else None for v in values],
            customdata=shares, mode="lines+markers", name=TERMS.get(name, name), marker={"size": 5},
            line={"color": _TERM_COLOURS.get(name, theme.NEUTRAL), "width": 2},
            hovertemplate=f"epoch %{{x}}, {TERMS.get(name, name)}: %{{y:.3g}}, %{{customdata:.3g}} % of the loss<extra></extra>",
        )  # fmt: skip
    chart.update_yaxes(type="log", title_text="term of the loss", exponentformat="power")
    chart.update_xaxes(title_text="epoch", **_whole(found))
    last = found.epochs[-1].shares
    caption = [
        "of the last epoch's loss: " + ", ".join(f"{TERMS.get(n, n)} {100 * share:.3g} %" for n, share in last.items()),
        source,
    ]
    return theme.frame(
        chart, name="search-terms", title="Terms of the architecture's loss", caption=caption, height=280
    )


def cell(found: SearchFound, *, source: str = "") -> go.Figure:
    """The edges of a cell, as wide as their weight; those that would be decoded in colour."""
    epoch = found.epochs[-1]
    names, chart = list(_PLACES), go.Figure()
    kept = wiring(epoch.decoded.cell) if epoch.decoded.cell else ((),) * NODES  # sources, from -2 on
    for node, own in enumerate(edges_of_nodes()):
        for place, edge in enumerate(own):
            (x0, y0), (x1, y1) = _PLACES[names[place]], _PLACES[names[2 + node]]
            is_kept, weight = place - 2 in kept[node], epoch.edges[edge]
            words = f"edge {edge}, {names[place]} to {names[2 + node]}: weight {weight:.4f}"
            chart.add_scatter(
                x=[x0, (x0 + x1) / 2, x1], y=[y0, (y0 + y1) / 2, y1], mode="lines", showlegend=False,
                line={"width": max(1.0, _WIDEST_PX * weight), "color": theme.BLUE if is_kept else theme.NEUTRAL,
                      "dash": "solid" if is_kept else "dot"},
                hoverinfo="text", hovertext=words + (", would be kept" if is_kept else ""),
            )  # fmt: skip
    chart.add_scatter(
        x=[x for x, _ in _PLACES.values()], y=[y for _, y in _PLACES.values()], text=names, mode="markers+text",
        textposition=["top center" if y > 0.5 else "bottom center" for _, y in _PLACES.values()], marker={"size": 16, "color": theme.ORANGE}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    chart.update_xaxes(visible=False, range=[-0.85, 3.4]).update_yaxes(visible=False, range=[-0.25, 1.35])
    caption = [f"decoded now: {epoch.decoded.cell}", "width: weight among the edges of a node, in sum 1", source]
    return theme.frame(chart, name="search-cell", title="Edges of a cell", caption=caption, height=300, legend=False)


def rows(found: SearchFound) -> list[dict[str, object]]:
    """The whole course, a row an epoch."""
    return [_row(epoch, found) for epoch in found.epochs]


def _row(epoch: SearchEpoch, found: SearchFound) -> dict[str, object]:
    row: dict[str, object] = {"epoch": epoch.epoch}
    row |= {f"q_{t}": q for t, q in enumerate(epoch.steps, start=1)}
    for block, shares in zip(found.blocks, epoch.bits, strict=bool(epoch.bits)):
        row |= _named(block, found.search.candidates, shares)
    row |= {f"edge_{edge}": weight for edge, weight in enumerate(epoch.edges)}
    row |= {f"loss_{name}": value for name, value in epoch.terms.items()}
    decoded = epoch.decoded
    return row | {
        "decoded_T": decoded.time_steps,
        "decoded_bits": decoded.block_bits,
        "decoded_cell": decoded.cell,
        "size_kb": decoded.size_kb,
        "bit_synops_m": decoded.bit_synops_m,
    }


def _named(block: str, candidates: Sequence[int], shares: Sequence[float]) -> dict[str, object]:
    return {f"{block}_{bits}_bit": share for bits, share in zip(candidates, shares, strict=True)}
