"""The pages before the dashboard, for a visitor who is not in. Complete in themselves: they load nothing."""

from __future__ import annotations

from typing import Literal

from core.report.markup import render

#: Which of the ways in a complaint is about.
Way = Literal["key", "name", "provider"]


def door(
    *,
    action: str,
    path: str,
    sign_in: str | None = None,
    provider: tuple[str, str] | None = None,
    complaint: str | None = None,
    about: Way = "key",
) -> bytes:
    """The form that asks for the key at `action`; with `sign_in` before it the one for name and password, and with
    `provider`, an address and its words, the way there.

    `path` is where the visitor wanted to go.
    """
    place, words = provider or (None, None)
    return render(
        "door.html", form=True, bounce=False, title="Spikefront", action=action, sign_in=sign_in, provider=place,
        provider_words=words, path=path, complaint=complaint, about=about,
    ).encode()  # fmt: skip


def notice(*, title: str, text: str) -> bytes:
    """A refusal with nothing to fill in."""
    return render("door.html", form=False, bounce=False, title=title, text=text).encode()


def bounce(*, path: str) -> bytes:
    """Comes back to the same address from our own site, so that a strict cookie goes with the request."""
    return render("door.html", form=False, bounce=True, path=path).encode()
