"""Who uses free models: what the limits have counted at this moment, and what a day, week or month has come to.
`table` is for `Operations`.

The one is asked of the very counters that decide, the other of sums that are kept beside the records
(`store/free_use.py`), so that no record is looked at. Addresses are told by a pseudonym and the network they are in.
"""

from __future__ import annotations

import heapq
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, cast

import msgspec

from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.policy.addresses import masked
from trivium.policy.counters import Claim, Kept, standing
from trivium.policy.free import PREFIX, WINDOWS, Kind, Limit, looks_of, refusal_key, standing_of
from trivium.policy.spending import Span, span_end, window_start
from trivium.settings import FreeSettings
from trivium.store.aside import aside
from trivium.store.counters import LocalCounters
from trivium.store.free_use import SUMS
from trivium.store.names import names_of
from trivium.store.store import Store

Order = Literal["requests", "anonymous", "refused", "suspect", "tokens", "market_cost_nano", "used"]
_LISTS: dict[str, tuple[Kind, ...]] = {"addresses": ("address",), "callers": ("user", "key")}
_LAST = 253_370_764_799_999
"""The end of the year 9998: there is a month behind it."""
_AT_ONCE = 50
"""Counters that one step asks for."""


class ShowFreeUse(Arguments, frozen=True, kw_only=True):
    """Who uses free models, and how much."""

    period: Span = "day"
    """Days, weeks from Monday and months are UTC."""
    at_ms: Annotated[int, msgspec.Meta(ge=0, le=_LAST)] | None = None
    """Any moment of the one that is meant; left out: the present one."""
    order: Order = "requests"
    """What those that are told have most of; `used`: of a limit's window, at this moment."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 50
    """How many addresses are told, and how many users and keys."""


class WindowUse(msgspec.Struct, frozen=True, kw_only=True):
    """How a limit stands at this moment."""

    limit: Limit
    window_s: int
    most: int
    used: int
    refused: int
    """How often this limit has refused within the window."""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """Of the period."""

    requests: int = 0
    """That were let in."""
    anonymous: int = 0
    """Those of them without a key."""
    refused: int = 0
    """By the limits of free models."""
    suspect: int = 0
    """Those let in though they were judged to be abuse: in mode `log`, or by a softly blocked call's model."""
    input_tokens: int = 0
    output_tokens: int = 0
    market_cost_nano: int = 0
    """What was given away, at the market's prices."""


class FreeUser(Sums, frozen=True, kw_only=True):
    kind: Kind
    id: str
    """Of a user or key; of an address a pseudonym, which `requests.search` knows as `address`."""
    name: str | None
    """The user's or key's; of an address the network that it is in."""
    windows: tuple[WindowUse, ...]
    """Limits in which something counts at this moment."""
    at_limit: bool
    """A limit is used up: the next request is refused."""


class FreeUse(msgspec.Struct, frozen=True, kw_only=True):
    period: Span
    since_ms: int
    until_ms: int
    """Excluded."""
    order: Order
    limits: dict[Limit, int | None]
    """As they are set; null: there is none."""
    total: Sums
    how_many: dict[str, int]
    """`addresses` and `callers` in the period, and `at_limit` at this moment."""
    addresses: list[FreeUser]
    callers: list[FreeUser]
    """Users, and keys that belong to none."""


Who = str
"""Kind and the id by which it is told: `user:ann`."""
_Rows = dict[str, list[dict[str, Any]]]


