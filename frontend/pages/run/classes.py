"""Class by class: the confusion matrix, the images of one of its cells, and each class's scores."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.report.charts import confusion as matrix
from core.report.tables import html
from core.schemas.diagnostics import Confusion
from frontend.client.connection import api, plain
from frontend.keys import Key
from frontend.pages.run.section import Shown
from frontend.parts import examples
from frontend.parts.chart_box import csv_button, show

IMAGES = 8


def draw(shown: Shown) -> None:
    confusion = api().confusion(shown.run.id)
    left, right = st.columns([1.1, 1], gap="large")
    with left:
        chosen = show(
            matrix.figure(confusion, source=shown.source),
            key=Key.RUN_CHART.of("confusion"),
            selectable=len(confusion.classes) <= matrix.MOST_CLICKED,
            data=lambda: matrix.rows(confusion),
            file_name=f"{shown.file_stem}-confusion.csv",
        )
    with right:
        _take(shown.run.id, chosen)
        _cell(shown, confusion)
    _classes(shown, confusion)


def _take(run_id: str, selection: Any) -> None:
    """A click on a cell sets the pickers, once: they may be changed afterwards."""
    points = (selection or {}).get("selection", {}).get("points", [])
    cell = points[0].get("customdata") if points else None
    memory = (run_id, *cell) if isinstance(cell, list) and len(cell) == 2 else None
    if memory != st.session_state.get(Key.RUN_CELL):
        st.session_state[Key.RUN_CELL] = memory
        if memory is not None:
            _, st.session_state[Key.RUN_TRUTH], st.session_state[Key.RUN_ANSWER] = memory


def _cell(shown: Shown, confusion: Confusion) -> None:
    """Two pickers, truth and answer, and the images that were kept of that cell."""
    st.subheader("Images of a cell")
    classes = confusion.classes
    truths = [place for place, row in enumerate(confusion.matrix) if any(row)]
    if not truths:
        st.caption("No test image has been answered.")
        return
    if st.session_state.get(Key.RUN_TRUTH) not in truths:
        mistakes = matrix.worst(confusion, limit=1)
        st.session_state[Key.RUN_TRUTH] = classes.index(mistakes[0].truth) if mistakes else truths[0]
    first, second = st.columns(2)
    truth = first.selectbox("Truth", truths, format_func=classes.__getitem__, key=Key.RUN_TRUTH)
    row = confusion.matrix[truth]
    # the mistakes first, the most frequent on top
    answers = sorted((j for j, count in enumerate(row) if count), key=lambda j: (j == truth, -row[j]))
    if st.session_state.get(Key.RUN_ANSWER) not in answers:
        st.session_state[Key.RUN_ANSWER] = answers[0]
    answer = second.selectbox(
        "Answer",
        answers,
        key=Key.RUN_ANSWER,
        format_func=lambda j: f"{classes[j]}{' (right)' if j == truth else ''}: {row[j]:,} of {sum(row):,}",
    )
    found = api().examples(shown.run.id, which="first", truth=truth, answer=answer, limit=IMAGES)
    if not found.items:
        st.caption("No image of this cell was kept with the run.")
        return
    st.html(examples.html(found, small=True))
    said = "recognised" if truth == answer else f"taken for {classes[answer]}"
    n = row[answer]
    shown_of = "The one test image" if n == 1 else f"{len(found.items)} of the {n:,} test images"
    st.caption(
        plain(f"{shown_of} of {classes[truth]} that {'was' if n == 1 else 'were'} {said}.")
        + " A run keeps some of every kind of mistake. Click a cell of the matrix, or choose above."
    )


def _classes(shown: Shown, confusion: Confusion) -> None:
    """Precision, recall and F1, the weakest class first."""
    st.subheader("Scores of each class")
    rows = sorted(matrix.class_rows(confusion), key=lambda row: row["f1"])
    head = ("Class, weakest first", "Test images", "Precision", "Recall", "F1")
    scores = [[f"{row[name]:.3f}" for name in ("precision", "recall", "f1")] for row in rows]
    cells = [[str(row["class"]), f"{row['images']:,}", *of] for row, of in zip(rows, scores, strict=True)]
    st.html(html.cells(head, cells, focus=True, tall=True))
    csv_button(
        rows, key=Key.RUN_FILE.of("classes"), file_name=f"{shown.file_stem}-classes.csv", what="Scores of each class"
    )
