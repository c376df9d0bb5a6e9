"""Units. Energy is pJ everywhere inside; only this file converts it."""

from collections.abc import Iterable, Sequence

PJ_PER_MJ = 1e9  # 1 mJ = 1e-3 J = 1e9 pJ
PJ_PER_UJ = 1e6
PJ_PER_NJ = 1e3
ROUNDS_UP = 0.9995  # from here on three significant digits read 1000 of the smaller unit


def pj_to_mj(energy_pj: float) -> float:
    """Picojoules to millijoules, the unit of the paper's tables."""
    return energy_pj / PJ_PER_MJ


def mj_to_pj(energy_mj: float) -> float:
    """Millijoules to picojoules."""
    return energy_mj * PJ_PER_MJ


def energy_scale(energy_pj: float) -> tuple[float, str]:
    """(pJ in the unit, its name) that fits this energy: for an axis, whose values share one unit.

    A value that three digits would round up to 1000 takes the next unit: 999.9 nJ is `1 µJ`.
    """
    for factor, unit in ((PJ_PER_MJ, "mJ"), (PJ_PER_UJ, "µJ"), (PJ_PER_NJ, "nJ")):
        if abs(energy_pj) >= ROUNDS_UP * factor:
            return factor, unit
    return 1.0, "pJ"


def format_energy(energy_pj: float) -> str:
    """Energy with a fitting unit and three significant digits, for people: `29.5 µJ`."""
    factor, unit = energy_scale(energy_pj)
    return f"{energy_pj / factor:.3g} {unit}"


def common_energy_scale(energies_pj: Iterable[float]) -> tuple[float, str]:
    """(pJ in the unit, its name) of energies that stand together in a table or plot: what fits the middle one.

    What costs nothing has no say; pJ where nothing costs anything.
    """
    costs = sorted(energy for energy in energies_pj if energy > 0)
    return energy_scale(costs[len(costs) // 2]) if costs else (1.0, "pJ")


def energy_in(energy_pj: float, unit: tuple[float, str]) -> str:
    """Energy in a unit that others share, three significant digits: `0.0289 mJ`, `5,120 µJ`."""
    factor, name = unit
    value = energy_pj / factor
    return f"{value:,.0f} {name}" if abs(value) >= ROUNDS_UP * 1000 else f"{value:.3g} {name}"


def format_energies(energies_pj: Sequence[float]) -> list[str]:
    """Energies that are read side by side, all in one unit."""
    unit = common_energy_scale(energies_pj)
    return [energy_in(energy, unit) for energy in energies_pj]


def format_joules(joules: float) -> str:
    """Energy of a machine, three significant digits: `12.3 kJ`."""
    for factor, unit in ((1e9, "GJ"), (1e6, "MJ"), (1e3, "kJ")):
        if joules >= ROUNDS_UP * factor:
            return f"{joules / factor:.3g} {unit}"
    return f"{joules:.3g} J"


def format_bytes(size: float) -> str:
    """Bytes with a decimal prefix and three significant digits: `59.4 kB`."""
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if size >= ROUNDS_UP * factor:
            return f"{size / factor:.3g} {unit}"
    return f"{size:g} B"


def format_count(count: float) -> str:
    """A count with a decimal prefix and three significant digits: `4.47 M`."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(count) >= ROUNDS_UP * factor:
            return f"{count / factor:.3g} {unit}"
    return f"{count:.3g}"


def format_duration(wall_s: float) -> str:
    """Seconds for people: `45 s`, `3 min 20 s`, `2 h 5 min`."""
    seconds = round(wall_s)
    if seconds < 60:
        return f"{seconds} s"
    minutes, seconds = divmod(seconds, 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s" if seconds else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def format_about(minutes: float) -> str:
    """A time that is only expected, to two digits: `about 3 min`, `about 2.6 h`, `about 77 h`."""
    return f"about {minutes:.2g} min" if minutes < 100 else f"about {minutes / 60:.2g} h"
