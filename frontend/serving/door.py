"""The pages before the dashboard, for a visitor who is not in. Complete in themselves: they load nothing."""

from __future__ import annotations

from core.report.markup import render


def door(
    *, action: str, path: str, sign_in: str | None = None, complaint: str | None = None, by_name: bool = False
) -> bytes:
    """The form that asks for the key at `action`; with `sign_in` before it the one for name and password.

    `path` is where the visitor wanted to go; `by_name`: the complaint is about name and password.
    """
    return _page(
        form=True, title="Spikefront", action=action, sign_in=sign_in, path=path, complaint=complaint, by_name=by_name
    )


def notice(*, title: str, text: str) -> bytes:
    """A refusal with nothing to fill in."""
    return _page(title=title, text=text)


def bounce(*, path: str) -> bytes:
    """Comes back to the same address from our own site, so that a strict cookie goes with the request."""
    return _page(bounce=True, path=path)


def _page(*, form: bool = False, bounce: bool = False, **words: str | bool | None) -> bytes:
    return render("door.html", form=form, bounce=bounce, **words).encode()
