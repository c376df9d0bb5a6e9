"""Routes of shares: the owner's under the API, and the two that a token opens."""

from __future__ import annotations

import gzip
from functools import lru_cache
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response

from backend.context import Context, of
from backend.contract import files, may
from backend.security import asking
from backend.shares.service import ShareService
from backend.store.actors import GUEST, Actor
from core.errors import (
    BadValue,
    BundleCorrupt,
    HomeUnusable,
    NotFound,
    NotReady,
    NotYours,
    ShareGone,
    StorageFull,
    UnknownLayer,
    UnknownName,
)
from core.schemas.share import AnyShared, NewShare, SharePage, ShareRequest

router = APIRouter(prefix="/shares", tags=["shares"])
opened = APIRouter(prefix="/shared", tags=["shares"])  # by a share's token, without the bearer token
pages = APIRouter(include_in_schema=False)  # at the root

#: Said here although the Gate says the same of every answer: a share depends on them.
PRIVATE = {"X-Robots-Tag": "noindex", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}

Token = Annotated[str, Path(max_length=128)]
FileName = Annotated[str, Query(max_length=200, description="a file of the share instead of its page")]
MEDIA_TYPES = {"html": "text/html; charset=utf-8", "json": "application/json"}
#: What can be wrong with what is shown.
SHOWN = (BundleCorrupt, UnknownLayer, UnknownName, BadValue)


def service(context: Annotated[Context, Depends(of)], actor: Annotated[Actor | None, Depends(asking)]) -> ShareService:
    """For whoever opens a link, who is nobody here, too: that changes nothing that is anybody's."""
    return ShareService(context, actor or GUEST)


Service = Annotated[ShareService, Depends(service)]


@router.post("", status_code=201, responses=may(NotFound, NotReady, *SHOWN, StorageFull, HomeUnusable))
def create_share(request: ShareRequest, shares: Service) -> NewShare:
    """A read-only link to a run, a comparison, a sweep or a view; its token is shown this once."""
    return shares.create(request)


@router.get("")
def list_shares(shares: Service) -> SharePage:
    """All links, also those expired or withdrawn, without their tokens."""
    return shares.all()


@router.delete("/{share_id}", status_code=204, responses=may(NotFound, NotYours, StorageFull))
def revoke_share(share_id: str, shares: Service) -> None:
    """Withdraw a link."""
    shares.revoke(share_id)


@opened.get("/{token}", responses=may(ShareGone, *SHOWN))
def open_share(token: Token, response: Response, shares: Service) -> AnyShared:
    """What a link shows; needs no bearer token."""
    response.headers.update(PRIVATE)
    return shares.open(token)


@opened.get(
    "/{token}/files/{name}",
    response_class=Response,
    responses=may(ShareGone, NotFound, BundleCorrupt)
    | {200: files("application/json", "text/html", "application/octet-stream", what="the file")},
)
def open_shared_file(token: Token, name: str, shares: Service) -> Response:
    """A file that a link gives: weights, and of a frozen one its content, its manifest and its page in one file."""
    return _file(shares, token, name)


@pages.get("/s/{token}")
def show_share(token: str, request: Request, shares: Service, file: FileName | None = None) -> Response:
    """The same as a page of its own; `?file=` gives a file, so that the page need not repeat its token."""
    if file is not None:
        return _file(shares, token, file)
    page = shares.open_page(token)
    content, encoding = page.html.encode(), {}
    if _takes_gzip(request):
        content, encoding = gzip.compress(content, 5), {"Content-Encoding": "gzip"}
    headers = {**PRIVATE, "Content-Security-Policy": page.content_security_policy, "Vary": "Accept-Encoding"}
    return Response(content, status_code=page.status, media_type="text/html; charset=utf-8", headers=headers | encoding)


@pages.get("/s/assets/{name}")
def show_asset(name: str, request: Request, shares: Service) -> Response:
    """Scripts and styles of the page, the same for every share."""
    asset = shares.asset(name)
    content, encoding = asset.content, {}
    if _takes_gzip(request):
        content, encoding = _packed(asset.content), {"Content-Encoding": "gzip"}
    headers = {"Cache-Control": asset.cache_control, "Vary": "Accept-Encoding"}
    return Response(content, media_type=asset.media_type, headers=headers | encoding)


def _file(shares: ShareService, token: str, name: str) -> Response:
    content = shares.file(token, name)
    media_type = MEDIA_TYPES.get(name.rpartition(".")[2], "application/octet-stream")
    headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}  # one of our own names: see `file`
    return Response(content, media_type=media_type, headers=headers)


def _takes_gzip(request: Request) -> bool:
    return "gzip" in request.headers.get("accept-encoding", "")


@lru_cache(maxsize=8)
def _packed(content: bytes) -> bytes:
    """A phone on a slow line gets Plotly in 1.4 MB instead of 4.8; packed once, an asset never changes."""
    return gzip.compress(content, 9)
