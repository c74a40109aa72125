"""What alerts are made from and what became of them, in the database, so that a restart forgets nothing and several
gateways of one database see the same.

`alert_minutes` has what all gateways counted, for as long as the longest window; `alert_states` what one of them has
seen or decided; `notices` what was told, and through which channels. Raises StoreUnavailable.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from secrets import token_hex
from typing import Any

import msgspec

from trivium.clock import AHEAD_MS, MINUTE_MS, Clock
from trivium.policy.alert_rules import AlertRules, Audited, Balance, Counted, Finding, Refusing, Series, Spent, Told
from trivium.policy.baseline import QUANTILE, Past
from trivium.policy.blame import Call, bad, of_row
from trivium.policy.burn import LONGEST, SPANS
from trivium.policy.payment_alerts import Trouble
from trivium.policy.spending import Budget, Period, window_start
from trivium.store.aside import aside
from trivium.store.changes import text
from trivium.store.payment_troubles import troubles
from trivium.store.sql import Database, Row, Writing, marks
from trivium.store.stretches import WITHIN, each
from trivium.store.versioned import Versioned
from trivium.store.writer import Writer

_LOG = logging.getLogger("trivium.alerts")
_SERIES = "provider, model, app"
_COUNTS = Counted._fields
_ADD = (
    f"INSERT INTO alert_minutes (minute, {_SERIES}, {', '.join(_COUNTS)}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    f" ON CONFLICT (minute, {_SERIES}) DO UPDATE SET "
    + ", ".join(f"{name} = alert_minutes.{name} + excluded.{name}" for name in _COUNTS)
)
_SUMS = ", ".join(
    f"CAST(sum(CASE WHEN minute >= ? THEN {name} ELSE 0 END) AS BIGINT)" for _ in SPANS for name in _COUNTS
)
_SEEN = f"SELECT {_SERIES}, {_SUMS} FROM alert_minutes WHERE minute >= ? AND minute < ? GROUP BY {_SERIES}"
_STATE = (
    "INSERT INTO alert_states (name, content, time_ms) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
    " content = excluded.content, time_ms = excluded.time_ms"
)
_TURN = f"{_STATE} WHERE alert_states.time_ms < excluded.time_ms RETURNING time_ms"
_CLAIM = f"{_STATE} WHERE alert_states.time_ms < excluded.time_ms - ? RETURNING time_ms"
_AHEAD = "DELETE FROM alert_states WHERE name = ? AND time_ms > ? RETURNING time_ms"
_ONCE = (
    "INSERT INTO alert_states (name, content, time_ms) VALUES (?, '{}', ?) ON CONFLICT (name) DO NOTHING RETURNING name"
)
_OLD_ONCE = "DELETE FROM alert_states WHERE name LIKE ? AND time_ms NOT BETWEEN ? AND ?"
_REFUSAL, _AUDITED, _PROBLEMS, _COUNTING = "refusal:", "audited", "problems", "counted:"
_TAKEN, _AUDITING, _LEASE_MS = "turn", "auditing", 3_600_000
_NOTICE = ("time_ms", "rule", "severity", "key", "title", "text", "facts", "channels")
_TELL = f"INSERT INTO notices ({', '.join(_NOTICE)}) VALUES ({marks(_NOTICE)})"
_BUDGETS = (
    "SELECT b.id, b.scope, b.period, b.limit_nano, b.created_ms, s.window_ms, s.spent_nano FROM budgets b"
    " JOIN spends s ON s.budget_id = b.id WHERE b.ended_ms IS NULL AND b.limit_nano > 0 AND b.period = ?"
    " AND s.window_ms = ? AND s.spent_nano >= b.limit_nano / 100 * ?"
)
_PERIODS: tuple[Period, ...] = ("day", "week", "month", "total")
_KEPT_MS = 90 * 86_400_000
_OLD = "DELETE FROM notices WHERE time_ms < ? AND rule IN ('errors', 'slow', 'refusal')"
_HOUSE_CALLS = "operation = 'generate' AND payer NOT IN ('byok', 'byok_fee') AND provider IS NOT NULL"
_OUTCOMES = (
    f"SELECT provider, upstream_model, count(*), {', '.join(Call.__struct_fields__)} FROM records"
    f" WHERE {WITHIN} AND time_ms >= ? AND {_HOUSE_CALLS}"
    f" GROUP BY provider, upstream_model, {', '.join(Call.__struct_fields__)}"
)
_FIRST_TOKENS = (
    "SELECT provider, upstream_model, (first_token_us + 999) / 1000, count(*) FROM records"
    f" WHERE {WITHIN} AND time_ms >= ? AND {_HOUSE_CALLS} AND outcome = 'success' AND first_token_us IS NOT NULL"
    " GROUP BY 1, 2, 3"
)


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What was told. Times are milliseconds since the epoch."""

    seq: int
    time_ms: int
    rule: str
    severity: str
    key: str
    title: str
    text: str
    facts: dict[str, Any]
    channels: tuple[str, ...]
    """Those that took it."""
    ended_ms: int | None
    """Since when it is no longer so, of what is told once."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What operators are alerted about, with its version; 0: never set."""

    version: int
    settings: AlertRules


