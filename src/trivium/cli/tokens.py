"""`trivium tokens`: tokens of the issuer that the configuration trusts."""

from __future__ import annotations

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, usual_options


@click.group()
def tokens() -> None:
    """Tokens of the issuer under [tokens] in the configuration."""


@tokens.command()
@click.argument("user")
@usual_options
def reset(user: str, config_file: str | None, as_json: bool) -> None:
    """End all tokens of USER. The issuer puts the pepper that is printed into new ones."""
    made = ask(config_file, "tokens.reset", user=user)
    if as_json:
        echo_json(made)
    else:
        click.echo(made["pepper"])
        click.echo(f"No token of {made['user']} is valid any more, save those with this pepper.", err=True)
