"""`trivium admins`: credentials for the admin API, while the gateway runs or not."""

from __future__ import annotations

import time

import click

from trivium.cli.ask import ask
from trivium.cli.options import config_option, echo_json, echo_table, json_option, when
from trivium.clock import age_ms
from trivium.errors import OperationError


@click.group()
def admins() -> None:
    """Create, list and revoke credentials for the admin API under /admin/v1. They are no API keys."""


@admins.command()
@click.option("--name", required=True, help="What or whom it is for.")
@click.option("--user", help="The user whose roles it has; without one it may do everything.")
@click.option("--expires-in", metavar="AGE", help="How long it is good, as 12h or 90d; by default until it is revoked.")
@config_option
@json_option
def create(name: str, user: str | None, expires_in: str | None, config_file: str | None, as_json: bool) -> None:
    """Create a credential. Its text is shown this once; only a keyed hash is kept."""
    made = ask(config_file, "admins.create", name=name, user=user, expires_ms=_moment(expires_in))
    if as_json:
        echo_json(made)
    else:
        click.echo(made["credential"])
        click.echo(f"{made['id']} ({made['name']}): copy it now, it is not shown again.", err=True)


@admins.command(name="list")
@click.option("--after", default="", metavar="CURSOR", help="The part of the list behind this.")
@click.option("--limit", type=click.IntRange(1, 200), default=200, show_default=True)
@config_option
@json_option
def list_(after: str, limit: int, config_file: str | None, as_json: bool) -> None:
    """List the credentials, revoked ones too."""
    found = ask(config_file, "admins.list", after=after, limit=limit)
    if as_json:
        echo_json(found)
        return
    rows = [
        (
            row["id"],
            row["name"],
            f"...{row['hint']}",
            row["user_id"] or "the house's",
            *(when(row[name]) or "-" for name in ("created_ms", "expires_ms", "revoked_ms")),
        )
        for row in found["items"]
    ]
    echo_table(("id", "name", "credential", "user", "created (UTC)", "expires (UTC)", "revoked (UTC)"), rows)
    if found["next"]:
        click.echo(f"There are more: --after {found['next']}", err=True)


@admins.command()
@click.argument("admin")
@config_option
@json_option
def revoke(admin: str, config_file: str | None, as_json: bool) -> None:
    """Revoke the credential with the id ADMIN."""
    ended = ask(config_file, "admins.revoke", admin=admin)
    if as_json:
        echo_json(ended)
    else:
        click.echo(f"{ended['id']} ({ended['name']}) is revoked.")


def _moment(age: str | None) -> int | None:
    """Milliseconds since the epoch, that long from now."""
    if age is None:
        return None
    try:
        return int(time.time() * 1000) + age_ms(age)
    except ValueError:
        raise OperationError(f"{age!r} is no length of time; expected one like 12h or 90d.") from None
