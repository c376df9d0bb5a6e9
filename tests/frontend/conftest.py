"""The dashboard's pages against the real API, served on a port of its own over a temporary SQLite file."""

from __future__ import annotations

import math
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import streamlit as st
import uvicorn
from apis import api_over, without_settings
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash
from twins import TINY, trained_twins

import frontend.app
from backend import context, kept
from backend.inference import InferProcess
from backend.store.lifecycle import Claim, Lifecycle
from core.bundle import Bundle
from core.schemas.request import RunRequest
from core.schemas.runs import Run
from core.settings import Settings, read_token
from frontend.client.api import Client
from frontend.client.connection import installation_api


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A served API and the means to bring runs to an end as a worker would."""

    settings: Settings
    client: Client
    lifecycle: Lifecycle
    trained: dict[str, Path]

    def queued(self, kind: str = "snn", **changes: Any) -> Run:
        request = RunRequest.model_validate({**TINY, "kind": kind, **changes})
        return self.client.run(self.client.launch(request, idempotency_key=f"test-{time.monotonic_ns()}"))

    def claimed(self, kind: str = "snn", **changes: Any) -> Claim:
        claim = self.lifecycle.claim(self.queued(kind, **changes).id, worker="worker", lease_s=600)
        assert claim is not None
        return claim

    def succeeded(self, kind: str = "snn") -> Run:
        claim = self.claimed(kind)
        shutil.copytree(self.trained[kind], claim.out)
        self.lifecycle.succeed(claim, Bundle(claim.out).summary())
        return self.client.run(claim.run_id)


@pytest.fixture(autouse=True, scope="session")
def _packages_read_once() -> Iterator[None]:
    """Streamlit's server looks once through all installed packages for components; AppTest does it for every session,
    which costs more than to draw the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Bundles of a tiny spiking network and its CNN twin."""
    return trained_twins(tmp_path_factory)


class LastingInference(InferProcess):
    """Answers one API after another: to load the engine costs more than all that the pages' tests ask of it."""

    def close(self) -> None:
        """The API ends; the next one asks the same child."""


@pytest.fixture(scope="session")
def inference() -> Iterator[LastingInference]:
    """The process that runs networks, for all APIs of these tests. It is started when one is asked for an answer."""
    lasting = LastingInference()
    yield lasting
    super(LastingInference, lasting).close()


@pytest.fixture(scope="module")
def stack(
    tmp_path_factory: pytest.TempPathFactory, trained: dict[str, Path], inference: LastingInference
) -> Iterator[Stack]:
    """One API per test file; no broker, so runs stay queued until a test claims them."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    with ExitStack() as held:
        patch = held.enter_context(pytest.MonkeyPatch.context())
        without_settings(patch)
        home = tmp_path_factory.mktemp("home")
        patch.setenv("SPIKEFRONT_HOME", str(home))
        patch.setenv("SPIKEFRONT_API_PORT", str(port))
        patch.setattr(kept, "LOOK_S", 0.0)  # two visits within a second are two looks
        patch.setattr(kept, "SHARE", math.inf)
        patch.setattr(context, "InferProcess", lambda: inference)
        settings = Settings()
        app = held.enter_context(api_over(settings))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        lifecycle = Lifecycle(settings)
        client = Client(settings.api_url, lambda: read_token(settings))
        clear_caches()
        try:
            until(lambda: server.started)
            yield Stack(settings=settings, client=client, lifecycle=lifecycle, trained=trained)
        finally:
            client.close()
            lifecycle.close()
            server.should_exit = True
            thread.join(timeout=20)
            clear_caches()
            assert not thread.is_alive()


def clear_caches() -> None:
    """The pages' client and cached previews belong to one installation."""
    installation_api.clear()
    st.cache_data.clear()


def until(condition, *, timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def visit(stack: Stack) -> Callable[..., AppTest]:
    """A fresh browser session on one page of the real navigation: `visit("run", run=id)`."""

    def visiting(name: str, **query: str) -> AppTest:
        test = AppTest.from_file(frontend.app.__file__, default_timeout=60)
        for key, value in query.items():
            test.query_params[key] = value
        # Our pages are functions, so there is no file for AppTest's own switch_page: the hash is of the address.
        test._page_hash = calc_hash(name)
        return test.run()

    return visiting


@pytest.fixture
def words() -> Callable[[AppTest], str]:
    """All text of a page."""

    def reading(test: AppTest) -> str:
        assert not test.exception, test.exception
        kinds = ("title", "subheader", "markdown", "caption", "error", "warning", "code", "metric")
        found = [f"{getattr(item, 'label', '')} {item.value}" for kind in kinds for item in test.get(kind)]
        found += [item.proto.body for item in test.get("html")]
        return "\n".join(found).replace("\\", "")

    return reading
