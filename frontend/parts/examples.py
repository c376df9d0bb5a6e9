"""Test images with both twins' answers side by side; an error is red and carries a cross."""

from __future__ import annotations

from html import escape

from core.report.charts import theme
from core.schemas.images import Answer, Example, Examples

DATA_IMAGE = "data:image/png;base64,"


def html(examples: Examples, *, small: bool = False) -> str:
    """A grid of cards. Class names come from data sets, so every text is escaped."""
    return f'<div class="sf-examples{" sf-small" if small else ""}">{"".join(_card(item) for item in examples.items)}</div>'


def basis(examples: Examples, *, beside: str) -> str:
    """What a grid of cards shows, in words."""
    return (
        f"{len(examples.items)} of {examples.n_test:,} test images, {beside}; # is the place in the test set, ✗ marks an error. "
        "Small bars: confidence after each time step."
    )


def _card(example: Example) -> str:
    # The API sends images as data addresses; anything else would be a request to elsewhere.
    source = example.image if example.image.startswith(DATA_IMAGE) else ""
    answers = [example.answer, example.twin_answer]
    rows = "".join(_answer(answer) for answer in sorted((a for a in answers if a), key=lambda a: a.kind.value != "snn"))
    return (
        f'<div class="sf-example"><img src="{escape(source)}" alt="Test image {example.index}, a {escape(example.label)}">'
        f'<div class="truth">{escape(example.label)} <span class="sf-dim">#{example.index}</span></div>{rows}</div>'
    )


def _answer(answer: Answer) -> str:
    right = answer.correct
    said = f"{'right' if right else 'wrong'}: {answer.prediction}"
    steps = ""
    if len(answer.confidence_per_step) > 1:
        bars = "".join(f'<i style="height:{max(share, 0.04):.0%}"></i>' for share in answer.confidence_per_step)
        tip = ", ".join(theme.percent(share, 0) for share in answer.confidence_per_step)
        steps = f'<div class="sf-steps" title="confidence after each time step: {tip}" aria-hidden="true">{bars}</div>'
    return (
        f'<div class="sf-answer {"right" if right else "wrong"}" aria-label="{escape(answer.kind.value.upper())} {escape(said)}">'
        f'<span class="net">{escape(answer.kind.value.upper())}</span>'
        f'<span class="sign" aria-hidden="true">{"✓" if right else "✗"}</span>'
        f'<span class="said">{escape(answer.prediction)}</span>'
        f'<span class="sure">{theme.percent(answer.confidence, 0)}</span></div>{steps}'
    )
