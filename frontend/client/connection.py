"""The process's one API client, and what a page shows when the API refuses or is away."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

from core.report.markup import piece
from core.settings import Settings, read_token
from frontend.client.api import ApiDown, ApiProblem, Client

log = logging.getLogger(__name__)

P = ParamSpec("P")

DOWN_TITLE = "The API does not answer"
DOWN_TEXT = "It may be starting, or it has stopped. This page tries again by itself every two seconds."


#: The header that the guard sets on a page's websocket: what the page asks the API with. Nobody outside can send it.
CREDENTIAL = "X-Spikefront-Credential"
_guarded = False


def behind_guard() -> None:
    """From now on a page asks with what the guard gave it, or not at all."""
    global _guarded
    _guarded = True


def _credential() -> str | None:
    return st.context.headers.get(CREDENTIAL)


def api() -> Client:
    """The client, for whoever looks at the page.

    Raises ApiProblem where that is nobody any more: a page whose browser has gone runs on for a moment, and must not do
    so with the rights of the installation.
    """
    credential = _credential()
    if credential is not None:
        return installation_api().acting(credential)
    if _guarded:
        raise ApiProblem(
            status=401, code="unauthorised", title="Not signed in", detail="This page is not open any more.", fields={}
        )
    return installation_api()


@st.cache_resource(show_spinner=False)
def installation_api() -> Client:
    """The client for this process's settings; the token is read when it is first needed."""
    settings = Settings()
    return Client(settings.api_url, lambda: read_token(settings), public_url=settings.public_url)


@functools.cache
def base_path() -> str:
    """What stands before each of our paths in a browser, such as `/spikefront`; empty on a host name of its own."""
    return Settings().base_path


def page(render: Callable[P, None]) -> Callable[P, None]:
    """Makes a view say in words what went wrong, and recover by itself when the API is back."""

    @functools.wraps(render)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            render(*args, **kwargs)
        except ApiDown:
            _wait_for_api()
        except ApiProblem as problem:
            show_problem(problem)

    return wrapper


def part(render: Callable[P, None]) -> Callable[P, None]:
    """The same for a fragment that polls anyway: its next turn is the retry, so it only says so."""

    @functools.wraps(render)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            render(*args, **kwargs)
        except ApiDown:
            _say_down()
        except ApiProblem as problem:
            show_problem(problem)

    return wrapper


def show_problem(problem: ApiProblem) -> None:
    """A refusal as the API words it; text in it is content, not markup."""
    if problem.status == 401 and problem.code == "unauthorised":
        st.warning("**Your session has ended.** Sign in again to go on.", icon=":material/lock:")
        st.html(piece("link", f"{base_path()}/_sign-out", "Sign in"))
        return
    quote = ""
    if problem.status >= 500 and problem.request_id is not None:  # what a user can mend needs no look at the logs
        quote = f"  \nWho looks after Spikefront finds it in the logs by request_id `{problem.request_id}`."
    st.error(f"**{plain(problem.title)}**  \n{plain(problem.detail)}{quote}", icon=":material/error:")


def plain(text: object) -> str:
    """User or API text that Markdown must not read as markup."""
    signs = "\\`*_{}[]()#+-.!|<>~$:"
    return "".join(f"\\{sign}" if sign in signs else sign for sign in str(text))


def _say_down() -> None:
    st.warning(f"**{DOWN_TITLE}.** {DOWN_TEXT}", icon=":material/cloud_off:")


@st.fragment(run_every=2.0)
def _wait_for_api() -> None:
    _say_down()
    if api().answers():
        log.info("api.back")
        st.rerun()
