"""`python -m frontend`: the dashboard, on SPIKEFRONT_HOST:SPIKEFRONT_DASHBOARD_PORT."""

from __future__ import annotations

import logging
import sys

from core.errors import SpikefrontError
from core.loglines import refuse, service_formatter, to_stderr
from core.settings import Settings
from core.showing import printable


def main() -> int:
    """Exit status 0 after a clean stop, 1 with a sentence on stderr when it cannot start."""
    to_stderr(service_formatter(), level=logging.INFO)
    for noisy in ("uvicorn", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        settings = Settings()
        from frontend.serving.server import serve  # uvicorn and Streamlit: not needed to complain about a setting

        serve(settings)
    except SpikefrontError as error:
        refuse("dashboard", code=error.code, sentence=printable(error.message))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
