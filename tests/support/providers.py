"""A small sign-in provider (OpenID Connect) with a real key, that does what a test tells it to do wrong."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import uvicorn
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

CLIENT, SECRET = "spikefront", "a-secret-of-this-test"
ANN = {"sub": "00u-ann", "preferred_username": "Ann", "groups": ["lab"]}


@dataclass(kw_only=True)
class Lab:
    """Lets everybody in as `person`, without a word. What is set before it is asked changes how it answers."""

    issuer: str
    person: dict[str, Any] = field(default_factory=lambda: dict(ANN))
    claims: dict[str, Any] = field(default_factory=dict)  # of the ID token, in place of the right ones; None: left out
    about: dict[str, Any] = field(default_factory=dict)  # the same of what it says of itself
    sign: Callable[[Lab, dict[str, Any]], str] | None = None  # in place of its own key
    denies: bool = False
    broken: bool = False  # answers with 500
    names_itself: bool = False
    lenient: bool = False  # takes a code twice
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, auto_kid=True))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)
    asked: list[str] = field(default_factory=list)  # paths
    seen: list[dict[str, str]] = field(default_factory=list)  # what browsers came with

    def signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": self.key.kid}, claims, self.key)

    def well_known(self, request: Request) -> Response:
        told = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize?tenant=lab",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "authorization_response_iss_parameter_supported": self.names_itself,
        }
        return JSONResponse(told | self.about)

    def keys(self, request: Request) -> Response:
        return JSONResponse(
            {"keys": [self.key.as_dict(private=False, use="sig"), {"kty": "AKP", "kid": "of-tomorrow"}]}
        )

    def authorize(self, request: Request) -> Response:
        query = dict(request.query_params)
        self.seen.append(query)
        back = {"state": query["state"]}
        if self.denies:
            back["error"] = "access_denied"
        else:
            back["code"] = f"code-of-a-test-{next(self.numbers)}"
            self.codes[back["code"]] = query
        if self.names_itself:
            back["iss"] = self.issuer
        return RedirectResponse(f"{query['redirect_uri']}?{urlencode(back)}", 302)

    async def token(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        shown = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
        if shown != f"{CLIENT}:{SECRET}":
            return JSONResponse({"error": "invalid_client"}, 401)
        begun = self.codes.get(form["code"]) if self.lenient else self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if begun is None or (begun["code_challenge"], begun["redirect_uri"]) != (challenge, form["redirect_uri"]):
            return JSONResponse({"error": "invalid_grant"}, 400)
        access, now = "an-access-token", int(time.time())
        half = base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16]).rstrip(b"=").decode()
        right = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 300,
            "nonce": begun["nonce"],
            "at_hash": half,
        }
        told = {name: value for name, value in (right | self.person | self.claims).items() if value is not None}
        signed = self.signed(told) if self.sign is None else self.sign(self, told)
        return JSONResponse({"access_token": access, "token_type": "Bearer", "id_token": signed})

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.asked.append(scope["path"])
            if self.broken:
                await Response("not now", 500)(scope, receive, send)
                return
        await self._routes(scope, receive, send)

    def __post_init__(self) -> None:
        self._routes = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.well_known),
                Route("/keys", self.keys),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
            ]
        )

    def visit(self, url: str) -> dict[str, str]:
        """As a browser that is sent here: with what it is sent back."""
        place = urlsplit(url)
        connection = http.client.HTTPConnection(place.netloc, timeout=20)  # which logs nothing
        try:
            connection.request("GET", f"{place.path}?{place.query}")
            answer = connection.getresponse()
            assert answer.status == 302, answer.read()
            return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        finally:
            connection.close()


def unsigned(lab: Lab, claims: dict[str, Any]) -> str:
    """`alg: none`: a token that anybody can write."""
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts) + "."


def with_another_key(lab: Lab, claims: dict[str, Any]) -> str:
    other = RSAKey.generate_key(2048)
    return jwt.encode({"alg": "RS256", "kid": lab.key.kid}, claims, other)


def with_the_secret(lab: Lab, claims: dict[str, Any]) -> str:
    """HS256, whose key is the client's secret."""
    return jwt.encode({"alg": "HS256", "kid": lab.key.kid}, claims, OctKey.import_key(SECRET), algorithms=["HS256"])


def with_the_public_key_as_a_secret(lab: Lab, claims: dict[str, Any]) -> str:
    key = OctKey.import_key(lab.key.as_dict(private=False)["n"])
    return jwt.encode({"alg": "HS256", "kid": lab.key.kid}, claims, key, algorithms=["HS256"])


@contextmanager
def provider(name: str = "127.0.0.1") -> Iterator[Lab]:
    """On a port of its own, by uvicorn in this process. To a browser `localhost` is another site than 127.0.0.1."""
    listener = socket.create_server(("127.0.0.1", 0))
    lab = Lab(issuer=f"http://{name}:{listener.getsockname()[1]}")
    server = uvicorn.Server(uvicorn.Config(lab, log_config=None, access_log=False, lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        yield lab
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        assert not thread.is_alive()
        listener.close()


def named(lab: Lab, folder: Path) -> dict[str, str]:
    """The variables that name it; everybody gets an account."""
    secret = folder / "client-secret"
    secret.write_text(f"{SECRET}\n")
    return {
        "SPIKEFRONT_OIDC_ISSUER": lab.issuer,
        "SPIKEFRONT_OIDC_CLIENT_ID": CLIENT,
        "SPIKEFRONT_OIDC_CLIENT_SECRET_FILE": str(secret),
        "SPIKEFRONT_OIDC_ACCOUNTS": "viewer",
    }


@pytest.fixture(scope="module")
def standing_lab() -> Iterator[Lab]:
    with provider() as running:
        yield running


@pytest.fixture
def lab(standing_lab: Lab) -> Lab:
    """As it is at first; only its key is an old one."""
    fresh = Lab(issuer=standing_lab.issuer, key=standing_lab.key)
    standing_lab.__dict__.update({name: value for name, value in vars(fresh).items() if name != "_routes"})
    return standing_lab
