"""`trivium keys`: API keys, while the gateway runs or not."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.choices import (
    ahead,
    limit_options,
    organization_option,
    said,
    scope_options,
    show_fields,
    take_budget,
    take_limits,
    take_scopes,
    user_option,
)
from trivium.cli.options import echo_json, echo_rows, usual_options, when

budget_option = click.option("--budget", metavar="USD", help="The most that it may spend in a period (--period).")
period_option = click.option("--period", type=click.Choice(["day", "week", "month", "total"]), help="UTC.")
capture_option = click.option(
    "--capture/--no-capture", default=None, help="Keep the bodies of its calls for some days."
)
capture_until_option = click.option("--capture-until", help="When that ends: as --expires, such as 24h.")
expires_option = click.option("--expires", help="2026-12-31, a moment (ISO 8601), or how long from now: 90d, 12h.")


@click.group()
def keys() -> None:
    """Create, list, change, rotate and revoke API keys. Takes effect at once in a running gateway."""


@keys.command()
@click.option("--name", required=True, help="What the key is for.")
@click.option("--strict", is_flag=True, help="Refuse calls that cannot reach a model without loss.")
@click.option("--account", help="The account whose balance pays for its calls.")
@click.option("--organization", help="The organization that pays, and whose policy holds.")
@click.option("--user", help="The user whose it is; budgets and usage can be by user.")
@click.option("--project", help="A project of the organization; without one, a word for what its calls are for.")
@expires_option
@click.option("--short-lived", is_flag=True, help="It expires after 15 minutes.")
@scope_options
@limit_options
@budget_option
@period_option
@capture_option
@capture_until_option
@usual_options
def create(config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Create a key. Its text is shown this once; only a keyed hash is kept."""
    asked = _of_key(arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    made = ask(config_file, "keys.create", **given, **asked)
    echo_json(made) if as_json else _show_text(made)


@keys.command(name="list")
@organization_option
@user_option
@usual_options
def list_(organization: str | None, user: str | None, config_file: str | None, as_json: bool) -> None:
    """List all keys, revoked ones too."""
    found = every(config_file, "keys.list", organization=organization, user=user)
    found.sort(key=lambda key: (key["created_ms"], key["id"]))
    rows = [
        (
            key["id"],
            key["name"],
            f"...{key['hint']}",
            when(key["created_ms"]),
            when(key["revoked_ms"]) or "-",
            "strict" if key["strict"] else "-",
            "on" if key["capture"] else "-",
            *(key[name] or "-" for name in ("account_id", "user_id", "project_id")),
        )
        for key in found
    ]
    heads = ("id", "name", "key", "created (UTC)", "revoked (UTC)", "losses", "capture", "account", "user", "project")
    echo_rows(found, as_json, heads, rows)


@keys.command()
@click.argument("key")
@usual_options
def show(key: str, config_file: str | None, as_json: bool) -> None:
    """Show KEY, named by its id or its name, with what it is good for and its limits."""
    found = ask(config_file, "keys.show", key=key)
    if as_json:
        echo_json(found)
        return
    ceiling = found["ceiling"]
    most = {**ceiling["scopes"], **ceiling["limits"], "expires": when(ceiling["expires_ms"])}
    found |= {"scopes": said(found["scopes"]), "limits": said(found["limits"]), "ceiling": said(most)}
    show_fields(found)


@keys.command(name="set")
@click.argument("key")
@click.option("--name")
@click.option("--strict/--no-strict", default=None, help="Refuse calls that cannot reach a model without loss.")
@click.option("--project")
@expires_option
@click.option("--no-expiry", is_flag=True, help="It never expires.")
@scope_options
@click.option("--all-scopes", is_flag=True, help="It is good for all that its owner may do.")
@limit_options
@budget_option
@period_option
@capture_option
@capture_until_option
@usual_options
def set_(key: str, config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Change KEY, named by its id or its name. What no option says stays as it is."""
    never, everything = arguments.pop("no_expiry"), arguments.pop("all_scopes")
    asked = _of_key(arguments, ask(config_file, "keys.show", key=key)["limits"])
    asked |= {"expires_ms": None} if never else {}
    asked |= {"scopes": {}} if everything else {}
    given = {name: value for name, value in arguments.items() if value is not None}
    changed = ask(config_file, "keys.set", key=key, **given, **asked)
    echo_json(changed) if as_json else click.echo(f"{changed['id']} ({changed['name']}) is changed.")


@keys.command()
@click.argument("key")
@click.option(
    "--overlap", default=24, show_default=True, help="Hours for which the old text stays good; 0: it ends now."
)
@usual_options
def rotate(key: str, overlap: int, config_file: str | None, as_json: bool) -> None:
    """Give KEY, named by its id or its name, a new text. Everything else about it stays."""
    made = ask(config_file, "keys.rotate", key=key, overlap_hours=overlap)
    echo_json(made) if as_json else _show_text(made)


@keys.command()
@click.argument("key")
@usual_options
def revoke(key: str, config_file: str | None, as_json: bool) -> None:
    """Revoke KEY, named by its id or its name."""
    ended = ask(config_file, "keys.revoke", key=key)
    echo_json(ended) if as_json else click.echo(f"{ended['id']} ({ended['name']}) is revoked.")


def _of_key(arguments: dict[str, Any], limits_before: dict[str, Any] | None = None) -> dict[str, Any]:
    """Takes out of the arguments what the operation has in another form."""
    asked = {
        "scopes": take_scopes(arguments),
        "limits": take_limits(arguments, limits_before),
        "budget": take_budget(arguments),
        "expires_ms": ahead(arguments.pop("expires")),
        "capture_until_ms": ahead(arguments.pop("capture_until")),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _show_text(made: dict[str, Any]) -> None:
    click.echo(made["key"])
    click.echo(f"{made['id']} ({made['name']}): copy the key now, it is not shown again.", err=True)