class RuleStore(Versioned[AlertRules, Rules]):
    kind, name, action, answer = AlertRules, "alerts", "alerts.rules.set", Rules


class AlertStore:
    def __init__(self, database: Database, writer: Writer, clock: Clock) -> None:
        self.rules = RuleStore(database, writer, clock, lambda: None)
        self._database, self._writer, self._clock = database, writer, clock

    async def count(self, rows: Iterable[tuple[int, Series, Counted]], refusing: Iterable[Refusing]) -> None:
        """Adds to what is counted, once, though the transaction be made again as nobody saw its end. Rows are in order,
        so that two gateways that add to the same wait for each other rather than for ever."""
        added = sorted((minute, *series, *counted) for minute, series, counted in rows)
        said = sorted((f"{_REFUSAL}{one.provider}", text(one), one.last_ms) for one in refusing)
        once = (f"{_COUNTING}{token_hex(8)}", self._clock.now_ms())

        def act(tx: Writing) -> None:
            if tx.execute(_ONCE, once):
                tx.executemany(_ADD, added)
            tx.executemany(_STATE, said)

        if added or said:
            await self._writer.run(act, kept=True)

    async def turn(self, minute: int) -> bool:
        """Whether it is this gateway that evaluates at the minute: whoever asks first. Forgets what is over."""
        now_ms = minute * MINUTE_MS

        def act(tx: Writing) -> bool:
            _let_go(tx, _TAKEN, now_ms)
            mine = bool(tx.execute(_TURN, (_TAKEN, "{}", now_ms)))
            if mine:
                tx.execute(_OLD_ONCE, (f"{_COUNTING}%", now_ms - _LEASE_MS, now_ms + _LEASE_MS))
                tx.execute("DELETE FROM alert_minutes WHERE minute < ?", (minute - LONGEST,))
                tx.execute(_OLD, (now_ms - _KEPT_MS,))
            return mine

        return await self._writer.run(act)

    async def seen(self, until: int) -> dict[Series, dict[int, Counted]]:
        """What each series has seen in the windows that end where the minute begins."""
        since = [until - span for span in SPANS for _ in _COUNTS]
        rows = await self._read(_SEEN, [*since, until - LONGEST, until])
        width, found = len(_COUNTS), {}
        for row in rows:
            sums = row[3:]
            windows = {span: Counted(*sums[at * width : (at + 1) * width]) for at, span in enumerate(SPANS)}
            found[Series(*row[:3])] = windows
        return found

    async def refusing(self) -> list[Refusing]:
        rows = await self._read("SELECT content FROM alert_states WHERE name LIKE ?", (f"{_REFUSAL}%",))
        return [msgspec.json.decode(row[0], type=Refusing) for row in rows]

    async def audited(self) -> Audited | None:
        rows = await self._read("SELECT content FROM alert_states WHERE name = ?", (_AUDITED,))
        return msgspec.json.decode(rows[0][0], type=Audited) if rows else None

    async def claim_audit(self, now_ms: int) -> bool:
        """Whether this gateway is to look at the ledger: no other one does, or it has been silent for an hour."""

        def act(tx: Writing) -> bool:
            _let_go(tx, _AUDITING, now_ms)
            return bool(tx.execute(_CLAIM, (_AUDITING, "{}", now_ms, _LEASE_MS)))

        return await self._writer.run(act)

    async def put_audited(self, audited: Audited) -> None:
        def act(tx: Writing) -> None:
            tx.execute(_STATE, (_AUDITED, text(audited), audited.time_ms))
            tx.execute("DELETE FROM alert_states WHERE name = ?", (_AUDITING,))

        await self._writer.run(act)

    async def problems(self) -> dict[str, str]:
        """Why channels did not take the last message, by name; of those that took it, nothing."""
        rows = await self._read("SELECT content FROM alert_states WHERE name = ?", (_PROBLEMS,))
        return msgspec.json.decode(rows[0][0], type=dict[str, str]) if rows else {}

    async def put_problems(self, problems: dict[str, str], now_ms: int) -> None:
        await self._writer.run(lambda tx: tx.execute(_STATE, (_PROBLEMS, text(problems), now_ms)))

    async def low_balances(self, rules: AlertRules) -> list[Balance]:
        """Accounts that `low_balance` may be about."""
        named = [name for name in rules.low_balance if name != "*"]
        wanted = [f"id IN ({marks(named)})"] if named else []
        if "*" in rules.low_balance:
            wanted.append("EXISTS (SELECT 1 FROM entries WHERE entries.account_id = accounts.id AND amount_nano > 0)")
        if not wanted:
            return []
        rows = await self._read(f"SELECT id, balance_nano FROM accounts WHERE {' OR '.join(wanted)}", named)
        return [Balance(*row) for row in rows]

    async def payment_troubles(self, now_ms: int) -> list[Trouble]:
        """Payments that somebody has to see to."""
        return await troubles(self._read, now_ms)

    async def spent(self, rules: AlertRules, now_ms: int) -> list[Spent]:
        """Present periods of budgets that may have reached a threshold."""
        found: list[Spent] = []
        for period in _PERIODS if rules.budgets else ():
            window_ms = window_start(period, now_ms)
            rows = await self._read(_BUDGETS, (period, window_ms, min(rules.budgets)))
            found += [_spent(row) for row in rows]
        return found

    async def told(self, keys: Iterable[str], now_ms: int) -> list[Told]:
        """When each key was told last, of what has not ended since; but for what was told far ahead of now, by a clock
        that was wrong."""
        found: list[Told] = []
        ordered = sorted(set(keys))
        for at in range(0, len(ordered), 500):
            some = ordered[at : at + 500]
            rows = await self._read(
                f"SELECT key, max(time_ms) FROM notices WHERE key IN ({marks(some)}) AND ended_ms IS NULL"
                " AND time_ms <= ? GROUP BY key",
                [*some, now_ms + _LEASE_MS],
            )
            found += [Told(*row) for row in rows]
        return found

    async def tell(self, taken: Sequence[tuple[Finding, Sequence[str]]], now_ms: int) -> None:
        """Writes down what channels have taken, and which these were."""
        rows = [
            (now_ms, one.rule, one.severity, one.key, one.title, one.text, text(one.facts), text(channels))
            for one, channels in taken
        ]
        await self._writer.run(lambda tx: tx.executemany(_TELL, rows))

    async def end(self, rule: str, still: Iterable[str], now_ms: int) -> None:
        """Of a rule whose findings end: what is not still so has ended."""
        rows = await self._read("SELECT DISTINCT key FROM notices WHERE rule = ? AND ended_ms IS NULL", (rule,))
        over = [(now_ms, key) for key in sorted({row[0] for row in rows}.difference(still))]
        if over:
            statement = "UPDATE notices SET ended_ms = ? WHERE key = ? AND ended_ms IS NULL"
            await self._writer.run(lambda tx: tx.executemany(statement, over))

    async def notices(self, below: int, limit: int) -> list[Notice]:
        """The newest first."""
        columns = ("seq", *_NOTICE, "ended_ms")
        rows = await self._read(
            f"SELECT {', '.join(columns)} FROM notices WHERE seq < ? ORDER BY seq DESC LIMIT ?", (below, limit)
        )
        return [_notice(dict(zip(columns, row, strict=True))) for row in rows]

    async def past(self, since_ms: int) -> list[Past]:
        """What models have been like, as far as records are kept. Reads all of them. Raises StoreUnavailable."""
        return await aside(past_of, self._database, since_ms)

    async def _read(self, statement: str, values: Sequence[Any] = ()) -> list[Row]:
        """In a thread: not all of these are look-ups."""
        return (await asyncio.to_thread(self._database.query, statement, values))[1]


