"""`trivium usage` and `trivium requests`: what the records say."""

from __future__ import annotations

import json
from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.options import config_option, echo_json, echo_table, json_option, moment, when
from trivium.errors import OperationError
from trivium.money import nano_text

_USAGE_HEADS = {
    "requests": "requests",
    "failed": "failed",
    "refused": "refused",
    "aborted": "aborted",
    "input_tokens": "input",
    "cache_read_tokens": "cache read",
    "cache_write_tokens": "cache write",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "cost_nano": "cost USD",
}


@click.command()
@click.option("--by", default="day,model,key", show_default=True, help="Comma-separated: day, model, key, api, ...")
@click.option("--since", help="2026-01-31, or an age such as 90m, 24h or 7d.")
@click.option("--until", help="As --since; itself excluded.")
@config_option
@json_option
def usage(by: str, since: str | None, until: str | None, config_file: str | None, as_json: bool) -> None:
    """Requests and tokens by day, model and key. Days are UTC; input includes what caches gave and took."""
    groups = [name.strip() for name in by.split(",") if name.strip()]
    rows = ask(config_file, "usage", by=groups, since_ms=moment(since), until_ms=moment(until))
    if as_json:
        echo_json(rows)
        return
    heads = [*groups, *_USAGE_HEADS.values()]
    shown = [{**row, "cost_nano": nano_text(row["cost_nano"])} for row in rows]
    echo_table(heads, [[row[name] for name in (*groups, *_USAGE_HEADS)] for row in shown])


@click.command()
@click.option("--id", "request_id", help="One request in full, by the id in its x-trivium-request-id header.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--outcome", type=click.Choice(["success", "refused", "failed", "aborted"]))
@config_option
@json_option
def requests(request_id: str | None, limit: int, outcome: str | None, config_file: str | None, as_json: bool) -> None:
    """The newest requests, or one in full with its receipt."""
    found = every(config_file, "requests", limit, id=request_id, outcome=outcome)
    if request_id is not None and not found:
        raise OperationError(f"There is no request {request_id!r}.")
    if as_json:
        echo_json(found[0] if request_id is not None else found)
    elif request_id is not None:
        _show_one(found[0])
        _show_receipt(ask(config_file, "receipt", request=request_id))
    else:
        _show_many(found)


def _show_many(rows: list[dict[str, Any]]) -> None:
    heads = ("id", "time (UTC)", "api", "model", "status", "outcome", "input", "output", "cost USD", "ms", "error")
    echo_table(heads, [_short(row) for row in rows])


def _short(row: dict[str, Any]) -> tuple[object, ...]:
    api = row["api"] + (" (count)" if row["operation"] == "count_tokens" else "")
    tokens = (_input(row), row["output_tokens"]) if row["usage_known"] else (None, None)
    asked = (row["id"], when(row["time_ms"]), api, row["requested_model"])
    cost = nano_text(row["cost_nano"]) if row["cost_source"] else None
    return (*asked, row["status"], row["outcome"], *tokens, cost, row["total_us"] // 1000, row["error_code"])


def _show_one(row: dict[str, Any]) -> None:
    """A field a line; of what the translation lost, a loss a line."""
    shown = {"time": f"{when(row['time_ms'])} UTC", **row}
    losses = json.loads(shown.pop("losses") or "[]")
    rows = [(name, value) for name, value in shown.items() if value not in (None, "")]
    echo_table(("field", "value"), [*rows, *(("lost", f"{field}: {why}") for field, why in losses)])


def _show_receipt(rows: list[dict[str, Any]]) -> None:
    """Its amounts add up to the last one, exactly."""
    if not rows:
        return
    click.echo()
    lines = [(row["what"], row["units"], row["usd_per_million"], row["usd"]) for row in rows]
    echo_table(("receipt", "units", "USD per million", "USD"), lines)


def _input(row: dict[str, Any]) -> int:
    return sum(
        row[name]
        for name in (
            "input_uncached_tokens",
            "cache_read_tokens",
            "cache_write_5m_tokens",
            "cache_write_1h_tokens",
            "cache_write_other_tokens",
        )
    )
