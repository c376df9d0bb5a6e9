"""The text of Kabir et al. (arXiv:2602.09717) and of the thesis behind it, held against their own tables.

What is said, where, and with which figures lies in `prose.json`; each statement names its arithmetic here. A figure of the
text is judged by the rule of the tables, with one difference: where only the rounding of the cells would allow it, it is
not checkable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.paper import prose_ratios, prose_readings
from core.paper.statements import Statement, statements
from core.schemas.audit import AuditFinding

Check = Callable[[Statement], Iterator[AuditFinding]]

CHECKS: dict[str, Check] = {
    check.__name__: check
    for check in (
        prose_ratios.baselines,
        prose_ratios.counterpart,
        prose_ratios.efficiency,
        prose_ratios.up_to,
        prose_ratios.own_twin,
        prose_ratios.most_accurate,
        prose_ratios.pruning,
        prose_ratios.reductions,
        prose_ratios.schedules,
        prose_ratios.head_heavy,
        prose_readings.mixnet_energy,
        prose_readings.mixnet_macs,
        prose_readings.xception_params,
        prose_readings.names,
        prose_readings.leakage,
        prose_readings.patience,
    )
}


def text_findings() -> Iterator[AuditFinding]:
    """Every statement's findings, in the order of the file."""
    for said in statements():
        yield from CHECKS[said.check](said)
