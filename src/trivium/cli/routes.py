"""`trivium routes`: which routes answer, which fail, which rest."""

from __future__ import annotations

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_table, usual_options


@click.command()
@usual_options
def routes(config_file: str | None, as_json: bool) -> None:
    """How the routes of models with several routes did in the last ten minutes."""
    found = ask(config_file, "routes.show")
    if as_json:
        echo_json(found)
    elif not found:
        click.echo("No model with several routes was called lately.")
    else:
        rows = [(one["route"], one["calls"], one["failed"], one["rests_s"] or None) for one in found]
        echo_table(("route", "calls", "failed", "rests (s)"), rows)
