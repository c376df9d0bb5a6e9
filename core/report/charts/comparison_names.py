"""How the runs of a comparison are told apart: a letter each, and what distinguishes them."""

from __future__ import annotations

from core.datasets.catalog import title_of
from core.schemas.compare import ComparedRun, Comparison
from core.schemas.run import Kind

LETTERS = "ABCDEFGHIJ"


def letter(place: int) -> str:
    """A, B, C ... of the first, second, third run."""
    return LETTERS[place]


def letters(comparison: Comparison) -> dict[str, str]:
    """Run id -> its letter."""
    return {run.id: letter(place) for place, run in enumerate(comparison.runs)}


def names(comparison: Comparison) -> dict[str, str]:
    """Run id -> `B · SNN-SqueezeNet Ref-1, T = 8`: the label, and what is not the same in all of these runs."""
    facts = {run.id: _facts(run) for run in comparison.runs}
    differing = [
        key for key in ("dataset", "recipe", "steps", "seed") if len({fact[key] for fact in facts.values()} - {""}) > 1
    ]
    return {
        run.id: ", ".join(
            [f"{letter(place)} · {run.title}", *(facts[run.id][key] for key in differing if facts[run.id][key])]
        )
        for place, run in enumerate(comparison.runs)
    }


def name(comparison: Comparison, run_id: str) -> str:
    return names(comparison)[run_id]


def _facts(run: ComparedRun) -> dict[str, str]:
    config = run.config
    return {
        "dataset": title_of(config.dataset),
        "recipe": config.recipe,
        "steps": f"T = {config.steps}" if run.kind is Kind.SNN else "",  # a CNN has no time steps
        "seed": f"seed {config.seed}",
    }
