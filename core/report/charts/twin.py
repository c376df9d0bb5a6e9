"""What a spiking network, its CNN twin, and that twin at few bits cost per inference."""

from __future__ import annotations

from dataclasses import dataclass

import plotly.graph_objects as go

from core.report.charts import theme
from core.schemas.twin import TwinEnergy
from core.units import energy_in, energy_scale

TITLE = "Energy of the twins"
ROW_PX, AXIS_PX = 42, 62
LABEL_ROOM = 1.4  # the longest bar leaves room for its figure, also on a phone


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One network at one width of its numbers; `energy_ratio` is the spiking network's energy over this one's."""

    network: str
    bits: int
    weight_bits: int
    energy_pj: float | None
    energy_ratio: float | None
    status: str | None

    @property
    def label(self) -> str:
        """Such as `CNN, 3 bits,<br>8-bit weights`."""
        if self.network == "SNN":
            return self.network
        width = f"CNN, {theme.count_of(self.bits, 'bit')}"
        return width if self.weight_bits == self.bits else f"{width},<br>{self.weight_bits}-bit weights"


def bars(found: TwinEnergy) -> list[Bar]:
    """From the spiking network down to the CNN at fewest bits; those without a price too."""
    whole = {"bits": found.cnn_bits, "weight_bits": found.cnn_bits, "status": None}
    return [
        Bar(network="SNN", **whole, energy_pj=found.snn_pj, energy_ratio=None),
        Bar(network="CNN", **whole, energy_pj=found.cnn_pj, energy_ratio=found.energy_ratio),
        *(Bar(network="CNN", **one.model_dump(exclude={"note"})) for one in found.quantised),
    ]


def figure(found: TwinEnergy, *, title: str = TITLE, source: str = "") -> go.Figure:
    """Horizontal bars from 0, pJ scaled to a readable unit, each with its figure; what has no price has no bar."""
    drawn = [bar for bar in bars(found) if bar.energy_pj is not None]
    most = max(bar.energy_pj for bar in drawn)
    if most <= 0:
        return theme.empty(
            name="twin",
            title=title,
            sentence=f"Neither network costs anything in the mode {found.mode}: nothing to draw.",
        )
    factor, unit = energy_scale(most)
    chart = go.Figure()
    chart.add_bar(
        x=[bar.energy_pj / factor for bar in drawn],
        y=[bar.label for bar in drawn],
        orientation="h",
        marker={
            "color": [theme.BLUE if bar.network == "SNN" else theme.VERMILION for bar in drawn],
            "pattern": {
                "shape": ["" if bar.status in (None, "published") else "/" for bar in drawn],
                "fillmode": "overlay",
                "fgcolor": "rgba(255,255,255,.6)",
                "size": 5,
            },
        },
        text=[energy_in(bar.energy_pj, (factor, unit)) for bar in drawn],
        textposition="outside",
        cliponaxis=False,
        hovertext=[_hover(bar, (factor, unit)) for bar in drawn],
        hoverinfo="text",
    )
    chart.update_layout(bargap=0.3)
    chart.update_xaxes(title_text=f"energy per inference, {unit}", range=[0, LABEL_ROOM * most / factor], nticks=6)
    chart.update_yaxes(type="category", autorange="reversed", showgrid=False)
    hatched = sorted({bar.status for bar in drawn} - {None, "published"})
    caption = [
        _span(found),
        f"profile {found.profile}",
        "estimated, not measured on hardware",
        f"hatched: prices {' or '.join(hatched)}" if hatched else "",
        f"mean of n = {found.n_samples:,} test images",
        source,
    ]
    return theme.frame(
        chart, name="twin", title=title, caption=caption, height=ROW_PX * len(drawn) + AXIS_PX,
        revision=f"{found.mode}|{found.profile}", legend=False,
    )  # fmt: skip


def _span(found: TwinEnergy) -> str:
    """Which of the spiking network's steps the mode charges."""
    if found.mode == "paper" and found.time_steps > 1:
        return f"mode paper: one time step of {found.time_steps}"
    return f"mode {found.mode}, T = {found.time_steps}"


def _hover(bar: Bar, unit: tuple[float, str]) -> str:
    lines = [f"<b>{bar.label.replace('<br>', ' ')}</b>", energy_in(bar.energy_pj, unit)]
    if bar.energy_ratio is not None:
        lines.append(f"the spiking network takes {bar.energy_ratio:.3g} times as much")
    if bar.status is not None:
        lines.append(f"prices at these bits: {bar.status}")
    return "<br>".join(lines)


def rows(found: TwinEnergy) -> list[dict[str, object]]:
    """A row a bar, and a row without an energy for what has no price; rates stand beside the spiking network."""
    return [
        {
            "network": bar.network,
            "bits": bar.bits,
            "weight_bits": bar.weight_bits,
            "energy_pj": bar.energy_pj,
            "snn_energy_over_this": bar.energy_ratio,
            "prices": bar.status,
            "firing_rate": found.measured_rate if bar.network == "SNN" else None,
            "break_even_firing_rate": found.break_even_rate if bar.network == "SNN" else None,
            "time_steps": found.time_steps if bar.network == "SNN" else 1,
            "n_samples": found.n_samples,
            "mode": found.mode,
            "profile": found.profile,
        }
        for bar in bars(found)
    ]