def _let_go(tx: Writing, name: str, now_ms: int) -> None:
    """What was taken far ahead of now belongs to nobody: the clock of some gateway was wrong then, if ours is not."""
    for (time_ms,) in tx.execute(_AHEAD, (name, now_ms + AHEAD_MS)):
        _LOG.warning("alerts: `%s` was taken %d s ahead of this gateway's clock", name, (time_ms - now_ms) // 1000)


def past_of(database: Database, since_ms: int) -> list[Past]:
    sums: defaultdict[Row, list[int]] = defaultdict(lambda: [0, 0])
    for provider, model, calls, *call in each(database, _OUTCOMES, (since_ms,)):
        fault = bad(of_row(call))
        if fault is not None and model is not None:
            summed = sums[provider, model]
            summed[0] += calls
            summed[1] += calls if fault else 0
    first: defaultdict[Row, Counter[int]] = defaultdict(Counter)
    for provider, model, ms, streams in each(database, _FIRST_TOKENS, (since_ms,)):
        first[provider, model][ms] += streams
    return [
        Past(
            provider=provider,
            model=model,
            calls=calls,
            errors=errors,
            streams=first[provider, model].total(),
            first_token_ms=_latest_of_most(first[provider, model]),
        )
        for (provider, model), (calls, errors) in sums.items()
    ]


def _latest_of_most(times: Counter[int]) -> int | None:
    """The time that so many percent (`QUANTILE`) were not later than; None where there is none."""
    place = (times.total() * QUANTILE + 99) // 100
    for time in sorted(times):
        place -= times[time]
        if place <= 0:
            return time
    return None


def _spent(row: Row) -> Spent:
    id, scope, period, limit_nano, created_ms, window_ms, nano = row
    budget = Budget(id=id, scope=scope, period=period, limit_nano=limit_nano, created_ms=created_ms)
    return Spent(budget, window_ms, nano)


def _notice(row: dict[str, Any]) -> Notice:
    told = {name: msgspec.json.decode(row[name]) for name in ("facts", "channels")}
    return msgspec.convert(row | told, Notice)
