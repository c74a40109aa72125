"""Usage: sums of calls by any groups, and the report that people read, which is a view of the same sums: a period, one
or two groups with names, shares and times.

A report counts whole hours, so that no record is looked at: a period begins with the hour that its beginning is in, and
ends with that of its end. Where there are very many groups, those that cost most are told one by one, and the others
together.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Annotated, Any, Literal

import msgspec

from trivium.clock import DAY_MS, HOUR_MS, dated
from trivium.errors import OperationError
from trivium.money import nano_text
from trivium.operations.table import SEES_CALLS, Actor, Op, Table, check_span
from trivium.policy.spending import window_start
from trivium.store import bands, usage
from trivium.store.aside import aside
from trivium.store.names import names_of
from trivium.store.store import Store
from trivium.store.usage import FILTERS, GROUPS, UsageQuery

Dimension = Literal[
    "hour", "day", "model", "provider", "key", "user", "project", "app", "api", "organization", "account", "outcome"
]
Period = Literal["day", "week", "month", "custom"]
_TIMES = ("hour", "day")
_MOST_HOURS = 32 * DAY_MS
"""A longer period is not told by the hour."""
MOST_GROUPS = 50_000
"""That are looked at for one answer: more would take memory and time from calls."""
_MOST_ROWS = 10_000
"""Of a report that is no table: it is made into JSON at once, in which time nobody else is heard."""


class UsageReport(UsageQuery, frozen=True, kw_only=True):
    """Which calls, and by what they are summed. `until_ms`: now if it is left out."""

    period: Period = "day"
    """Today, this week from Monday, or this month, as far as they have come, UTC; `custom`: from `since_ms`."""
    by: Annotated[tuple[Dimension, ...], msgspec.Meta(max_length=2)] = ("model",)
    top: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    """How many groups are told one by one, hours and days aside."""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What calls come to."""

    requests: int
    succeeded: int
    refused: int
    """By us; nothing was sent upstream."""
    failed: int
    aborted: int
    """The client left before the end."""
    usage_unknown: int
    """Answers that came without their tokens."""
    input_tokens: int
    """Everything that went in, with what caches gave and took."""
    input_uncached_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    """Part of the output."""
    cost_nano: int
    market_cost_nano: int


UsageRow = msgspec.defstruct(
    "UsageRow",
    [(name, str | None | msgspec.UnsetType, msgspec.UNSET) for name in GROUPS],
    bases=(Sums,),
    frozen=True,
    kw_only=True,
)
"""Sums of the calls that are alike in what they are grouped by; null: those where there is none."""


class Figures(Sums, frozen=True, kw_only=True):
    cache_share: float | None
    """Of the input, what came out of caches: 0 to 1."""
    error_rate: float | None
    """Of the calls that were sent upstream, those that failed: 0 to 1."""
    ttfb_mean_ms: float | None
    """Until the first byte of a good answer, as the following until its end."""
    ttfb_p50_ms: float | None
    ttfb_p95_ms: float | None
    total_mean_ms: float | None
    total_p50_ms: float | None
    total_p95_ms: float | None


class Group(msgspec.Struct, frozen=True, kw_only=True):
    keys: tuple[str | None, ...]
    """In the order of `by`; null: where there is none."""
    names: tuple[str | None, ...]
    """What keys, users, projects and organizations are called."""
    other: bool = False
    """All groups that are not told one by one."""
    figures: Figures


class Report(msgspec.Struct, frozen=True, kw_only=True):
    since_ms: int
    until_ms: int
    by: tuple[Dimension, ...]
    total: Figures
    rows: tuple[Group, ...]
    """Hours and days in their order, within them what cost most first."""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    """For a file."""
    text: str
    """CSV; money in USD. Cells that a spreadsheet might take for formulas begin with an apostrophe."""


