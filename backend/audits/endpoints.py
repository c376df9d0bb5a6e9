"""Routes of the audit: the printed tables, what was measured beside them, and a table that a user brings."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, Depends, Query, Request, Response

from backend.audits.service import measured
from backend.context import Context, of
from backend.contract import as_json, may
from backend.runs.listed import kept_answer
from core.energy.profiles import profiles
from core.errors import BadValue, BundleCorrupt, UnknownLayer, UnknownName
from core.paper.own_table import content_audit
from core.paper.sources import audit_of
from core.schemas.audit import DEFAULT_SOURCE, Audit, MeasuredAudit
from core.schemas.prices import DEFAULT_PROFILE

router = APIRouter(tags=["catalog"])

CSV_BODY = {
    "requestBody": {"required": True, "content": {"text/csv": {"schema": {"type": "string", "format": "binary"}}}}
}
TableName = Annotated[str, Query(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")]


@router.get("/audit", responses=may(UnknownName))
def get_audit(dataset: str | None = None, source: str = DEFAULT_SOURCE) -> Audit:
    """Every figure of a source with the arithmetic that confirms or contradicts it; one data set or all.

    `kabir`: the tables and the text of Kabir et al.; `lite-snn`: the released code of LitE-SNN.
    """
    return audit_of(source, dataset)


@router.post("/audit", openapi_extra=CSV_BODY, responses=may(BadValue))
async def audit_table(request: Request, name: TableName = "table.csv") -> Audit:
    """The energies of another paper's table, recomputed: a CSV of at most 1 MB, judged by the same rule."""
    content = await request.body()  # the gate has bounded it
    return await to_thread.run_sync(content_audit, content, name)


@router.get("/audit/measured", response_model=MeasuredAudit, responses=may(BundleCorrupt, UnknownLayer))
def get_measured(context: Annotated[Context, Depends(of)]) -> Response:
    """Succeeded runs of the networks that the tables name, seeds together, at the paper's prices."""
    prices = profiles()[DEFAULT_PROFILE].model_dump_json()
    return as_json(kept_answer(context, None, ("audit", prices), lambda: measured(context)))
