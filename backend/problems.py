"""Errors as RFC 9457 problem details (`application/problem+json`), all from one table.

`STATUS` maps each error class to its HTTP status; a test checks that no class is missing. A problem's
`code` is the error's, its `detail` the error's message, and `fields` the values named in it. What is not
in the table is a fault of ours: it is logged in full and answered with a 500 that says nothing of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from core import errors
from core.errors import SpikefrontError
from core.request_ids import current
from core.schemas.problem import Problem
from core.schemas.wording import expected

MEDIA_TYPE = "application/problem+json"


class BodyTooLarge(SpikefrontError):
    """A request body above the bound."""

    code = "body-too-large"

    def __init__(self, *, limit_bytes: int) -> None:
        super().__init__(f"The body is larger than {limit_bytes} bytes.", limit_bytes=limit_bytes)


class UploadCorrupt(errors.BundleCorrupt):
    """A bundle that was sent to us and is damaged, or does not agree with itself."""

    code = "upload-corrupt"

    @classmethod
    def of(cls, error: errors.BundleCorrupt) -> UploadCorrupt:
        """The same of a bundle that is not here yet; its fields are fit to be shown already."""
        made = cls(file=error.fields["file"], why=error.fields["why"])
        made.fields = error.fields
        return made


class HostNotAllowed(SpikefrontError):
    """A Host header that does not name this server: a page elsewhere may have rebound its own name to us."""

    code = "host-not-allowed"

    def __init__(self, *, host: str) -> None:
        super().__init__(
            f"This server does not answer to the name {host!r}. If it is one of its names, "
            "begin SPIKEFRONT_PUBLIC_URL with it.",
            host=host,
        )


#: Error class -> (status, title).
STATUS: dict[type[SpikefrontError], tuple[int, str]] = {
    errors.UnknownName: (422, "Unknown name"),
    errors.BadValue: (422, "Value not allowed"),
    errors.NoClassFolders: (422, "No class folders"),
    errors.ImpossibleMask: (422, "Impossible mask"),
    errors.UnknownLayer: (409, "No counting rule"),
    errors.DatasetMissing: (409, "Data set not there"),
    errors.DatasetCorrupt: (409, "Data set damaged"),
    errors.UnsafeArchive: (422, "Unsafe archive"),
    errors.ChecksumMismatch: (409, "Checksum mismatch"),
    errors.FetchFailed: (502, "Download failed"),
    errors.BundleCorrupt: (409, "Bundle damaged"),
    UploadCorrupt: (422, "Uploaded bundle damaged"),
    errors.BundleBusy: (409, "Bundle in use"),
    errors.RunFolderGone: (409, "Run's folder gone"),
    errors.NonFiniteLoss: (422, "Loss not finite"),
    errors.OutOfMemory: (507, "Out of memory"),
    errors.Interrupted: (409, "Interrupted"),
    errors.NotFound: (404, "Not found"),
    errors.StateConflict: (409, "Not possible in this state"),
    errors.QueueFull: (409, "Too many runs wait"),
    errors.NotReady: (409, "Not ready"),
    errors.IdempotencyConflict: (409, "Key used before"),
    errors.Unauthorised: (401, "Bearer token needed"),
    errors.Forbidden: (403, "Not allowed"),
    errors.NotYours: (403, "Somebody else's"),
    errors.SignInFailed: (401, "Sign-in failed"),
    errors.SignInRefused: (403, "Sign-in refused"),
    errors.ProviderDown: (503, "Sign-in provider down"),
    errors.TooManyTries: (429, "Too many tries"),
    errors.ShareGone: (404, "Link gone"),
    errors.QueueDown: (503, "Queue down"),
    errors.HomeUnusable: (503, "Data folder unusable"),
    errors.PortTaken: (503, "Port taken"),
    errors.ServiceFailed: (503, "Service failed"),
    errors.LeaseLost: (409, "Lease lost"),
    errors.InferenceFailed: (503, "Inference failed"),
    errors.MeasurementBusy: (409, "Measurement under way"),
    errors.MeasurementFailed: (503, "Measurement failed"),
    errors.PackageMissing: (501, "Package not installed"),
    errors.NotExpressible: (422, "Not expressible in this format"),
    errors.StorageFull: (507, "Disk full"),
    errors.ArtifactsDown: (503, "Store of the bundles down"),
    errors.DatabaseDown: (503, "Database down"),
    errors.CopyFailed: (409, "Database not copied"),
    errors.BackupFailed: (409, "Backup not made"),
    errors.RestoreFailed: (409, "Backup not restored"),
    BodyTooLarge: (413, "Body too large"),
    HostNotAllowed: (421, "Unknown host name"),
}

#: What the router itself refuses: status -> (code, title, detail).
ROUTING: dict[int, tuple[str, str, str]] = {
    400: ("bad-request", "Unreadable request", "The body cannot be read: send JSON in UTF-8."),
    404: (
        "no-such-route",
        "No such route",
        "There is nothing at this address; /api/v1/openapi.json lists what is there.",
    ),
    405: ("method-not-allowed", "Method not allowed", "This address does not take this method."),
    416: (
        "range-not-satisfiable",
        "Range not satisfiable",
        "The file ends before the range that was asked for begins.",
    ),
}

#: Fields of requests whose values no answer repeats.
SECRET = frozenset({"password", "current", "new", "ticket", "returned_state", "returned_code"})

HEADERS: dict[type[SpikefrontError], dict[str, str]] = {
    errors.Unauthorised: {"WWW-Authenticate": 'Bearer realm="spikefront"'},
    errors.SignInFailed: {"WWW-Authenticate": 'Bearer realm="spikefront"'},
    errors.ArtifactsDown: {"Retry-After": "5"},
    errors.DatabaseDown: {"Retry-After": "2"},
    errors.QueueDown: {"Retry-After": "2"},
    errors.ProviderDown: {"Retry-After": "5"},
}


def problem(error: SpikefrontError, *, instance: str | None = None) -> Response:
    """The response for a domain error; a class without a row is a fault of ours."""
    headers = HEADERS.get(type(error))
    if isinstance(error, errors.TooManyTries):
        headers = {"Retry-After": str(error.fields["wait_s"])}
    return _response(describe(error, instance=instance), headers)


def describe(error: SpikefrontError, *, instance: str | None = None) -> Problem:
    """The problem of a domain error; a class without a row is a fault of ours."""
    row = STATUS.get(type(error))
    if row is None:
        return _internal(instance)
    status, title = row
    return _problem(status, error.code, title, error.message, error.fields, instance)


def internal(*, instance: str | None = None) -> Response:
    """The answer to our own faults: it tells nothing but where to look."""
    return _response(_internal(instance), None)


def internal_problem() -> Problem:
    """The same, as a part of an answer."""
    return _internal(None)


def _internal(instance: str | None) -> Problem:
    detail = "Something went wrong here; the log of the API says more."
    return _problem(500, "internal", "Internal error", detail, {}, instance)


def install(app: FastAPI) -> None:
    """Let every error leave `app` as a problem."""

    async def domain(request: Request, error: Exception) -> Response:
        assert isinstance(error, SpikefrontError)
        return problem(error, instance=request.url.path)

    async def routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = error.headers
        if error.status_code == 405:  # the router names the methods of one route; an address may have several
            headers = {**(headers or {}), "Allow": ", ".join(_methods(app, request.url.path))}
        return routed(error.status_code, instance=request.url.path, headers=headers)

    async def validation(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        faults = [_fault(entry) for entry in error.errors()]
        detail = " ".join(_sentence(fault) for fault in faults[:5])
        fields = {"errors": faults}
        return _response(_problem(422, "invalid-request", "Value not allowed", detail, fields, request.url.path), None)

    app.add_exception_handler(SpikefrontError, domain)
    app.add_exception_handler(HTTPException, routing)
    app.add_exception_handler(RequestValidationError, validation)


def routed(status: int, *, instance: str, headers: Mapping[str, str] | None = None, detail: str = "") -> Response:
    """The problem of a status that no route gave: the router's, or that of a file's ranges."""
    code, title, words = ROUTING.get(status, ("refused", "Refused", "This request cannot be served."))
    return _response(_problem(status, code, title, detail or words, {}, instance), headers)


def _methods(app: FastAPI, path: str) -> list[str]:
    """All methods that an address takes."""
    return sorted(
        {
            method
            for context in iter_route_contexts(app.routes)
            if context.path is not None and compile_path(context.path)[0].match(path)
            for method in context.methods or ()
        }
    )


def _problem(status: int, code: str, title: str, detail: str, fields: dict[str, Any], instance: str | None) -> Problem:
    return Problem(
        type=f"urn:spikefront:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        request_id=current(),
        fields=_json_ready(fields),
    )


def _response(body: Problem, headers: Mapping[str, str] | None) -> Response:
    # ASCII JSON: a lone surrogate in an echoed value cannot be encoded as UTF-8
    content = json.dumps(body.model_dump(), allow_nan=False)
    return Response(content, status_code=body.status, media_type=MEDIA_TYPE, headers=dict(headers or {}))


def _fault(entry: Mapping[str, Any]) -> dict[str, Any]:
    """One pydantic error as field, value, and what would be right."""
    where = [str(part) for part in entry["loc"]]
    place = where.pop(0) if where and where[0] in ("body", "query", "path", "header") else "request"
    wanted = expected(entry)
    if entry["type"] == "json_invalid":
        where, wanted = [], f"JSON ({entry.get('ctx', {}).get('error', 'unreadable')})"
    given = entry["type"] not in ("missing", "json_invalid") and not SECRET & set(where)
    return {
        "field": ".".join(where) or place,
        "value": _short(entry.get("input")) if given else None,
        "expected": wanted,
    }


def _sentence(fault: Mapping[str, Any]) -> str:
    if fault["expected"] == "given":
        return f"{fault['field']} is missing."
    value = f" is {fault['value']!r}; it" if fault["value"] is not None else ""
    return f"{fault['field']}{value} must be {fault['expected']}."


def _short(value: Any) -> Any:
    """A value as it can be shown: plain and of bounded length."""
    if isinstance(value, bool | int | None):
        return value if value is None or abs(value) < 2**63 else "a very large number"
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 200 else text[:200] + "..."


def _json_ready(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_ready(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_json_ready(part) for part in value]
    return value if isinstance(value, str) else _short(value)
