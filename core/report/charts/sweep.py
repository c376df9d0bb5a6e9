"""A sweep as pictures: its runs as cells of groups and seeds, as lines over the swept fields, and what matters."""

from __future__ import annotations

import math
import textwrap
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from core.analysis.sweep_runs import SweptRun, finished, key_of, swept
from core.backbones.naming import known_mask
from core.report import sweep_words
from core.report.charts import heat, theme
from core.schemas.share import SharedSweep
from core.schemas.sweep import AxisValue, SweepDetail, SweepGroup
from core.units import energy_in, energy_scale, pj_to_mj

Quantity = Literal["accuracy", "energy"]
ROW_PX, NAME_SIGNS = 26, 30
SHADES = 8  # lines of about one accuracy share a trace: hundreds of traces are slow
PALE, DEEP = (0x7B, 0x84, 0x94), (0xD5, 0x5E, 0x00)  # both read on light and on dark ground


def heat_map(found: SharedSweep | SweepDetail, quantity: Quantity, *, source: str) -> go.Figure:
    """A row a group (a mask and what else tells it from others), a column a seed; a cell without a result is empty."""
    groups = found.groups
    title = f"{quantity.capitalize()} by {'mask' if _masks_alone(groups) else 'setting'} and seed"
    seeds = sorted({seed for group in groups for seed in group.seeds})
    grid = _grid(groups, seeds, quantity)
    if not np.isfinite(grid).any():
        return theme.empty(name="sweep-heat", title=title, sentence="No run of this sweep has ended yet.")
    factor, unit = energy_scale(float(np.nanmedian(grid))) if quantity == "energy" else (0.01, "%")
    values = grid / factor
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    digits = 1 if quantity == "accuracy" else max(0, 2 - math.floor(math.log10(high))) if high > 0 else 2
    names = _different([group.label for group in groups])
    shared, apart = _apart(names)
    told = [_lines_of(name) for name in apart]
    row_px = ROW_PX + 8 * any("<br>" in one for one in told)
    chart = go.Figure()
    chart.add_heatmap(
        z=values, x=list(range(len(seeds))), y=names, colorscale="Viridis", zmin=low, zmax=high if high > low else low + 1,
        xgap=2, ygap=2, hoverongaps=False,
        colorbar={"title": {"text": f"{quantity}, {unit}", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hovertext=[[_cell(name, seed, grid[i, j], (factor, unit)) for j, seed in enumerate(seeds)] for i, name in enumerate(names)],
        hoverinfo="text",
    )  # fmt: skip
    text = [[f"{value:.{digits}f}" if math.isfinite(value) else "" for value in row] for row in values]
    heat.print_numbers(chart, x=range(len(seeds)), y=names, values=np.nan_to_num(values - low), text=text)
    chart.update_xaxes(
        title_text="seed", tickvals=list(range(len(seeds))), ticktext=[str(seed) for seed in seeds], showgrid=False
    )
    chart.update_yaxes(autorange="reversed", showgrid=False, tickvals=names, ticktext=told)
    return theme.frame(
        chart, name="sweep-heat", title=title, height=70 + row_px * max(len(names), 3), legend=False,
        caption=[source, f"each row: {shared}" if shared else "", f"{int(np.isfinite(grid).sum())} of {sum(len(group.run_ids) for group in groups)} runs",
                 "accuracy on the test images" if quantity == "accuracy" else _priced(found),
                 "empty: no result"],
    )  # fmt: skip


def trials(found: SharedSweep | SweepDetail, *, source: str) -> go.Figure:
    """Accuracy above and energy below, a mark a finished trial, in the order in which trials were asked for."""
    title, runs = "Trials in their order", finished(found.groups)
    if not runs:
        return theme.empty(name="sweep-trials", title=title, sentence="No trial has finished yet.")
    chart = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.09)
    energies = [pj_to_mj(run.energy_pj) if run.energy_pj is not None else None for run in runs]
    for row, values, form in ((1, [100 * run.accuracy for run in runs], "%{y:.2f} %"), (2, energies, "%{y:.4g} mJ")):
        chart.add_scatter(
            x=[run.group + 1 for run in runs], y=values, mode="markers", marker={"size": 8, "color": theme.BLUE},
            customdata=[run.run_id for run in runs], hovertemplate=f"trial %{{x}}: {form}<extra></extra>", row=row, col=1,
        )  # fmt: skip
    chart.update_xaxes(title_text="trial", dtick=max(1, len(found.groups) // 10), row=2, col=1)
    chart.update_yaxes(title_text="accuracy, %", nticks=5, row=1, col=1)
    chart.update_yaxes(title_text="energy, mJ", type="log", nticks=5, row=2, col=1)
    caption = [
        f"{theme.count_of(len(runs), 'finished trial')}", "accuracy on the test set, which the study never looks at",
        _priced(found), source,
    ]  # fmt: skip
    return theme.frame(chart, name="sweep-trials", title=title, caption=caption, height=360, legend=False)


def parallel(found: SharedSweep | SweepDetail, *, source: str) -> go.Figure:
    """A line a finished run, through its value of each swept field, its energy and its accuracy; the more orange, the better."""
    title = "Swept fields, energy and accuracy"
    runs = [run for run in finished(found.groups) if run.energy_pj is not None]
    fields = swept(runs)
    if len(runs) < 2 or not fields:
        return theme.empty(
            name="sweep-parallel", title=title, sentence="Two finished runs with different settings are drawn here."
        )
    energies = [run.energy_pj for run in runs]
    factor, unit = energy_scale(sorted(energies)[len(runs) // 2])
    log = min(energies) > 0
    columns = [_ranks(runs, name, values) for name, values in fields.items()]
    columns += [
        _unit_scale([math.log10(one) if log else one for one in energies]),
        _unit_scale([run.accuracy for run in runs]),
    ]
    chart = go.Figure()
    lines: defaultdict[int, list[int]] = defaultdict(list)
    for place, share in enumerate(columns[-1]):
        lines[min(int(share * SHADES), SHADES - 1)].append(place)
    for shade, places in sorted(lines.items()):
        _lines(chart, runs, columns, places, shade, (factor, unit))
    last = len(columns)
    for place in range(last):
        chart.add_shape(
            type="line", x0=place, x1=place, y0=0, y1=1, line={"color": theme.NEUTRAL, "width": 1}, layer="below"
        )
    for place, (name, values) in enumerate(fields.items()):
        for rank, value in enumerate(values):
            _tick(chart, place, rank / (len(values) - 1), _short(_called(found.groups, name, value), 14))
    _ends(chart, last - 2, [f"{one / factor:.3g}" for one in (min(energies), max(energies))])
    _ends(chart, last - 1, [f"{100 * pick(run.accuracy for run in runs):.1f}" for pick in (min, max)])
    titles = [
        *(theme.escape(_short(sweep_words.field(name), 18)) for name in fields),
        f"energy,<br>{unit}{' (log)' if log else ''}",
        "accuracy,<br>%",
    ]
    chart.update_xaxes(tickvals=list(range(last)), ticktext=titles, tickangle=0, tickfont_size=10,
                       range=[-0.35, last - 0.55], showgrid=False, ticks="")  # fmt: skip
    chart.update_yaxes(visible=False, range=[-0.09, 1.09])
    return theme.frame(
        chart, name="sweep-parallel", title=title, height=340, legend=False,
        caption=[source, theme.count_of(len(runs), "finished run"), _priced(found), "grey to orange: from the least to the most accurate"],
    )  # fmt: skip


def importance(shares: Mapping[str, float], *, n: int, why_not: str, source: str) -> go.Figure:
    """A bar a field: its share of what the forest explains of the accuracies."""
    title = "What the accuracy depends on"
    if not shares:
        return theme.empty(name="sweep-importance", title=title, sentence=why_not)
    names = list(shares)[::-1]
    chart = go.Figure()
    chart.add_bar(
        x=[shares[name] for name in names], y=[theme.escape(_short(sweep_words.field(name))) for name in names],
        orientation="h", marker={"color": [theme.NEUTRAL if name == "seed" else theme.BLUE for name in names]},
        text=[f"{shares[name]:.2f}" for name in names], textposition="outside", cliponaxis=False,
        hovertext=[f"{theme.escape(sweep_words.field(name))}: {shares[name]:.3f} of the explained variance" for name in names],
        hoverinfo="text", name="share",
    )  # fmt: skip
    chart.update_xaxes(title_text="share of the explained variance", range=[0, min(1.1, 1.2 * max(shares.values()))])
    return theme.frame(
        chart, name="sweep-importance", title=title, height=80 + ROW_PX * len(names), legend=False,
        caption=[source, f"n = {n} finished runs", "fANOVA, single fields",
                 "grey: the seed, so what is no longer than it may be chance" if "seed" in shares else ""],
    )  # fmt: skip


def rows(found: SharedSweep | SweepDetail) -> list[dict[str, object]]:
    """One row a finished run, as CSV has it; energy in mJ."""
    runs = finished(found.groups)
    fields = swept(runs)
    return [
        {"run": run.run_id, "group": found.groups[run.group].label}
        | {name: sweep_words.value(run.values.get(name), name) for name in fields}
        | {"accuracy_percent": 100 * run.accuracy,
           "energy_mj": None if run.energy_pj is None else pj_to_mj(run.energy_pj),
           "mode": found.mode, "profile": found.profile}
        for run in runs
    ]  # fmt: skip


def _grid(groups: Sequence[SweepGroup], seeds: Sequence[int], quantity: Quantity) -> np.ndarray:
    """[groups, seeds] accuracies in [0, 1] or energies in pJ; NaN without a result."""
    grid = np.full((len(groups), len(seeds)), np.nan)
    for i, group in enumerate(groups):
        of = group.run_accuracy if quantity == "accuracy" else group.run_energy_pj
        for seed, value in zip(group.seeds, of, strict=False):
            if value is not None:
                grid[i, seeds.index(seed)] = value
    return grid


def _cell(name: str, seed: int, value: float, measure: tuple[float, str]) -> str:
    if not math.isfinite(value):
        return ""
    said = theme.percent(value, 2) if measure[1] == "%" else energy_in(value, measure)
    return f"<b>{theme.escape(name)}</b><br>seed {seed}: {said}"


def _called(groups: Sequence[SweepGroup], name: str, value: AxisValue) -> str:
    """A value as print; a mask by its name, where it has one."""
    if name == "mask":
        for group in groups:
            if key_of(group.values.get(name)) == key_of(value):
                config = group.config
                known = known_mask(config.backbone, config.mask, config.definition, config.architecture)
                return known or sweep_words.value(value, name)
    return sweep_words.value(value, name)


def _ranks(runs: Sequence[SweptRun], name: str, values: Sequence[object]) -> list[float]:
    places = {key_of(value): rank / (len(values) - 1) for rank, value in enumerate(values)}
    return [places[key_of(run.values.get(name))] for run in runs]


def _unit_scale(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.5 for value in values]


def _lines(
    chart: go.Figure,
    runs: Sequence[SweptRun],
    columns: Sequence[Sequence[float]],
    places: list[int],
    shade: int,
    measure: tuple[float, str],
) -> None:
    xs, ys, hover = [], [], []
    for place in places:
        run = runs[place]
        words = "<br>".join(
            [f"<b>{theme.percent(run.accuracy, 2)}</b> · {energy_in(run.energy_pj, measure)}"]
            + [
                f"{theme.escape(sweep_words.field(name))}: {theme.escape(sweep_words.value(value, name))}"
                for name, value in run.values.items()
            ]
        )
        xs += [*range(len(columns)), None]
        ys += [*(column[place] for column in columns), None]
        hover += [*[words] * len(columns), ""]
    part = shade / (SHADES - 1)
    colour = "#" + "".join(f"{round(pale + part * (deep - pale)):02x}" for pale, deep in zip(PALE, DEEP, strict=True))
    chart.add_scatter(x=xs, y=ys, mode="lines+markers", line={"color": theme.tint(colour, 0.75), "width": 1.2 + 1.2 * part},
                      marker={"size": 4}, hovertext=hover, hoverinfo="text", name=f"shade {shade + 1}")  # fmt: skip


def _ends(chart: go.Figure, x: float, texts: Sequence[str]) -> None:
    """The least and the greatest value of an axis; one in its middle where they read alike."""
    if texts[0] == texts[1]:
        _tick(chart, x, 0.5, texts[0])
        return
    for end, text in enumerate(texts):
        _tick(chart, x, end, text)


def _tick(chart: go.Figure, x: float, y: float, text: str) -> None:
    chart.add_annotation(
        x=x,
        y=y,
        text=theme.escape(text),
        showarrow=False,
        xanchor="left",
        xshift=4,
        yshift=-8 if y == 0 else 8,
        font={"size": 10},
    )


def _priced(found: SharedSweep | SweepDetail) -> str:
    return f"energy per inference in mode {found.mode} at {found.profile}"


def _short(text: str, signs: int = NAME_SIGNS) -> str:
    return text if len(text) <= signs else text[: signs - 1] + "…"


def _lines_of(name: str) -> str:
    """A row's name in at most two lines."""
    return "<br>".join(theme.escape(line) for line in textwrap.wrap(name, NAME_SIGNS, max_lines=2, placeholder=" …"))


def _masks_alone(groups: Sequence[SweepGroup]) -> bool:
    """Whether rows differ in their network alone, and not in how it is trained."""
    return not {name for group in groups for name in group.values} - {"mask", "kind", "backbone", "definition"}


def _apart(names: Sequence[str]) -> tuple[str, list[str]]:
    """What all names say, and what each says beside it; names stay whole where that leaves one of them empty."""
    parts = [name.split(", ") for name in names]
    shared = [part for part in parts[0] if all(part in other for other in parts)]
    rest = [", ".join(part for part in own if part not in shared) for own in parts]
    return (", ".join(shared), rest) if all(rest) else ("", list(names))


def _different(names: list[str]) -> list[str]:
    """Rows of one name would become one: the later ones are numbered."""
    seen: defaultdict[str, int] = defaultdict(int)
    told = []
    for name in names:
        seen[name] += 1
        told.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return told
