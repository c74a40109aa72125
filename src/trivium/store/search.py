"""Finding requests: the newest first, by time and filters, a bounded part of them at once.

There is one index, by time; more would cost every call. What a filter asks for is looked up among the sums first: spans
of days and hours that have no such call are passed over unread. Within an hour records are read in steps, and a search
that has read `_MOST` of them ends with what it has and where to go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from trivium.clock import HOUR_MS
from trivium.metering.record import COLUMNS
from trivium.policy.addresses import subscriber
from trivium.store import rollups, spans, usage
from trivium.store.spans import Folded, Span
from trivium.store.sql import Database, marks
from trivium.store.whose import Whose, calls

_STEP = 4_000
_MOST = 40_000
"""Records that one search reads."""
_LATEST = 2**52
_ID = re.compile(r"req_([0-9a-f]{1,12})[0-9a-f]{0,16}")
SUSPECT = "suspect"
_SLACK_MS = 1_000
"""Between the time in a request's id and that of its arrival."""

Place = tuple[int, str]
"""A record's time and id."""


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests."""

    since_ms: int = 0
    until_ms: int = _LATEST
    only: tuple[str, ...] = ()
    """As in `store/usage`."""
    status: int | None = None
    min_cost_nano: int = 0
    requested: str | None = None
    """The model's name in the request."""
    text: str = ""
    """Of the id: its beginning, or a part of it."""
    verdict: str | None = None
    """Of who looked for abuse; `suspect`: any but `allow`."""
    flag: str | None = None
    """A word among the record's flags."""
    address: str | None = None
    """The pseudonym of the subscriber's, as `store/free_use` has it."""
    before: Place | None = None
    limit: int = 50
    whose: Whose = Whose()


class Found(msgspec.Struct, frozen=True, kw_only=True):
    rows: list[dict[str, Any]]
    """Whole records."""
    before: Place | None
    """Where to go on; None where there is nothing further back."""


def find(
    database: Database,
    search: Search,
    *,
    public: bool,
    token: str | None,
    keys: usage.Keys,
    pseudonym: Callable[[str], str] = str,
) -> Found:
    """`public` and `token` are as in `usage` and `reports`. Blocks; raises StoreUnavailable."""
    finder = _Finder(database, search, public, token, keys)
    if search.address is not None:
        finder.whose = lambda ip: pseudonym(subscriber(ip)) == search.address
    rows: list[dict[str, Any]] = []
    place: Place = search.before or (finder.until, "")
    for _ in range(0, _MOST, _STEP):
        if (reached := finder.next(place)) is None:
            return Found(rows=rows, before=None)
        place, low = reached
        rows += finder.read(place, low, search.limit - len(rows))
        if len(rows) == search.limit:
            return Found(rows=rows, before=(rows[-1]["time_ms"], rows[-1]["id"]))
        place = (low, "")
    return Found(rows=rows, before=place)


