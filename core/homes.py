"""Home directories of users: what `~` in a path means, and what becomes of the data folder where there is none."""

from __future__ import annotations

import os
from pathlib import Path

#: The data folder of a user without a home directory, such as a container's user that no list knows: nothing is ever
#: there, so whatever only looks finds nothing and works on; what would write asks for SPIKEFRONT_HOME.
NOWHERE = Path("/nonexistent/.spikefront")


def user_home() -> Path | None:
    """The home directory of this process's user; None without one. An empty HOME counts as not set."""
    if home := os.environ.get("HOME", "").strip():
        return Path(home)
    import pwd

    try:
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return None
    return Path(home) if home else None


def expanded(path: Path) -> Path:
    """`path` from the root, with `~` and `~user` in their places; raises ValueError with what would be right."""
    try:
        if path.parts[:1] == ("~",):
            if (home := user_home()) is None:
                raise ValueError("a folder from the root: this user has no home directory for ~")
            path = home.joinpath(*path.parts[1:])
        return path.expanduser().absolute()
    except RuntimeError:
        raise ValueError(f"a folder; there is no user {path.parts[0][1:]!r}") from None
    except FileNotFoundError:
        raise ValueError("a folder from the root: the current one is gone") from None
