"""The API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from threading import Thread

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI

from backend import contract, health, problems
from backend.accounts import endpoints as accounts
from backend.audits import endpoints as audits
from backend.catalog import endpoints as catalog
from backend.comparisons import endpoints as comparisons
from backend.context import Context, build_context
from backend.datasets import endpoints as datasets
from backend.imports import endpoints as imports
from backend.imports.workplace import clear_leftovers
from backend.installation import endpoints as installation
from backend.metrics import endpoints as metrics
from backend.pareto import endpoints as pareto
from backend.results import endpoints as results
from backend.robustness import endpoints as robustness
from backend.runs import endpoints as runs
from backend.runs.found import AtStart
from backend.security import BEARER, Gate, allowed_hosts
from backend.shares import endpoints as shares
from backend.store.backfill import fill_older_rows
from backend.store.credentials import identify
from backend.store.db import migrate
from backend.suggestions import endpoints as suggestions
from backend.sweeps import endpoints as sweeps
from backend.sweeps.studies import Studies
from backend.tryit import endpoints as tryit
from backend.views import endpoints as views
from backend.workers import endpoints as workers
from core.host.versions import program_version
from core.settings import Settings, prepare_home, read_metrics_token

PREFIX = "/api/v1"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole API over one data folder. Raises HomeUnusable when that folder or its database cannot be used."""
    context = started(settings or Settings())
    app = routed(context.settings.base_path)
    serve(app, context)
    return app


def started(settings: Settings) -> Context:
    """What the API holds, over a data folder that is made, brought up to date and cleared of what was left behind."""
    prepare_home(settings)
    migrate(settings)
    context = build_context(settings)
    for root in (context.artifacts.root, settings.data):
        clear_leftovers(root)
    fill_older_rows(context.database, context.artifacts, settings.data)
    return context


def routed(base_path: str = "") -> FastAPI:
    """Every route, over no data folder yet."""
    app = FastAPI(
        title="Spikefront",
        version=program_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the interactive pages load scripts from elsewhere
        redoc_url=None,
        lifespan=_lifespan,
        servers=[{"url": base_path}] if base_path else None,
        redirect_slashes=False,  # a redirect would repeat the address, token and all
    )
    api = APIRouter(prefix=PREFIX)
    api.include_router(health.router)
    for module in (
        catalog,
        datasets,
        audits,
        runs,
        results,
        robustness,
        pareto,
        tryit,
        views,
        sweeps,
        suggestions,
        comparisons,
        imports,
        workers,
        metrics,
        installation,
        shares,
        accounts,
    ):
        api.include_router(module.router, dependencies=[Depends(BEARER)])
    api.include_router(accounts.door)
    api.include_router(shares.opened)
    app.include_router(api)
    app.include_router(shares.pages)
    problems.install(app)
    contract.install(app)
    return app


def serve(app: FastAPI, context: Context) -> None:
    """Let the routes answer out of `context`, behind a gate that knows its token and its names."""
    app.state.context = context
    settings = context.settings
    app.add_middleware(
        Gate,
        hosts=allowed_hosts(settings),
        token=context.token,
        base=settings.base_path,
        metrics_token=read_metrics_token(settings),
        traffic=context.traffic,
        identify=partial(identify, context.database),
    )


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    found = AtStart(context)
    found.start()
    studies = Studies(context)
    studies.start()
    if context.artifacts.remote:  # sets that were added to this machine's folder by hand
        publishing = (None, context.settings.data)
        Thread(target=context.artifacts.publish_dataset, args=publishing, daemon=True).start()
    yield
    await to_thread.run_sync(found.stop)
    await to_thread.run_sync(studies.stop)
    await to_thread.run_sync(context.data_works.close)
    await to_thread.run_sync(context.inference.close)
    await to_thread.run_sync(context.measurements.close)
    await to_thread.run_sync(context.views.write)
    if context.provider is not None:
        context.provider.close()
    context.database.close()
