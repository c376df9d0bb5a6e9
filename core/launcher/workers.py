"""What `spikefront doctor` says of the workers and of runs that none of them can do, as the API tells it."""

from __future__ import annotations

from collections import Counter

import httpx

from core.errors import SpikefrontError
from core.launcher.health import PROBE_TIMEOUT_S, bearer
from core.schemas.workers import WaitingRuns, Workers
from core.settings import Settings, token_in


def ask(settings: Settings) -> tuple[Workers, WaitingRuns] | None:
    """None where no API answers, or not to this token."""
    try:
        headers = bearer(token_in(settings.token_file))
        with httpx.Client(headers=headers, timeout=PROBE_TIMEOUT_S, trust_env=False) as client:
            answers = [
                client.get(f"{settings.api_url}/api/v1/{path}").raise_for_status() for path in ("workers", "queue")
            ]
        return Workers.model_validate_json(answers[0].content), WaitingRuns.model_validate_json(answers[1].content)
    except (httpx.HTTPError, OSError, ValueError, SpikefrontError):
        return None


def stuck(waiting: WaitingRuns) -> list[str]:
    """Such as `2 runs wait: No worker has the data set 'pets'.`, each reason once."""
    reasons = Counter(item.waits for item in waiting.items if item.waits)
    return [f"{n} run{' waits' if n == 1 else 's wait'}: {why}" for why, n in reasons.items()]
