"""`trivium prices`: what models cost, who says so, and what an operator says instead."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

import click

from trivium.cli.ask import ask
from trivium.cli.options import PPM_PER_PERCENT, echo_json, echo_rows, echo_table, moment, percent, usual_options, when
from trivium.errors import OperationError
from trivium.metering.book import LEAST_MARKUP, MOST_MARKUP
from trivium.money import nano_text

_EXAMPLE = '{ input = "3", output = "15" }'
_MOST_PPM = 10**12
_RATES = ("input", "output", "cache_read", "cache_write_5m")
_account_option = click.option("--account", "account_id", metavar="ID", help="Of one account rather than of all.")


@click.group()
def prices() -> None:
    """Show, set and compare prices. USD per million tokens; tools and requests per thousand."""


@prices.command()
@click.argument("model", required=False)
@click.option("--version", help="A version that was charged with, instead of a model.")
@click.option("--at", help="A moment such as 2026-01-31; default: now.")
@_account_option
@usual_options
def show(  # noqa: PLR0917 # options
    model: str | None,
    version: str | None,
    at: str | None,
    account_id: str | None,
    config_file: str | None,
    as_json: bool,
) -> None:
    """Show the price of MODEL, or of every model that is listed."""
    told = ask(config_file, "prices.show", model=model, version=version, at_ms=moment(at), account_id=account_id)
    if as_json:
        echo_json(told)
    elif isinstance(told, list):
        heads = ("model", "version", "input", "output", "cache read", "cache write", "markup", "source")
        echo_table(heads, [_short(one) for one in told])
    else:
        _show_one(told)


@prices.command(name="set")
@click.argument("pattern")
@click.option("--price", "table", metavar="TABLE", help=f"Such as '{_EXAMPLE}'.")
@click.option("--file", type=click.Path(path_type=Path, dir_okay=False), help="A TOML file that is such a table.")
@click.option("--markup", metavar="PERCENT", help="On top of the price; a discount where negative.")
@click.option("--remove", is_flag=True, help="End price and markup that were set for PATTERN.")
@_account_option
@click.option("--from", "since", help="The moment from which it holds, past or future; default: now.")
@click.option("--note", help="Why, for those who read the history.")
@usual_options
def set_(  # noqa: PLR0917 # options
    pattern: str,
    table: str | None,
    file: Path | None,
    markup: str | None,
    remove: bool,
    account_id: str | None,
    since: str | None,
    note: str | None,
    config_file: str | None,
    as_json: bool,
) -> None:
    """Set what PATTERN costs: PROVIDER/MODEL, with `*` and `?` for many. Holds at once in a running gateway."""
    made = ask(
        config_file,
        "prices.set",
        pattern=pattern,
        price=_table(table, file),
        markup_ppm=_ppm(markup),
        remove=remove,
        account_id=account_id,
        effective_ms=moment(since),
        note=note,
    )
    echo_json(made) if as_json else click.echo(f"{_sentence(made)}, from {when(made['effective_ms'])} UTC.")


@prices.command()
@click.argument("model")
@usual_options
def history(model: str, config_file: str | None, as_json: bool) -> None:
    """Show what MODEL was charged with, and what was set for it."""
    told = ask(config_file, "prices.history", model=model)
    if as_json:
        echo_json(told)
        return
    heads = ("version", "first (UTC)", "last (UTC)", "requests", "charged USD", "input", "output", "source")
    echo_table(heads, [_used(one) for one in told["charged"]])
    if told["rerated"]:
        click.echo()
        echo_table(
            ("priced anew with", "first (UTC)", "last (UTC)", "requests", "difference USD"),
            [
                (
                    one["version"],
                    when(one["first_ms"]),
                    when(one["last_ms"]),
                    one["requests"],
                    nano_text(one["difference_nano"]),
                )
                for one in told["rerated"]
            ],
        )
    if told["overrides"]:
        click.echo()
        said = ("set for", "account", "from (UTC)", "said (UTC)", "what", "note")
        echo_table(said, [_override(one) for one in told["overrides"]])


@prices.command()
@click.argument("versions", nargs=-1)
@usual_options
def diff(versions: tuple[str, ...], config_file: str | None, as_json: bool) -> None:
    """Compare two versions, or what was last charged with and what the book says now."""
    if len(versions) not in (0, 2):
        raise click.UsageError("Name two versions, or none.")
    told = ask(config_file, "prices.diff", **dict(zip(("a", "b"), versions, strict=False)))
    rows = [
        (one["model"], one["from"], one["to"], rate, *values)
        for one in told
        for rate, values in (one["rates"] or {"everything": (None, None)}).items()
    ]
    echo_rows(told, as_json, ("model", "from", "to", "rate", "before", "after"), rows)


@prices.command()
@click.option("--since", required=True, help="2026-01-31, or an age such as 24h or 7d.")
@click.option("--until", help="As --since; itself excluded.")
@click.option("--model", help="PROVIDER/MODEL.")
@click.option("--apply", is_flag=True, help="Book the differences, rather than show them.")
@usual_options
def rerate(  # noqa: PLR0917 # options
    since: str, until: str | None, model: str | None, apply: bool, config_file: str | None, as_json: bool
) -> None:
    """Show what past requests would cost at the prices that the book has by now for their time."""
    told = ask(config_file, "prices.rerate", since_ms=moment(since), until_ms=moment(until), model=model, apply=apply)
    if as_json:
        echo_json(told)
        return
    heads = ("model", "account", "requests", "changed", "unpriced", "before USD", "after USD", "difference USD")
    echo_table(heads, [_group(one) for one in told["groups"]])
    click.echo(f"{told['booked']} differences are booked." if apply else "Nothing is booked; --apply does it.")


def _short(one: dict[str, Any]) -> tuple[object, ...]:
    rates = one["price"] or {}
    return (one["model"], one["version"], *(rates.get(rate) for rate in _RATES), _markup(one), one["source"])


def _show_one(told: dict[str, Any]) -> None:
    price = told.pop("price") or {}
    rows = [(name.replace("_", " "), _plain(name, value)) for name, value in told.items() if name != "markup_ppm"]
    if told.get("markup_ppm"):
        rows.append(("markup", _markup(told)))
    echo_table(("of", "is"), rows)
    click.echo()
    echo_table(("rate", "USD"), list(_flat(price)))


def _plain(name: str, value: object) -> object:
    if name.endswith("_ms") and isinstance(value, int):
        return f"{when(value)} UTC"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else value


def _flat(table: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        rows += _flat(value, f"{above}{key}.") if isinstance(value, dict) else [(f"{above}{key}", value)]
    return rows


def _used(one: dict[str, Any]) -> tuple[object, ...]:
    rates = one["price"] or {}
    told = (one["version"], when(one["first_ms"]), when(one["last_ms"]), one["requests"], nano_text(one["cost_nano"]))
    return (*told, rates.get("input"), rates.get("output"), one["source"])


def _override(one: dict[str, Any]) -> tuple[object, ...]:
    moments = (when(one["effective_ms"]), when(one["created_ms"]))
    return (one["pattern"], one["account_id"] or "all", *moments, _what(one), one["note"])


def _sentence(made: dict[str, Any]) -> str:
    whose = f" for {made['account_id']}" if made["account_id"] else ""
    return f"{made['pattern']}{whose}: {_what(made)}"


def _what(override: dict[str, Any]) -> str:
    price = ", ".join(f"{rate} {usd}" for rate, usd in _flat(override["price"] or {}))
    markup = f"markup {percent(override['markup_ppm'])}" if override["markup_ppm"] is not None else ""
    return "; ".join(filter(None, (price, markup))) or "nothing set any more"


def _markup(one: dict[str, Any]) -> str | None:
    return percent(one["markup_ppm"]) if one["markup_ppm"] else None


def _group(one: dict[str, Any]) -> tuple[object, ...]:
    amounts = (nano_text(one[f"{name}_nano"]) for name in ("before", "after", "difference"))
    return (one["model"], one["account_id"], one["requests"], one["changed"], one["unpriced"], *amounts)


def _table(text: str | None, file: Path | None) -> dict[str, Any] | None:
    if text is not None and file is not None:
        raise click.UsageError("Give --price or --file, not both.")
    try:
        if file is not None:
            return tomllib.loads(file.read_text(encoding="utf-8"), parse_float=_digits)
        if text is not None:
            return _said(text)
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError, RecursionError) as error:
        raise OperationError(f"This is no price table: {error}.") from None
    return None


def _said(text: str) -> dict[str, Any]:
    """Raises OperationError."""
    try:
        table = tomllib.loads(f"price = {text}", parse_float=_digits)["price"]
    except tomllib.TOMLDecodeError:
        table = None
    if not isinstance(table, dict):
        raise OperationError(f"{text!r} is no price; expected one such as {_EXAMPLE}.")
    return table


def _digits(amount: str) -> str:
    """As it was written: JSON, in which a gateway that runs is asked, has no nan and no inf."""
    return amount.removeprefix("+").replace("_", "")


def _ppm(percent: str | None) -> int | None:
    if percent is None:
        return None
    try:
        ppm = Decimal(percent.removesuffix("%").strip()) * PPM_PER_PERCENT
        whole = int(ppm) if abs(ppm) < _MOST_PPM else None
    except ArithmeticError:
        whole = None
    if whole is None:
        raise OperationError(f"{percent!r} is no percentage; expected one such as 5 or -12.5.")
    if whole != ppm:
        raise OperationError(f"{percent!r} is finer than a ten-thousandth of a percent.")
    if not LEAST_MARKUP <= whole <= MOST_MARKUP:
        raise OperationError("A markup lies between -100 % and 10000 %.")
    return whole
