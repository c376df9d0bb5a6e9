"""Route of the installation."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends

from backend.context import Context, of
from backend.installation.service import installation
from core.schemas.installation import Installation

router = APIRouter(tags=["catalog"])


@router.get("/installation")
def get_installation(context: Annotated[Context, Depends(of)]) -> Installation:
    """Versions, what lies on the disk and how much is free there, and price files that cannot be used."""
    return installation(context)
