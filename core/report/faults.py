"""What the audit contradicts of the printed points that stand in a plot."""

from __future__ import annotations

from collections.abc import Iterable

from core.schemas.audit import AuditFinding

WORDS = {"macs": "MACs", "acs": "ACs", "cnn_energy": "energy", "params": "parameters"}


def faults(findings: Iterable[AuditFinding], dataset: str) -> dict[str, str]:
    """Printed table and model -> the contradicted fields in words, of the rows on a data set. Sentences are no points."""
    found: dict[str, list[str]] = {}
    for finding in findings:
        if finding.statement is None and finding.verdict == "contradicted" and dataset in finding.datasets:
            words = WORDS.get(finding.field, finding.field.replace("_", " "))
            found.setdefault(f"{finding.table}/{finding.model}", []).append(words)
    return {name: ", ".join(dict.fromkeys(fields)) for name, fields in found.items()}
