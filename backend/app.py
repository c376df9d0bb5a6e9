"""The API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI

from backend import contract, health, problems
from backend.audits import endpoints as audits
from backend.catalog import endpoints as catalog
from backend.catalog.service import program_version
from backend.comparisons import endpoints as comparisons
from backend.context import build_context
from backend.imports import endpoints as imports
from backend.imports.workplace import clear_leftovers
from backend.installation import endpoints as installation
from backend.pareto.service import tally_older_runs
from backend.results import endpoints as results
from backend.runs import endpoints as runs
from backend.runs.new_runs import label_older_runs
from backend.runs.older_images import note_older_images
from backend.security import BEARER, Gate, allowed_hosts
from backend.shares import endpoints as shares
from backend.store.backfill import mark_older_repeats
from backend.store.db import migrate
from backend.suggestions import endpoints as suggestions
from backend.sweeps import endpoints as sweeps
from backend.tryit import endpoints as tryit
from backend.workers import endpoints as workers
from core.settings import Settings, prepare_home

PREFIX = "/api/v1"


def create_app(settings: Settings | None = None) -> FastAPI:
    """The whole API over one data folder. Raises HomeUnusable when that folder or its database cannot be used."""
    settings = settings or Settings()
    prepare_home(settings)
    migrate(settings)
    context = build_context(settings)
    clear_leftovers(context.artifacts.root)
    tally_older_runs(context)
    label_older_runs(context)
    mark_older_repeats(context)
    note_older_images(context)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await to_thread.run_sync(context.inference.close)
        context.database.close()

    app = FastAPI(
        title="Spikefront",
        version=program_version(),
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,  # the interactive pages load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        redirect_slashes=False,  # a redirect would repeat the address, token and all
    )
    app.state.context = context
    api = APIRouter(prefix=PREFIX)
    api.include_router(health.router)
    for module in (
        catalog,
        audits,
        runs,
        results,
        tryit,
        sweeps,
        suggestions,
        comparisons,
        imports,
        workers,
        installation,
        shares,
    ):
        api.include_router(module.router, dependencies=[Depends(BEARER)])
    api.include_router(shares.opened)
    app.include_router(api)
    app.include_router(shares.pages)
    problems.install(app)
    contract.install(app)
    app.add_middleware(Gate, hosts=allowed_hosts(settings), token=context.token)
    return app
