"""Asking the provider, and what it says of itself (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from backend.provider.refusals import down
from core.addresses import nobody_reads_along

TIMEOUT = httpx.Timeout(5.0, connect=3.0)
MOST_S, MOST_BYTES = 10.0, 1024 * 1024  # of one answer
#: With a key that only the provider has: `none` proves nothing, and of HS256 the key would be one that others may know.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


@dataclass(frozen=True, kw_only=True)
class About:
    """`names_itself`: in its answers (RFC 9207). `authentication`: how we show it the secret."""

    authorization: str
    token: str
    keys: str
    algorithms: tuple[str, ...]
    authentication: str
    names_itself: bool


def about_of(told: Mapping[str, Any], *, issuer: str) -> About:
    """Raises ProviderDown for what would not be safe to go by."""
    if told.get("issuer") != issuer:
        raise down("what it says of itself names another issuer.")
    for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
        url = told.get(name)
        if not (isinstance(url, str) and nobody_reads_along(url)):
            raise down(f"its {name} is no address that begins with https://.")
    supported = told.get("id_token_signing_alg_values_supported")
    algorithms = tuple(name for name in ALGORITHMS if name in supported) if isinstance(supported, list) else ("RS256",)
    methods = told.get("token_endpoint_auth_methods_supported")
    basic = not isinstance(methods, list) or "client_secret_basic" in methods
    return About(
        authorization=told["authorization_endpoint"],
        token=told["token_endpoint"],
        keys=told["jwks_uri"],
        algorithms=algorithms,
        authentication="client_secret_basic" if basic else "client_secret_post",
        names_itself=told.get("authorization_response_iss_parameter_supported") is True,
    )


def ask(
    http: httpx.Client, method: str, url: str, *, headers: Mapping[str, str] | None = None, content: str | None = None
) -> tuple[int, dict[str, Any]]:
    """Status and JSON object of an answer. Raises ProviderDown for none, one that is too long, and one of a fault."""
    asked = {"Accept": "application/json", "Accept-Encoding": "identity", **(headers or {})}
    body, end = b"", time.monotonic() + MOST_S
    try:
        with http.stream(method, url, headers=asked, content=content) as answer:
            for part in answer.iter_bytes():
                body += part
                if len(body) > MOST_BYTES or time.monotonic() > end:
                    raise down("its answer is too long.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise down("it does not answer.", error=type(error).__name__) from None
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if answer.status_code >= 500 or (method == "GET" and answer.status_code != 200) or not isinstance(told, dict):
        raise down(f"it answers with status {answer.status_code} and nothing to go on with.")
    return answer.status_code, told
