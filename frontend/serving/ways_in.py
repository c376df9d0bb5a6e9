"""What the guard asks for whoever stands at the door (`frontend.serving.entering` asks the API)."""

from __future__ import annotations

from typing import Protocol

from core.schemas.accounts import ProviderAnswer, SignInBegun, SignInWays


class Refused(Exception):
    """A sign-in that is refused: the status, and a sentence for the person."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Accounts(Protocol):
    """The ways in, beside the key."""

    async def ways(self) -> SignInWays:
        """Which there are here."""

    async def sign_in(self, name: str, password: str, *, address: str) -> str:
        """What the session asks the API with; raises Refused."""

    async def begin(self, *, address: str) -> SignInBegun:
        """Where the provider is; raises Refused."""

    async def answered(self, answer: ProviderAnswer) -> str:
        """What the session of whoever comes back from there asks the API with; raises Refused."""

    async def sign_out(self, credential: str) -> None:
        """It is good for nothing from now on."""


class NoAccounts:
    """The key alone."""

    async def ways(self) -> SignInWays:
        return SignInWays(accounts=False)

    async def sign_in(self, name: str, password: str, *, address: str) -> str:
        raise Refused(401, "There are no accounts here.")

    async def begin(self, *, address: str) -> SignInBegun:
        raise Refused(404, "There is no sign-in provider here.")

    async def answered(self, answer: ProviderAnswer) -> str:
        raise Refused(404, "There is no sign-in provider here.")

    async def sign_out(self, credential: str) -> None:
        return None
