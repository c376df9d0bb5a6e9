"""Where the energy goes: from the blocks of the network to accumulates, multiply-accumulates and memory."""

from __future__ import annotations

import plotly.graph_objects as go

from core.report.charts import theme
from core.report.charts.energy import parts_of
from core.report.charts.layer_order import unit
from core.schemas.bill import Layers
from core.units import energy_in, energy_scale

TITLE = "Energy flow"
PAD = 9  # px between two blocks
KINDS = (
    ("accumulates (AC)", theme.AC_COLOUR),
    ("multiply-accumulates (MAC)", theme.MAC_COLOUR),
    ("memory and addresses", theme.MEMORY_COLOUR),
)


def flows(layers: Layers) -> dict[str, tuple[float, float, float]]:
    """Block -> (AC, MAC, memory) in pJ, in network order; a layer outside the blocks stands for itself."""
    table: dict[str, list[float]] = {}
    for bill, parts in zip(layers.layers, parts_of(layers), strict=True):
        row = table.setdefault(bill.block or unit(bill.name), [0.0, 0.0, 0.0])
        for place, part in enumerate(parts):
            row[place] += part
    return {name: (row[0], row[1], row[2]) for name, row in table.items() if sum(row) > 0}


def figure(layers: Layers, *, source: str = "") -> go.Figure:
    """A band from each block to each kind of operation, as wide as its energy."""
    table = flows(layers)
    total = sum(sum(parts) for parts in table.values())
    if not total:
        return theme.empty(
            name="flow", title=TITLE, sentence=f"No layer costs anything in the mode {layers.mode}: nothing flows."
        )
    used = [place for place in range(3) if any(parts[place] for parts in table.values())]
    ends = {place: len(table) + rank for rank, place in enumerate(used)}
    sums = [sum(parts) for parts in table.values()] + [sum(parts[place] for parts in table.values()) for place in used]
    names = [*table, *(KINDS[place][0] for place in used)]
    links = [
        (start, place, parts[place]) for start, parts in enumerate(table.values()) for place in used if parts[place] > 0
    ]
    unit = energy_scale(total)
    height = max(280, 26 * len(table) + 60)
    chart = go.Figure(
        go.Sankey(
            arrangement="fixed",
            textfont={"size": 11},
            node={
                "label": [theme.escape(name) for name in names],
                "color": [theme.NEUTRAL] * len(table) + [KINDS[place][1] for place in used],
                "customdata": [f"{energy_in(value, unit)} ({theme.percent(value / total)})" for value in sums],
                "hovertemplate": "<b>%{label}</b><br>%{customdata}<extra></extra>",
                "thickness": 12,
                "pad": PAD,
                "line": {"width": 0},
                "x": [0.001] * len(table) + [0.999] * len(used),
                "y": _heights(sums, len(table), height=height - 16),
            },
            link={
                "source": [start for start, _, _ in links],
                "target": [ends[place] for _, place, _ in links],
                "value": [value for _, _, value in links],
                "color": [theme.tint(KINDS[place][1], 0.38) for _, place, _ in links],
                "customdata": [f"{energy_in(value, unit)} ({theme.percent(value / total)})" for _, _, value in links],
                "hovertemplate": "%{source.label} to %{target.label}<br>%{customdata}<extra></extra>",
            },
        )
    )
    caption = [
        f"{energy_in(total, unit)} per inference, estimated",
        f"mode {layers.mode}, profile {layers.profile}",
        f"mean of n = {layers.n_samples:,} test images",
        source,
    ]
    return theme.frame(
        chart, name="flow", title=TITLE, caption=caption, height=height, legend=False,
        revision=f"{layers.mode}|{layers.profile}",
    )  # fmt: skip


def _heights(sums: list[float], left: int, *, height: int) -> list[float]:
    """The middle of each node in its column, from the top in network order, as shares of the plot's height.

    Plotly draws all nodes at one scale: the column with the most nodes fills the height, gaps of PAD px between them.
    """
    columns, gap = (sums[:left], sums[left:]), PAD / height
    scale = (1 - (max(map(len, columns)) - 1) * gap) / sum(columns[0])
    places = []
    for column in columns:
        above = (1 - scale * sum(column) - (len(column) - 1) * gap) / 2
        for value in column:
            places.append(above + scale * value / 2)
            above += scale * value + gap
    return places


def rows(layers: Layers) -> list[dict[str, object]]:
    """The figure's data, a row a block."""
    return [
        {"block": name, "mode": layers.mode, "profile": layers.profile,
         "ac_energy_pj": ac, "mac_energy_pj": mac, "memory_energy_pj": memory}
        for name, (ac, mac, memory) in flows(layers).items()
    ]  # fmt: skip
