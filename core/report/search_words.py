"""What a search has found, in words."""

from __future__ import annotations

from core.schemas.search import RunSearch, SearchFound
from core.units import format_count

READINGS = {"kept": "kept bits alone", "bitmap": "with a bitmap of the kept", "entropy": "at the entropy bound"}
_BUDGETS = {"size_kb": "kB", "bit_synops_m": "M Bit-SynOps"}


def decoded(found: SearchFound) -> list[str]:
    """The network that would be decoded now, a sentence each; nothing before the first epoch has ended."""
    now = found.decoded
    if now is None:
        return []
    search = found.search
    parts = []
    if search.steps:
        parts.append(f"T = {now.time_steps}")
    if search.bits:
        parts.append(f"bits {now.block_bits.replace(',', ', ').replace(':', ' ')}")
    if search.cell:
        parts.append(f"cell {now.cell}")
    cost = f"{now.size_kb:,.3g} kB of weights ({READINGS[search.size_as]})"
    synops = f"{format_count(1e6 * now.bit_synops_m)} Bit-SynOps an image by the firing rates of the search"
    told = [f"{'; '.join(parts)}."]
    if not search.cell:
        told.append(f"{cost}, {synops}.")
    for name, budget in now.budgets.items():
        stands = "met" if budget.is_met else "missed"
        told.append(f"Budget of {budget.budget:g} {_BUDGETS[name]} {stands}: {budget.found:,.4g}.")
    return told


def how(found: SearchFound) -> str:
    """What taught the architecture."""
    if found.search.as_released:
        return "As the released code does it: weights and architecture learn from the same images."
    if found.n_held_out is None:
        return "The architecture learns from training images that are held out from the weights."
    return f"The architecture learned from {found.n_held_out:,} training images that are held out from the weights."


def told(found: SearchFound) -> list[str]:
    """All of it."""
    return [*decoded(found), how(found)]


def rank(search: RunSearch, n_wirings: int) -> str:
    """How good the wiring is that was found, among those that were trained by themselves."""
    n = len(search.wirings)
    if n == 0:
        return f"None of the {n_wirings} wirings has been trained by itself yet, so nothing says how good the one found is."
    own = search.rank
    best = search.wirings[0]
    lead = f"{n} of {n_wirings} wirings have been trained by themselves"
    if own is None:
        return f"{lead}, not the one that was found. The best of them is {best.cell}."
    return (
        f"{lead}. The one that was found has rank {own} by validation accuracy (one seed each, so close ranks say little); "
        f"the best is {best.cell}, {100 * best.validation_accuracy:.2f} %."
    )
