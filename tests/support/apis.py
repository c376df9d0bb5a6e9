"""The API in this process. Its routes are made once and serve one data folder after another: they hold nothing of any,
and to make them takes longer than most tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from backend.app import routed, serve, started
from core.settings import Settings

_idle: list[FastAPI] = []


def without_settings(patch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests, taken out of the environment."""
    for name in [name for name in os.environ if name.startswith("SPIKEFRONT_")]:
        patch.delenv(name)


@cache
def document() -> dict[str, Any]:
    """What the API says of itself: it hangs on no setting."""
    return routed().openapi()


@contextmanager
def api_over(settings: Settings) -> Iterator[FastAPI]:
    """What `create_app(settings)` returns, for settings without a base path; two at a time are two applications."""
    assert not settings.base_path, "routes below a path are others"
    context = started(settings)
    app = _idle.pop() if _idle else routed()
    app.middleware_stack = None  # the gate is of one data folder
    app.user_middleware.clear()
    serve(app, context)
    yield app
    # not where the test failed: what it left behind is then anybody's guess
    del app.state.context
    _idle.append(app)


@contextmanager
def client_over(settings: Settings, **options: object) -> Iterator[TestClient]:
    """The same, started, asked with the bearer token, and closed at the end."""
    with api_over(settings) as app:
        headers = {"Authorization": f"Bearer {app.state.context.token}"}
        with TestClient(app, **{"base_url": "http://127.0.0.1:8000", "headers": headers, **options}) as opened:
            yield opened
