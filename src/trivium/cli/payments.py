"""`trivium payments`: credits that are bought, and cards that are charged by themselves."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask, every, settings_and_folder
from trivium.cli.options import config_option, echo_json, echo_rows, usual_options, when
from trivium.errors import ConfigError, OperationError

account_option = click.option("--account", required=True, help="The account's id.")


@click.group()
def payments() -> None:
    """Credits that are bought through the processor of payments (`[payments]` in the configuration)."""


@payments.command()
@account_option
@click.option("--usd", required=True, help="Credits to buy, such as 12.50.")
@click.option("--save", is_flag=True, help="Keep the card, so that it can be charged when the balance runs low.")
@usual_options
def begin(config_file: str | None, as_json: bool, **arguments: Any) -> None:
    """Make a page to pay on, and print its address."""
    begun = _ask(config_file, "payments.checkout", **arguments)
    echo_json(begun) if as_json else click.echo(begun["url"])


@payments.command(name="list")
@click.option("--account", help="Only this one's.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@usual_options
def list_(account: str | None, limit: int, config_file: str | None, as_json: bool) -> None:
    """The newest payments, and what became of them."""
    _check(config_file)
    found = every(config_file, "payments.list", limit, account=account)
    fields = ("id", "account_id", "kind", "status", "usd", "fee_usd", "credited_usd", "taken_back_usd", "problem")
    rows = [(when(row["created_ms"]), *(row[name] for name in fields)) for row in found]
    heads = ("time (UTC)", "id", "account", "kind", "status", "USD", "fee", "credited", "taken back", "problem")
    echo_rows(found, as_json, heads, rows)


@payments.command()
@click.argument("payment")
@config_option
def show(payment: str, config_file: str | None) -> None:
    """Show PAYMENT, by its id, as JSON."""
    echo_json(_ask(config_file, "payments.show", payment=payment))


@payments.group()
def strays() -> None:
    """Payments that belong to no account here: money that nobody's balance has."""


@strays.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Also those that wait for nobody.")
@usual_options
def list_strays(everything: bool, config_file: str | None, as_json: bool) -> None:
    """What the processor told, and why nobody has it."""
    found = _ask(config_file, "payments.strays", all=everything)
    rows = [
        (when(one["time_ms"]), one["event"], one["content"]["told"], one["why"], when(one["ended_ms"]) or "-")
        for one in found
    ]
    echo_rows(found, as_json, ("time (UTC)", "event", "told", "why", "seen to (UTC)"), rows)


@strays.command()
@click.argument("event")
@click.option("--note", help="What was done about it.")
@config_option
def end(event: str, note: str | None, config_file: str | None) -> None:
    """Somebody has seen to EVENT."""
    _ask(config_file, "payments.strays.end", event=event, note=note)
    click.echo(f"{event} waits for nobody any more.")


@payments.group()
def auto() -> None:
    """Saved cards that are charged when a balance runs low (`[payments] auto_top_up`)."""


@auto.command(name="list")
@click.option("--account", help="Only this one's.")
@usual_options
def list_auto(account: str | None, config_file: str | None, as_json: bool) -> None:
    """What was agreed, and what was charged in this month."""
    _check(config_file)
    found = every(config_file, "payments.auto.list", account=account)
    fields = ("account_id", "enabled", "below_usd", "usd", "month_usd", "month_charged_usd", "card", "problem")
    rows = [tuple(row[name] for name in fields) for row in found]
    echo_rows(found, as_json, ("account", "on", "below", "USD", "a month", "charged", "card", "problem"), rows)


@auto.command(name="set")
@account_option
@click.option("--below-usd", required=True, help="The balance below which the card is charged.")
@click.option("--usd", required=True, help="Credits that are bought each time.")
@click.option("--month-usd", required=True, help="The most that the card is charged in a month (UTC), with fees.")
@usual_options
def set_(config_file: str | None, as_json: bool, **arguments: str) -> None:
    """Have the account's saved card charged when its balance runs low."""
    agreed = _ask(config_file, "payments.auto.set", **arguments)
    echo_json(agreed) if as_json else click.echo(f"{agreed['account_id']}: {agreed['card']} is charged from now on.")


@auto.command()
@account_option
@config_option
def off(account: str, config_file: str | None) -> None:
    """Charge the account's card no more."""
    click.echo(f"The card of {_ask(config_file, 'payments.auto.off', account=account)['account']} is charged no more.")


@payments.command(name="remove-card")
@account_option
@config_option
def remove_card(account: str, config_file: str | None) -> None:
    """Forget the account's saved card."""
    click.echo(f"{_ask(config_file, 'payments.card.remove', account=account)['account']} has no card any more.")


def _ask(config_file: str | None, operation: str, **arguments: Any) -> Any:
    _check(config_file)
    return ask(config_file, operation, **arguments)


def _check(config_file: str | None) -> None:
    """Raises OperationError where there are no such operations."""
    try:
        settings, _ = settings_and_folder(config_file)
    except ConfigError:
        return  # it says nothing of the gateway that runs
    if settings.payments.provider is None:
        raise OperationError("No payments are taken here: `[payments]` in the configuration says who processes them.")
