"""`trivium usage` and `trivium requests`: what the records say."""

from __future__ import annotations

from typing import Any

import click

from trivium.cli.ask import ask, every
from trivium.cli.choices import organization_option, user_option
from trivium.cli.options import echo_json, echo_rows, echo_table, moment, several, usual_options, when
from trivium.cli.story import show_bodies, show_story
from trivium.money import nano_text
from trivium.operations.money import nano

_VERDICTS = ("allow", "soft_block", "challenge", "hard_block", "suspect")
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


_filtered = several(
    user_option,
    organization_option,
    click.option("--without", multiple=True, metavar="WHAT:VALUE", help="What is left out."),
    click.option("--only", multiple=True, metavar="WHAT:VALUE", help="Such as model:openai/gpt-5; any of several."),
)


@click.group(invoke_without_command=True)
@click.option("--by", default="day,model,key", show_default=True, help="Comma-separated: day, model, key, api, ...")
@click.option("--since", help="2026-01-31, or an age such as 90m, 24h or 7d.")
@click.option("--until", help="As --since; itself excluded.")
@_filtered
@usual_options
@click.pass_context
def usage(  # noqa: PLR0917
    ctx: click.Context,
    /,
    by: str,
    since: str | None,
    until: str | None,
    config_file: str | None,
    as_json: bool,
    **whose: Any,
) -> None:
    """Requests and tokens by day, model and key. Days are UTC; input includes what caches gave and took."""
    if ctx.invoked_subcommand is not None:
        return
    groups = _words(by)
    rows = ask(config_file, "usage", by=groups, since_ms=moment(since), until_ms=moment(until), **whose)
    heads = [*groups, *_USAGE_HEADS.values()]
    shown = [{**row, "cost_nano": nano_text(row["cost_nano"])} for row in rows]
    echo_rows(rows, as_json, heads, [[row[name] for name in (*groups, *_USAGE_HEADS)] for row in shown])


_REPORT_HEADS = {
    "requests": "requests",
    "cost_nano": "cost USD",
    "input_tokens": "input",
    "cache_share": "cached",
    "output_tokens": "output",
    "error_rate": "failed",
    "ttfb_p50_ms": "TTFB p50",
    "ttfb_p95_ms": "p95",
    "total_p50_ms": "total p50",
    "total_p95_ms": "p95",
}
_SHARES = ("cache_share", "error_rate")


@usage.command("report")
@click.option("--period", type=click.Choice(["day", "week", "month"]), help="As far as it has come. Default: day.")
@click.option("--since", help="2026-01-31, or an age such as 24h or 7d, in place of a period; whole hours.")
@click.option("--until", help="As --since; itself excluded.")
@click.option("--by", default="model", show_default=True, help="One or two, comma-separated: model, user, app, ...")
@click.option("--top", default=100, show_default=True, type=click.IntRange(1, 500), help="Groups told one by one.")
@_filtered
@click.option("--csv", "as_csv", is_flag=True, help="Print a table for spreadsheets.")
@usual_options
def report(  # noqa: PLR0917
    period: str | None,
    since: str | None,
    until: str | None,
    by: str,
    top: int,
    as_csv: bool,
    config_file: str | None,
    as_json: bool,
    **whose: Any,
) -> None:
    """What a period came to: cost, tokens, shares and times of what cost most. Times are milliseconds."""
    own = since is not None or until is not None
    if own and period is not None:
        raise click.UsageError("Either a --period, or --since and --until.")
    if since is None and until is not None:
        raise click.UsageError("--until needs --since.")
    if len(_words(by)) > 2:
        raise click.UsageError("--by takes one or two, such as --by model,user.")
    asked = {"period": "custom" if own else period or "day", "by": _words(by), "top": top, **whose}
    asked |= {"since_ms": moment(since), "until_ms": moment(until)}
    if as_csv:
        click.echo(ask(config_file, "usage.csv", **asked)["text"], nl=False)
        return
    told = ask(config_file, "usage.report", **asked)
    if as_json:
        echo_json(told)
        return
    rows = [[*_group(row), *_figures(row["figures"])] for row in told["rows"]]
    rows.append([*("total", *[""] * len(told["by"]))[: len(told["by"])], *_figures(told["total"])])
    echo_table([*told["by"], *_REPORT_HEADS.values()], rows)


