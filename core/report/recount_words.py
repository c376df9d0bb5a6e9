"""A recount in sentences and rows: what is equal, what differs and should not, what differs by definition."""

from __future__ import annotations

from core.schemas.recount import Operations, Recount, RecountedLayer, SharedRecount

#: Names as their authors write them, by the name on the command line.
TITLES = {"spikingjelly": "SpikingJelly", "syops": "syops", "neurobench": "NeuroBench"}
MOST_NAMED = 5  # layers in a sentence
#: Of the rows below.
COLUMNS = (
    "Layer", "Kind", "Exact charges", "By its rules, of ours", "Theirs", "Theirs less exact", "Spikes of ours", "Theirs", "",
)  # fmt: skip
NOT_COUNTED = "This run was not counted again: it is from before that was done, or SPIKEFRONT_RECOUNT was off."


def by_whom(found: Recount | SharedRecount) -> str:
    """`SpikingJelly 2.0.0`."""
    return " ".join(filter(None, (TITLES[found.counter], found.counter_version)))


def headline(found: Recount | SharedRecount) -> str:
    """`Recounted by SpikingJelly 2.0.0: 64 of 64 answers and all operations equal.`"""
    if isinstance(found, Recount):
        found = shared(found)
    answers = (
        f"{found.recounted_equal} of {found.recounted_images} answers" if found.recounted_images else "all answers"
    )
    if found.equal:
        return f"Recounted by {by_whom(found)}: {answers} and all operations equal."
    return f"Recounted by {by_whom(found)}: not all is equal."


def shared(found: Recount) -> SharedRecount:
    """What a share says of it."""
    return SharedRecount(
        counter=found.counter,
        counter_version=found.counter_version,
        recounted_images=found.n_images or None,
        recounted_equal=_answers(found) if found.n_images else None,
        equal=found.equal,
        faults=faults(found),
    )


def _answers(found: Recount) -> int:
    """Of the run's own answers where they are known, those that are equal."""
    return found.answers_equal if found.stored is None else found.stored.answers_equal


def faults(found: Recount) -> list[str]:
    """What differs and should not, or why there was no recount; nothing where all is well."""
    if found.failure is not None:
        return [f"The recount by {by_whom(found)} failed ({found.failure}). The run's own counts are as they were."]
    sentences = []
    if differ := found.n_images - found.answers_equal:
        sentences.append(f"{differ} answer{_s(differ)} of the rebuilt network differ{_verb(differ)}.")
    wrong = [layer for layer in found.layers if not layer.equal]
    sentences += [_fault(layer, by_whom(found)) for layer in wrong[:MOST_NAMED]]
    if rest := len(wrong) - MOST_NAMED:
        sentences += [f"So do {rest} more layers."] if rest > 0 else []
    if found.stored is not None and not found.stored.within:
        worst = max(found.stored.operations_difference, found.stored.spikes_difference)
        sentences.append(
            f"The counts and answers that the run stored of these images are not those of its weights (operations and "
            f"spikes differ by up to {100 * worst:.2g} %): weights, counts and data set are not of one run."
        )
    return sentences


def _fault(layer: RecountedLayer, tool: str) -> str:
    if layer.spikes is not None and layer.spikes.ours != layer.spikes.theirs:
        return f"{layer.name} sends {layer.spikes.ours:,} spikes, and {layer.spikes.theirs:,} in the rebuilt network."
    return f"{layer.name} has {operations(layer.ours)} by our values, and {operations(layer.theirs)} by {tool}."


def notes(found: Recount) -> list[str]:
    """What differs by definition, each with its layers, and what the tool does not know."""
    by_reason: dict[str, list[str]] = {}
    for layer in found.layers:
        if layer.reason:
            by_reason.setdefault(layer.reason, []).append(layer.name)
    said = [f"{_named(names)}: {reason}" for reason, names in by_reason.items()]
    return [*said, *found.not_known, *_rounding(found)]


def _rounding(found: Recount) -> list[str]:
    stored = found.stored
    if stored is None:
        return []
    told = "The integers that the run stored of these images, taken in float32, "
    if not (stored.operations_difference or stored.spikes_difference):
        told += "are equal to those in float64."
    else:
        told += (
            f"differ from those in float64 by {100 * stored.operations_difference:.2g} % of the operations and "
            f"{100 * stored.spikes_difference:.2g} % of the spikes."
        )
    same = [told]
    if stored.within and (rounded := found.answers_equal - stored.answers_equal) > 0:
        same.append(f"{rounded} stored answer{_s(rounded)} hung on rounding: in float64 our network answers as theirs.")
    return same


def _named(names: list[str]) -> str:
    listed = ", ".join(names[:MOST_NAMED])
    return f"{listed} and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else listed


def operations(found: Operations | None) -> str:
    """`12,345 AC`, `1,000 AC + 2 MAC`, `0`, or a dash where it has no rule."""
    if found is None:
        return "-"
    parts = [f"{_number(value)} {unit}" for value, unit in ((found.acs, "AC"), (found.macs, "MAC")) if value]
    return " + ".join(parts) or "0"


def difference(layer: RecountedLayer) -> str:
    """Theirs less what the mode exact charges."""
    if layer.theirs is None:
        return "-"
    less = Operations(acs=layer.theirs.acs - layer.exact.acs, macs=layer.theirs.macs - layer.exact.macs)
    return operations(less)


def row(layer: RecountedLayer) -> tuple[str, ...]:
    """What stands in COLUMNS, the verdict last."""
    spikes = ("", "") if layer.spikes is None else (f"{layer.spikes.ours:,}", f"{layer.spikes.theirs:,}")
    verdict = "DIFFERS" if not layer.equal else "equal" if layer.theirs or layer.spikes else "not counted"
    told = (operations(layer.exact), operations(layer.ours), operations(layer.theirs), difference(layer))
    return (layer.name, layer.kind, *told, *spikes, verdict)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.1f}"


def _s(n: int) -> str:
    return "" if n == 1 else "s"


def _verb(n: int) -> str:
    return "s" if n == 1 else ""
