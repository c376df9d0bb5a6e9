"""What `spikefront up` says: a line a service, with a spinner while one starts on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from core.showing import printable


class Screen:
    """Sentences on standard output; plain text where that is no terminal. A closed terminal is not an error."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True, markup=False)

    def say(self, text: str = "", *, style: str | None = None) -> None:
        try:
            self._console.print(printable(text), style=style)
            self._console.file.flush()
        except (OSError, ValueError):  # the terminal has gone; the services are still to be stopped in order
            pass

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner with `text` while the body runs; nothing where it could not turn."""
        if not self._console.is_terminal:
            yield
            return
        with self._console.status(text, spinner="dots"):
            yield

    def ready(self, name: str, wall_s: float) -> None:
        self.say(f"  {name:<10} ready after {wall_s:.1f} s", style="green" if self._console.is_terminal else None)
