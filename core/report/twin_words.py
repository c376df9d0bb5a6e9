"""Two networks against each other in words: how their accuracies differ, how sure that is, and what each costs.

The pages Run and Compare and the shares say it from here, with the one interval that `core.analysis.compare` gives.
"""

from __future__ import annotations

from core.schemas.compare import Gain, TwinRatio

SNN, CNN = "the spiking network", "the CNN"
OTHER_IMAGES = "other test images, so no interval"
OTHER_DATA = "These runs are tested on other data sets, so their accuracies are not compared."
ONE_SEED = "Each is one seed: another seed moves both."


def against(one: str, other: str, *, accuracy: float, paired: Gain | None, energy_ratio: float | None,
            unsure: str = OTHER_IMAGES) -> str:  # fmt: skip
    """`B is 5.00 points more accurate than A (95 % interval +1.00 to +9.00, n = 360); A needs 4 times the energy of B.`

    accuracy: that of `one` minus that of `other`, in [-1, 1]; energy_ratio: that of `one` over that of `other`; paired:
    with `one` as the second; unsure: why there is no interval, where `paired` is None.
    """
    energy = energy_words(one, other, energy_ratio)
    return f"{_upper(accuracy_words(one, other, accuracy, paired, unsure=unsure))}{f'; {energy}' if energy else ''}."


def accuracy_words(one: str, other: str, accuracy: float, paired: Gain | None, *, unsure: str = OTHER_IMAGES) -> str:
    points = 100 * accuracy
    same = not round(points, 2)
    more = "as accurate as" if same else f"{abs(points):.2f} points {'more' if points > 0 else 'less'} accurate than"
    return f"{one} is {more} {other} ({unsure if paired is None else interval_words(paired)})"


def interval_words(paired: Gain) -> str:
    """`95 % interval +1.00 to +9.00, n = 360`, and whether it tells the two apart."""
    sure = "" if clear(paired) else ", so these images do not tell them apart"
    return f"95 % interval {100 * paired.low:+.2f} to {100 * paired.high:+.2f}, n = {paired.n:,}{sure}"


def clear(paired: Gain) -> bool:
    """Whether the interval leaves zero out."""
    return paired.low > 0 or paired.high < 0


def energy_words(one: str, other: str, ratio: float | None) -> str:
    """Which of the two takes how many times the other's energy; empty where that cannot be said."""
    if not ratio:
        return ""
    if f"{ratio:.3g}" == "1":
        return "both need the same energy"
    dearer, cheaper, times = (one, other, ratio) if ratio > 1 else (other, one, 1 / ratio)
    return f"{dearer} needs {times:.3g} times the energy of {cheaper}"


def twins(pair: TwinRatio, *, mode: str, steps: int, unsure: str = OTHER_IMAGES) -> list[str]:
    """A spiking network against its CNN twin as sentences; `steps`: its T."""
    said = [
        against(SNN, CNN, accuracy=pair.accuracy, paired=pair.paired, energy_ratio=pair.energy_ratio, unsure=unsure)
    ]
    if pair.energy_ratio and pair.energy_ratio < 1 and mode == "paper" and steps > 1:
        said.append(
            f"This sets one of the spiking network's {steps} time steps against the CNN's whole pass; over all steps its "
            "advantage is smaller or gone."
        )
    return [*said, ONE_SEED]


def _upper(words: str) -> str:
    return words[0].upper() + words[1:]
