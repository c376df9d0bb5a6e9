"""The OpenAPI document, with every problem that a route can answer: from the table of problems, and said nowhere twice.

A route names the errors that it raises (`responses=may(NotFound, ...)`). What the layers around all routes can answer is
added here: the gate, the reading of bodies and parameters, the database.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import RouteContext, iter_route_contexts

from backend.context import of
from backend.problems import MEDIA_TYPE, ROUTING, STATUS, BodyTooLarge, HostNotAllowed
from backend.rights import needed
from core.errors import ArtifactsDown, BadValue, DatabaseDown, Forbidden, SpikefrontError, Unauthorised
from core.schemas.accounts import Scope
from core.schemas.problem import Problem

CODES = "x-codes"  # of a response: the problems that it can be
INTERNAL, INVALID = "internal", "invalid-request"
REPLACED = ("HTTPValidationError", "ValidationError")  # FastAPI's own answer to a bad value, which is never given
PROBLEM = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

Responses = dict[int | str, dict[str, Any]]


def may(*raised: type[SpikefrontError]) -> Responses:
    """The responses of a route that can raise these errors, by status."""
    found: Responses = {}
    for error in raised:
        _add(found, STATUS[error][0], [error.code])
    return found


def routing(*statuses: int) -> Responses:
    """The responses of a route that answers these statuses of ROUTING itself."""
    found: Responses = {}
    for status in statuses:
        _add(found, status, [ROUTING[status][0]])
    return found


def as_json(content: bytes) -> Response:
    """What is JSON already, of the route's `response_model`."""
    return Response(content, media_type="application/json")


def files(*kinds: str, what: str) -> dict[str, Any]:
    """A response that is a file of one of these media types."""
    content = {"schema": {"type": "string", "format": "binary"}}
    return {"description": what, "content": dict.fromkeys(kinds, content)}


def install(app: FastAPI) -> None:
    """Let `app` describe itself with its problems."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = document(app)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # FastAPI's own way to change its document


def document(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(title=app.title, version=app.version, routes=app.routes, servers=app.servers)
    schemas = found["components"]["schemas"]
    schemas.setdefault("Problem", Problem.model_json_schema())
    for name in REPLACED:
        schemas.pop(name, None)
    for context, method, operation in _operations(app, found["paths"]):
        responses = operation["responses"]
        if set(_references(responses.get("422", {}))) & set(REPLACED):
            del responses["422"]
        for status, codes in _around(context, method, operation):
            if CODES in responses.get(str(status), {CODES: ()}):  # else the route has an answer of its own there
                _add(responses, str(status), codes)
        for status in [status for status, answer in responses.items() if CODES in answer]:
            codes = responses[status][CODES] = sorted(set(responses[status][CODES]))
            responses[status]["description"] = ", ".join(_title(code) for code in codes)
        operation["responses"] = dict(sorted(responses.items()))
    return found


def _operations(app: FastAPI, paths: dict[str, Any]) -> Iterator[tuple[RouteContext, str, dict[str, Any]]]:
    for context in iter_route_contexts(app.routes):
        for method in sorted(context.methods or ()):
            operation = paths.get(context.path_format or "", {}).get(method.lower())
            if operation is not None:
                yield context, method, operation


def _around(context: RouteContext, method: str, operation: dict[str, Any]) -> Iterator[tuple[int, list[str]]]:
    """What is answered before a route is asked, or whatever it does."""
    yield STATUS[HostNotAllowed][0], [HostNotAllowed.code]
    yield 500, [INTERNAL]
    if operation.get("parameters"):  # a sign in the address that no database can look for
        yield STATUS[BadValue][0], [BadValue.code]
    if operation.get("security"):
        yield STATUS[Unauthorised][0], [Unauthorised.code]
        yield STATUS[DatabaseDown][0], [DatabaseDown.code]  # whose the token is, is looked up
        if needed(method, context.path_format or "") is not Scope.READ:
            yield STATUS[Forbidden][0], [Forbidden.code]
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        yield STATUS[BodyTooLarge][0], [BodyTooLarge.code]
    if "application/json" in body:
        yield 400, [ROUTING[400][0]]
    if "application/json" in body or operation.get("parameters"):
        yield 422, [INVALID]
    if _uses_database(context.dependant):
        yield STATUS[DatabaseDown][0], [ArtifactsDown.code, DatabaseDown.code]


def _uses_database(dependant: Any) -> bool:
    return dependant.call is of or any(_uses_database(inner) for inner in dependant.dependencies)


def _add(responses: dict[Any, Any], status: int | str, codes: Iterable[str]) -> None:
    told = responses.setdefault(status, {"description": "", "content": PROBLEM, CODES: []})
    told[CODES] = [*told[CODES], *codes]


def _title(code: str) -> str:
    titles = {error.code: title for error, (_, title) in STATUS.items()}
    titles |= {code: title for code, title, _ in ROUTING.values()}
    titles |= {INTERNAL: "Internal error", INVALID: "Value not allowed"}
    return f"{titles[code]} (`{code}`)"


def _references(answer: dict[str, Any]) -> Iterator[str]:
    for content in answer.get("content", {}).values():
        yield content.get("schema", {}).get("$ref", "").rpartition("/")[2]
