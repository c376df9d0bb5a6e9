"""How the guard asks the API for accounts: which ways in there are, and for a session by each."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from anyio import to_thread

from core.schemas.accounts import ProviderAnswer, SignIn, SignInBegun, SignInWays
from frontend.client.api import ApiDown, ApiProblem, Client
from frontend.serving.ways_in import Refused

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
KEPT_S = 5.0  # whoever stands before the door asks the API no more often
LONGEST = 200  # signs of a name; the API refuses longer ones in words that are for programs


class ApiAccounts:
    """`client` shows the installation's token, by which the API believes what address somebody comes from."""

    def __init__(self, client: Client, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._ways = SignInWays(accounts=False)
        self._asked = float("-inf")

    async def ways(self) -> SignInWays:
        """As they were known last while the API does not answer."""
        if self._clock() - self._asked >= KEPT_S:
            self._asked = self._clock()
            try:
                self._ways = await to_thread.run_sync(self._client.sign_in_ways)
            except (ApiDown, ApiProblem) as error:
                log.warning("door.unknown", extra={"why": type(error).__name__})
        return self._ways

    async def sign_in(self, name: str, password: str, *, address: str) -> str:
        asked = SignIn(name=name[:LONGEST], password=password[:LONGEST], address=address[:64])
        return (await _asked(lambda: self._client.sign_in(asked), address)).token

    async def begin(self, *, address: str) -> SignInBegun:
        return await _asked(self._client.begin_at_provider, address)

    async def answered(self, answer: ProviderAnswer) -> str:
        return (await _asked(lambda: self._client.answered_by_provider(answer), answer.address or "?")).token

    async def sign_out(self, credential: str) -> None:
        try:
            await to_thread.run_sync(self._client.acting(credential).sign_out)
        except (ApiDown, ApiProblem) as error:  # it ends with its time
            log.warning("door.not_signed_out", extra={"why": type(error).__name__})


async def _asked(ask: Callable[[], Answer], address: str) -> Answer:
    """Raises Refused."""
    try:
        return await to_thread.run_sync(ask)
    except ApiProblem as problem:
        log.warning("door.refused", extra={"client": address, "code": problem.code})
        raise Refused(problem.status, problem.detail) from None
    except ApiDown:
        raise Refused(503, "The API does not answer. Try again in a moment.") from None
