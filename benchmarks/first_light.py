"""How long from the start command to a healthy dashboard, to a measured point, and from a click to training.

Claim: after `spikefront up` on an empty data folder the demo's two points are there within two minutes on 2 cores, and
with a warm worker a launched run takes its first training step within 2 s.

Starts the real program (its own ports and a temporary data folder), asks over HTTP as the dashboard does, and stops it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

PORTS = {"SPIKEFRONT_API_PORT": "18961", "SPIKEFRONT_DASHBOARD_PORT": "18962"}


def wait_for(what: str, check, timeout_s: float, every_s: float = 0.1) -> float:
    """Seconds until `check()` is true; raises TimeoutError."""
    start = time.perf_counter()
    while time.perf_counter() - start < timeout_s:
        try:
            if check():
                return time.perf_counter() - start
        except httpx.HTTPError:
            pass
        time.sleep(every_s)
    raise TimeoutError(f"{what} not reached in {timeout_s:.0f} s")


def launch_latency(api: httpx.Client, seed: int) -> float:
    """Seconds from sending `POST /runs` to the first training step's event."""
    body = {"mask": "Ref-1", "dataset": "digits", "recipe": "smoke", "seed": seed, "overrides": {"max_epochs": 1}}
    start = time.perf_counter()
    run = api.post("/runs", json=body).raise_for_status().json()
    with api.stream("GET", f"/runs/{run['id']}/events", timeout=120) as events:
        for line in events.iter_lines():
            if line.startswith("data:"):
                event = json.loads(line[5:])
                if event.get("type") == "progress" and event.get("phase") == "training" and event.get("step", 0) >= 1:
                    latency = time.perf_counter() - start
                    break
        else:
            raise RuntimeError("the run ended without a training step")
    wait_for("end of the run", lambda: api.get(f"/runs/{run['id']}").json()["state"] == "succeeded", 300, 0.5)
    return latency


def measure(launches: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="sf-bench-") as folder:
        environment = os.environ | PORTS | {"SPIKEFRONT_HOME": folder}
        command = [sys.executable, "-m", "core.cli", "up", "--no-gallery"]  # whose points are there at once
        start = time.perf_counter()
        with Path(folder, "up.log").open("w") as log:
            up = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            root = f"http://127.0.0.1:{PORTS['SPIKEFRONT_API_PORT']}/api/v1"
            board = f"http://127.0.0.1:{PORTS['SPIKEFRONT_DASHBOARD_PORT']}/_stcore/health"
            wait_for("a healthy API", lambda: httpx.get(f"{root}/health/ready").json()["ok"], 120)
            wait_for("a healthy dashboard", lambda: httpx.get(board).status_code == 200, 120)
            healthy_s = time.perf_counter() - start
            token = Path(folder, "token").read_text().strip()
            api = httpx.Client(base_url=root, headers={"Authorization": f"Bearer {token}"}, timeout=30)

            def succeeded() -> int:
                return api.get("/runs", params={"state": "succeeded"}).json()["total"]

            wait_for("the first point", lambda: succeeded() >= 1, 600, 0.25)
            first_s = time.perf_counter() - start
            wait_for("the second point", lambda: succeeded() >= 2, 600, 0.25)
            second_s = time.perf_counter() - start
            latencies = []
            for seed in range(1, launches + 1):
                time.sleep(5)  # a person thinks between two launches; the worker warms its next trainer
                latencies.append(launch_latency(api, seed))
            stop = time.perf_counter()
            up.send_signal(signal.SIGINT)
            up.wait(timeout=60)
            stop_s = time.perf_counter() - stop
        finally:
            if up.poll() is None:
                up.kill()
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "up_to_healthy_s": round(healthy_s, 2),
        "up_to_first_point_s": round(first_s, 1),
        "up_to_second_point_s": round(second_s, 1),
        "launch_to_first_step_s": [round(value, 2) for value in latencies],
        "launch_to_first_step_median_s": round(statistics.median(latencies), 2),
        "stop_s": round(stop_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="three launches instead of seven")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    result = measure(3 if arguments.small else 7)
    if arguments.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:32} {value}")


if __name__ == "__main__":
    main()
