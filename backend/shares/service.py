"""Links to one run: made, listed, withdrawn, and opened by whoever holds the token."""

from __future__ import annotations

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta

from backend.catalog.service import program_version
from backend.context import Context
from backend.db import utc_now
from backend.models import RunRow, ShareRow
from backend.runs.present import row_label
from backend.runs.repository import RunRepository
from backend.runs.results import Measured, confusion_of, examples_of, layers_of, measured
from backend.shares.repository import ShareRepository
from core.energy.modes import DEFAULT_MODE
from core.energy.profiles import DEFAULT_PROFILE
from core.errors import NotFound, ShareGone
from core.schemas.api import Examples, NewShare, Share, SharedRun, SharedTwin, SharePage, ShareRequest
from core.schemas.results import Summary
from core.schemas.run import RunConfig

log = logging.getLogger("spikefront.shares")

TOKEN_BYTES = 32  # 256 bits
EXAMPLES_SHOWN = 24
THIS, TWIN = "this", "twin"  # stand where an id would


@dataclass(frozen=True, kw_only=True)
class Page:
    """One answer to a browser."""

    html: str
    status: int
    content_security_policy: str


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of the page."""

    content: bytes
    media_type: str
    cache_control: str


class ShareService:
    """Stateless; one is made for each request."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database

    def create(self, request: ShareRequest) -> NewShare:
        """A link to a succeeded run; the token is in this answer and nowhere else. Raises NotFound or NotReady.

        The twin is the newest succeeded one at this moment: what is shared does not grow afterwards.
        """
        now, token = utc_now(), secrets.token_urlsafe(TOKEN_BYTES)
        with self._database.write() as session:
            runs = RunRepository(session)
            run = runs.require_succeeded(request.run_id, what="results to share")
            twin = runs.succeeded_twin(run) if request.with_twin else None
            days = request.expires_in_days
            share = ShareRow(
                id=secrets.token_hex(8),
                run_id=run.id,
                twin_run_id=twin.id if twin is not None else None,
                token_hash=_hash(token),
                with_twin=request.with_twin,
                created_at=now,
                expires_at=now + timedelta(days=days) if days is not None else None,
                views=0,
            )
            ShareRepository(session).add(share)
        log.info("share.created", extra={"share_id": share.id, "run_id": run.id})
        shown = _present(share, run)
        return NewShare(**shown.model_dump(), token=token, url=f"{self._context.settings.api_url}/s/{token}")

    def all(self) -> SharePage:
        with self._database.read() as session:
            return SharePage(items=[_present(share, run) for share, run in ShareRepository(session).all()])

    def revoke(self, share_id: str) -> None:
        """Withdraw a link for good; doing it twice changes nothing. Raises NotFound."""
        with self._database.write() as session:
            if not ShareRepository(session).revoke(share_id, now=utc_now()):
                raise NotFound(kind="share", id=share_id)
        log.info("share.revoked", extra={"share_id": share_id})

    def open(self, token: str) -> SharedRun:
        """What the holder of `token` may see; counts the view. Raises ShareGone, whatever the reason."""
        with self._database.write() as session:
            share = ShareRepository(session).view(_hash(token), now=utc_now())
            if share is None:
                raise ShareGone()
            runs = RunRepository(session)
            run = runs.get(share.run_id)
            twin = runs.get(share.twin_run_id) if share.twin_run_id is not None else None
        assert run is not None, "shares go with their run"
        return self._shared(share, run, twin)

    def open_page(self, token: str) -> Page:
        """The share as a page of HTML; a link that leads nowhere gets a page that says so."""
        from backend.shares import page  # draws with Plotly: only loaded once somebody looks

        try:
            html, status = page.render(self.open(token)), 200
        except ShareGone:
            html, status = page.gone(), 404
        return Page(html=html, status=status, content_security_policy=page.CSP)

    def asset(self, name: str) -> Asset:
        """A file that the page loads; raises NotFound."""
        from backend.shares import page

        found = page.asset(name)
        if found is None:
            raise NotFound(kind="asset", id=name)
        content, media_type = found
        return Asset(content=content, media_type=media_type, cache_control=page.ASSET_CACHE)

    def _shared(self, share: ShareRow, run: RunRow, twin: RunRow | None) -> SharedRun:
        own = measured(self._context, run, name=THIS)
        other = measured(self._context, twin, name=TWIN) if twin is not None else None
        return SharedRun(
            label=row_label(run),
            config=RunConfig.model_validate(run.config),
            summary=Summary.model_validate(run.summary),
            metrics=own.bundle.metrics(),
            layers=layers_of(own.bundle, mode=DEFAULT_MODE, profile=DEFAULT_PROFILE),
            confusion=confusion_of(own.bundle),
            examples=_telling_examples(own, other),
            gradients=own.bundle.gradients(),
            twin=SharedTwin(label=row_label(twin), summary=Summary.model_validate(twin.summary))
            if twin is not None
            else None,
            shared_at=share.created_at,
            expires_at=share.expires_at,
            version=program_version(),
        )


def _telling_examples(own: Measured, twin: Measured | None) -> Examples:
    """Where the twins disagree; else where the run errs; else the first images."""
    for which in ("disagree", "wrong"):
        found = examples_of(own, twin, which=which, limit=EXAMPLES_SHOWN)
        if found.items:
            return found
    return examples_of(own, twin, which="first", limit=EXAMPLES_SHOWN)


def _present(share: ShareRow, run: RunRow) -> Share:
    return Share(
        id=share.id,
        run_id=share.run_id,
        label=row_label(run),
        with_twin=share.with_twin,
        created_at=share.created_at,
        expires_at=share.expires_at,
        revoked_at=share.revoked_at,
        views=share.views,
        last_viewed_at=share.last_viewed_at,
    )


def _hash(token: str) -> str:
    """A token of 256 random bits needs no slow hash: it cannot be guessed from its digest."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
