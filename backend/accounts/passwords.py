"""Passwords as argon2id hashes. The package is part of the extra `server`: an installation of one person has none."""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from core.errors import PackageMissing

if TYPE_CHECKING:
    from argon2 import PasswordHasher

#: Hashing takes 64 MiB and a good part of a second; more than so many at once would only push each other aside.
AT_ONCE = threading.BoundedSemaphore(2)


@cache
def _hasher() -> PasswordHasher:
    """argon2id with the parameters of RFC 9106 for little memory: 64 MiB, 3 passes, 4 lanes."""
    try:
        from argon2 import PasswordHasher, profiles
    except ModuleNotFoundError:
        raise PackageMissing(package="argon2-cffi", extra="server", why="A password") from None
    return PasswordHasher.from_parameters(profiles.RFC_9106_LOW_MEMORY)


@cache
def _nobodys() -> str:
    """A hash of no password, by the same parameters."""
    return _hasher().hash("nobody's password, since nobody can type this: \x00")


def hashed(password: str) -> str:
    """Raises PackageMissing."""
    with AT_ONCE:
        return _hasher().hash(password)


def fits(password: str, kept: str | None) -> bool:
    """Whether it is the password of a hash. Without a hash it takes as long, and is none. Raises PackageMissing."""
    hasher, nobodys = _hasher(), _nobodys()
    from argon2.exceptions import InvalidHashError, VerificationError

    with AT_ONCE:
        try:
            return hasher.verify(kept or nobodys, password) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def is_old(kept: str) -> bool:
    """Whether the hash was made by weaker parameters than today's."""
    return _hasher().check_needs_rehash(kept)
