"""The findings of the probe in one sentence a kind, gravest first."""

from __future__ import annotations

from core.analysis.findings import diagnostic_findings, diagnostic_headlines
from core.schemas.diagnostics import Diagnostics
from core.schemas.run import Kind

LAYERS = ["stem.act", "F4.squeeze.act", "F9.squeeze.act", "F9.expand1.act"]


def diagnostics(**changes) -> Diagnostics:
    """Four healthy layers at two steps after one epoch, and what `changes` spoils."""
    fields = {
        "gradient_norm": [[[1.0, 1.0]] * 4],
        "firing_rate": [[[0.2, 0.2]] * 4],
        "active": [[[0.3, 0.3]] * 4],
        "dead": [[0.0] * 4],
        "saturated": [[0.0] * 4],
    } | changes
    return Diagnostics(kind=Kind.SNN, time_steps=2, n_probe=64, layers=LAYERS, epochs=[1], **fields)


def test_where_nothing_stands_out_nothing_is_said():
    assert diagnostic_headlines(diagnostics()) == diagnostic_findings(diagnostics()) == []
    empty = Diagnostics(kind=Kind.SNN, time_steps=2, n_probe=64, layers=LAYERS)
    assert diagnostic_headlines(empty) == []


def test_layers_of_one_finding_share_a_sentence_and_silence_comes_first():
    found = diagnostic_headlines(
        diagnostics(
            firing_rate=[[[0.2, 0.2], [0.3, 0.0], [0.0, 0.0], [0.0, 0.0]]],
            dead=[[0.25, 0.24, 1.0, 1.0]],
            active=[[[0.3, 0.3], [0.04, 0.04], [0.0, 0.049], [0.3, 0.0]]],
        )
    )
    assert found == [
        "2 of 4 layers (F9.squeeze.act, F9.expand1.act) never fire: nothing behind depends on the image through them.",
        "F4.squeeze.act is silent from step 2.",
        "stem.act (25 %): a quarter or more of the neurons never fires.",  # 0.24 is not; all dead is silent
        (
            "2 of 4 layers (F4.squeeze.act, F9.squeeze.act): at no step are more than 5 % of the neurons in the surrogate's "
            "active zone, so little gradient passes."
        ),
    ]


def test_a_gradient_that_vanishes_is_graver_than_neurons_that_are_saturated():
    found = diagnostic_headlines(
        diagnostics(
            gradient_norm=[[[0.001, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]]], saturated=[[0.3, 0.0, 0.5, 0.0]]
        )
    )
    assert "they vanish on the way" in found[0] and "the first layer" in found[0]
    assert (
        found[1]
        == "2 of 4 layers (stem.act (30 %), F9.squeeze.act (50 %)): a quarter or more of the neurons is saturated."
    )
    assert "stem.act never fires: nothing behind depends on the image through it." in diagnostic_headlines(
        diagnostics(firing_rate=[[[0.0, 0.0], *([[0.2, 0.2]] * 3)]])
    )
