"""`trivium abuse`: what the running gateway judged, and how its classifier does."""

from __future__ import annotations

import click

from trivium.cli.ask import settings_and_folder
from trivium.cli.options import config_option, echo_json, echo_table, json_option
from trivium.errors import OperationError
from trivium.server import control


@click.command()
@config_option
@json_option
def abuse(config_file: str | None, as_json: bool) -> None:
    """Verdicts since the gateway started, and the classifier's answers, failures and reports."""
    _, folder = settings_and_folder(config_file)
    try:
        told = control.ask(folder, "abuse.status", {})
    except ConnectionError:
        raise OperationError("No gateway runs here, and only a running one has these figures.") from None
    if as_json:
        echo_json(told)
    else:
        echo_table(["what", "how many"], [[name.replace("_", " "), str(value)] for name, value in told.items()])
