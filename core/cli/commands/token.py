"""`spikefront token`: what programs show in place of a person; in place of this process."""

from __future__ import annotations

import typer

from core.cli.handing_over import become
from core.schemas.accounts import Scope

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

AS_JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command()
def add(
    user: str = typer.Argument(help="The account that it stands for."),
    name: str = typer.Option(..., "--name", help="What it is for, such as laptop."),
    scope: Scope = typer.Option(Scope.READ, "--scope", help="What it may, and no more than the account."),
    days: int | None = typer.Option(None, "--days", min=1, help="Until when; without it there is no end."),
    as_json: bool = AS_JSON,
) -> None:
    """Make a token and print it, this once."""
    asked = ["--name", user, "--label", name, "--scope", scope.value]
    _do("add", *asked, *([] if days is None else ["--days", str(days)]), as_json=as_json)


@app.command("list")
def list_all(as_json: bool = AS_JSON) -> None:
    """All tokens, newest first: id, account, scope, end, last use. What they are is not kept."""
    _do("list", as_json=as_json)


@app.command()
def revoke(id: str = typer.Argument(help="As `list` names it."), as_json: bool = AS_JSON) -> None:
    """It opens nothing from now on."""
    _do("revoke", "--id", id, as_json=as_json)


def _do(act: str, *args: str, as_json: bool) -> None:
    become("backend.accounts", "token", act, *args, *(["--json"] if as_json else []))
