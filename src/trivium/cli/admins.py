"""`trivium admins`: credentials for the admin API, while the gateway runs or not."""

from __future__ import annotations

import click

from trivium.cli.ask import ask, every
from trivium.cli.choices import ahead
from trivium.cli.options import echo_json, echo_rows, usual_options, when


@click.group()
def admins() -> None:
    """Create, list and revoke credentials for the admin API under /admin/v1. They are no API keys."""


@admins.command()
@click.option("--name", required=True, help="What or whom it is for.")
@click.option("--user", help="The user whose roles it has; without one it may do everything.")
@click.option("--expires", help="A date (its end, UTC), a moment, or how long from now: 90d, 12h.")
@usual_options
def create(name: str, user: str | None, expires: str | None, config_file: str | None, as_json: bool) -> None:
    """Create a credential. Its text is shown this once; only a keyed hash is kept."""
    made = ask(config_file, "admins.create", name=name, user=user, expires_ms=ahead(expires))
    if as_json:
        echo_json(made)
    else:
        click.echo(made["credential"])
        click.echo(f"{made['id']} ({made['name']}): copy it now, it is not shown again.", err=True)


@admins.command(name="list")
@usual_options
def list_(config_file: str | None, as_json: bool) -> None:
    """List the credentials, revoked ones too."""
    found = every(config_file, "admins.list")
    times = ("created_ms", "expires_ms", "revoked_ms")
    rows = [
        (
            row["id"],
            row["name"],
            f"...{row['hint']}",
            row["user_id"] or "-",
            *(when(row[name]) or "-" for name in times),
        )
        for row in found
    ]
    heads = ("id", "name", "credential", "user", "created (UTC)", "expires (UTC)", "revoked (UTC)")
    echo_rows(found, as_json, heads, rows)


@admins.command()
@click.argument("admin")
@usual_options
def revoke(admin: str, config_file: str | None, as_json: bool) -> None:
    """Revoke the credential with the id ADMIN. Takes effect at once."""
    ended = ask(config_file, "admins.revoke", admin=admin)
    echo_json(ended) if as_json else click.echo(f"{ended['id']} ({ended['name']}) is revoked.")
