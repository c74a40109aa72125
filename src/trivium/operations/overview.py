"""The figures of a home page: what today has come to, hour by hour, and what is going on now. `table` is for
`Operations`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trivium.clock import DAY_MS, HOUR_MS
from trivium.operations.table import SEES_CALLS, Actor, Arguments, Op, Table
from trivium.operations.usage import Figures, figures, summed
from trivium.policy.caller import Id
from trivium.store.aside import aside
from trivium.store.store import Store
from trivium.store.usage import UsageQuery
from trivium.store.whose import Whose


class Overview(Arguments, frozen=True, kw_only=True):
    organization: Id | None = None
    user: Id | None = None


class HourTold(msgspec.Struct, frozen=True, kw_only=True):
    hour: str
    """`2026-01-31T05:00Z`."""
    requests: int
    failed: int
    cost_nano: int


class Live(msgspec.Struct, frozen=True, kw_only=True):
    """Of this gateway with its workers; where several share a database, each knows its own."""

    calls: int
    """That wait for an upstream's answer or its end."""
    streams: int
    """Those of them that are streamed."""


class Home(msgspec.Struct, frozen=True, kw_only=True):
    now_ms: int
    since_ms: int
    """The beginning of today, UTC."""
    today: Figures
    yesterday: Figures
    """Up to the same hour."""
    hours: tuple[HourTold, ...]
    """Of the last day, those in which there were calls."""
    live: Live


class OverviewOperations:
    """Must run where the store is owned."""

    def __init__(self, store: Store, flush: Callable[[], Awaitable[None]]) -> None:
        """`flush` hands over what is not in the database yet."""
        self._store = store
        self._flush = flush
        self.table: Table = {"overview": Op(arguments=Overview, result=Home, act=self._overview, needs=SEES_CALLS)}

    async def _overview(self, query: Overview, actor: Actor) -> Home:
        await self._flush()
        theirs = await aside(self._store.is_theirs, Whose(organization=query.organization, user=query.user))
        calls = [start for start in self._store.ledger.open_starts() if theirs(start)]
        live = Live(calls=len(calls), streams=sum(start.stream for start in calls))
        return await aside(self._told, query, live, public=not actor.house)

    def _told(self, query: Overview, live: Live, *, public: bool) -> Home:
        now = self._store.clock.now_ms()
        today, end = now - now % DAY_MS, now - now % -HOUR_MS

        def summed_of(since: int, until: int, *by: str, timed: bool = True) -> list[dict[str, Any]]:
            asked = UsageQuery(by=by, since_ms=since, until_ms=until, organization=query.organization, user=query.user)
            return self._store.usage(asked, public=public, timed=timed)

        hours = summed_of(end - DAY_MS, end, "hour", timed=False)
        return Home(
            now_ms=now,
            since_ms=today,
            today=figures(summed(summed_of(today, end))),
            yesterday=figures(summed(summed_of(today - DAY_MS, end - DAY_MS))),
            hours=tuple(HourTold(**{name: row[name] for name in HourTold.__struct_fields__}) for row in hours),
            live=live,
        )
