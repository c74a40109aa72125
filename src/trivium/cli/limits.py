"""`trivium limits`: where rate limits are counted, and whether Redis does its part."""

from __future__ import annotations

import click

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, usual_options, when


@click.group()
def limits() -> None:
    """Rate limits. What they are is set with keys, users, organizations and settings."""


@limits.command()
@usual_options
def show(config_file: str | None, as_json: bool) -> None:
    """Show where limits are counted: by this gateway alone, or in Redis with others."""
    state = ask(config_file, "limits.show")
    if as_json:
        echo_json(state)
        return
    since = f"since {when(state['since_ms'])} UTC"
    if state["counters"] == "redis":
        click.echo(f"Counted in Redis at {state['redis']}, {since}.")
    elif state["redis"] is None:
        click.echo("Counted by this gateway alone, in memory. `[limits] redis_url` makes several count together.")
    else:
        click.echo(f"Counted by this gateway alone, {since}: Redis at {state['redis']} does not serve.")
        click.echo(f"The reason: {state['problem']}")
