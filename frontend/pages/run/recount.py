"""Whether another tool counts the same: the run's recount, in a sentence and layer by layer."""

from __future__ import annotations

import streamlit as st

from core.report import recount_words as words
from core.report.tables import html
from core.schemas.recount import Recount
from frontend.client.connection import api, plain
from frontend.pages.run.section import Shown

FILE = "recount.json"


def draw(shown: Shown) -> None:
    if all(item.name != FILE for item in shown.run.artifacts):
        st.caption(words.NOT_COUNTED)
        return
    found = api().recount(shown.run.id)
    if found.equal:
        st.markdown(f":green[:material/check_circle:] {plain(words.headline(found))}")
    else:
        said = [] if found.failure is not None else [words.headline(found)]
        st.error("\n\n".join(plain(sentence) for sentence in [*said, *words.faults(found)]), icon=":material/error:")
    if not found.layers:
        return
    with st.expander("How it was counted again", icon=":material/fact_check:"):
        st.caption(
            plain(
                f"{found.n_images} test images through the network rebuilt in SpikingJelly's layers, with the run's weights, in "
                f"float64, counted by {words.by_whom(found)}; sums over images and steps."
            )
        )
        st.html(table(found))
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in words.notes(found)))


def table(found: Recount) -> str:
    """A row a layer; one that differs is red."""
    faults = [place for place, layer in enumerate(found.layers) if not layer.equal]
    rows = [words.row(layer) for layer in found.layers]
    return html.cells(words.COLUMNS, rows, kind="sf-groups", focus=True, faults=faults)
