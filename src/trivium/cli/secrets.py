"""`trivium secrets`: the keys under which secrets are kept."""

from __future__ import annotations

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_rows, usual_options


@click.group()
def secrets() -> None:
    """The keys under which upstream keys of users and organizations are kept."""


@secrets.command()
@click.option("--new", is_flag=True, help="Make a new key first, where the keys are in the data folder's file.")
@usual_options
def rotate(config_file: str | None, as_json: bool, new: bool) -> None:
    """Put all secrets under the current key. They can be read throughout; one that was cut off goes on here."""
    done = ask(config_file, "secrets.rotate", new=new)
    if as_json:
        echo_json(done)
        return
    click.echo(f"{done['rewrapped']} secrets were put under {done['version']}.")
    if done["unreadable"]:
        click.echo(f"{done['unreadable']} could not: `trivium secrets status` says why.", err=True)


@secrets.command()
@usual_options
def status(config_file: str | None, as_json: bool) -> None:
    """How many secrets are under which key, and whether they can be read."""
    found = ask(config_file, "secrets.status")
    rows = [
        (
            one["version"],
            one["secrets"],
            "current" if one["current"] else "-",
            one["unreadable"],
            one["problem"] or "-",
        )
        for one in found
    ]
    echo_rows(found, as_json, ("key", "secrets", "use", "unreadable", "problem"), rows)
