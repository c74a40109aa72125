"""`trivium alerts`: which providers refuse the running gateway's account."""

from __future__ import annotations

import click

from trivium.cli.ask import ask_running
from trivium.cli.options import config_option, echo_json, echo_table, json_option, when
from trivium.errors import OperationError


@click.command()
@config_option
@json_option
def alerts(config_file: str | None, as_json: bool) -> None:
    """Providers that refuse the gateway's own key or account: wrong, without rights, or out of credit."""
    try:
        found = ask_running(config_file, "alerts.show")
    except ConnectionError:
        raise OperationError("No gateway runs here, and only a running one knows.") from None
    if as_json:
        echo_json(found)
    elif not found:
        click.echo("No provider refuses this gateway's account.")
    else:
        rows = [
            (
                one["provider"],
                one["status"],
                one["calls"],
                when(one["since_ms"]),
                when(one["last_ms"]),
                one["message"],
            )
            for one in found
        ]
        echo_table(("provider", "status", "calls", "since (UTC)", "last (UTC)", "what it says"), rows)
