"""The first start's demo pair: one spiking network and its CNN twin, so that the plot is not empty."""

from __future__ import annotations

import httpx

from core.addresses import origin
from core.launcher.health import bearer
from core.schemas.request import RunRequest
from core.schemas.run import Kind
from core.settings import Settings

#: Small enough to end within a minute on two cores, and of the paper's own pruned mask.
DEMO = tuple(
    RunRequest(backbone="squeezenet", kind=kind, mask="Ref-1", dataset="digits", recipe="smoke", seed=0)
    for kind in (Kind.SNN, Kind.CNN)
)


def queue_demo(settings: Settings, *, token: str) -> list[str]:
    """Queue the pair on an installation without runs; the ids, or none when there are runs already.

    The key makes it happen once even when two starts overlap. Raises httpx.HTTPError.
    """
    api = f"{origin(settings.host, settings.api_port)}/api/v1"
    with httpx.Client(headers=bearer(token), timeout=10.0, trust_env=False) as client:
        page = client.get(f"{api}/runs", params={"limit": 1})
        page.raise_for_status()
        if page.json()["total"]:
            return []
        ids = []
        for request in DEMO:
            made = client.post(
                f"{api}/runs",
                json=request.model_dump(mode="json"),
                headers={"Idempotency-Key": f"first-start-demo-{request.kind}"},
            )
            made.raise_for_status()
            ids.append(made.json()["id"])
        return ids
