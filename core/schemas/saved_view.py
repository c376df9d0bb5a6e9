"""Views of Explore that are kept under a name: the parts of its address."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, StringConstraints

from core.schemas.base import Frozen
from core.schemas.named import LONGEST_NAME

MOST_VIEWS = 200  # of an installation
MOST_PARTS = 40

_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*$"
ViewName = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME, pattern=_LINE)
]
PartName = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,32}$")]
PartText = Annotated[str, StringConstraints(max_length=2000, pattern=_LINE)]


class NewView(Frozen):
    """Body of `POST /views`. A name that there is already takes the new parts."""

    name: ViewName
    parts: dict[PartName, PartText] = Field(max_length=MOST_PARTS, description="word of the address -> its text")


class SavedView(NewView):
    id: str
    created_at: datetime


class SavedViews(Frozen):
    items: list[SavedView]
