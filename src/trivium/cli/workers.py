"""`trivium workers`: the processes of the running gateway."""

from __future__ import annotations

import click

from trivium.cli.ask import ask_running
from trivium.cli.options import echo_rows, usual_options, when
from trivium.errors import OperationError


@click.command()
@usual_options
def workers(config_file: str | None, as_json: bool) -> None:
    """The processes of the running gateway, as far as they answer, and how often each was started."""
    try:
        found = ask_running(config_file, "workers.show")
    except ConnectionError:
        raise OperationError("No gateway runs here.") from None
    rows = [(one["number"], one["process"], when(one["since_ms"]), one["lives"]) for one in found]
    echo_rows(found, as_json, ("worker", "process", "since (UTC)", "lives"), rows)
