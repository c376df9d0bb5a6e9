"""What one API process holds: made once at start, handed to services."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastapi import Request

from backend.data_work import DataWorks
from backend.inference import InferProcess
from backend.kept import Kept, Look
from backend.measuring import Measurements
from backend.provider.choice import provider_of
from backend.store.artifacts import Artifacts, SignedUrls
from backend.store.db import Database, opened
from backend.store.fleet import Fleet, look
from backend.store.lifecycle import Lifecycle
from backend.store.queue import Queue
from backend.store.views import ViewCounts
from backend.traffic import Traffic
from core.settings import Settings, read_token

if TYPE_CHECKING:
    from backend.provider.oidc import Provider


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
    measurements: Measurements
    views: ViewCounts
    data_works: DataWorks
    traffic: Traffic
    token: str
    provider: Provider | None
    kept: Kept
    activity: Look = field(default_factory=Look)
    #: Forecast operations of runs that wait or train: (run, training images, test images) -> MAC equivalents.
    operations: dict[tuple[str, int | None, int | None], float] = field(default_factory=dict)

    def fleet(self) -> Fleet:
        """The workers that live, and what they have."""
        return look(self.database, self.settings.data)


def build_context(settings: Settings) -> Context:
    """Open what the API needs; the schema must be up to date already (`backend.store.db.migrate`)."""
    token = read_token(settings)
    provider = provider_of(settings, key=token)
    database = opened(settings)
    lifecycle = Lifecycle(settings, database=database)
    return Context(
        settings=settings,
        database=database,
        lifecycle=lifecycle,
        queue=Queue(settings),
        artifacts=lifecycle.artifacts,
        urls=SignedUrls(token=token, public_url=settings.public_url),
        inference=InferProcess(),
        measurements=Measurements(),
        views=ViewCounts(database),
        data_works=DataWorks(),
        traffic=Traffic(),
        token=token,
        provider=provider,
        kept=Kept(),
    )


async def of(request: Request) -> Context:
    """Dependency: the process's context. Asynchronous, so that it waits for no thread."""
    return request.app.state.context
