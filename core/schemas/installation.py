"""What runs here and what it has stored: `GET /installation`."""

from __future__ import annotations

from pydantic import Field

from core.schemas.base import Frozen


class Stored(Frozen):
    """One part of what is on the disk."""

    name: str
    path: str
    bytes: int


class Installation(Frozen):
    """Versions, and what lies on the disk of the machine that serves the API."""

    versions: dict[str, str] = Field(description="program or package -> version")
    home: str
    stored: list[Stored]
    free_bytes: int = Field(description="on the disk of `home`")
    n_runs: int
    n_unlisted: int = Field(
        default=0, description="runs in the folder that no list shows, as after the database was deleted"
    )
    n_in_bin: int = Field(description="deleted runs that can still be brought back")
    faulty_profiles: dict[str, str] = Field(description="file in `<home>/profiles` -> why it is left out")
