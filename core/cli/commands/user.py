"""`spikefront user`: who may use this installation, and as what; in place of this process."""

from __future__ import annotations

import typer

from core.cli.handing_over import become
from core.schemas.accounts import Role

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)

NAME = typer.Argument(help="Of the account: a login or an e-mail address.")
AS_JSON = typer.Option(False, "--json", help="Print one JSON object.")


@app.command()
def add(
    name: str = NAME,
    role: Role = typer.Option(
        Role.MEMBER, "--role", help="viewer looks; member also submits, and changes what is its own."
    ),
    no_password: bool = typer.Option(False, "--no-password", help="No sign-in by password: tokens alone."),
    as_json: bool = AS_JSON,
) -> None:
    """Make an account; with the first one the dashboard asks for name and password.

    The password is asked for, or is the first line of standard input.
    """
    asked = ["--name", name, "--role", role.value]
    _do("add", *asked, *(["--no-password"] if no_password else []), as_json=as_json)


@app.command("list")
def list_all(as_json: bool = AS_JSON) -> None:
    """All accounts, by name."""
    _do("list", as_json=as_json)


@app.command()
def role(name: str = NAME, role: Role = typer.Argument(help="What it may do."), as_json: bool = AS_JSON) -> None:
    """Give an account another role; it holds from its next request."""
    _do("role", "--name", name, "--role", role.value, as_json=as_json)


@app.command()
def password(name: str = NAME, as_json: bool = AS_JSON) -> None:
    """Give an account another password, asked for as by `add`; every page of it that is signed in is out."""
    _do("password", "--name", name, as_json=as_json)


@app.command()
def subject(
    name: str = NAME,
    subject: str = typer.Argument("", help="The provider's identifier (sub) of the person; left out: nobody's."),
    as_json: bool = AS_JSON,
) -> None:
    """Say who signs in to an account through the provider of SPIKEFRONT_OIDC_ISSUER."""
    _do("subject", "--name", name, f"--subject={subject}", as_json=as_json)


@app.command()
def disable(name: str = NAME, as_json: bool = AS_JSON) -> None:
    """No sign-in, and no token of it opens anything; its runs stay."""
    _do("disable", "--name", name, as_json=as_json)


@app.command()
def enable(name: str = NAME, as_json: bool = AS_JSON) -> None:
    """Undo that."""
    _do("enable", "--name", name, as_json=as_json)


def _do(act: str, *args: str, as_json: bool) -> None:
    become("backend.accounts", "user", act, *args, *(["--json"] if as_json else []))