class UsageOperations:
    """`table` is for `Operations`. Must run where the store is owned."""

    def __init__(self, store: Store, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` hands over what is not in the database yet."""
        self._store = store
        self._flush = flush
        self.table: Table = {
            "usage": Op(arguments=UsageQuery, result=list[UsageRow], act=self._usage, needs=SEES_CALLS),  # type: ignore[valid-type]
            "usage.report": Op(arguments=UsageReport, result=Report, act=self.report, needs=SEES_CALLS),
            "usage.csv": Op(arguments=UsageReport, result=Sheet, act=self._csv, needs=SEES_CALLS),
        }

    async def _usage(self, query: UsageQuery, actor: Actor) -> list[dict[str, Any]]:
        check_span(query.since_ms, query.until_ms)
        for name in query.by:
            if name not in GROUPS:
                raise OperationError(f"Usage cannot be grouped by {name!r}; expected one of {', '.join(GROUPS)}.")
        return await self._sums(query, actor)

    async def report(self, query: UsageReport, actor: Actor, most: int | None = None) -> Report:
        """`most`: rows. Raises OperationError, StoreUnavailable."""
        since, until = span(query, self._store.clock.now_ms())
        if "hour" in query.by and until - since > _MOST_HOURS:
            raise OperationError("More than 32 days are not told by the hour; group by day.")
        asked = msgspec.structs.replace(query, since_ms=since, until_ms=until)
        rows = await self._sums(asked, actor, timed=True)
        return await aside(self._told, asked, rows, _MOST_ROWS if most is None else most)

    async def _sums(self, query: UsageQuery, actor: Actor, *, timed: bool = False) -> list[dict[str, Any]]:
        """A row for each group, whoever asks. Raises OperationError, StoreUnavailable."""
        if len(set(query.by)) < len(query.by):
            raise OperationError("Usage is grouped by the same twice.")
        check_filters((*query.only, *query.without))
        await self._flush()
        return await aside(self._store.usage, query, public=not actor.house, timed=timed, most=MOST_GROUPS)

    def _told(self, asked: UsageReport, rows: list[dict[str, Any]], most: int) -> Report:
        shown = _gathered(rows, asked.by, asked.top)
        if len(shown) > most:
            raise OperationError(usage.MANY.format(most))
        named = [
            names_of(self._store.database, name, {keys[n] for keys, _, _ in shown if keys[n]}, asked.organization)
            for n, name in enumerate(asked.by)
        ]
        groups = [
            Group(
                keys=keys,
                names=tuple(names.get(key or "") for names, key in zip(named, keys, strict=True)),
                other=other,
                figures=figures(sums),
            )
            for keys, other, sums in shown
        ]
        return Report(
            since_ms=asked.since_ms or 0,
            until_ms=asked.until_ms or 0,
            by=asked.by,
            total=figures(summed(rows)),
            rows=tuple(groups),
        )

    async def _csv(self, query: UsageReport, actor: Actor) -> Sheet:
        report = await self.report(query, actor, MOST_GROUPS)
        day = dated(report.since_ms, "%Y-%m-%d")
        return Sheet(name=f"usage-{day}.csv", text=await aside(written, report))


def span(query: UsageReport, now_ms: int) -> tuple[int, int]:
    """The whole hours of a period, in milliseconds since the epoch. Raises OperationError."""
    end = now_ms + 1 if query.until_ms is None else query.until_ms
    if query.period == "custom":
        if query.since_ms is None:
            raise OperationError("Since when? A period of one's own needs `since_ms`.")
        since = query.since_ms
    elif query.since_ms is not None or query.until_ms is not None:
        raise OperationError(f"A {query.period} has its own beginning and end; `custom` takes other ones.")
    else:
        since = window_start(query.period, now_ms)
    check_span(since, end)
    return since - since % HOUR_MS, end - end % -HOUR_MS


def check_filters(filters: Iterable[str]) -> None:
    """Raises OperationError."""
    for text in filters:
        if (name := text.partition(":")[0]) not in FILTERS:
            raise OperationError(f"Usage cannot be filtered by {name!r}; expected one of {', '.join(FILTERS)}.")


def figures(sums: dict[str, int]) -> Figures:
    """Of what `store/usage` adds up, with durations."""
    counted = {name: sums[name] for name in Sums.__struct_fields__}
    ttfb, total = ([sums[name] for name in names] for names in (bands.TTFB, bands.TOTAL))
    sent = sums["succeeded"] + sums["failed"] + sums["aborted"]
    return Figures(
        **counted,
        cache_share=_share(sums["cache_read_tokens"], sums["input_tokens"]),
        error_rate=_share(sums["failed"], sent),
        ttfb_mean_ms=_mean(sums["ttfb_us"], sums["timed"]),
        ttfb_p50_ms=bands.ttfb_ms(ttfb, 0.5),
        ttfb_p95_ms=bands.ttfb_ms(ttfb, 0.95),
        total_mean_ms=_mean(sums["total_us"], sums["timed"]),
        total_p50_ms=bands.total_ms(total, 0.5),
        total_p95_ms=bands.total_ms(total, 0.95),
    )


def summed(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """Of all rows together."""
    total = dict.fromkeys(usage.SUMMED, 0)
    for row in rows:
        for name in total:
            total[name] += row[name]
    return total


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _mean(us: int, count: int) -> float | None:
    return round(us / count / 1000, 1) if count else None


def _gathered(
    rows: list[dict[str, Any]], by: Sequence[str], top: int
) -> list[tuple[tuple[str | None, ...], bool, dict[str, int]]]:
    """(keys, whether it is the others, sums): of what is no time the `top` groups that cost most in all."""
    if not by:
        return []
    plain = [name for name in by if name not in _TIMES]
    costs: dict[tuple[Any, ...], tuple[int, int]] = {}
    for row in rows:
        group = tuple(row[name] for name in plain)
        cost, count = costs.get(group, (0, 0))
        costs[group] = (cost + row["cost_nano"], count + row["requests"])
    kept = set(sorted(costs, key=lambda group: costs[group], reverse=True)[:top])
    told: list[tuple[tuple[str | None, ...], bool, dict[str, int]]] = []
    others: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        if tuple(row[name] for name in plain) in kept:
            told.append((tuple(row[name] for name in by), False, row))
        else:
            others.setdefault(tuple(row[name] if name in _TIMES else None for name in by), []).append(row)
    told += [(keys, True, summed(some)) for keys, some in others.items()]
    times = [n for n, name in enumerate(by) if name in _TIMES]
    return sorted(told, key=lambda one: ([one[0][n] for n in times], one[1], -one[2]["cost_nano"], -one[2]["requests"]))


_MONEY = ("cost_nano", "market_cost_nano")
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def written(report: Report) -> str:
    """A line for each group, and one for the total."""
    out = io.StringIO()
    # In quotes: a program for which cells end with a semicolon would find one in a name, and a formula behind it.
    writer = csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    columns = Figures.__struct_fields__
    heads = [word for name in report.by for word in (name, f"{name}_name")]
    writer.writerow([*heads, *(name.replace("_nano", "_usd") for name in columns)])
    for row in report.rows:
        keys = ["(others)" if row.other and key is None else key for key in row.keys]
        cells = [cell for pair in zip(keys, row.names, strict=True) for cell in pair]
        writer.writerow([*map(harmless, cells), *_numbers(row.figures)])
    writer.writerow([*(["(total)"] + [""] * len(heads))[: len(heads)], *_numbers(report.total)])
    return out.getvalue()


def harmless(cell: str | None) -> str:
    """Spreadsheets calculate what looks like a formula, wherever the text comes from (OWASP, CSV Injection)."""
    return f"'{cell}" if cell and cell.startswith(_FORMULAS) else cell or ""


def _numbers(shown: Figures) -> list[str]:
    return [
        "" if value is None else nano_text(value) if name in _MONEY else str(value)
        for name, value in msgspec.structs.asdict(shown).items()
    ]
