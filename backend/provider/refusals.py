"""Why a sign-in through the provider comes to nothing: a sentence for the person, and a cause for the log."""

from __future__ import annotations

import logging

from core.errors import ProviderDown, SignInRefused

log = logging.getLogger("spikefront.provider")

TOO_LATE = "This sign-in was begun elsewhere, took too long, or was answered before. Begin again."
UNFIT = "What the provider answered cannot be accepted. Begin again."


def refused(why: str, sentence: str) -> SignInRefused:
    """`why` never is a value that somebody sent."""
    log.warning("provider.refused", extra={"why": why})
    return SignInRefused(why=sentence)


def down(why: str, **more: str) -> ProviderDown:
    log.warning("provider.down", extra={"why": why, **more})
    return ProviderDown(why=why)
