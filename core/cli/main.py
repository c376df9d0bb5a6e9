"""The command `spikefront`. Only the command that was asked for is imported, so `--help` stays quick.

A command is a row of COMMANDS: the module `core.cli.commands.<name>`, with _ for -, holds either a function `<name>` or a
`typer.Typer` named `app` with sub-commands. A domain error ends as one sentence and exit code 1, a
wrong use as exit code 2.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

import typer

from core.cli.console import EXIT_FAILED, print_error
from core.cli.output import OutputLost, careful_output, drop_output
from core.errors import Interrupted, SpikefrontError
from core.host.versions import program_version
from core.loglines import Once, PersonFormatter, to_stderr
from core.schemas.training import EXIT_INTERRUPTED


@dataclass(frozen=True, kw_only=True)
class Command:
    """One row: what `--help` says of a command without importing it."""

    help: str
    group: bool = False  # `app` with sub-commands instead of a function
    hidden: bool = False


COMMANDS: dict[str, Command] = {
    "up": Command(help="Start broker, API, worker and dashboard; print the address; stop all on Ctrl-C."),
    "worker": Command(help="Start a worker that trains the runs of the queue."),
    "train": Command(help="Train one network and write its bundle."),
    "train-stack": Command(help="Train the runs of a small sweep as one batched network."),
    "trainer": Command(help="Wait with the engine loaded for one run on standard input.", hidden=True),
    "infer": Command(help="Wait with the engine loaded for images on standard input.", hidden=True),
    "measure": Command(help="Measure how a run stands disturbances, as standard input says.", hidden=True),
    "speed": Command(help="Time a small network, for a worker that says what it can do.", hidden=True),
    "count": Command(help="Parameters, operations and MACs of a masked backbone, without data."),
    "audit": Command(help="Recompute the paper's printed tables, or a table of your own."),
    "table": Command(help="Every network's size, operations and energies beside the paper's figures."),
    "reproduce": Command(help="Train a printed row of the paper and compare: printed, recomputed, measured."),
    "search": Command(help="Search hyper-parameters and masks; say what to train next.", group=True),
    "data": Command(help="List, fetch, add and verify data sets.", group=True),
    "bundle": Command(
        help="Show, verify, recount, disturb or export a run's bundle, or hold it against its twin.", group=True
    ),
    "gallery": Command(help="The finished runs that come with Spikefront: list them, test them again.", group=True),
    "results": Command(help="A page of results, made from bundles or from the gallery."),
    "db": Command(help="Upgrade, check or copy the database of an installation.", group=True),
    "user": Command(help="Accounts of an installation that several people use.", group=True),
    "token": Command(help="Tokens that programs show in place of a person.", group=True),
    "backup": Command(help="Copy an installation while it runs."),
    "restore": Command(help="Make an installation from a backup, in an empty home."),
    "gc": Command(help="Remove what nobody needs any more: old checkpoints, events, leftovers."),
    "health": Command(help="Whether the API, the dashboard or a worker of this machine is well.", group=True),
    "doctor": Command(help="Check this machine and say what is missing."),
}


def _print_version(wanted: bool) -> None:
    if wanted:
        print(program_version())
        raise typer.Exit()


def _root(
    version: bool = typer.Option(
        False, "--version", is_eager=True, callback=_print_version, help="Print the version and exit."
    ),
) -> None:
    """Accuracy-energy exploration for light spiking networks: train, count, price, compare, share."""


def build_app(asked: str | None) -> typer.Typer:
    """The application with `asked` loaded and every other command a row of help."""
    app = typer.Typer(name="spikefront", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(_root)
    for name, command in COMMANDS.items():
        if name != asked:
            app.command(name, help=command.help, hidden=command.hidden)(lambda: None)
            continue
        word = name.replace("-", "_")
        module = import_module(f"core.cli.commands.{word}")
        if command.group:
            app.add_typer(module.app, name=name, help=command.help)
        else:
            app.command(name, hidden=command.hidden)(getattr(module, word))
    return app


def main(args: Sequence[str] | None = None, *, on_ready: Callable[[], object] = lambda: None) -> None:
    """Run the command line and exit the process; `on_ready` is called when the command is loaded and about to run."""
    args = list(sys.argv[1:] if args is None else args)
    asked = next((arg for arg in args if not arg.startswith("-")), None)
    if asked not in COMMANDS or not COMMANDS[asked].hidden:  # those speak to a program, by rules of their own
        careful_output()
        _word_warnings()
    try:
        try:
            _run(args, asked, on_ready)
        finally:
            if sys.stdout is not None:
                sys.stdout.flush()
    except OutputLost as lost:
        drop_output(sys.stdout)
        if lost.wanted:
            print(f"spikefront: Standard output cannot be written: {lost.strerror}.", file=sys.stderr, flush=True)
        sys.exit(EXIT_FAILED)


def _word_warnings() -> None:
    """What is logged as a warning, once and with its values; those of packages are for whoever asks Python for them."""
    if not logging.getLogger().handlers:
        to_stderr(PersonFormatter(), level=logging.WARNING)
        logging.getLogger().handlers[0].addFilter(Once())
    if not sys.warnoptions:
        warnings.simplefilter("ignore")


def _run(args: list[str], asked: str | None, on_ready: Callable[[], object]) -> None:
    try:
        command = typer.main.get_command(build_app(asked))  # reads every signature, which takes a moment
        on_ready()
        command(args, prog_name="spikefront")
    except KeyboardInterrupt:  # between commands' own handling of it, which begins a little later
        sys.exit(EXIT_INTERRUPTED)
    except Interrupted as stop:
        print_error(stop, as_json="--json" in args)
        sys.exit(EXIT_INTERRUPTED)
    except SpikefrontError as error:
        print_error(error, as_json="--json" in args)
        sys.exit(EXIT_FAILED)