class _Finder:
    """A search as statements."""

    def __init__(self, database: Database, search: Search, public: bool, token: str | None, keys: usage.Keys) -> None:
        self._database = database
        theirs, whom = calls(search.whose, token)
        summed, values = usage.conditions(search.only, (), public=public, keys=keys)
        plain = _plain(search)
        self._sums, self._sum_values = [theirs, *summed], [*whom, *values]
        self._fold = usage.fold_of(self._sums)
        self._records = [theirs, *map(_of_record, summed), *(condition for condition, _ in plain)]
        self._record_values = [*whom, *values, *(value for _, value in plain)]
        self._all = not search.only and search.whose == Whose()
        """Every hour has what is looked for."""
        self._since, self.until = _within(search)
        (oldest,) = database.query("SELECT min(time_ms) FROM records")[1][0]
        self._since = max(self._since, oldest or 0)
        self.whose: Callable[[str], bool] | None = None
        """Whether an address is the one that is looked for; None: any will do."""
        self._folded: dict[int, Folded] | None = None

    def next(self, place: Place) -> tuple[Place, int] | None:
        """(where to read from, back to which time) for a step that begins before a place; None where nothing is."""
        time_ms, _ = place
        newest = self._one("SELECT max(time_ms) FROM records WHERE time_ms <= ?", time_ms if place[1] else time_ms - 1)
        if newest is None or newest < self._since:
            return None
        first = self._since
        if not self._all:
            hour = self._hour(newest - newest % HOUR_MS + HOUR_MS)
            if hour is None:
                return None
            first = max(first, hour)
            if newest >= hour + HOUR_MS:
                place, newest = (hour + HOUR_MS, ""), hour + HOUR_MS
        step = "SELECT time_ms FROM records WHERE time_ms <= ? ORDER BY time_ms DESC LIMIT 1 OFFSET ?"
        return place, max(first, self._one(step, newest, _STEP) or 0)

    def read(self, place: Place, low: int, limit: int) -> list[dict[str, Any]]:
        where = " AND ".join(["time_ms >= ? AND time_ms <= ? AND (time_ms < ? OR id < ?)", *self._records])
        values = [low, place[0], *place, *self._record_values]
        if self.whose is not None:
            # Which addresses a pseudonym stands for only the pepper knows, and the database does not have that.
            told = self._database.query(f"SELECT DISTINCT client_ip FROM records WHERE {where}", values)[1]
            theirs = [ip for (ip,) in told if ip is not None and self.whose(ip)]
            if not theirs:
                return []
            where += f" AND client_ip IN ({marks(theirs)})"
            values += theirs
        statement = f"SELECT {', '.join(COLUMNS)} FROM records WHERE {where} ORDER BY time_ms DESC, id DESC LIMIT ?"
        names, rows = self._database.query(statement, [*values, limit])
        return [dict(zip(names, row, strict=True)) for row in rows]

    def _hour(self, before: int) -> int | None:
        """The newest hour before another that has such calls."""
        first = self._since - self._since % HOUR_MS
        if self._folded is None:
            self._folded = spans.folded(self._database, first, before)
        found = map(self._newest, reversed(spans.spans(first, before, self._folded)))
        return next((hour for hour in found if hour is not None), None)

    def _newest(self, span: Span) -> int | None:
        """The same of a span: the half that has such calls, the half of that, and so on."""
        table, time = self._fold.source(span.hours)
        where = " AND ".join([f"{time} >= ? AND {time} < ?", *self._sums])
        statement = f"SELECT {time} FROM {table} AND {where} ORDER BY {time} DESC LIMIT 1"
        found = self._one(statement, span.since, span.until, *self._sum_values)
        if found is None or span.hours <= 1:
            return found
        shorter = span.hours // 2 if span.hours > 24 else 1
        return self._newest(Span(shorter, found, min(found + span.hours * HOUR_MS, span.until)))

    def _one(self, statement: str, *values: Any) -> int | None:
        rows = self._database.query(statement, values)[1]
        return rows[0][0] if rows else None


def _within(search: Search) -> tuple[int, int]:
    """The period, which an id's beginning narrows down."""
    since, until = search.since_ms, min(search.until_ms, _LATEST)
    if named := _ID.fullmatch(search.text):
        digits = named[1]
        unit = 16 ** (12 - len(digits))
        least = int(digits, 16) * unit
        since, until = max(since, least - _SLACK_MS), min(until, least + unit + _SLACK_MS)
    return since, until


def _plain(search: Search) -> list[tuple[str, Any]]:
    """Conditions that sums know nothing of."""
    found: list[tuple[str, Any]] = []
    if search.min_cost_nano > 0:
        found.append(("cost_nano >= ?", search.min_cost_nano))
    if search.status is not None:
        found.append(("status = ?", search.status))
    if search.requested is not None:
        found.append(("requested_model = ?", search.requested))
    if search.verdict == SUSPECT:
        found.append(("abuse_verdict <> ?", "allow"))
    elif search.verdict is not None:
        found.append(("abuse_verdict = ?", search.verdict))
    if search.flag is not None:
        found.append(("' ' || flags || ' ' LIKE ? ESCAPE '\\'", f"% {_escaped(search.flag)} %"))
    if search.text:
        begins = "" if _ID.fullmatch(search.text) else "%"
        found.append(("id LIKE ? ESCAPE '\\'", f"{begins}{_escaped(search.text)}%"))
    return found


def _escaped(text: str) -> str:
    return re.sub(r"([\\%_])", r"\\\1", text)


_NAMES = re.compile(rf"\b({'|'.join(rollups.COLUMNS)})\b")


def _of_record(condition: str) -> str:
    """A condition on sums, for the records that they are of."""
    return _NAMES.sub(lambda name: f"({rollups.COLUMNS[name[0]]})", condition)
