"""The process's one API client, and what a page shows when the API refuses or is away."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import ParamSpec

import streamlit as st

from core.settings import Settings, read_token
from frontend.client.api import ApiDown, ApiProblem, Client

log = logging.getLogger(__name__)

P = ParamSpec("P")

DOWN_TITLE = "The API does not answer"
DOWN_TEXT = "It may be starting, or it has stopped. This page tries again by itself every two seconds."


@st.cache_resource(show_spinner=False)
def api() -> Client:
    """The client for this process's settings; the token is read when it is first needed."""
    settings = Settings()
    return Client(settings.api_url, lambda: read_token(settings), public_url=settings.public_url)


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
    st.error(f"**{plain(problem.title)}**  \n{plain(problem.detail)}", icon=":material/error:")


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
