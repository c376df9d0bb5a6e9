"""How often a name or an address may fail to sign in. Counted in the database, since several servers may share it.

A try is counted before the password is looked at, so that many at once gain nothing, and taken back when it was right.
A name that is nobody's is counted as any other.
"""

from __future__ import annotations

import hashlib
import ipaddress
import math
from datetime import datetime, timedelta

from sqlalchemy import case, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from backend.store.models import SignInCountRow

WINDOW = timedelta(minutes=15)
MOST_OF_NAME, MOST_OF_ADDRESS = 10, 30  # failed ones in that time


def keys(name: str | None, address: str | None) -> dict[str, int]:
    """What a try is counted under, and how many each may have; by no name where none is typed.

    Of a name its digest: somebody may type a password there.
    """
    found = {}
    if name is not None:
        found[f"name:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()}"] = MOST_OF_NAME
    if address:
        found[f"address:{_network(address)}"] = MOST_OF_ADDRESS
    return found


def _network(address: str) -> str:
    """An IPv6 address by its first 64 bits: whoever has one has all that begin so."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if ip.version == 6 and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip) if ip.version == 4 else str(ipaddress.ip_network((ip, 64), strict=False))


def begin(session: Session, counted: dict[str, int], *, now: datetime) -> tuple[int, bool]:
    """Count a try; 0, or the seconds to wait where there were too many, and whether this one is the first of those."""
    session.execute(delete(SignInCountRow).where(SignInCountRow.began_at < now - WINDOW))
    make = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    wait_s, first = 0, False
    for key, most in sorted(counted.items()):  # in one order, so no two wait for each other
        statement = make(SignInCountRow).values(key=key, began_at=now, failed=1)
        counting = statement.on_conflict_do_update(
            index_elements=[SignInCountRow.key], set_={"failed": SignInCountRow.failed + 1}
        ).returning(SignInCountRow.failed, SignInCountRow.began_at)
        failed, began_at = session.execute(counting).one()
        if failed > most:
            first = first or failed == most + 1
            wait_s = max(wait_s, math.ceil((began_at + WINDOW - now).total_seconds()), 1)
    return wait_s, first


def take_back(session: Session, counted: dict[str, int]) -> None:
    """The try was right: its name begins anew, its address has one less."""
    for key in counted:
        if key.startswith("name:"):
            session.execute(delete(SignInCountRow).where(SignInCountRow.key == key))
        else:
            less = case((SignInCountRow.failed > 0, SignInCountRow.failed - 1), else_=0)
            session.execute(update(SignInCountRow).where(SignInCountRow.key == key).values(failed=less))
