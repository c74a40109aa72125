"""`trivium reconcile`: our records against those that a provider keeps."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from trivium.cli.ask import ask
from trivium.cli.options import echo_json, echo_table, moment, usual_options, when
from trivium.money import nano_text
from trivium.operations.reconcile import Comparison, Reconciliation, summed
from trivium.store.reconcile import PAGE

_HEADS = ("day", "model", "requests", "found", "ours USD", "theirs USD", "difference", "cost differs", "tokens differ")
_LARGEST_HEADS = ("id", "time (UTC)", "model", "outcome", "ours USD", "theirs USD", "difference", "tokens ours/theirs")


@click.command()
@click.option("--provider", required=True, help="One that keeps generation records: OpenRouter, Vercel.")
@click.option("--since", default="7d", show_default=True, help="2026-01-31, or an age such as 90m, 24h or 7d.")
@click.option("--until", help="As --since; itself excluded.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 1_000_000), help="The newest records.")
@usual_options
@click.pass_context
def reconcile(
    ctx: click.Context,
    *,
    provider: str,
    since: str,
    until: str | None,
    limit: int,
    config_file: str | None,
    as_json: bool,
) -> None:
    """What the provider says it charged for each request, and what we thought. Days are UTC.

    Exit status 1 where a request differs by more than a nanodollar, or where none of them was found.
    """
    compared, more = _compare(config_file, provider, moment(since), moment(until), limit)
    report = summed(compared)
    if as_json:
        echo_json({"provider": provider, "more": more, **msgspec.to_builtins(report)})
    else:
        _show(report, provider, more=more)
    if report.differing or (report.requests and not report.found):
        ctx.exit(1)


def _compare(
    config_file: str | None, provider: str, since_ms: int | None, until_ms: int | None, limit: int
) -> tuple[list[Comparison], bool]:
    """Page by page; and whether there are more than `limit`."""
    bounds = {"since_ms": since_ms, "until_ms": until_ms}
    span: dict[str, Any] | None = {name: bound for name, bound in bounds.items() if bound is not None}
    compared: list[Comparison] = []
    while span is not None and len(compared) < limit:
        page = ask(config_file, "reconcile", provider=provider, **span, limit=min(PAGE, limit - len(compared)))
        compared += msgspec.convert(page["compared"], list[Comparison])
        span = page["next"]
        click.echo(f"{len(compared)} records compared", err=True)
    return compared, span is not None


def _show(report: Reconciliation, provider: str, *, more: bool) -> None:
    echo_table(
        _HEADS,
        [
            (row.day, row.model, row.requests, row.found, *_money(row), row.differing, row.tokens_differing)
            for row in report.rows
        ],
    )
    if report.largest:
        click.echo("\nlargest differences")
        echo_table(_LARGEST_HEADS, [_line(one) for one in report.largest])
    click.echo()
    missing = ", ".join(f"{count} {why}" for why, count in report.not_found.items())
    click.echo(
        f"{report.found} of {report.requests} records were found at {provider}"
        + (f"; {report.requests - report.found} were not: {missing}" if missing else "")
        + (f"; there are more than the newest {report.requests}: see --limit" if more else "")
    )


def _line(one: Comparison) -> tuple[object, ...]:
    tokens = " ".join(f"{name} {ours}/{theirs}" for name, (ours, theirs) in one.tokens.items())
    return (one.id, when(one.time_ms), one.model, one.outcome, *_money(one), tokens or "-")


def _money(one: Any) -> tuple[str, str, str]:
    return (nano_text(one.ours_nano), nano_text(one.theirs_nano), nano_text(one.difference_nano))
