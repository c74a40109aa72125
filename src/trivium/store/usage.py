"""Questions about usage: sums by day, model, key and more, of any period, with filters.

Sums of whole hours come from `usage_hours` and, as far as these are folded, from the tables of spans: the longest spans
that fit the period and its groups, of the table with the fewest rows that has every column that is asked for
(`spans.py`). Only the parts of hours at both ends of a period are added up from the records, and count as far as those
are kept.

A user's calls are those of the user's keys and tokens, by what the keys say today.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from trivium.clock import HOUR_MS, LAST_MS, dated
from trivium.errors import OperationError
from trivium.patterns import matching
from trivium.policy.caller import Id
from trivium.store import bands, rollups, spans
from trivium.store.keys import TOKEN
from trivium.store.rollups import KEYS, SUMS
from trivium.store.spans import Fold, Folded, Span
from trivium.store.sql import Database, marks
from trivium.store.whose import Whose, calls

GROUPS = {
    "day": "t - t % 86400000",
    "hour": "t - t % 3600000",
    "model": "nullif(model, '')",
    "provider": "nullif(provider, '')",
    "key": "nullif(key_id, '')",
    "user": "nullif(key_id, '')",
    "project": "nullif(project_id, '')",
    "app": "nullif(app, '')",
    "api": "nullif(api, '')",
    "organization": "nullif(organization_id, '')",
    "account": "nullif(account_id, '')",
    "outcome": "outcome",
}
"""What usage can be grouped by. Hours and days are UTC; users stand behind their keys."""
_COLUMNS = {
    **{name: f"{name}_id" for name in ("key", "project", "organization", "account")},
    **{name: name for name in ("model", "provider", "app", "api", "outcome")},
    "user": "key_id",
}
FILTERS = tuple(name for name in GROUPS if name in _COLUMNS)
"""What usage can be filtered by."""
_PUBLIC_GROUPS = {
    "model": "CASE WHEN public_model <> '' THEN public_model ELSE nullif(model, '') END",
    "provider": "CASE WHEN public_model <> '' AND substr(provider, 1, 7) <> 'custom@' THEN NULL"
    " ELSE nullif(provider, '') END",
}
"""The same, where nobody may learn who answers as a stealth model."""

_CACHE_WRITE = "cache_write_5m_tokens + cache_write_1h_tokens + cache_write_other_tokens"
_SUMS = {
    "requests": "requests",
    "succeeded": "CASE WHEN outcome = 'success' THEN requests ELSE 0 END",
    "refused": "CASE WHEN outcome = 'refused' THEN requests ELSE 0 END",
    "failed": "CASE WHEN outcome = 'failed' THEN requests ELSE 0 END",
    "aborted": "CASE WHEN outcome = 'aborted' THEN requests ELSE 0 END",
    "usage_unknown": "usage_unknown",
    "input_tokens": f"input_uncached_tokens + cache_read_tokens + {_CACHE_WRITE}",
    "input_uncached_tokens": "input_uncached_tokens",
    "cache_read_tokens": "cache_read_tokens",
    "cache_write_tokens": _CACHE_WRITE,
    "output_tokens": "output_tokens",
    "reasoning_tokens": "reasoning_tokens",
    "cost_nano": "cost_nano",
    "market_cost_nano": "market_cost_nano",
}
_PUBLIC_SUMS = {"market_cost_nano": "CASE WHEN public_model <> '' THEN 0 ELSE market_cost_nano END"}
"""What it is worth is as good as a name."""
DURATIONS = ("timed", "ttfb_us", "total_us", *bands.COLUMNS)
"""How long calls took, where it is asked for."""
SUMMED = (*_SUMS, *DURATIONS)
"""What `usage` adds up."""

_BY_NOW = {
    "cost_nano": "cost_nano + coalesce((SELECT CAST(sum(after_nano - before_nano) AS BIGINT) FROM rerates"
    " WHERE request_id = records.id), 0)"
}
"""As `usage_hours` has it: with what was corrected since."""
_LATEST = LAST_MS // HOUR_MS * HOUR_MS
_WHERE = ("organization",)
_RECORDS = -1
"""In place of a span's length."""
_MOST_PARTS = 60
"""Selects in one statement: where days are folded here and there, the hours are asked instead."""

MANY = "These are more than {} groups. Ask for a shorter time, for fewer of them by a filter, or group by less."

Moment = Annotated[int, msgspec.Meta(ge=0, le=_LATEST)]
Filter = Annotated[str, matching(r"^[a-z]+:", "DIMENSION:VALUE, as model:openai/gpt-5", longest=400)]
"""`model:openai/gpt-5`; nothing behind the colon: those where there is none."""
Filters = Annotated[tuple[Filter, ...], msgspec.Meta(max_length=100)]


class UsageQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which requests, and by what they are summed. Times are milliseconds since the epoch, `until` excluded."""

    by: tuple[str, ...] = ("day", "model", "key")
    since_ms: Moment | None = None
    until_ms: Moment | None = None
    organization: Id | None = None
    user: Id | None = None
    only: Filters = ()
    """`dimension:value`; of several of one dimension, any."""
    without: Filters = ()


class Keys(msgspec.Struct, frozen=True):
    """Which keys are whose. `token` is what stands in a key's place in the calls that a user makes with tokens."""

    token: Callable[[str], str]

    def of(self, users: Sequence[str]) -> tuple[str, list[str]]:
        """A condition: the keys and tokens of some users; an empty text stands for nobody's."""
        either, named = [], [user for user in users if user]
        if named:
            some = marks(named)
            either += [f"key_id IN (SELECT id FROM keys WHERE user_id IN ({some}))", f"key_id IN ({some})"]
        if "" in users:
            theirs = "SELECT id FROM keys WHERE user_id IS NOT NULL"
            either.append(f"(key_id NOT IN ({theirs}) AND substr(key_id, 1, {len(TOKEN)}) <> '{TOKEN}')")
        return f"({' OR '.join(either)})", [*named, *map(self.token, named)]

    def users(self, database: Database) -> Mapping[str, str]:
        """Every key's and token's user. Blocks; raises StoreUnavailable."""
        found: dict[str, str] = {}
        found.update(database.query("SELECT id, user_id FROM keys WHERE user_id IS NOT NULL")[1])
        found.update((self.token(id), id) for (id,) in database.query("SELECT id FROM users")[1])
        return found


_NOBODY = Keys(lambda _: "")


def usage(
    database: Database,
    query: UsageQuery,
    *,
    public: bool = False,
    keys: Keys = _NOBODY,
    timed: bool = False,
    most: int | None = None,
) -> list[dict[str, Any]]:
    """A row per group with requests, outcomes, tokens and nanodollars, and durations if `timed`. Counting calls
    (`count_tokens`) are no requests here. `public`: stealth models are named by their ids alone. Blocks; raises
    StoreUnavailable, and OperationError where there are more than `most` groups."""
    organizations = _organizations(database, query, keys)
    asked = _Asked(database, query, keys, organizations, public=public, timed=timed)
    since, until = query.since_ms or 0, _LATEST if query.until_ms is None else query.until_ms
    longest = 0 if "hour" in query.by else 1 if "day" in query.by else spans.LONGEST
    while True:
        done = spans.folded(database, since, until)
        rows = asked.rows(_parts(since, until, done, longest), most)
        if most is not None and len(rows) > most:
            raise OperationError(MANY.format(most))
        # An hour that was folded meanwhile would count twice.
        if not done or spans.folded(database, since, until) == done:
            return _told(rows, query.by, keys.users(database) if "user" in query.by else {})


def _organizations(database: Database, query: UsageQuery, keys: Keys) -> list[str] | None:
    """Where the calls of a question are, which is soon said of an organization or a user; None: anywhere."""
    if query.organization is not None:
        return [query.organization, ""]
    if query.user is None or query.by == _WHERE:
        return None
    asked = UsageQuery(by=_WHERE, since_ms=query.since_ms, until_ms=query.until_ms, user=query.user)
    return [row["organization"] or "" for row in usage(database, asked, keys=keys)] or [""]


