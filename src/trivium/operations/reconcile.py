"""Our records against the provider's own: for each call of a span what it cost and held, by us and by them.

Compared is what the provider charged the house's account. Where the house pays, that is our charge without the markup;
where it charges nobody (free, promotion), or the vendor was paid by another's key, it is what the answer reported, else
the market price. A page of records is compared at a time, so that whoever asks can show how far it is; `summed` makes
one report of them.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from fractions import Fraction

import msgspec

from trivium.canon.usage import Usage
from trivium.clock import Clock, dated
from trivium.errors import OperationError
from trivium.metering.charge import OWN_KEY
from trivium.metering.record import TOKENS
from trivium.money import to_nano
from trivium.operations.table import Actor, Op, Table, check_span
from trivium.providers.provider import Provider
from trivium.store.aside import aside
from trivium.store.reconcile import Charged, ReconcileQuery, charged
from trivium.store.sql import Database
from trivium.upstream.client import UpstreamClient
from trivium.upstream.generation import Generations, Search
from trivium.upstream.http1 import Http1Client

TOLERANCE = 1
"""Nanodollars by which a request may differ: both sides round once."""
_PATIENCE = 10.0
_MILLION = 1_000_000
_LARGEST = 20


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One request. Amounts are nanodollars."""

    id: str
    time_ms: int
    upstream_id: str
    model: str
    outcome: str
    ours_nano: int
    theirs_nano: int | None = None
    """None: they were not found to have charged anything, and `problem` says why."""
    problem: str | None = None
    tokens: dict[str, tuple[int, int]] = {}
    """The buckets that differ, as counted by us and by them."""

    @property
    def difference_nano(self) -> int:
        """Ours less theirs; 0 where there is nothing to compare with."""
        return 0 if self.theirs_nano is None else self.ours_nano - self.theirs_nano


class Sum(msgspec.Struct, frozen=True, kw_only=True):
    """A day (UTC) and model. Amounts are nanodollars, of the requests that were found."""

    day: str
    model: str
    requests: int
    found: int
    ours_nano: int
    theirs_nano: int
    difference_nano: int
    differing: int
    """Requests that differ by more than the tolerance."""
    tokens_differing: int


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    requests: int
    found: int
    not_found: dict[str, int]
    """How many were not, by the reason."""
    differing: int
    rows: tuple[Sum, ...]
    largest: tuple[Comparison, ...]
    """The requests that differ by more than the tolerance, the largest differences first."""


