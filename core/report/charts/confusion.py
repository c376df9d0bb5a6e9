"""Which class was taken for which: counts, coloured by the share of the true class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go

from core.report.charts import theme
from core.schemas.diagnostics import Confusion

TITLE = "Confusion matrix"
MOST_CLICKED = 20  # classes up to which each cell has a mark of its own that can be clicked
MOST_NUMBERED = 12  # classes up to which each cell prints its count: three digits fit a cell on a phone
DEEP = 0.65  # colour depth from which white print reads better than the page's own


class Mistake(NamedTuple):
    """One off-diagonal cell. `share` is of the true class's images, in [0, 1]."""

    truth: str
    answer: str
    count: int
    share: float


def worst(confusion: Confusion, limit: int = 10) -> list[Mistake]:
    """The most frequent mistakes, most frequent first; none where every answer is right."""
    matrix = np.asarray(confusion.matrix, dtype=np.int64).reshape(len(confusion.classes), -1)
    wrong = matrix - np.diag(np.diag(matrix)) if matrix.size else matrix
    found = []
    for flat in np.argsort(-wrong, axis=None, kind="stable")[:limit]:
        i, j = divmod(int(flat), matrix.shape[1])
        if wrong[i, j] > 0:
            share = float(wrong[i, j] / matrix[i].sum())
            found.append(Mistake(confusion.classes[i], confusion.classes[j], int(wrong[i, j]), share))
    return found


def figure(confusion: Confusion, *, source: str = "") -> go.Figure:
    """Rows are the truth, columns the answer. Right answers blue, mistakes orange, depth = row share.

    Up to 20 classes each cell also holds an invisible mark with customdata [i, j] (truth, answer), since
    a heat map itself reports no selection.
    """
    n_classes = len(confusion.classes)
    if not n_classes or not confusion.n:
        return theme.empty(name="confusion", title=TITLE, sentence="No test image has been answered yet.")
    matrix = np.asarray(confusion.matrix, dtype=np.int64)
    support = matrix.sum(axis=1, keepdims=True)
    share = np.divide(matrix, support, out=np.zeros(matrix.shape), where=support > 0)
    names = [theme.escape(name) for name in confusion.classes]
    if len(set(names)) < n_classes:  # two classes of one name would share a row
        names = [f"{name} ({i})" for i, name in enumerate(names)]
    diagonal = np.eye(n_classes, dtype=bool)
    # The square root lifts rare mistakes above the ground; the numbers stay the true ones.
    depth = np.sqrt(share)
    clicked, numbered = n_classes <= MOST_CLICKED, n_classes <= MOST_NUMBERED
    chart = go.Figure()
    chart.add_heatmap(
        # One byte a cell: right answers positive, mistakes negative, so that 200 classes stay a small page.
        z=np.rint(100 * np.where(diagonal, depth, -depth)).astype(np.int8), zmin=-100, zmax=100,
        colorscale=[[0, theme.VERMILION], [0.5, theme.tint(theme.VERMILION, 0)], [0.5, theme.tint(theme.BLUE, 0)],
                    [1, theme.BLUE]],
        showscale=False, xgap=1 if clicked else 0, ygap=1 if clicked else 0, name="shares",
    )  # fmt: skip
    if clicked:
        hover = [
            [
                f"<b>{names[i]}</b> {'recognised' if i == j else f'taken for <b>{names[j]}</b>'}<br>"
                f"{matrix[i, j]:,} of {support[i, 0]:,} images ({theme.percent(share[i, j])})"
                for j in range(n_classes)
            ]
            for i in range(n_classes)
        ]
        chart.update_traces(hoverinfo="text", hovertext=hover)
    else:
        chart.update_traces(
            x=names,
            y=names,
            customdata=matrix.astype(np.min_scalar_type(int(min(matrix.max(), 2**32 - 1)))),
            hovertemplate="truth <b>%{y}</b><br>answer <b>%{x}</b><br>%{customdata:,} images<extra></extra>",
        )
        chart.update_xaxes(type="category").update_yaxes(type="category")
    if clicked:
        cells = [(i, j) for i in range(n_classes) for j in range(n_classes)]
        deep = diagonal & (depth >= DEEP)
        for where, colour in ((deep, "#ffffff"), (~deep & (matrix > 0), None)) if numbered else ():
            # Print of its own: a heat map's automatic contrast takes a see-through cell for a white one.
            chart.add_scatter(
                x=np.nonzero(where)[1], y=np.nonzero(where)[0], text=[str(count) for count in matrix[where]],
                mode="text", textfont={"size": 10, "color": colour}, hoverinfo="skip", name="counts",
            )  # fmt: skip
        chart.add_scatter(
            x=[j for _, j in cells], y=[i for i, _ in cells], mode="markers", name="cells", showlegend=False,
            marker={"size": 22, "opacity": 0, "symbol": "square"}, customdata=[[i, j] for i, j in cells],
            hovertext=[hover[i][j] for i, j in cells], hoverinfo="text",
        )  # fmt: skip
    every = 1 if n_classes <= 30 else -(-n_classes // 20)
    ticks = list(range(0, n_classes, every))
    axis = {"tickmode": "array", "tickvals": ticks, "ticktext": [_short(confusion.classes[i]) for i in ticks],
            "showgrid": False, "range": [-0.5, n_classes - 0.5], "tickfont": {"size": 10}}  # fmt: skip
    chart.update_xaxes(axis, title_text="answer", tickangle=-60 if _longest(confusion) > 2 else 0)
    chart.update_yaxes(axis, title_text="truth", range=[n_classes - 0.5, -0.5])
    right = int(np.trace(matrix))
    caption = [
        f"{right:,} of n = {confusion.n:,} test images right ({theme.percent(right / confusion.n)})",
        "blue: right, orange: mistaken, deeper for a larger share of the row",
        source,
    ]
    return theme.frame(
        chart, name="confusion", title=TITLE, caption=caption, height=430, legend=False, revision=str(n_classes)
    )


def _short(name: str, most: int = 14) -> str:
    return theme.escape(name if len(name) <= most else name[: most - 1] + "…")


def _longest(confusion: Confusion) -> int:
    return max(len(name) for name in confusion.classes)


def rows(confusion: Confusion) -> list[dict[str, object]]:
    """The figure's data, a row a cell that holds images."""
    return [
        {"truth": confusion.classes[i], "answer": confusion.classes[j], "images": count, "of_truth": sum(row)}
        for i, row in enumerate(confusion.matrix)
        for j, count in enumerate(row)
        if count
    ]


def class_rows(confusion: Confusion) -> list[dict[str, object]]:
    """Precision, recall, F1 and number of images of each class."""
    columns = (confusion.classes, confusion.support, confusion.precision, confusion.recall, confusion.f1)
    names = ("class", "images", "precision", "recall", "f1")
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
