"""Printed figures as intervals, and when a recomputed figure confirms one. Exact: fractions, never floats.

A figure printed as 0.0355 stands for all values that round to it: 0.03545 to 0.03555, both ends included, since a
table does not say how it rounds halves. Figures computed from printed ones are intervals too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from core.datasets.catalog import DATASETS
from core.energy.profiles import profiles
from core.schemas.audit import Audit, AuditFinding
from core.schemas.prices import DEFAULT_PROFILE
from core.units import PJ_PER_MJ

RULE = (
    "A printed figure is confirmed if the value recomputed from the row's other figures rounds to it at its last "
    "printed digit. Those other figures are rounded too, so each stands for an interval of half a last digit either "
    "way; a figure is contradicted only if no value in the resulting interval rounds to it. A figure of the text that "
    "only this rounding would allow is not checkable."
)
NEEDS_TRAINING = "It depends on training; no arithmetic on the other figures gives it."
NOT_REBUILT = "{model} is not reconstructed here yet, so there is no plan to compute it from."
Verdict = Literal["confirmed", "contradicted", "not checkable"]
K = 1000


@dataclass(frozen=True, kw_only=True)
class Interval:
    """All values from `low` to `high`, both included."""

    low: Fraction
    high: Fraction

    @classmethod
    def exactly(cls, value: int | Fraction) -> Interval:
        return cls(low=Fraction(value), high=Fraction(value))

    def __add__(self, other: Interval) -> Interval:
        return Interval(low=self.low + other.low, high=self.high + other.high)

    def __sub__(self, other: Interval) -> Interval:
        return Interval(low=self.low - other.high, high=self.high - other.low)

    def __mul__(self, factor: int | Fraction) -> Interval:
        """Times a number of at least 0."""
        return Interval(low=self.low * factor, high=self.high * factor)

    def __truediv__(self, other: Interval) -> Interval:
        """Of two intervals above 0."""
        return Interval(low=self.low / other.high, high=self.high / other.low)

    def meets(self, other: Interval) -> bool:
        return self.low <= other.high and other.low <= self.high


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A figure of at least 0 and the worth of its last printed digit, in the same unit."""

    value: Fraction
    step: Fraction

    @classmethod
    def of(cls, value: float | str, step: int | str, *, factor: int | Fraction = 1) -> Printed:
        """From the digits as printed, in a unit worth `factor`."""
        return cls(value=Fraction(str(value)) * factor, step=Fraction(step) * factor)

    @classmethod
    def written(cls, digits: str, *, factor: int | Fraction = 1) -> Printed:
        """From digits alone, whose last one is worth what its place says: 0.0042 -> 0.0001."""
        return cls.of(digits, str(Decimal((0, (1,), Decimal(digits).as_tuple().exponent))), factor=factor)

    @property
    def interval(self) -> Interval:
        half = self.step / 2
        return Interval(low=max(self.value - half, Fraction(0)), high=self.value + half)


@dataclass(frozen=True, kw_only=True)
class Prices:
    """pJ of one accumulate and one multiply-accumulate."""

    ac_pj: Fraction
    mac_pj: Fraction


def prices() -> Prices:
    """Those of the paper: Horowitz, ISSCC 2014, 45 nm, fp32."""
    profile = profiles()[DEFAULT_PROFILE]
    return Prices(ac_pj=Fraction(str(profile.ac_pj)), mac_pj=Fraction(str(profile.mac_pj)))


