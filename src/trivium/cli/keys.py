"""`trivium keys`: API keys, while the gateway runs or not."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask
from trivium.cli.options import config_option, echo_json, echo_table, json_option, when


@click.group()
def keys() -> None:
    """Create, list and revoke API keys. Takes effect at once in a running gateway."""


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--strict", is_flag=True, help="Refuse calls that cannot reach a model without loss.")
@click.option("--account", help="The account whose balance pays for its calls.")
@click.option("--user", help="The user whose it is; budgets and usage can be by user.")
@click.option("--project", help="What its calls are for; budgets can be by project.")
@config_option
@json_option
def create(config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Create a key. Its text is shown this once; only a keyed hash is kept."""
    made = ask(config_file, "keys.create", **arguments)
    if as_json:
        echo_json(made)
    else:
        click.echo(made["key"])
        click.echo(f"{made['id']} ({made['name']}): copy the key now, it is not shown again.", err=True)


@keys.command(name="list")
@config_option
@json_option
def list_(config_file: str | None, as_json: bool) -> None:
    """List all keys, revoked ones too."""
    found = ask(config_file, "keys.list")
    if as_json:
        echo_json(found)
        return
    rows = [
        (
            key["id"],
            key["name"],
            f"...{key['hint']}",
            when(key["created_ms"]),
            when(key["revoked_ms"]) or "-",
            "strict" if key["strict"] else "-",
            *(key[name] or "-" for name in ("account_id", "user_id", "project_id")),
        )
        for key in found
    ]
    heads = ("id", "name", "key", "created (UTC)", "revoked (UTC)", "losses", "account", "user", "project")
    echo_table(heads, rows)


@keys.command()
@click.argument("key")
@config_option
@json_option
def revoke(key: str, config_file: str | None, as_json: bool) -> None:
    """Revoke KEY, named by its id or its name."""
    ended = ask(config_file, "keys.revoke", key=key)
    if as_json:
        echo_json(ended)
    else:
        click.echo(f"{ended['id']} ({ended['name']}) is revoked.")