def _words(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _group(row: dict[str, Any]) -> list[str | None]:
    keys = ["(others)" if row["other"] and key is None else key for key in row["keys"]]
    return [f"{name} ({key})" if name and name != key else key for key, name in zip(keys, row["names"], strict=True)]


def _figures(told: dict[str, Any]) -> list[Any]:
    shown = {**told, "cost_nano": nano_text(told["cost_nano"])}
    shown |= {name: None if told[name] is None else f"{told[name]:.1%}" for name in _SHARES}
    shown |= {name: value if value is None else round(value) for name, value in told.items() if name.endswith("_ms")}
    return [shown[name] for name in _REPORT_HEADS]


@click.command()
@click.option("--id", "request_id", help="One request in full, by the id in its x-trivium-request-id header.")
@click.option("--bodies", is_flag=True, help="With --id: the bodies that are kept of it. That you read them is noted.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--outcome", type=click.Choice(["success", "refused", "failed", "aborted"]))
@click.option("--since", help="2026-01-31, or an age such as 90m, 24h or 7d.")
@click.option("--until", help="As --since; itself excluded.")
@click.option("--model", help="As usage names it: provider/model.")
@click.option("--requested", help="The model's name in the request.")
@click.option("--provider")
@click.option("--key", metavar="ID")
@click.option("--project")
@click.option("--api")
@click.option("--app", help="The program that called, as usage names it.")
@click.option("--status", type=click.IntRange(100, 599), help="That the client got.")
@click.option("--min-cost", metavar="USD")
@click.option("--verdict", type=click.Choice(_VERDICTS), help="Of who looked for abuse; suspect: any but allow.")
@click.option("--flag", help="A word among the record's flags, such as estimated.")
@click.option("--address", metavar="PSEUDONYM", help="Where from, as `trivium free` names addresses.")
@click.option("--text", default="", help="The beginning or a part of the id.")
@organization_option
@user_option
@usual_options
def requests(  # noqa: PLR0917
    request_id: str | None,
    bodies: bool,
    limit: int,
    since: str | None,
    until: str | None,
    min_cost: str | None,
    config_file: str | None,
    as_json: bool,
    **filters: Any,
) -> None:
    """The newest requests, or one in full: its way, its times, its receipt."""
    if request_id is not None:
        whose = {name: filters[name] for name in ("organization", "user")}
        _show_one(config_file, request_id, whose, bodies=bodies, as_json=as_json)
        return
    if bodies:
        raise click.UsageError("--bodies are of one request: --id.")
    told = {name: value for name, value in filters.items() if value is not None}
    told |= {"since_ms": moment(since), "until_ms": moment(until)}
    if min_cost is not None:
        told["min_cost_nano"] = nano(min_cost)
    found = every(config_file, "requests.search", limit, **told)
    echo_json(found) if as_json else _show_many(found)


def _show_one(config_file: str | None, id: str, whose: dict[str, Any], *, bodies: bool, as_json: bool) -> None:
    story = ask(config_file, "requests.story", request=id, **whose)
    kept = ask(config_file, "requests.bodies", request=id, **whose) if bodies else None
    if as_json:
        told = {**story.pop("request"), "story": story}
        echo_json(told if kept is None else told | {"bodies": kept})
        return
    show_story(story)
    if kept is not None:
        show_bodies(kept)


def _show_many(rows: list[dict[str, Any]]) -> None:
    heads = ("id", "time (UTC)", "api", "model", "status", "outcome", "input", "output", "cost USD", "ms", "error")
    echo_table(heads, [_short(row) for row in rows])


def _short(row: dict[str, Any]) -> tuple[object, ...]:
    api = row["api"] + (" (count)" if row["operation"] == "count_tokens" else "")
    tokens = (_input(row), row["output_tokens"]) if row["usage_known"] else (None, None)
    asked = (row["id"], when(row["time_ms"]), api, row["requested_model"])
    cost = nano_text(row["cost_nano"]) if row["cost_source"] else None
    return (*asked, row["status"], row["outcome"], *tokens, cost, row["total_us"] // 1000, row["error_code"])


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
