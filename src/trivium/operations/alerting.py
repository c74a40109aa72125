"""Alerts while the gateway runs: once a minute it is counted, evaluated and told.

Every gateway of a database writes down what it counted in the minute that is over; a few seconds later the first that
asks has the turn to evaluate, for all. A rule that fails stops no other, nor does a channel; what no channel has taken
is not written down, and so is tried again a minute later. Without a channel nothing is counted and nothing evaluated.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from trivium.clock import HOUR_MS, MINUTE_MS, Clock
from trivium.errors import StoreUnavailable
from trivium.operations.channels import Channels, masked
from trivium.policy import alert_rules
from trivium.policy.alert_rules import DEFAULTS, LASTING, AlertRules, Audited, Finding, Refusing, due
from trivium.policy.alert_words import Message
from trivium.policy.alerts import Alert
from trivium.policy.payment_alerts import payment_findings
from trivium.settings_alerts import Severity
from trivium.store.alerts import AlertStore
from trivium.telemetry.minutes import Minutes, Row

_LOG = logging.getLogger("trivium.alerts")
_COUNTED_MS, _EVALUATED_MS = 1_000, 6_000
"""After a minute's end."""
_LAST = 5.0
"""Seconds that the last counts may take at the end."""
_MOST_KEPT = 100_000
"""Rows that wait for a store that does not answer; the oldest go first."""
_SEVERITIES: tuple[Severity, ...] = ("page", "ticket")

Audit = Callable[[], Awaitable[Audited]]


class Alerting:
    """`run` goes on until it is cancelled; `close` behind the last call."""

    def __init__(  # noqa: PLR0917
        self,
        store: AlertStore,
        minutes: Minutes,
        channels: Channels,
        refused: Callable[[], Iterable[Alert]],
        audit: Audit,
        clock: Clock,
    ) -> None:
        """`refused` are providers that have refused the house since it was last asked, as this gateway saw it; `audit`
        asks the ledger's auditor."""
        self.minutes, self.channels = minutes, channels
        self._store, self._refused, self._audit, self._clock = store, refused, audit, clock
        self._rules: AlertRules = DEFAULTS
        self._kept: list[Row] = []
        self._refusing: dict[str, Refusing] = {}
        self._auditing: asyncio.Task[None] | None = None
        minutes.slow_ms = self._slow_ms

    async def run(self) -> None:
        """Counting waits for nobody who is being told. While there is no channel, nothing is done."""
        if self.channels.open:
            await self._unharmed(self.count())  # for the rules, which say what is slow
        await asyncio.gather(
            self._each_minute(_COUNTED_MS, lambda _: self.count()), self._each_minute(_EVALUATED_MS, self.evaluate)
        )

    async def _each_minute(self, after_ms: int, act: Callable[[int], Awaitable[None]]) -> None:
        while True:
            minute = (self._clock.now_ms() - after_ms) // MINUTE_MS + 1
            await self._until(minute * MINUTE_MS + after_ms)
            if self.channels.open:
                await self._unharmed(act(minute))

    async def count(self) -> None:
        """Writes down what has been counted here, and reads what rules there are. Raises StoreUnavailable."""
        self._kept = [*self._kept, *self.minutes.drain()][-_MOST_KEPT:]
        self._refusing |= {one.provider: _refusing(one) for one in self._refused()}
        await self._store.count(self._kept, list(self._refusing.values()))
        self._kept, self._refusing = [], {}
        self._rules = (await self._store.rules.get()).settings

    async def evaluate(self, minute: int) -> None:
        """Tells what is so where the minute begins, if it is our turn. Raises StoreUnavailable."""
        if not await self._store.turn(minute):
            return
        now_ms, rules = minute * MINUTE_MS, (await self._store.rules.get()).settings
        found = await self._found(minute, rules)
        keys = [key for one in found for key, _ in one.silenced]
        findings = [masked(one) for one in due(found, await self._store.told(keys, now_ms), now_ms)]
        for severity in _SEVERITIES:
            if some := [one for one in findings if one.severity == severity]:
                await self._tell(Message(severity, some, now_ms))
        await self._look_at_ledger(rules, now_ms)

    async def _tell(self, message: Message) -> None:
        told = await self.channels.tell(message)
        if told.taken:
            await self._store.tell(told.taken, message.time_ms)
        there = {one.name for one in self.channels.all}
        problems = {**await self._store.problems(), **told.problems}
        left = {name: why for name, why in problems.items() if why is not None and name in there}
        await self._store.put_problems(left, message.time_ms)

    async def close(self) -> None:
        """Writes down what is left, unless the store makes us wait for it."""
        if self._auditing is not None:
            self._auditing.cancel()
        if self.channels.open:
            await self._unharmed(asyncio.wait_for(self.count(), _LAST))

    async def _found(self, minute: int, rules: AlertRules) -> list[Finding]:
        found: list[Finding] = []
        for name, look in _LOOKS.items():
            try:
                some = await look(self._store, rules, minute)
                if name in LASTING:
                    await self._store.end(name, [one.key for one in some], minute * MINUTE_MS)
            except Exception:
                _LOG.exception("alerts go on without the rule `%s`", name)
            else:
                found += some
        return found

    async def _look_at_ledger(self, rules: AlertRules, now_ms: int) -> None:
        """Has the auditor look when it is time, beside all else: that may take minutes."""
        if not rules.audit_hours or (self._auditing is not None and not self._auditing.done()):
            return
        last = await self._store.audited()
        due = last is None or abs(now_ms - last.time_ms) >= rules.audit_hours * HOUR_MS
        if due and await self._store.claim_audit(now_ms):
            self._auditing = asyncio.create_task(self._unharmed(self._audited()))

    async def _audited(self) -> None:
        try:
            audited = await self._audit()
        except StoreUnavailable:
            raise
        except Exception as error:
            _LOG.exception("the ledger could not be looked at")
            audited = Audited(findings=0, problem=f"It could not look: {error}", time_ms=self._clock.now_ms())
        await self._store.put_audited(audited)

    def _slow_ms(self, provider: str, model: str) -> int | None:
        found: int | None = alert_rules.fitting(self._rules.slow_ms, provider, model)
        return found

    async def _until(self, moment_ms: int) -> None:
        await asyncio.sleep(max(0, moment_ms - self._clock.now_ms()) / 1000)

    @staticmethod
    async def _unharmed(doing: Awaitable[Any]) -> None:
        try:
            await doing
        except StoreUnavailable as error:
            _LOG.warning("alerts wait for the store: %s", error.detail or error.message)
        except Exception:
            _LOG.exception("alerts go on after an error")


