"""Charges saved cards when balances run low, beside the calls: every few seconds those that are below
what was agreed.

What has to be charged, and the lock that keeps it to once, are the store's (`store/auto_top_ups.py`); here the
processor is asked, and asked again where nobody knows what it did.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable

from trivium.clock import Clock
from trivium.errors import StoreUnavailable
from trivium.operations.payments import fee_of
from trivium.policy.payments import Payment, is_over
from trivium.settings_payments import PaymentSettings
from trivium.store.auto_top_ups import AutoTopUps
from trivium.upstream.payments import Processor, Wanted

_LOG = logging.getLogger("trivium.payments")
_PAUSE = 10.0
"""Seconds."""
_AGAIN_MS = 60_000
"""Until a charge of unknown outcome is asked for again."""
_TOGETHER = 8
_LOST = "Nobody can tell any more whether the card was charged."
_OURS = "The gateway could not ask for it: its log says why."
"""What the processor has against us is for the operators alone."""


class TopUps:
    """`run` goes on until it is cancelled; `look` does it once."""

    def __init__(self, autos: AutoTopUps, processor: Processor, settings: PaymentSettings, clock: Clock) -> None:
        self._autos, self._processor, self._settings, self._clock = autos, processor, settings, clock

    async def run(self) -> None:
        while True:
            try:
                await self.look()
            except StoreUnavailable as error:
                _LOG.warning("automatic top-ups wait for the store: %s", error.detail or error.message)
            except Exception:
                _LOG.exception("automatic top-ups go on after an error")
            await asyncio.sleep(_PAUSE)

    async def look(self) -> None:
        """Raises StoreUnavailable."""
        await _in_parts(self._ask_again(one) for one in await self._autos.unanswered(_AGAIN_MS))
        if self._settings.auto_top_up:
            await _in_parts(self._top_up(account_id) for account_id in await self._autos.low())

    async def _top_up(self, account_id: str) -> None:
        payment = await self._autos.claim(account_id, self._processor.name, lambda cents: fee_of(self._settings, cents))
        if payment is not None:
            await self._ask(payment)

    async def _ask_again(self, payment: Payment) -> None:
        if is_over(payment, self._clock.now_ms()):
            _LOG.error("payment %s of %s: %s", payment.id, payment.account_id, _LOST)
            await self._autos.give_up(payment.id, _LOST)
        elif payment.processor == self._processor.name:
            await self._ask(payment, again=True)

    async def _ask(self, payment: Payment, *, again: bool = False) -> None:
        """`again`: that we may not ask any more (another key) says nothing of what was done when we asked first."""
        wanted = Wanted(
            payment=payment.id,
            account=payment.account_id,
            cents=payment.asked_cents - payment.fee_cents,
            fee_cents=payment.fee_cents,
            customer=payment.customer,
        )
        charged = await self._processor.charge(wanted, payment.method or "")
        outcome, intent, problem = charged.outcome, charged.intent, charged.problem
        if outcome == "refused":
            _LOG.warning("the card of %s was not charged: %s", payment.account_id, problem)
            outcome, problem = "unknown" if again else outcome, _OURS
        if outcome in ("taken", "unknown"):
            await self._autos.asked(payment.id, intent, problem, done=outcome == "taken")
            return
        told = await self._autos.failed(payment.id, intent, problem, blames_card=outcome == "declined")
        if outcome == "declined" and told is not None and not told.enabled:
            _LOG.warning("the card of %s is charged no more: %s", payment.account_id, problem)


async def _in_parts(doing: Iterable[Awaitable[None]]) -> None:
    waiting = list(doing)
    for at in range(0, len(waiting), _TOGETHER):
        await asyncio.gather(*waiting[at : at + _TOGETHER])
