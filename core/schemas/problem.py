"""An error as it travels (RFC 9457)."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.schemas.base import Frozen


class Problem(Frozen):
    """RFC 9457 problem details; `code`, `request_id` and the error's own fields are extensions."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None
    code: str
    request_id: str | None = Field(default=None, description="of the log lines about this request")
    fields: dict[str, Any] = Field(default_factory=dict)