class _Asked:
    """A question as statements."""

    def __init__(
        self,
        database: Database,
        query: UsageQuery,
        keys: Keys,
        organizations: list[str] | None,
        *,
        public: bool,
        timed: bool,
    ) -> None:
        groups, summed = (GROUPS | _PUBLIC_GROUPS, _SUMS | _PUBLIC_SUMS) if public else (GROUPS, _SUMS)
        self._database = database
        self._groups = {name: groups[name] for name in query.by}
        self._sums = {**summed, **{name: name for name in DURATIONS}} if timed else summed
        token = None if query.user is None else keys.token(query.user)
        where, values = calls(Whose(organization=query.organization, user=query.user), token)
        filtered, wanted = conditions(query.only, query.without, public=public, keys=keys)
        self._where = " AND ".join(["operation = 'generate'", where, *filtered])
        self._values = [*values, *wanted]
        self._columns = _columns([*self._groups.values(), *self._sums.values(), self._where])
        self._summed = [name for name in SUMS if timed or name not in DURATIONS]
        self._fold = fold_of(self._columns)
        self._organizations = organizations

    def rows(self, asked: Iterable[Span], most: int | None) -> list[dict[str, Any]]:
        """Grouped once, over all parts: each grouped by itself would be sorted, and then all of them again."""
        parts, values = [], []
        told = [f'{expression} AS "{name}"' for name, expression in (self._groups | self._sums).items()]
        for span in asked:
            rows, when = self._records(span) if span.hours == _RECORDS else self._spans(span)
            parts.append(f"SELECT {', '.join(told)} FROM ({rows}) AS part WHERE {self._where}")
            values += [*when, *self._values]
        # PostgreSQL has a word `user` of its own. Databases disagree on where none stands; the others are in the order
        # of their bytes.
        keys = [str(n + 1) for n in range(len(self._groups))]
        ordered = f" ORDER BY {', '.join(f'{key} NULLS FIRST' for key in keys)}" if keys else ""
        names = [f'"{name}"' for name in self._groups]
        names += [f"CAST(coalesce(sum({name}), 0) AS BIGINT) AS {name}" for name in self._sums]
        statement = f"SELECT {', '.join(names)} FROM ({' UNION ALL '.join(parts)}) AS parts"
        statement += f" GROUP BY {', '.join(keys)}{ordered}" if keys else ""
        if most is not None:
            statement += f" LIMIT {most + 1}"
        columns, found = self._database.query(statement, values)
        return [dict(zip(columns, row, strict=True)) for row in found]

    def _records(self, span: Span) -> tuple[str, list[Any]]:
        told = rollups.COLUMNS | _BY_NOW
        columns = [f"{told.get(name, name)} AS {name}" for name in (*self._columns, *self._summed)]
        rows = f"SELECT time_ms AS t, {', '.join(columns)} FROM records WHERE time_ms >= ? AND time_ms < ?"
        return rows, [span.since, span.until]

    def _spans(self, span: Span) -> tuple[str, list[Any]]:
        table, time = self._fold.source(span.hours)
        rows = f"SELECT {time} AS t, {', '.join((*self._columns, *self._summed))} FROM {table}"
        if self._organizations is None or time == "hour_ms":
            return f"{rows} AND {time} >= ? AND {time} < ?", [span.since, span.until]
        # Behind each beginning the table's key leads on to the organization, behind a range of them it does not.
        begins = ", ".join(map(str, range(span.since, span.until, span.hours * HOUR_MS)))
        among = marks(self._organizations)
        return f"{rows} AND {time} IN ({begins}) AND organization_id IN ({among})", self._organizations


def conditions(only: Iterable[str], without: Iterable[str], *, public: bool, keys: Keys) -> tuple[list[str], list[Any]]:
    """Filters as conditions on the tables of sums, and their values."""
    groups = GROUPS | _PUBLIC_GROUPS if public else GROUPS
    found: list[str] = []
    values: list[Any] = []
    for filters, how in ((only, ""), (without, "NOT ")):
        for name, wanted in _by_dimension(filters).items():
            among = f"coalesce({groups[name]}, '') IN ({marks(wanted)})"
            condition, some = keys.of(wanted) if name == "user" else (among, wanted)
            found.append(f"{how}{condition}")
            values += some
    return found, values


def fold_of(expressions: Iterable[str]) -> Fold:
    """The smallest table of spans that has all columns of some expressions."""
    return next(fold for fold in spans.FOLDS if set(_columns(expressions)) <= set(fold.keys))


def _columns(expressions: Iterable[str]) -> list[str]:
    spoken = set(re.findall(r"\w+", " ".join(expressions)))
    return [name for name in KEYS[1:] if name in spoken]


def _by_dimension(filters: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in filters:
        name, _, value = text.partition(":")
        found.setdefault(name, []).append(value)
    return found


def _parts(since: int, until: int, done: Mapping[int, Folded], longest: int) -> list[Span]:
    """A period as what its sums are added up from: spans of whole hours, and records for what is left at both ends."""
    first, last = -(-since // HOUR_MS) * HOUR_MS, until // HOUR_MS * HOUR_MS
    if first >= last:
        return [Span(_RECORDS, since, until)]
    whole = spans.spans(first, last, done, longest)
    parts = whole if len(whole) <= _MOST_PARTS else [Span(0, first, last)]
    if since < first:
        parts.append(Span(_RECORDS, since, first))
    if last < until:
        parts.append(Span(_RECORDS, last, until))
    return parts


def _told(rows: list[dict[str, Any]], by: Sequence[str], users: Mapping[str, str]) -> list[dict[str, Any]]:
    for row in rows:
        if "day" in row:
            row["day"] = dated(row["day"], "%Y-%m-%d")
        if "hour" in row:
            row["hour"] = dated(row["hour"], "%Y-%m-%dT%H:00Z")
        if "user" in row:
            row["user"] = users.get(row["user"] or "")
    return _merged(rows, by) if "user" in by else rows


def _merged(rows: list[dict[str, Any]], by: Sequence[str]) -> list[dict[str, Any]]:
    """A user has several keys."""
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        group = tuple(row[name] for name in by)
        if (sums := found.setdefault(group, row)) is not row:
            for name in row.keys() - set(by):
                sums[name] += row[name]
    order = sorted(found, key=lambda group: [(value is not None, value or "") for value in group])
    return [found[group] for group in order]
