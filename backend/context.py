"""What one API process holds: made once at start, handed to services."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import Request

from backend.inference import InferProcess
from backend.store.artifacts import Artifacts, SignedUrls
from backend.store.db import Database
from backend.store.lifecycle import Lifecycle
from backend.store.queue import Queue
from backend.store.views import ViewCounts
from core.settings import Settings, read_token


@dataclass(frozen=True, kw_only=True)
class Context:
    """Shared by all requests; every part may be used from many threads."""

    settings: Settings
    database: Database
    lifecycle: Lifecycle
    queue: Queue
    artifacts: Artifacts
    urls: SignedUrls
    inference: InferProcess
    views: ViewCounts
    token: str


def build_context(settings: Settings) -> Context:
    """Open what the API needs; the schema must be up to date already (`backend.store.db.migrate`)."""
    token = read_token(settings)
    database = Database(settings.database_url)
    return Context(
        settings=settings,
        database=database,
        lifecycle=Lifecycle(settings, database=database),
        queue=Queue(settings),
        artifacts=Artifacts(settings),
        urls=SignedUrls(token=token, public_url=settings.public_url),
        inference=InferProcess(),
        views=ViewCounts(database),
        token=token,
    )


def of(request: Request) -> Context:
    """Dependency: the process's context."""
    return request.app.state.context
