"""The sources that the audit knows, by name."""

from __future__ import annotations

from collections.abc import Callable

from core.paper.released import released_audit
from core.paper.rounding import of_dataset
from core.paper.tables import paper_audit
from core.registry import Registry
from core.schemas.audit import DEFAULT_SOURCE, Audit

SOURCES: Registry[Callable[[], Audit]] = Registry("source of the audit")
SOURCES.add(DEFAULT_SOURCE, paper_audit)
SOURCES.add("lite-snn", released_audit)


def audit_of(source: str, dataset: str | None = None) -> Audit:
    """The findings of a source that touch a data set, or all. Raises UnknownName for either."""
    return of_dataset(SOURCES[source](), dataset)
