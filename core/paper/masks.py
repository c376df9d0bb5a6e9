"""Table 3 of Kabir et al.: nine Fire masks of SNN-SqueezeNet on CIFAR-10, against the plan of each mask."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations

from core.backbones.catalog import plan_for
from core.backbones.plan import Plan
from core.datasets.catalog import DATASETS
from core.energy.modes import MODES, static_macs
from core.paper.printed import tables
from core.paper.rounding import NEEDS_TRAINING, Interval, Printed, Row, figure, prices
from core.schemas.audit import AuditFinding
from core.schemas.run import Kind
from core.units import PJ_PER_MJ

NEAR = Fraction(1, 1000)  # printed within 0.1 % of the full network's count: worth a word


def params_finding(row: Row, plan: Plan, printed: Printed) -> AuditFinding:
    """A printed parameter count against the mask's plan; if they differ, what would give the printed one."""
    return row.judged(
        "params", "", printed, Fraction(plan.params), Interval.exactly(plan.params),
        f"parameters of {named(plan)} for {plan.n_classes} classes", _explained(plan, printed),
    )  # fmt: skip


def named(plan: Plan) -> str:
    """The kept blocks, and their definition where it is not the usual one."""
    kept = ",".join(plan.mask)
    return kept if plan.definition == "small" else f"{kept} (definition {plan.definition})"


def built_but_never_run(plan: Plan, printed: Printed) -> tuple[str, ...] | None:
    """The fewest removed blocks whose parameters, as the full network has them, make up the printed count."""
    full = _full(plan)
    size = {name: sum(node.params for node in full.nodes if node.block == name) for name in plan.blocks}
    removed = [block for block in plan.blocks if block not in plan.mask]
    for how_many in range(1, len(removed) + 1):
        for blocks in combinations(removed, how_many):
            total = plan.params + sum(size[block] for block in blocks)
            if Interval.exactly(total).meets(printed.interval):
                return blocks
    return None


def _explained(plan: Plan, printed: Printed) -> str:
    full, blocks = _full(plan).params, built_but_never_run(plan, printed)
    if blocks:
        return f"With {' and '.join(blocks)} built but never run it would."
    if plan.params // printed.step * printed.step == printed.value:
        return "Cut off after its last printed digit, and not rounded, it would be."
    if plan.mask != plan.blocks and abs(printed.value - full) <= NEAR * full:
        return f"The full network has {full:,}."
    return ""


def _full(plan: Plan) -> Plan:
    return plan_for(
        backbone=plan.backbone,
        mask=plan.blocks,
        input_shape=plan.input_shape,
        n_classes=plan.n_classes,
        definition=plan.definition,
    )


def mask_findings() -> Iterator[AuditFinding]:
    """Parameters and energy of each row, then the rows that must agree with each other."""
    spec = DATASETS["cifar10"]
    by_size: dict[int, list[tuple[str, Printed]]] = {}
    spiking = {entry["model"]: entry for entry in tables()["table1_snn"] if entry["dataset"] == spec.name}
    in_table1 = {"Baseline": spiking["SqueezeNet"], "Ref-1": spiking["SqueezeNet-P"]}
    for entry in tables()["table3_masks_cifar10"]:
        name = entry["schedule"]
        plan = plan_for(
            backbone="squeezenet", mask=tuple(entry["kept"]), input_shape=spec.image_shape, n_classes=spec.n_classes
        )
        row = Row(id=f"table3/{name}", table="Table 3", model=name, datasets=(spec.name,))
        # in k with two decimals; the Baseline's 736.5 k repeats table 1, with one
        params = Printed.of(entry["params"], "100" if entry["params"] % 100 == 0 else "10")
        by_size.setdefault(plan.params, []).append((name, params))
        yield params_finding(row, plan, params)
        energy, accuracy = Printed.of(entry["energy_mj"], "0.0001"), Printed.of(entry["accuracy"], "0.01")
        if (same := in_table1.get(name)) is not None:
            for field, unit, here, step in (("energy", "mJ", energy, "0.0001"), ("accuracy", "", accuracy, "0.01")):
                there = Printed.of(same["energy_mj" if field == "energy" else field], step)
                yield row.judged(
                    field, unit, here, there.value, there.interval, f"{field} of {same['model']} in table 1"
                )
        else:
            yield _energy_bound(row, plan, energy)
            yield row.unknown("accuracy", "", accuracy, NEEDS_TRAINING)
    for size, rows in by_size.items():
        if len(rows) > 1:
            yield _equal_size(size, rows, spec.name)


def _energy_bound(row: Row, plan: Plan, printed: Printed) -> AuditFinding:
    """The ACs of a mask are not printed, but its MACs alone are a floor."""
    macs = static_macs(plan, Kind.SNN, MODES["paper"], 1)
    floor = macs * prices().mac_pj / int(PJ_PER_MJ)
    sum_ = f"{macs:,} MACs of one pass x {figure(prices().mac_pj)} pJ = {figure(floor)} mJ without any AC"
    if printed.interval.high < floor:
        return row.finding(
            "energy",
            "mJ",
            "contradicted",
            f"{sum_}, which is more than the printed {figure(printed.value)}.",
            printed=printed.value,
            recomputed=floor,
        )
    return row.unknown("energy", "mJ", printed, f"The ACs of this mask are not printed; {sum_} is only a floor.")


def _equal_size(size: int, rows: list[tuple[str, Printed]], dataset: str) -> AuditFinding:
    """Masks whose plans have equally many parameters must print one count."""
    row = Row(
        id="+".join(f"table3/{name}" for name, _ in rows),
        table="Table 3",
        model=" and ".join(name for name, _ in rows),
        datasets=(dataset,),
    )
    agree = all(a.interval.meets(b.interval) for _, a in rows for _, b in rows)
    counts = " and ".join(figure(printed.value) for _, printed in rows)
    end = "they agree" if agree else "one of them at least is wrong"
    return row.finding(
        "equal params",
        "",
        "confirmed" if agree else "contradicted",
        f"Both masks have {size:,} parameters; printed are {counts}: {end}.",
        recomputed=Fraction(size),
    )
