"""`trivium login-link`: a link for signing in to the dashboard, while the gateway runs or not."""

from __future__ import annotations

import click

from trivium.cli.ask import ask, settings_and_folder
from trivium.cli.options import echo_json, usual_options, when
from trivium.errors import OperationError
from trivium.operations.sessions import SWITCHED_OFF, address_of


@click.command("login-link")
@click.option("--user", help="Who signs in with it, by id; without one the house, which may do everything.")
@click.option("--minutes", type=click.IntRange(1, 10_080), default=15, show_default=True, help="How long it is good.")
@usual_options
def login_link(user: str | None, minutes: int, config_file: str | None, as_json: bool) -> None:
    """Make a link that signs somebody in to the dashboard, once."""
    made = ask(config_file, "sessions.link", user=user, minutes=minutes)
    url = made.get("url") or f"{_base(config_file)}/dashboard/sign-in?link={made['token']}"
    if as_json:
        echo_json({**made, "url": url})
    else:
        click.echo(url)
        click.echo(f"good once, until {when(made['expires_ms'])} UTC, for {user or 'the house'}", err=True)


def _base(config_file: str | None) -> str:
    """The address of a gateway that does not run. Raises OperationError where it would have no dashboard."""
    settings, _ = settings_and_folder(config_file)
    if not settings.dashboard.enabled:
        raise OperationError(SWITCHED_OFF)
    return settings.dashboard.url or address_of(settings.server.host, settings.server.port)
