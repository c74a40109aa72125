"""What a gateway does for its ledger beside the calls: it ends what a crash left open, and credits whose time is over.

A call whose end nobody saw is charged what the provider's generation record says; where there is none, nothing, and
what it may have cost is its exposure.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from trivium.clock import Clock
from trivium.errors import StoreUnavailable
from trivium.metering.book import PriceBook
from trivium.metering.charge import WHOLE, Charge, Payer, charge
from trivium.metering.prices import Quote
from trivium.metering.record import Outcome, Record, told_by
from trivium.providers.provider import Provider
from trivium.store import owners
from trivium.store.ledger import Ledger
from trivium.store.owners import Gone, Orphan
from trivium.store.sql import Database
from trivium.wire.generation import Generation

_LOG = logging.getLogger("trivium.ledger")
_SET_MS = 5_000
"""Beyond what a clock drifts by between two looks."""
_PAUSE = 15.0
"""Seconds; a quarter of what makes an owner count as gone."""
_TOGETHER = 64
_FOR_EVER = 2**62
GONE = "gateway_ended"


class Generations(Protocol):
    """The providers' own records of past calls."""

    async def find(self, provider: Provider, generation_id: str) -> Generation | None: ...


class Housekeeping:
    """`run` goes on until it is cancelled; `look` does it once."""

    def __init__(  # noqa: PLR0917
        self,
        database: Database,
        ledger: Ledger,
        prices: Callable[[], PriceBook],
        generations: Generations,
        providers: Callable[[], Mapping[str, Provider]],
        clock: Clock,
        *,
        patience_ms: int = owners.SILENCE_MS,
        note_uses: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`note_uses` writes down when keys were last used. `patience_ms`: how long a shared database must have
        answered before an owner that is silent is believed to be gone. After an outage all are, until each has had the
        time to say that it lives."""
        self.leads = True
        """False: another process of this gateway ends credits, and calls of gateways that fell silent."""
        self.ended: tuple[str, ...] = ()
        """Owners that are known to be no more, however lately they were seen."""
        self._patience_ms = patience_ms
        self._note_uses = note_uses
        self._steady_ns: int | None = None
        """Since when the database has answered, and the clock was not set."""
        self._database = database
        self._ledger = ledger
        self._prices = prices
        self._generations = generations
        self._providers = providers
        self._clock = clock
        self._seen = (clock.now_ms(), clock.monotonic_ns() // 1_000_000)

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                self._steady_ns = None
                _LOG.warning("housekeeping waits for the store: %s", error.detail or error.message)
            except Exception:
                _LOG.exception("housekeeping goes on after an error")
            await asyncio.sleep(_PAUSE)

    async def look(self) -> None:
        """Raises StoreUnavailable."""
        now = self._clock.now_ms()
        await self._ledger.is_here()
        if self._note_uses is not None:
            await self._note_uses()
        if self._clock_was_set() or self._steady_ns is None:
            self._steady_ns = self._clock.monotonic_ns()
        for owner in await owners.named(self._database, self.ended):
            await self._end_all_of(owner, certainly=True)
        self.ended = ()
        await self._ledger.forget_idle()
        if self.leads:
            await self._look_at_others(now)

    def _clock_was_set(self) -> bool:
        """Whether the time was set forward since the last look. By the new time everybody has been silent for long."""
        before, self._seen = self._seen, (self._clock.now_ms(), self._clock.monotonic_ns() // 1_000_000)
        return (self._seen[0] - before[0]) - (self._seen[1] - before[1]) > _SET_MS

    async def _look_at_others(self, now: int) -> None:
        assert self._steady_ns is not None
        patient = self._clock.monotonic_ns() - self._steady_ns >= self._patience_ms * 1_000_000
        for owner in await owners.gone(self._database, self._ledger.owner, now):
            if self._database.shared and not patient:
                break
            await self._end_all_of(owner, certainly=not self._database.shared)
        for account_id in await owners.accounts_with_expired_credits(self._database, now):
            await self._ledger.expire(account_id)

    async def _end_all_of(self, owner: Gone, *, certainly: bool) -> None:
        """What an owner has left open. To ask providers takes its time: meanwhile we must not be silent ourselves, and
        one that is not `certainly` gone may be seen again, or another gateway does the same and is done."""
        ended: set[str] = set()
        while found := [one for one in await owners.orphans(self._database, owner) if one.start.id not in ended]:
            ended |= {one.start.id for one in found}
            for at in range(0, len(found), _TOGETHER):
                await self._ledger.is_here()
                if not certainly and not await owners.is_gone(self._database, owner, self._clock.now_ms()):
                    return
                await asyncio.gather(*map(self._end, found[at : at + _TOGETHER]))
                await self._ledger.writer.flush()
            _LOG.warning("%d calls were ended that a gateway had left open", len(found))
        until_ms = _FOR_EVER if certainly else self._clock.now_ms() - owners.SILENCE_MS
        await self._ledger.writer.run(lambda tx: owners.bury(tx, owner, until_ms))

    async def _end(self, orphan: Orphan) -> None:
        start, provider = orphan.start, self._providers().get(orphan.start.provider)
        await self._ledger.adopt(start, orphan.windows)
        found = await self._found(provider, orphan.upstream_id) if provider is not None else None
        if provider is None or found is None or start.payer is None:
            self._ledger.end(_record(orphan, **_unknown(orphan)))
            return
        quote = self._prices().quote(provider, start.upstream_model, start.account_id, start.time_ms)
        if quote is not None:
            self._ledger.priced(quote)
        charged = charge(found.usage, WHOLE, quote, Payer(start.payer), tells_byok=provider.tells_byok)
        self._ledger.end(_record(orphan, **_known(charged, found, quote)))

    async def _found(self, provider: Provider, upstream_id: str | None) -> Generation | None:
        if provider.generations is None or upstream_id is None:
            return None
        return await self._generations.find(provider, upstream_id)


def _known(charged: Charge, found: Generation, quote: Quote | None) -> dict[str, Any]:
    return {
        **told_by(charged.usage or found.usage),
        "usage_known": found.counted,
        "flags": " ".join(charged.flags),
        "cost_nano": charged.nano,
        "market_cost_nano": charged.market_nano,
        "cost_source": charged.source,
        "price_version": quote.version if quote else None,
        "markup_ppm": quote.markup_ppm if quote else 0,
    }


def _unknown(orphan: Orphan) -> dict[str, Any]:
    start = orphan.start
    return {"flags": "expired_unknown", "exposure_nano": start.hold_nano, "price_version": start.price_version}


def _record(orphan: Orphan, **told: Any) -> Record:
    start = orphan.start
    return Record(
        id=start.id,
        time_ms=start.time_ms,
        api=start.api,
        operation="generate" if start.payer else "count_tokens",
        outcome=Outcome.FAILED,
        status=500,
        key_id=start.key_id,
        account_id=start.account_id,
        organization_id=start.organization_id,
        requested_model=start.requested_model,
        provider=start.provider,
        upstream_model=start.upstream_model,
        upstream_id=orphan.upstream_id,
        public_model=start.public_model,
        error_code=GONE,
        error_message="The gateway ended before the call did.",
        payer=start.payer,
        hold_nano=start.hold_nano,
        # Priced, or begun to be answered: the name is no invention of the caller's.
        model_listed=1 if start.price_version or orphan.upstream_id else None,
        **told,
    )
