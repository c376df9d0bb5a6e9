"""`spikefront audit`: printed tables against arithmetic."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import typer

from core.cli.console import print_json
from core.errors import BadValue
from core.schemas.audit import DEFAULT_SOURCE, Audit, AuditFinding


def audit(
    table: Path | None = typer.Option(
        None, "--csv", metavar="FILE", help="A table of your own instead of the paper's."
    ),
    source: str = typer.Option(DEFAULT_SOURCE, "--of", metavar="SOURCE", help="kabir or lite-snn."),
    as_json: bool = typer.Option(False, "--json", help="Print every finding as JSON."),
) -> None:
    """Recompute printed figures: each is confirmed, contradicted or not checkable, with the arithmetic.

    Without FILE: tables 1 to 3 of Kabir et al., arXiv:2602.09717, and what their text says of them; or, with --of lite-snn,
    what the released code of LitE-SNN (Liu et al., arXiv:2401.14652) says of its search, its training and its networks' sizes.

    FILE has commas, decimal points and a header of these columns: model; ac, ac_k or ac_m and mac, mac_k or mac_m
    (operations per inference, in ones, thousands or millions); energy_mj, energy_uj or energy_nj; and, if you like,
    params, params_k or params_m and accuracy (0 to 1) or accuracy_pct. Energy is recomputed as 0.9 pJ an AC and
    4.6 pJ a MAC. Write the digits that were printed: the last one says how far a figure is rounded.
    """
    if table is None:
        from core.paper.sources import audit_of

        result = audit_of(source)
    elif source != DEFAULT_SOURCE:
        raise BadValue(field="--of", value=source, expected="left out beside --csv, which brings a table of its own")
    else:
        from core.paper.own_table import table_audit

        result = table_audit(table)
    if as_json:
        print_json(result.model_dump(mode="json"))
    else:
        _print(result)


def _print(result: Audit) -> None:
    from rich.console import Console  # only when a person looks
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for verdict, style in (("contradicted", "bold red"), ("confirmed", "green")):
        found = [finding for finding in result.findings if finding.verdict == verdict]
        if not found:
            continue
        shown = Table(title=f"{verdict.capitalize()}: {len(found)}", title_style=style, title_justify="left")
        shown.add_column("row, figure", overflow="fold", max_width=32)
        shown.add_column("arithmetic", overflow="fold")
        told: set[str | None] = {None}
        for finding in found:
            said = "" if finding.statement in told else f"Said: {finding.statement}\n"
            told.add(finding.statement)
            shown.add_row(escape(_label(finding)), escape(said + finding.arithmetic))
        console.print(shown)
    reasons = Counter(_reason(finding) for finding in result.findings if finding.verdict == "not checkable")
    if reasons:
        console.print(f"Not checkable: {result.not_checkable}")
        for reason, n in reasons.most_common():
            console.print(f"  {n:>4}  {escape(reason)}")
    console.print(
        f"{result.confirmed} confirmed, {result.contradicted} contradicted, {result.not_checkable} not checkable. "
        f"Source: {escape(result.source)}. Prices: {result.profile}."
    )
    console.print(result.rule, style="dim")


def _reason(finding: AuditFinding) -> str:
    """Reasons of tables are shared by many figures; one of the text belongs to its sentence."""
    if finding.statement is None:
        return finding.arithmetic
    return f"{_label(finding)}. Said: {finding.statement} {finding.arithmetic}"


def _label(finding: AuditFinding) -> str:
    """Where a figure stands, in words; in a table of one's own, its line."""
    if finding.place is not None:
        return f"{finding.table}, {finding.place}: {finding.field}"
    where = " and ".join(finding.datasets) or finding.row
    return f"{finding.table}, {where}, {finding.model}: {finding.field}"