async def _errors(store: AlertStore, rules: AlertRules, minute: int) -> list[Finding]:
    return alert_rules.error_findings(await store.seen(minute), rules) if rules.errors else []


async def _slow(store: AlertStore, rules: AlertRules, minute: int) -> list[Finding]:
    return alert_rules.slow_findings(await store.seen(minute), rules) if rules.slow_ms else []


async def _balance(store: AlertStore, rules: AlertRules, _: int) -> list[Finding]:
    return alert_rules.balance_findings(await store.low_balances(rules), rules)


async def _budget(store: AlertStore, rules: AlertRules, minute: int) -> list[Finding]:
    """Of the periods that the minute lies in that is over: what was spent at the end of one is told, too."""
    moment_ms = minute * MINUTE_MS - 1
    return alert_rules.budget_findings(await store.spent(rules, moment_ms), rules, moment_ms)


async def _refusal(store: AlertStore, rules: AlertRules, minute: int) -> list[Finding]:
    return alert_rules.refusal_findings(await store.refusing(), rules, minute * MINUTE_MS)


async def _audit(store: AlertStore, _: AlertRules, __: int) -> list[Finding]:
    return alert_rules.audit_findings(await store.audited())


async def _payments(store: AlertStore, rules: AlertRules, minute: int) -> list[Finding]:
    return payment_findings(await store.payment_troubles(minute * MINUTE_MS), rules)


_LOOKS: Mapping[str, Callable[[AlertStore, AlertRules, int], Awaitable[list[Finding]]]] = {
    "errors": _errors,
    "slow": _slow,
    "balance": _balance,
    "budget": _budget,
    "refusal": _refusal,
    "audit": _audit,
    "payments": _payments,
}
"""By the rules' names: what is so where a minute begins."""


def _refusing(one: Alert) -> Refusing:
    return Refusing(provider=one.provider, status=one.status, message=one.message, last_ms=one.last_ms)


def outcome_of(report: dict[str, Any], now_ms: int) -> Audited:
    """Of what the auditor says."""
    failed = tuple(check["check"] for check in report["checks"] if check["found"])
    return Audited(findings=report["findings"], failed=failed, time_ms=now_ms)
