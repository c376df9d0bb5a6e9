"""Which test images one run got right and the other lost: how many, which, and the pictures that were kept."""

from __future__ import annotations

import streamlit as st

from core.report.charts.comparison_names import letter, name
from core.schemas.compare import Comparison, Paired
from core.schemas.images import Answer, Example
from frontend.client.connection import api, part, plain
from frontend.keys import Key
from frontend.parts import examples

SHOWN = 12


def draw(comparison: Comparison) -> None:
    """For one pair at a time. A fragment of its own, so that choosing a pair compares nothing afresh."""
    st.fragment(part(_pairs))(comparison)


def _pairs(comparison: Comparison) -> None:
    st.subheader("Images gained and lost")
    pairs = {item.run_id: item.paired for item in comparison.differences if item.paired is not None}
    if not pairs:
        st.caption("These runs were tested on different images, so none can be said to be gained or lost.")
        return
    places = {run.id: place for place, run in enumerate(comparison.runs)}
    first = comparison.runs[0].id
    if st.session_state.get(Key.COMPARE_OTHER) not in pairs:
        st.session_state[Key.COMPARE_OTHER] = next(iter(pairs))
    other = st.session_state[Key.COMPARE_OTHER]
    if len(pairs) > 1:
        other = st.segmented_control(
            "Which run, against A",
            list(pairs),
            key=Key.COMPARE_OTHER,
            required=True,
            format_func=lambda run_id: letter(places[run_id]),
        )
    pair, mark = pairs[other], letter(places[other])
    st.caption(
        plain(f"A is {name(comparison, first)[4:]}; {mark} is {name(comparison, other)[4:]}. ")
        + f"Of {pair.n:,} test images both answer {pair.n - pair.gained - pair.lost:,} with the same success."
    )
    left, right = st.columns(2, gap="large")
    with left:
        _side(
            f"{mark} right, A wrong",
            wrong=first,
            right=other,
            letters=("A", mark),
            n=pair.gained,
            indices=pair.gained_indices,
            pair=pair,
        )
    with right:
        _side(
            f"A right, {mark} wrong",
            wrong=other,
            right=first,
            letters=(mark, "A"),
            n=pair.lost,
            indices=pair.lost_indices,
            pair=pair,
        )


def _side(
    title: str, *, wrong: str, right: str, letters: tuple[str, str], n: int, indices: list[int], pair: Paired
) -> None:
    st.markdown(f"**{title}: {n:,}** ({100 * n / pair.n:.1f} % of {pair.n:,})")
    if not n:
        st.caption("No image.")
        return
    found = api().examples(wrong, which="wrong", limit=SHOWN, against=right)
    if found.items:
        st.html(cards(found.items, wrong=letters[0], right=letters[1]))
        st.caption(f"Pictures of {len(found.items)} of {n:,}. Bundles keep the pictures of some test images only.")
    else:
        st.caption("No bundle keeps a picture of these images.")
    with st.expander("Positions in the test set"):
        more = f" and {n - len(indices):,} more" if n > len(indices) else ""
        st.code(", ".join(map(str, indices)) + more, language=None, wrap_lines=True)


def cards(items: list[Example], *, wrong: str, right: str) -> str:
    """HTML of the images with both answers, by the runs' letters."""
    return examples.cards((item, _answers(item, wrong, right)) for item in items)


def _answers(item: Example, wrong: str, right: str) -> list[tuple[str, Answer]]:
    answers = [(wrong, item.answer)] + ([(right, item.twin_answer)] if item.twin_answer else [])
    return sorted(answers, key=lambda pair: pair[0])
