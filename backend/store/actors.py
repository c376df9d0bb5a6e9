"""Who asks: the installation's own token, an account by a token or a session, or a command on the machine itself."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import NotYours
from core.schemas.accounts import Scope, Via


@dataclass(frozen=True, kw_only=True)
class Actor:
    """`name` is the account's; None of what is no person's. `session` is the hash of the session that asks."""

    scope: Scope
    via: Via
    name: str | None = None
    session: str | None = None

    def may_change(self, owner: str | None) -> bool:
        """Whoever administers changes everything; anybody else what is theirs, and not what is nobody's."""
        return self.scope.covers(Scope.ADMIN) or (owner is not None and owner == self.name)

    def require_own(self, owner: str | None, *, what: str) -> None:
        """Raises NotYours."""
        if not self.may_change(owner):
            raise NotYours(what=what, owner=owner)


#: Holds the installation's token, as everybody does where there is no account.
OWNER = Actor(scope=Scope.ADMIN, via="installation")
#: A command of `spikefront` on the machine itself.
COMMAND = Actor(scope=Scope.ADMIN, via="command")
#: Holds a link alone.
GUEST = Actor(scope=Scope.READ, via="link")
