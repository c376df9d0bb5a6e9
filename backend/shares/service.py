"""Links to results: made, listed, withdrawn, and opened by whoever holds the token."""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from pydantic import ValidationError

from backend.context import Context
from backend.runs.repository import RunRepository
from backend.shares.contents import content_of, request_of, weights_of
from backend.shares.frozen import OFFLINE, RESULTS, FrozenShares, entry
from backend.shares.repository import ShareRepository
from backend.store import audit_log
from backend.store.actors import OWNER, Actor
from backend.store.db import utc_now
from backend.store.models import RunRow, ShareRow
from backend.store.models import title_of as called
from backend.sweeps.repository import SweepRepository
from core.bundle import ManifestEntry
from core.datasets.catalog import title_of
from core.energy.modes import MODES
from core.energy.profiles import profiles
from core.errors import BadValue, BundleCorrupt, NotFound, NotReady, ShareGone, UnknownName
from core.schemas.share import SHARED, AnyShared, NewShare, Share, SharedFile, SharePage, ShareRequest, ShareTarget

log = logging.getLogger("spikefront.shares")

TOKEN_BYTES = 32  # 256 bits
MOST_WEIGHTS = 32  # runs of a sweep whose weights one link may give


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
    """Stateless; one is made for each request, for whoever asks."""

    def __init__(self, context: Context, actor: Actor = OWNER) -> None:
        self._context = context
        self._actor = actor
        self._database = context.database
        self._frozen = FrozenShares(context.artifacts)

    def create(self, request: ShareRequest) -> NewShare:
        """A link; the token is in this answer and nowhere else.

        A run's twin is the newest succeeded one at this moment: what is shared of a run does not grow afterwards.
        Raises NotFound, NotReady, UnknownName, or BadValue where it cannot be shared in this way.
        """
        now, token = utc_now(), secrets.token_urlsafe(TOKEN_BYTES)
        share = self._new_row(request, token=token)
        share.created_at, share.made_by = now, self._actor.name
        if request.expires_in_days is not None:
            share.expires_at = now + timedelta(days=request.expires_in_days)
        if request.type != "run" or request.frozen:
            content = content_of(self._context, share)  # what cannot be shown is refused here, not when it is opened
            if request.frozen:
                self._frozen.write(share.id, self._freeze(share, content))
        try:
            with self._database.write() as session:
                ShareRepository(session).add(share)
                audit_log.note(session, self._actor, "share.made", share.id, shows=share.label[:200])
                over = ShareRepository(session).frozen_and_over(now=now)
        except BaseException:
            self._frozen.delete(share.id)
            raise
        for share_id in over:  # nobody can open them any more
            self._frozen.delete(share_id)
        log.info("share.created", extra={"share_id": share.id, "run_id": request.run_id})
        shown = self._present(share)
        return NewShare(**dict(shown), token=token, url=f"{self._context.settings.public_url}/s/{token}")

    def all(self) -> SharePage:
        with self._database.read() as session:
            found = ShareRepository(session).all()
        return SharePage(items=[self._present(share, run) for share, run in found])

    def revoke(self, share_id: str) -> None:
        """Withdraw a link for good, stored content included; doing it twice changes nothing.

        Raises NotFound or NotYours.
        """
        with self._database.write() as session:
            share = session.get(ShareRow, share_id)
            if share is not None:
                self._actor.require_own(share.made_by, what=f"link {share_id}")
            if not ShareRepository(session).revoke(share_id, now=utc_now()):
                raise NotFound(kind="share", id=share_id)
            audit_log.note(session, self._actor, "share.removed", share_id)
        self._frozen.delete(share_id)
        log.info("share.revoked", extra={"share_id": share_id})

    def open(self, token: str) -> AnyShared:
        """What the holder of `token` may see; counts the view. Raises ShareGone, whatever the reason."""
        share = self._living(token)
        content = self._content(share)
        self._context.views.add(share.id, now=utc_now())
        return content

    def open_page(self, token: str) -> Page:
        """The share as a page of HTML; a link that leads nowhere gets a page that says so."""
        from backend.shares import page  # draws with Plotly: only loaded once somebody looks

        try:
            html, status = page.render(self.open(token)), 200
        except ShareGone:
            html, status = page.gone(), 404
        return Page(html=html, status=status, content_security_policy=page.CSP)

    def file(self, token: str, name: str) -> bytes:
        """A file of the share, no view. Raises ShareGone, or NotFound for a file that it does not give."""
        share = self._living(token)
        if share.frozen:
            return self._frozen.read(share.id, name)
        try:
            found = next((content for known, content in weights_of(self._context, share) if known == name), None)
        except (NotFound, NotReady):
            raise ShareGone() from None
        if found is None:
            raise NotFound(kind="file", id=name)
        return found

    def asset(self, name: str) -> Asset:
        """A file that the page loads; raises NotFound."""
        from backend.shares import page

        found = page.asset(name)
        if found is None:
            raise NotFound(kind="asset", id=name)
        content, media_type = found
        return Asset(content=content, media_type=media_type, cache_control=page.ASSET_CACHE)

    def _new_row(self, request: ShareRequest, *, token: str) -> ShareRow:
        """The row of a new link, with what is found out once: its label and the twin."""
        MODES[request.mode], profiles()[request.profile]  # raise UnknownName
        live_run, twin = request.type == "run" and not request.frozen, None
        with self._database.read() as session:
            runs, n_runs = RunRepository(session), 1
            if request.sweep_id is not None:
                label = SweepRepository(session).require(request.sweep_id).name
                n_runs = len(SweepRepository(session).runs(request.sweep_id))
            elif request.view is not None:
                runs.require_dataset(request.view.dataset)
                label = f"Explore: {title_of(request.view.dataset)}"
            else:
                rows = [runs.require_succeeded(run_id, what="results to share") for run_id in request.run_ids]
                places = " and ".join(dict.fromkeys(title_of(row.dataset) for row in rows))
                seeds = ", ".join(dict.fromkeys(str(row.seed) for row in rows))
                networks = ", ".join(dict.fromkeys(called(row) for row in rows))
                label = f"{networks} on {places}, seed{'' if seeds.isdecimal() else 's'} {seeds}"[:640]
                twin = runs.succeeded_twin(rows[0]) if request.type == "run" and request.with_twin else None
        if request.with_weights and (request.type == "view" or n_runs > MOST_WEIGHTS):
            expected = f"false for a view, and for a sweep of more than {MOST_WEIGHTS} runs"
            raise BadValue(field="with_weights", value=True, expected=expected)
        return ShareRow(
            id=secrets.token_hex(8),
            run_id=request.run_id if live_run else None,
            twin_run_id=twin.id if twin is not None else None,
            token_hash=_hash(token),
            with_twin=request.with_twin,
            views=0,
            request=request.model_dump(mode="json", exclude={"expires_in_days"}),
            label=label,
            frozen=request.frozen,
        )

    def _freeze(self, share: ShareRow, content: AnyShared) -> Iterator[tuple[str, bytes]]:
        """Every file of a frozen link; the page comes last, since it lists the others."""
        from backend.shares import page

        results = content.model_dump_json().encode()
        yield RESULTS, results
        yield from weights_of(self._context, share)
        listed = [_shown(entry(RESULTS, results)), *content.files]
        offline = page.render(content.model_copy(update={"files": listed}), results=results)
        yield OFFLINE, offline.encode()

    def _content(self, share: ShareRow) -> AnyShared:
        if share.frozen:
            try:
                content = SHARED.validate_json(self._frozen.read(share.id, RESULTS))
            except ValidationError:  # frozen before such figures were refused
                raise BundleCorrupt(file=RESULTS, why="it holds figures that do not fit each other.") from None
            return content.model_copy(update={"files": [_shown(file) for file in self._frozen.files(share.id)]})
        try:
            return content_of(self._context, share)
        except (NotFound, NotReady, BadValue, UnknownName):  # its runs, its sweep or its profile were deleted
            raise ShareGone() from None

    def _living(self, token: str) -> ShareRow:
        with self._database.read() as session:
            share = ShareRepository(session).living(_hash(token), now=utc_now())
        if share is None:
            raise ShareGone()
        return share

    def _present(self, share: ShareRow, run: RunRow | None = None) -> Share:
        request, (unwritten, last_viewed) = request_of(share), self._context.views.waiting(share.id)
        kept = share.frozen and share.revoked_at is None and (share.expires_at is None or share.expires_at > utc_now())
        return Share(
            id=share.id,
            type=request.type,
            run_id=request.run_id,
            target=ShareTarget.model_validate(request.model_dump(include=set(ShareTarget.model_fields))),
            label=share.label or (run.label if run is not None else ""),
            with_twin=share.with_twin,
            with_images=request.with_images,
            with_weights=request.with_weights,
            frozen=share.frozen,
            blind=request.blind,
            bytes=self._frozen.size(share.id) if kept else 0,
            created_at=share.created_at,
            expires_at=share.expires_at,
            revoked_at=share.revoked_at,
            views=share.views + unwritten,
            last_viewed_at=last_viewed or share.last_viewed_at,
            made_by=share.made_by,
        )


def _shown(file: ManifestEntry) -> SharedFile:
    return SharedFile(name=file.name, bytes=file.bytes, sha256=file.sha256)


def _hash(token: str) -> str:
    """A token of 256 random bits needs no slow hash: it cannot be guessed from its digest."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