class NextPage(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of the next page."""

    since_ms: int | None
    until_ms: int
    until_id: str


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    compared: tuple[Comparison, ...]
    next: NextPage | None
    """None at the end."""


class ReconcileOperations:
    """`table` is for `Operations`. Must run where the store is owned."""

    def __init__(
        self,
        database: Database,
        providers: Callable[[], Mapping[str, Provider]],
        clock: Clock,
        client: UpstreamClient | None = None,
    ) -> None:
        """Without a client each page has one of its own."""
        self._database = database
        self._providers = providers
        self._clock = clock
        self._client = client
        self.table: Table = {"reconcile": Op(arguments=ReconcileQuery, result=Compared, act=self._reconcile)}

    async def _reconcile(self, query: ReconcileQuery, _: Actor) -> Compared:
        provider = self._asked(query.provider)
        if not query.until_id:
            check_span(query.since_ms, query.until_ms)
        rows = await aside(charged, self._database, query)
        following = None
        if len(rows) == query.limit:
            following = NextPage(since_ms=query.since_ms, until_ms=rows[-1].time_ms, until_id=rows[-1].id)
        return Compared(compared=tuple(await self._compared(provider, rows)), next=following)

    def _asked(self, name: str) -> Provider:
        provider = self._providers().get(name)
        if provider is None or provider.generations is None:
            known = [one.name for one in self._providers().values() if one.generations is not None]
            raise OperationError(
                f"{name!r} is no provider that keeps records of generations; there are {', '.join(known) or 'none'}."
            )
        return provider

    async def _compared(self, provider: Provider, rows: list[Charged]) -> list[Comparison]:
        client = self._client or Http1Client()
        try:
            generations = Generations(client, self._clock)
            found = await asyncio.gather(
                *(generations.search(provider, row.upstream_id, patience=_PATIENCE, settled=True) for row in rows)
            )
        finally:
            if self._client is None:
                await client.close()
        return [comparison(row, search) for row, search in zip(rows, found, strict=True)]


def comparison(row: Charged, search: Search) -> Comparison:
    """Our record beside theirs."""
    generation = search.generation
    theirs = to_nano(generation.cost) if generation and generation.cost is not None else None
    counts = row.usage_known and generation and generation.counted
    return Comparison(
        id=row.id,
        time_ms=row.time_ms,
        upstream_id=row.upstream_id,
        model=row.upstream_model or "",
        outcome=row.outcome,
        ours_nano=_ours(row, theirs),
        theirs_nano=theirs,
        problem="no cost in the record" if generation and theirs is None else search.problem,
        tokens=_apart(_usage(row), generation.usage) if counts and generation else {},
    )


def _ours(row: Charged, theirs: int | None) -> int:
    """What we take the provider to have charged the house's account, in nanodollars; 0 where nobody knows."""
    scale = _MILLION + row.markup_ppm
    if row.payer == "house" and scale > 0:
        if theirs is not None and round(Fraction(theirs * scale, _MILLION)) == row.cost_nano:
            return theirs  # Under a discount several costs make the same charge.
        return round(Fraction(row.cost_nano * _MILLION, scale))
    if row.reported_cost_usd is not None:
        return to_nano(Decimal(row.reported_cost_usd))
    return 0 if row.payer in OWN_KEY else row.market_cost_nano or 0


def _usage(row: Charged) -> Usage:
    return Usage(**{name: getattr(row, column) for column, name in TOKENS.items()})


def _apart(ours: Usage, theirs: Usage) -> dict[str, tuple[int, int]]:
    """The buckets that differ. Writes into caches are compared where theirs tells any: OpenRouter's never does."""
    names = ["input", "cache_read", "output", "reasoning", *(["cache_write"] if theirs.cache_write else [])]
    counts = {name: (getattr(ours, name), getattr(theirs, name)) for name in names}
    return {name: (our, their) for name, (our, their) in counts.items() if our != their}


def summed(compared: Iterable[Comparison]) -> Reconciliation:
    """Comparisons by day and model. Pure."""
    groups: dict[tuple[str, str], list[Comparison]] = {}
    for one in compared:
        groups.setdefault((dated(one.time_ms, "%Y-%m-%d"), one.model), []).append(one)
    everything = [one for group in groups.values() for one in group]
    differing = sorted((one for one in everything if _differs(one)), key=lambda one: -abs(one.difference_nano))
    return Reconciliation(
        requests=len(everything),
        found=sum(one.theirs_nano is not None for one in everything),
        not_found=dict(Counter(one.problem or "" for one in everything if one.theirs_nano is None).most_common()),
        differing=len(differing),
        rows=tuple(_sum(day, model, groups[day, model]) for day, model in sorted(groups)),
        largest=tuple(differing[:_LARGEST]),
    )


def _sum(day: str, model: str, group: list[Comparison]) -> Sum:
    found = [(one.ours_nano, one.theirs_nano) for one in group if one.theirs_nano is not None]
    ours, theirs = sum(our for our, _ in found), sum(their for _, their in found)
    return Sum(
        day=day,
        model=model,
        requests=len(group),
        found=len(found),
        ours_nano=ours,
        theirs_nano=theirs,
        difference_nano=ours - theirs,
        differing=sum(map(_differs, group)),
        tokens_differing=sum(bool(one.tokens) for one in group),
    )


def _differs(one: Comparison) -> bool:
    return abs(one.difference_nano) > TOLERANCE