class FreeUseOperations:
    """Must run where the store is owned. Mutable: remembers the pseudonyms of addresses that count at the moment."""

    def __init__(
        self,
        store: Store,
        counters: LocalCounters,
        settings: Callable[[], FreeSettings],
        flush: Callable[[], Awaitable[None]],
    ) -> None:
        """`flush` hands over what is not in the database yet."""
        self._store = store
        self._counters = counters
        self._settings = settings
        self._flush = flush
        self._pseudonyms: dict[str, str] = {}
        self.table: Table = {"free.use": Op(arguments=ShowFreeUse, result=FreeUse, act=self._show)}

    async def _show(self, query: ShowFreeUse, _: Actor) -> FreeUse:
        await self._flush()
        now = self._store.clock.now_ms() if query.at_ms is None else query.at_ms
        begin = window_start(query.period, now)
        live = await aside(self._live, self._settings(), *self._counters.kept())
        rows = await aside(self._read, query, begin, live)
        if self._counters.state.counters == "redis":
            await self._ask(live, [row for some in rows.values() for row in some])
        return await aside(self._told, query, begin, rows, live)

    def _live(self, settings: FreeSettings, kept: Kept, now_ms: int) -> _Live:
        """What this process has counted."""
        live, known = _Live(settings), {}
        for key, window_s, used in standing(kept, PREFIX, now_ms):
            if (one := standing_of(key, window_s)) is None:
                continue
            id = one.who
            if one.kind == "address":
                id = known[one.who] = self._pseudonyms.get(one.who) or self._store.free_use.pseudonym(one.who)
                live.addresses[id] = one.who
            live.count(f"{one.kind}:{id}", one.limit, used, refusals=one.refusals)
        self._pseudonyms = known
        return live

    def _read(self, query: ShowFreeUse, begin: int, live: _Live) -> _Rows:
        """Rows of sums: of those with most, and of those who use most of a limit at the moment."""
        store, rows = self._store.free_use, {}
        order = "requests" if query.order == "used" else query.order
        for name, kinds in _LISTS.items():
            top = store.top(query.period, begin, kinds, order, query.limit)
            there = set(map(_who, top))
            missing = set(live.nearest(kinds, query.limit)) - there
            others = store.of(query.period, begin, kinds, [_parted(who)[1] for who in missing])
            there |= set(map(_who, others))
            rows[name] = top + others + [live.nothing(who) for who in missing - there]
        return rows

    async def _ask(self, live: _Live, rows: Iterable[Mapping[str, Any]]) -> None:
        """Of those that are told, what all gateways together have counted."""
        asked = [look for row in rows for look in live.looks(_who(row))]
        for at in range(0, len(asked), _AT_ONCE):
            some = asked[at : at + _AT_ONCE]
            taken = await self._counters.enter([claim for _, _, _, claim in some])
            for (who, limit, refusals, _), use in zip(some, taken.uses, strict=True):
                live.count(who, limit, use.used, refusals=refusals)

    def _told(self, query: ShowFreeUse, begin: int, rows: _Rows, live: _Live) -> FreeUse:
        store = self._store.free_use
        found = {
            name: self._named(_ordered(map(live.told, some), query.order, query.limit)) for name, some in rows.items()
        }
        total = store.total(query.period, begin)
        how_many = {name: store.how_many(query.period, begin, kinds) for name, kinds in _LISTS.items()}
        return FreeUse(
            period=query.period,
            since_ms=begin,
            until_ms=span_end(query.period, begin),
            order=query.order,
            limits=live.limits,
            total=Sums(**{name: total[name] for name in SUMS}),
            how_many={**how_many, "at_limit": sum(share >= 1 for share in live.shares.values())},
            addresses=found["addresses"],
            callers=found["callers"],
        )

    def _named(self, users: list[FreeUser]) -> list[FreeUser]:
        names = {
            kind: names_of(self._store.database, kind, {one.id for one in users if one.kind == kind}, None)
            for kind in _LISTS["callers"]
        }
        return [
            one if one.kind == "address" else msgspec.structs.replace(one, name=names[one.kind].get(one.id))
            for one in users
        ]