@dataclass(frozen=True, kw_only=True)
class Row:
    """Where a figure stands."""

    id: str
    table: str
    model: str
    datasets: tuple[str, ...] = ()
    place: str | None = None  # of a sentence, with what it says
    statement: str | None = None

    def finding(
        self,
        field: str,
        unit: str,
        verdict: Verdict,
        arithmetic: str,
        *,
        printed: Fraction | None = None,
        recomputed: Fraction | None = None,
        interval: Interval | None = None,
    ) -> AuditFinding:
        return AuditFinding(
            row=self.id,
            table=self.table,
            model=self.model,
            datasets=list(self.datasets),
            field=field,
            unit=unit,
            printed=None if printed is None else float(printed),
            recomputed=None if recomputed is None else float(recomputed),
            low=None if interval is None else float(interval.low),
            high=None if interval is None else float(interval.high),
            verdict=verdict,
            arithmetic=arithmetic,
            place=self.place,
            statement=self.statement,
        )

    def unknown(self, field: str, unit: str, printed: Printed, why: str) -> AuditFinding:
        return self.finding(field, unit, "not checkable", why, printed=printed.value)

    def judged(
        self,
        field: str,
        unit: str,
        printed: Printed,
        recomputed: Fraction,
        interval: Interval,
        sum_: str,
        note: str = "",
    ) -> AuditFinding:
        """`sum_` is the arithmetic without its end; `note` follows it if the figure is contradicted."""
        meets = interval.meets(printed.interval)
        shown = figure(printed.value)
        if not meets:
            end = f"which does not round to {shown}, as printed.{' ' + note if note else ''}"
        elif Interval.exactly(recomputed).meets(printed.interval):
            end = f"which rounds to {shown}, as printed."
        else:
            end = f"and the rounding of the printed figures allows {shown}, as printed."
        spread = f" ({figure(interval.low)} to {figure(interval.high)})" if interval.low < interval.high else ""
        return self.finding(
            field,
            unit,
            "confirmed" if meets else "contradicted",
            f"{sum_} = {figure(recomputed)}{' ' + unit if unit else ''}{spread}, {end}",
            printed=printed.value,
            recomputed=recomputed,
            interval=interval,
        )


def count_k(value: float) -> Printed:
    """A count printed in thousands, or from a million on in millions with two decimals.

    1510.0 was printed 1.51M, so its last digit is worth 10 k; 506.9 has tenths; 80094.0 shows single thousands.
    """
    if value != int(value):
        step = "0.1"
    else:
        step = "10" if value >= K and value % 10 == 0 else "1"
    return Printed.of(value, step, factor=K)


def figure(value: Fraction) -> str:
    """For sentences: counts in full, anything else with six significant digits."""
    return f"{round(value):,}" if abs(value) >= 1000 else f"{float(value):.6g}"


def energy(row: Row, *, acs: Printed, macs: Printed, energy_mj: Printed) -> AuditFinding:
    """E = N_AC E_AC + N_MAC E_MAC (eq. 3.5 of Kabir et al.) against the printed energy.

    Not modelled, there as here: memory traffic, routing, control, leakage.
    """
    price, to_mj = prices(), Fraction(1, int(PJ_PER_MJ))
    per_ac, per_mac = price.ac_pj * to_mj, price.mac_pj * to_mj
    recomputed = acs.value * per_ac + macs.value * per_mac
    interval = acs.interval * per_ac + macs.interval * per_mac
    note = ""
    for name, part, share in (("MACs", macs, per_mac), ("ACs", acs, per_ac)):
        if (part.interval * share).meets(energy_mj.interval):
            note = f"The {name} alone give {figure(part.value * share)} mJ, which does."
    sum_ = f"{figure(acs.value)} ACs x {figure(price.ac_pj)} pJ + {figure(macs.value)} MACs x {figure(price.mac_pj)} pJ"
    return row.judged("energy", "mJ", energy_mj, recomputed, interval, sum_, note)


def audit(source: str, findings: Iterable[AuditFinding], *, rule: str = RULE, profile: str = DEFAULT_PROFILE) -> Audit:
    """Findings with their totals."""
    findings = list(findings)

    def how_many(verdict: Verdict) -> int:
        return sum(finding.verdict == verdict for finding in findings)

    return Audit(
        source=source,
        rule=rule,
        profile=profile,
        confirmed=how_many("confirmed"),
        contradicted=how_many("contradicted"),
        not_checkable=how_many("not checkable"),
        findings=findings,
    )


def of_dataset(whole: Audit, dataset: str | None) -> Audit:
    """The findings that touch a data set, or all. Raises UnknownName."""
    if dataset is None:
        return whole
    name = DATASETS[dataset].name
    found = (finding for finding in whole.findings if name in finding.datasets)
    return audit(whole.source, found, rule=whole.rule, profile=whole.profile)
