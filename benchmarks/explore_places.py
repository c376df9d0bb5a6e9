"""The three dashboards of `benchmarks.explore`: how each is filled, served and looked at.

The two others are no dependencies of Spikefront: they are installed, in fixed versions, in an environment of their own
in the benchmark's temporary folder, and filled by `explore_fill_others.py`, which runs there.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PINNED = {"optuna": "5.0.0", "optuna-dashboard": "0.21.0", "mlflow": "3.17.2"}
INSTALL_S = 240
FILL_S = START_S = 120
STOP_S = 10
SPIKEFRONT = "Spikefront"
FILL = Path(__file__).with_name("explore_fill_others.py")

# JavaScript conditions and signatures. A signature is a text that changes when marks move or axes are relabelled.
MARKS = "document.querySelectorAll('.js-plotly-plot .scatterlayer .points path').length"
PLACES_AND_TICKS = (
    "[...document.querySelectorAll('.js-plotly-plot .scatterlayer .points path')].slice(0, 60)"
    ".map((mark) => mark.getAttribute('transform')).join() + "
    "[...document.querySelectorAll('.js-plotly-plot .xtick text')].map((tick) => tick.textContent).join()"
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """One dashboard that runs. `prepare` brings a page to where one act asks for another price, and returns the act."""

    name: str
    address: str
    drawn: str  # JavaScript: true once the picture of all rows stands in the document
    shows: str
    enter: str | None = None  # an address that sets the cookie
    signature: str = "''"  # JavaScript: a text that is another one when the picture has been redrawn
    prepare: Callable[[Any], Callable[[], None]] | None = None  # None: there is nothing like it


def fill_spikefront(folder: Path, rows: list[dict[str, Any]]) -> None:
    from benchmarks.explore_load import fill
    from core.settings import Settings

    fill(Settings(home=folder / "home"), rows)


def fill_other(name: str, folder: Path, python: Path) -> None:
    """`name`: optuna or mlflow; `folder` holds rows.json."""
    subprocess.run([str(python), str(FILL), name, str(folder)], check=True, timeout=FILL_S)


@contextmanager
def spikefront(folder: Path) -> Iterator[Place]:
    """`spikefront up` over the rows; raises RuntimeError when it does not start."""
    from benchmarks.explore_load import DATASET

    home = folder / "home"
    api_port, dashboard_port = free_port(), free_port()
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPIKEFRONT_", "STREAMLIT_"))}
    own = {
        "SPIKEFRONT_HOME": str(home),
        "SPIKEFRONT_API_PORT": str(api_port),
        "SPIKEFRONT_DASHBOARD_PORT": str(dashboard_port),
    }
    output = folder / "up.log"
    with served(
        [sys.executable, "-m", "core.cli", "up", "--no-demo"], output=output, environment={**clean, **own}
    ) as up:
        until(lambda: re.search(r"The dashboard is at\s+(\S+)", output.read_text()), process=up, output=output)
        yield Place(
            name=SPIKEFRONT,
            address=f"http://127.0.0.1:{dashboard_port}/?dataset={DATASET}",
            enter=re.search(r"The dashboard is at\s+(\S+)", output.read_text())[1],
            drawn=f"{MARKS} > 0 && !document.querySelector('[data-stale=true] .js-plotly-plot')",
            signature=PLACES_AND_TICKS,
            prepare=_dearer_mac,
            shows="Explore over all rows: the front, and one mark where several of a kind lie close together; the act: the "
            "price of a MAC, one step of its slider",
        )


def _dearer_mac(page: Any) -> Callable[[], None]:
    page.locator("[data-testid=stExpander] summary").filter(has_text="Energy lens").click()
    page.locator(".st-key-lens_price_mac").get_by_role("slider").focus()
    return lambda: page.keyboard.press("ArrowRight")


def _other_objective(page: Any) -> Callable[[], None]:
    page.get_by_role("combobox").nth(1).click()
    other = page.get_by_role("option", name="energy_other_pj")
    other.wait_for()
    return other.click


def install_others(folder: Path) -> tuple[Path | None, str | None]:
    """(their Python, None), or (None, why there is none)."""
    target = folder / "others"
    python = target / "bin" / "python"
    wanted = [f"{name}=={number}" for name, number in PINNED.items()]
    try:
        subprocess.run([sys.executable, "-m", "venv", str(target)], check=True, capture_output=True, timeout=60)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
        subprocess.run([*pip, *wanted], check=True, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired:
        return None, f"their installation took more than {INSTALL_S} s"
    except subprocess.CalledProcessError as error:
        said = str(error.stderr or "").strip().splitlines()
        return None, f"pip could not install them ({said[-1] if said else 'no word'})"
    return python, None


@contextmanager
def optuna_dashboard(folder: Path, python: Path) -> Iterator[Place]:
    """A study of three objectives: accuracy, and energy at either price."""
    port, output = free_port(), folder / "optuna.log"
    command = [str(python.with_name("optuna-dashboard")), f"sqlite:///{folder / 'optuna.db'}", "--port", str(port)]
    with served(command, output=output) as process:
        address = f"http://127.0.0.1:{port}/dashboard/studies/1"
        until(lambda: answers(address), process=process, output=output)
        yield Place(
            name="optuna-dashboard",
            address=address,
            drawn=f"{MARKS} > 0",
            signature=PLACES_AND_TICKS,
            prepare=_other_objective,
            shows="the study's page with its Pareto plot of all rows; the act: the other one of two energies that were "
            "stored with each row, since a price cannot be moved",
        )


@contextmanager
def mlflow(folder: Path, python: Path) -> Iterator[Place]:
    """An experiment with accuracy and either energy as metrics."""
    port, output = free_port(), folder / "mlflow.log"
    command = [str(python.with_name("mlflow")), "server", "--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}",
               "--default-artifact-root", str(folder / "mlflow"), "--port", str(port), "--workers", "2"]  # fmt: skip
    with served(command, output=output, environment={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}) as process:
        until(lambda: answers(f"http://127.0.0.1:{port}/health"), process=process, output=output)
        yield Place(
            name="MLflow",
            address=f"http://127.0.0.1:{port}/#/experiments/1/runs",
            drawn="document.querySelectorAll('[role=row]').length > 10",
            shows="the table of its newest rows, of which it loads one page; it prices nothing",
        )


@contextmanager
def served(
    command: list[str], *, output: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen]:
    """A server in a session of its own, ended with all its children."""
    with output.open("wb") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(holds: Callable[[], object], *, process: subprocess.Popen, output: Path) -> None:
    """Wait until a server is there; raises RuntimeError with what it said when it is not."""
    end = time.monotonic() + START_S
    while not holds():
        if process.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"{process.args[0]} did not start:\n{output.read_text()[-2000:]}")
        time.sleep(0.2)


def answers(address: str) -> bool:
    try:
        return httpx.get(address, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
