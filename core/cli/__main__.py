"""The command `spikefront`, also as `python -m core.cli`.

Little is imported here, because until `main` runs Ctrl-C ends the process as it ends any program: by the signal,
at once, and without a traceback. A command then handles it as it wants.
"""

from __future__ import annotations

import signal


def start() -> None:
    """Run the command line and exit the process."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # else whoever started us said what becomes of it, as nohup does
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from core.cli.main import main

    main(on_ready=lambda: signal.signal(signal.SIGINT, before))


if __name__ == "__main__":
    start()