class _Live:
    """What counts at the moment: of up to 100,000 at once, for which reason these are plain numbers by names."""

    def __init__(self, settings: FreeSettings) -> None:
        self._settings = settings
        self.limits: dict[Limit, int | None] = {limit: getattr(settings, limit) for limit in WINDOWS}
        self._numbers: dict[tuple[Limit, bool], dict[str, int]] = {
            (limit, refusals): {} for limit in WINDOWS for refusals in (False, True)
        }
        self.shares: dict[str, float] = {}
        """Of the limit that is nearest, how much is used: 1 and more is all of it."""
        self.addresses: dict[str, str] = {}
        """By their pseudonyms."""

    def count(self, who: Who, limit: Limit, number: int, *, refusals: bool) -> None:
        if (most := self.limits[limit]) is None:
            return  # it was taken away, and its counters are not forgotten yet
        self._numbers[limit, refusals][who] = number
        if not refusals:
            self.shares[who] = max(self.shares.get(who, 0.0), _share(number, most))

    def looks(self, who: Who) -> Iterable[tuple[Who, Limit, bool, Claim]]:
        """Claims that ask how somebody stands."""
        kind, id = _parted(who)
        name = self.addresses.get(id) if kind == "address" else id
        if name is None:
            return
        for limit, claim in looks_of(kind, name, self._settings).items():
            yield who, limit, False, claim
            yield who, limit, True, msgspec.structs.replace(claim, key=refusal_key(claim))

    def nearest(self, kinds: Sequence[Kind], limit: int) -> list[Who]:
        """Those who use most of a limit."""
        those = tuple(f"{kind}:" for kind in kinds)
        return heapq.nlargest(limit, (who for who in self.shares if who.startswith(those)), key=self.shares.__getitem__)

    def nothing(self, who: Who) -> dict[str, Any]:
        """A row of sums of somebody who has none in the period."""
        kind, id = _parted(who)
        network = masked(self.addresses[id]) if kind == "address" else ""
        return {"kind": kind, "who": id, "network": network, **dict.fromkeys(SUMS, 0)}

    def told(self, row: Mapping[str, Any]) -> FreeUser:
        windows = tuple(use for limit in WINDOWS if (use := self._window(_who(row), limit)) is not None)
        return FreeUser(
            kind=row["kind"],
            id=row["who"],
            name=row["network"] or None,
            windows=windows,
            at_limit=_at_limit(windows),
            **{name: row[name] for name in SUMS},
        )

    def _window(self, who: Who, limit: Limit) -> WindowUse | None:
        used, refused = (self._numbers[limit, refusals].get(who, 0) for refusals in (False, True))
        most = self.limits[limit]
        if most is None or not (used or refused):
            return None
        return WindowUse(limit=limit, window_s=WINDOWS[limit], most=most, used=used, refused=refused)


def _who(row: Mapping[str, Any]) -> Who:
    return f"{row['kind']}:{row['who']}"


def _parted(who: Who) -> tuple[Kind, str]:
    kind, _, id = who.partition(":")
    return cast("Kind", kind), id


def _share(used: int, most: int) -> float:
    return used / most if most else 1.0


def _at_limit(windows: Iterable[WindowUse]) -> bool:
    return any(use.used >= use.most for use in windows)


def _ordered(users: Iterable[FreeUser], order: Order, limit: int) -> list[FreeUser]:
    """Of several who have as much, those first who use most of a limit."""

    def used(one: FreeUser) -> float:
        return max((_share(use.used, use.most) for use in one.windows), default=0.0)

    def amount(one: FreeUser) -> float:
        if order == "used":
            return used(one)
        return one.input_tokens + one.output_tokens if order == "tokens" else float(getattr(one, order))

    return sorted(users, key=lambda one: (-amount(one), -used(one), one.id))[:limit]


def as_one(told: Sequence[FreeUse]) -> FreeUse:
    """What several workers say: sums are in the database, and what counts at the moment each has a part of."""
    first = told[0]
    most = {name: max(one.how_many[name] for one in told) for name in first.how_many}
    return msgspec.structs.replace(
        first,
        how_many=most,
        addresses=_merged([one.addresses for one in told], first.order),
        callers=_merged([one.callers for one in told], first.order),
    )


def _merged(lists: Sequence[list[FreeUser]], order: Order) -> list[FreeUser]:
    found: dict[Who, list[FreeUser]] = {}
    for one in (one for users in lists for one in users):
        found.setdefault(f"{one.kind}:{one.id}", []).append(one)
    return _ordered(map(_joined, found.values()), order, max(map(len, lists)))


def _joined(said: Sequence[FreeUser]) -> FreeUser:
    """Who has counted most knows best."""
    uses: dict[Limit, WindowUse] = {}
    for use in (use for one in said for use in one.windows):
        before = uses.get(use.limit, use)
        most = {"used": max(use.used, before.used), "refused": max(use.refused, before.refused)}
        uses[use.limit] = msgspec.structs.replace(use, **most)
    windows = tuple(uses[limit] for limit in WINDOWS if limit in uses)
    newest = max(said, key=lambda one: one.requests + one.refused)
    return msgspec.structs.replace(newest, windows=windows, at_limit=_at_limit(windows))
