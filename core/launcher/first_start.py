"""What a first start brings: a demo pair to train, and the gallery's finished runs, so that no page is empty."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from core.addresses import origin
from core.gallery.catalog import GalleryRun, content_of
from core.launcher.health import bearer
from core.schemas.pareto import GALLERY_TAG
from core.schemas.request import RunRequest
from core.schemas.run import Kind
from core.settings import Settings

#: Small enough to end within a minute on two cores, and of the paper's own pruned mask.
DEMO = tuple(
    RunRequest(backbone="squeezenet", kind=kind, mask="Ref-1", dataset="digits", recipe="smoke", seed=0)
    for kind in (Kind.SNN, Kind.CNN)
)


class FirstStart:
    """An installation without runs, and a way to fill it."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def queue_demo(self) -> list[str]:
        """The ids of the demo pair. The key makes it happen once even when two starts overlap. Raises httpx.HTTPError."""
        ids = []
        for request in DEMO:
            made = self._client.post(
                "runs",
                json=request.model_dump(mode="json"),
                headers={"Idempotency-Key": f"first-start-demo-{request.kind}"},
            )
            made.raise_for_status()
            ids.append(made.json()["id"])
        return ids

    def bring(self, run: GalleryRun) -> str:
        """The id of a run of the gallery, checked and stored as every import is. Raises httpx.HTTPError, BundleCorrupt."""
        sent = self._client.post("imports", content=content_of(run), headers={"Content-Type": "application/zip"})
        sent.raise_for_status()
        run_id = sent.json()["id"]
        self._client.patch(f"runs/{run_id}", json={"tags": [GALLERY_TAG]}).raise_for_status()
        return run_id


@contextmanager
def first_start(settings: Settings, *, token: str) -> Iterator[FirstStart | None]:
    """None where there are runs already. Raises httpx.HTTPError."""
    api = f"{origin(settings.host, settings.api_port)}/api/v1/"
    with httpx.Client(base_url=api, headers=bearer(token), timeout=30.0, trust_env=False) as client:
        page = client.get("runs", params={"limit": 1})
        page.raise_for_status()
        yield None if page.json()["total"] else FirstStart(client)
