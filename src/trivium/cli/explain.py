"""`trivium explain`: where a request would go, and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from trivium.canon.api import Api
from trivium.cli.ask import ask
from trivium.cli.options import echo_json, percent, usual_options
from trivium.errors import OperationError

_APIS = click.Choice([api.short for api in Api])


@click.command()
@click.argument("model", required=False)
@click.option("--api", type=_APIS, default="chat", show_default=True, help="The API that the client speaks.")
@click.option("--key", metavar="ID", help="Whose call it is, by the key's id. Default: a caller without a key.")
@click.option("--address", metavar="IP", help="From where it is called, for a key that is bound to networks.")
@click.option("--request", "file", metavar="FILE", help="A request as JSON. Default: one of a single word.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Such as x-trivium-task=t1.")
@usual_options
def explain(  # noqa: PLR0917
    model: str | None,
    api: str,
    key: str | None,
    address: str | None,
    file: str | None,
    headers: tuple[str, ...],
    config_file: str | None,
    as_json: bool,
) -> None:
    """What would become of a request for MODEL, without a call to anybody: routes, prices, limits, hold."""
    if model is None and file is None:
        raise click.UsageError("Name a MODEL, or a file with --request.")
    said = _read(file) if file is not None else {}
    sent = dict(header.partition("=")[::2] for header in headers)
    told = ask(config_file, "explain", model=model, api=api, key=key, address=address, request=said, headers=sent)
    if as_json:
        echo_json(told)
    else:
        click.echo("\n".join(_lines(told)))
        if key is None and (told.get("error") or {}).get("status") == 401:
            click.echo("This was a caller without a key: --key ID explains the call of one (`trivium keys list`).")


def _read(name: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(Path(name).read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise OperationError(f"{name}: {error.strerror}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise OperationError(f"{name}: not a JSON object: {error}") from None


def _lines(told: dict[str, Any]) -> list[str]:
    who = told.get("caller") or {}
    named = [f"{what} {who[what]}" for what in ("key", "user", "organization", "project") if who.get(what)]
    lines = [
        f"caller   {', '.join(named) or 'without a key'}",
        f"asks     {told.get('requested_model')} over {told['api']}",
    ]
    if told.get("own_key"):
        lines.append(f"own key  for {told['own_key']}")
    for route in told.get("routes", []):
        sign = "->" if route["chosen"] else "  "
        lines.append(f"{sign} {route['route']}: {route['why']}{_beside(route)}")
    lines += [f" x {route['route']}: {route['why']}" for route in told.get("refused", [])]
    lines += [
        f"limit    {one['used']:,} of {one['limit']:,} {one['kind']} of the {one['of']} {one['name']}"
        for one in told.get("limits", [])
    ]
    if hold := told.get("hold"):
        of = f" of ${hold['free_usd']} that are free of {hold['account']}" if "account" in hold else ""
        lines.append(f"hold     ${hold['hold_usd']}{of}, for about {hold['input_tokens']:,} tokens of input")
    if rules := told.get("rules"):
        lines.append(f"rules    {', '.join(rules)}")
    lines += [f"loses    {loss['field']}: {loss['why']}" for loss in told.get("losses", [])]
    if error := told.get("error"):
        lines.append(f"refused  {error['status']} {error['code']}: {error['message']}")
    return lines


def _beside(route: dict[str, Any]) -> str:
    price = route.get("price") or {}
    costs = f", ${price['input']} in and ${price['output']} out" if {"input", "output"} <= price.keys() else ""
    if markup := route.get("markup_ppm"):
        costs += f", {percent(markup)}"
    return f" ({route.get('api', 'not told')}{costs}, paid by {route['payer']})"
