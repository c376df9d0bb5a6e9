"""Tells an address of the user's choice that a run has ended: a POST of JSON, from a thread that no run waits for."""

from __future__ import annotations

import http.client
import json
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from backend.store.db import Database
from backend.store.models import RunRow
from core.errors import SpikefrontError
from core.host.outbound import Refused, place_of, post
from core.schemas.run import RunState
from core.settings import Settings

log = logging.getLogger("spikefront.webhook")

PAUSES_S = (0.0, 2.0, 10.0, 60.0)  # before each try
TIMEOUT_S = 5.0
MOST_WAITING = 1_000  # ended runs; more are left out, and the log says so
CLOSE_S = 2.0


class Webhook:
    """One a process. Without an address it does nothing, and starts no thread."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        send: Callable[..., int] = post,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._url = None if settings.webhook_url is None else settings.webhook_url.get_secret_value()
        self._private, self._page = settings.webhook_private, f"{settings.dashboard_url}/run?run="
        self._database, self._send, self._sleep = database, send, sleep
        self._waiting: queue.Queue[str | None] = queue.Queue(MOST_WAITING)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def tell(self, run_id: str) -> None:
        """Note that a run has ended; returns at once and raises nothing."""
        if self._url is None:
            return
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="webhook", daemon=True)
                self._thread.start()
        try:
            self._waiting.put_nowait(run_id)
        except queue.Full:
            log.warning("webhook.left_out", extra={"run_id": run_id})

    def close(self) -> None:
        """Give what waits a moment; the process may end afterwards."""
        with self._lock:
            thread = self._thread
        if thread is not None:
            try:
                self._waiting.put_nowait(None)
            except queue.Full:
                return
            thread.join(CLOSE_S)

    def _work(self) -> None:
        while (run_id := self._waiting.get()) is not None:
            try:
                self._deliver(run_id)
            except Exception:  # noqa: BLE001  whatever it is, the next run is told of; a traceback may hold the address
                log.warning("webhook.broken", extra={"run_id": run_id})

    def _deliver(self, run_id: str) -> None:
        assert self._url is not None
        told = {"run_id": run_id, "to": place_of(self._url)}
        try:
            body = self._body(run_id)
        except SpikefrontError as error:
            log.warning("webhook.not_sent", extra=told | {"why": error.code})
            return
        if body is None:
            return
        why = ""
        for pause_s in PAUSES_S:
            if pause_s:
                self._sleep(pause_s)
            try:
                status = self._send(self._url, json.dumps(body).encode(), private=self._private, timeout_s=TIMEOUT_S)
            except Refused as error:
                log.warning("webhook.refused", extra=told | {"why": str(error)})
                return
            except (OSError, http.client.HTTPException, ValueError) as error:
                why = type(error).__name__  # its words may hold the address
                continue
            if 200 <= status < 300:
                log.info("webhook.sent", extra=told | {"status": status})
                return
            why = f"status {status}"
            if status < 500 and status != 429:  # it will say no again; a redirect is not followed
                break
        log.warning("webhook.not_sent", extra=told | {"why": why})

    def _body(self, run_id: str) -> dict[str, Any] | None:
        """None for a run that is gone, or has not ended after all."""
        with self._database.read() as session:
            row = session.get(RunRow, run_id)
            if row is None or not RunState(row.state).is_final:
                return None
            summary, error = row.summary or {}, row.error or {}
            return {
                "run_id": row.id,
                "label": row.label,
                "state": str(row.state),
                "accuracy": row.accuracy,
                "energy_pj": summary.get("energy_pj"),
                "mode": summary.get("mode"),
                "profile": summary.get("profile"),
                "error": error.get("message"),
                "link": f"{self._page}{row.id}",
            }
