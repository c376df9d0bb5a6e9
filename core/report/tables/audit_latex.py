"""Audited rows as LaTeX: a long table of figures, verdicts and their arithmetic, under each row's or sentence's heading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from core.report.charts.audit_entries import Entry
from core.report.tables.audit_tables import named, plain_figure
from core.report.tables.compare_latex import text
from core.schemas.audit import Audit, AuditFinding

HEAD = ("Figure", "Printed", "Recomputed", "Verdict", "Arithmetic")
COLUMNS = r"p{0.2\linewidth}rrlp{0.4\linewidth}"


def table(audit: Audit, entries: Sequence[Entry], titles: Mapping[str, str] = MappingProxyType({})) -> str:
    """The findings of `entries`, rows of `audit`; `titles` are those of data sets, by name."""
    head = " & ".join(HEAD)
    lines = "\n".join(line for entry in entries for line in _entry(entry, titles))
    return (
        "% needs \\usepackage{booktabs} and \\usepackage{longtable}\n"
        f"\\begin{{longtable}}{{{COLUMNS}}}\n"
        f"  \\caption{{Printed figures, recomputed. {text(audit.rule)} Prices: {text(audit.profile)}. "
        f"Source: {text(audit.source)}.}}\\label{{tab:audit}}\\\\\n"
        f"  \\toprule\n  {head} \\\\\n  \\midrule\n  \\endfirsthead\n"
        f"  \\toprule\n  {head} \\\\\n  \\midrule\n  \\endhead\n"
        f"  \\bottomrule\n  \\endfoot\n{lines}\n\\end{{longtable}}\n"
    )


def _entry(entry: Entry, titles: Mapping[str, str]) -> list[str]:
    heading = f"  \\multicolumn{{{len(HEAD)}}}{{p{{0.95\\linewidth}}}}{{{_heading(entry, titles)}}} \\\\*"
    return [heading, *(f"  {' & '.join(_cells(finding))} \\\\" for finding in entry.findings)]


def _heading(entry: Entry, titles: Mapping[str, str]) -> str:
    if entry.statement is not None:
        return rf"\textit{{{text(entry.statement)}}} ({text(entry.where or '')})"
    where = ", ".join(titles.get(name, name) for name in entry.datasets) or entry.row
    return rf"\textbf{{{text(entry.model)}}}, {text(where)} ({text(entry.table)})"


def _cells(finding: AuditFinding) -> list[str]:
    figures = [
        "--" if value is None else plain_figure(value, finding.field) for value in (finding.printed, finding.recomputed)
    ]
    return [text(named(finding)), *figures, finding.verdict, text(finding.arithmetic)]
