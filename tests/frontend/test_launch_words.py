"""Refusals in the words of the launch form."""

from __future__ import annotations

from frontend.pages.launch.advanced import titled


def test_a_refusal_names_fields_by_their_titles_and_leaves_words_alone():
    said = "training.ema is 0.0; it must be above 0 where training.select is ema."
    expected = "Averaging (training.ema) is 0.0; it must be above 0 where Weights kept (training.select) is ema."
    assert titled(said) == expected
    assert titled("start is 'x'; it must be at the start.") == "Start (start) is 'x'; it must be at the start."
    assert titled("seed is -1; the input must be at least 0.") == "seed is -1; the input must be at least 0."
    assert titled("training.lr_factor is 3.") == "training.lr_factor is 3."
    assert titled("training.teacher_epochs is 0.") == "Epochs of the twin (training.teacher_epochs) is 0."
