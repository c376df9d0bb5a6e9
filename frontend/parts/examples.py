"""Test images with both twins' answers side by side; an error is red and carries a cross."""

from __future__ import annotations

from collections.abc import Iterable

from core.report.charts import theme
from core.report.markup import render
from core.schemas.images import Answer, Example, Examples

#: By which rule images were taken, where their errors are no sample of all.
ORDER = {
    "spread": "one of each class in turn, mistakes first; ",
    "first": "the first that were kept, and more mistakes are kept than right answers; ",
}
DATA_IMAGE = "data:image/png;base64,"


def html(examples: Examples, *, small: bool = False) -> str:
    """A grid of cards with each network's answer and how sure it was after each step."""
    return cards([(item, _by_kind(item)) for item in examples.items], small=small, with_steps=True)


def cards(
    items: Iterable[tuple[Example, Iterable[tuple[str, Answer]]]], *, small: bool = False, with_steps: bool = False
) -> str:
    """HTML of images, each with (network's name, answer). Class names come from data sets, so every text is escaped."""
    return render("examples.html", cards=[_card(item, answers, with_steps) for item, answers in items], small=small)


def basis(examples: Examples, *, beside: str) -> str:
    """What a grid of cards shows, in words."""
    order = ORDER.get(examples.which, "")
    return (
        f"{len(examples.items)} of {examples.n_test:,} test images, {order}{beside}; # is the place in the test set, ✗ marks an error. "
        "Small bars: confidence after each time step."
    )


def _by_kind(example: Example) -> list[tuple[str, Answer]]:
    """The spiking network's answer first."""
    answers = [answer for answer in (example.answer, example.twin_answer) if answer is not None]
    answers.sort(key=lambda answer: answer.kind.value != "snn")
    return [(answer.kind.value.upper(), answer) for answer in answers]


def _card(example: Example, answers: Iterable[tuple[str, Answer]], with_steps: bool) -> dict[str, object]:
    # The API sends images as data addresses; anything else would be a request to elsewhere.
    source = example.image if example.image.startswith(DATA_IMAGE) else ""
    said = [_answer(net, answer, with_steps) for net, answer in answers]
    return {"source": source, "index": example.index, "label": example.label, "answers": said}


def _answer(net: str, answer: Answer, with_steps: bool) -> dict[str, object]:
    shares = answer.confidence_per_step if with_steps and len(answer.confidence_per_step) > 1 else []
    return {
        "net": net,
        "verdict": "right" if answer.correct else "wrong",
        "sign": "✓" if answer.correct else "✗",
        "said": answer.prediction,
        "sure": theme.percent(answer.confidence, 0),
        "steps": [{"height": f"{max(share, 0.04):.0%}", "said": theme.percent(share, 0)} for share in shares],
    }
