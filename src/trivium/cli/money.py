"""`trivium accounts`, `credits`, `budgets` and `ledger`: who pays, with what, up to how much."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.ledger_verify import verify_command
from trivium.cli.options import echo_json, echo_rows, usual_options, when

account_option = click.option("--account", required=True, help="The account's id.")
usd_option = click.option("--usd", required=True, help="Decimal, such as 12.50.")
key_option = click.option(
    "--idempotency-key", help="The same change under the same key is made once; one is made up where none is given."
)
note_option = click.option("--note", help="Why; kept with the entry.")


@click.group()
def accounts() -> None:
    """Accounts of users and organizations, whose balances pay for calls in credits mode."""


@accounts.command()
@click.option("--name", required=True)
@click.option("--kind", type=click.Choice(["user", "organization"]), default="organization", show_default=True)
@click.option("--id", "id_", help="Made up where none is given.")
@usual_options
def create(name: str, kind: str, id_: str | None, config_file: str | None, as_json: bool) -> None:
    """Make an account; its keys are made with `trivium keys create --account ID`."""
    made = ask(config_file, "accounts.create", name=name, kind=kind, id=id_)
    echo_json(made) if as_json else click.echo(made["id"])


@accounts.command(name="list")
@click.option("--account", help="Only this one.")
@usual_options
def list_accounts(account: str | None, config_file: str | None, as_json: bool) -> None:
    """Balances, and what of them is held by calls in progress."""
    found = every(config_file, "accounts.list", account=account)
    found.sort(key=lambda row: (row["created_ms"], row["id"]))
    fields = ("id", "kind", "name", "balance_usd", "held_usd", "free_usd")
    rows = [[row[name] for name in fields] for row in found]
    echo_rows(found, as_json, ("id", "kind", "name", "balance", "held", "free"), rows)


@click.group()
def credits() -> None:
    """What is put on accounts, and given back."""


@credits.command()
@account_option
@usd_option
@click.option("--expires", help="A day (its end, UTC) or a moment, ISO 8601.")
@key_option
@note_option
@usual_options
def grant(config_file: str | None, as_json: bool, **arguments: str | None) -> None:
    """Give credits, for ever or until they expire. What expires first is used first."""
    _credit("credits.grant", config_file, as_json, arguments)


@credits.command(name="top-up")
@account_option
@usd_option
@key_option
@note_option
@usual_options
def top_up(config_file: str | None, as_json: bool, **arguments: str | None) -> None:
    """Add credits that were paid for."""
    _credit("credits.top_up", config_file, as_json, arguments)


@credits.command()
@account_option
@usd_option
@key_option
@note_option
@click.option("--overdraw", is_flag=True, help="Take more than is free, below zero; the entry is flagged.")
@usual_options
def adjust(config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Correct a balance; --usd=-3.20 takes away."""
    _credit("credits.adjust", config_file, as_json, arguments)


@credits.command()
@click.option("--request", required=True, help="The id in its x-trivium-request-id header.")
@click.option("--usd", help="A part of the charge; all that is left of it where none is given.")
@key_option
@note_option
@usual_options
def refund(config_file: str | None, as_json: bool, **arguments: str | None) -> None:
    """Give back what a request was charged."""
    made = ask(config_file, "credits.refund", **arguments)
    if as_json:
        echo_json(made)
        return
    given = "given back" if made["made"] else "were given back before under this key"
    click.echo(f"{made['account']}: {made['usd']} USD {given}.")


def _credit(operation: str, config_file: str | None, as_json: bool, arguments: dict[str, Any]) -> None:
    made = ask(config_file, operation, **arguments)
    if as_json:
        echo_json(made)
        return
    account = made["account"]
    done = "" if made["made"] else "was made before under this key; "
    click.echo(f"{done}{account['id']} has {account['balance_usd']} USD.")


@click.group()
def budgets() -> None:
    """The most that keys, users, accounts, members and projects may spend in a day, week, month or in total."""


@budgets.command(name="set")
@click.option(
    "--scope", required=True, help="key:ID, user:ID, account:ID, member:ACCOUNT/USER or project:ORGANIZATION/ID."
)
@click.option("--period", type=click.Choice(["day", "week", "month", "total"]), required=True, help="UTC.")
@usd_option
@usual_options
def set_(scope: str, period: str, usd: str, config_file: str | None, as_json: bool) -> None:
    """Set a budget, or change the one of the same scope and period. 0 allows nothing that costs."""
    made = ask(config_file, "budgets.set", scope=scope, period=period, usd=usd)
    echo_json(made) if as_json else click.echo(made["id"])


@budgets.command(name="list")
@usual_options
def list_budgets(config_file: str | None, as_json: bool) -> None:
    """Budgets, with what has been spent in the present period."""
    found = every(config_file, "budgets.list")
    found.sort(key=lambda row: (row["scope"], row["period"]))
    fields = ("id", "scope", "period", "usd", "spent_usd", "held_usd")
    rows = [[row[name] for name in fields] for row in found]
    echo_rows(found, as_json, ("id", "scope", "period", "limit", "spent", "held"), rows)


@budgets.command()
@click.argument("budget")
@usual_options
def remove(budget: str, config_file: str | None, as_json: bool) -> None:
    """End BUDGET, named by its id."""
    ended = ask(config_file, "budgets.remove", budget=budget)
    echo_json(ended) if as_json else click.echo(f"{ended['id']} has ended.")


@click.group()
def ledger() -> None:
    """The entries of accounts, and whether everything adds up."""


@ledger.command()
@click.option("--account", help="Only this one's.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@usual_options
def entries(account: str | None, limit: int, config_file: str | None, as_json: bool) -> None:
    """The newest entries."""
    found = every(config_file, "credits.entries", limit, account=account)
    rows = [
        (
            row["seq"],
            when(row["time_ms"]),
            row["account_id"],
            row["kind"],
            row["usd"],
            row["request_id"] or row["idempotency_key"],
            when(row["expires_ms"]) or "-",
            row["flags"] or "-",
            row["note"] or "-",
        )
        for row in found
    ]
    heads = ("seq", "time (UTC)", "account", "kind", "USD", "for", "expires (UTC)", "flags", "note")
    echo_rows(found, as_json, heads, rows)


ledger.add_command(verify_command)
