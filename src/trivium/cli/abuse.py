"""`trivium abuse`: what the running gateway judged, and how its classifier does."""

from __future__ import annotations

import click

from trivium.cli.ask import ask_running
from trivium.cli.options import echo_rows, usual_options
from trivium.errors import OperationError


@click.command()
@usual_options
def abuse(config_file: str | None, as_json: bool) -> None:
    """Verdicts since the gateway started, and the classifier's answers, failures and reports."""
    try:
        told = ask_running(config_file, "abuse.status")
    except ConnectionError:
        raise OperationError("No gateway runs here, and only a running one has these figures.") from None
    rows = [[name.replace("_", " "), str(value)] for name, value in told.items()]
    echo_rows(told, as_json, ["what", "how many"], rows)
