"""What an operator sees and decides of alerts: providers that refuse the house, rules, what was told, and what rules
the past suggests. All of it is the house's. Where alerts go is in `alert_channels.py`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trivium.clock import DAY_MS, Clock
from trivium.errors import OperationError
from trivium.operations.orgs import Version
from trivium.operations.table import Actor, Arguments, ListArguments, Listed, Op, Table, listed
from trivium.policy.alert_rules import AlertRules, with_suggestions
from trivium.policy.baseline import Suggestion, suggestions
from trivium.store.alerts import AlertStore, Notice, Rules


class ListNotices(ListArguments, frozen=True, kw_only=True):
    """The newest first."""


class SetRules(Arguments, frozen=True, kw_only=True):
    """Replaces all of them."""

    settings: AlertRules
    version: Version | None = None
    """The version that they were made from: refused where there is another by now."""


class Baseline(Arguments, frozen=True, kw_only=True):
    days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 7
    """How far back, as far as records are kept."""


class TakeBaseline(Baseline, frozen=True, kw_only=True):
    """What it suggests becomes part of the rules; other models keep theirs."""


class AlertRuleOperations:
    """Those that need the store alone."""

    def __init__(self, store: AlertStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.table: Table = {
            "alerts.rules.show": Op(arguments=Arguments, result=Rules, act=self._show),
            "alerts.rules.set": Op(arguments=SetRules, result=Rules, act=self._set, changes=True),
            "alerts.baseline": Op(arguments=Baseline, result=list[Suggestion], act=self._baseline),
            "alerts.baseline.take": Op(arguments=TakeBaseline, result=Rules, act=self._take, changes=True),
            "alerts.notices": Op(arguments=ListNotices, result=Listed[Notice], act=self._notices),
        }

    async def _show(self, _: Arguments, __: Actor) -> Rules:
        return await self._store.rules.get()

    async def _set(self, query: SetRules, actor: Actor) -> Rules:
        return await self._store.rules.set(query.settings, query.version, actor.id)

    async def _take(self, query: TakeBaseline, actor: Actor) -> Rules:
        """Raises PreconditionFailed where somebody else sets rules meanwhile, OperationError."""
        found, before = await self._baseline(query, actor), await self._store.rules.get()
        try:
            after = msgspec.convert(msgspec.structs.asdict(with_suggestions(before.settings, found)), AlertRules)
        except msgspec.ValidationError as error:
            raise OperationError(f"The suggestions make no rules: {error}") from None
        return await self._store.rules.set(after, before.version, actor.id)

    async def _baseline(self, query: Baseline, _: Actor) -> list[Suggestion]:
        return suggestions(await self._store.past(self._clock.now_ms() - query.days * DAY_MS))

    async def _notices(self, query: ListNotices, _: Actor) -> Listed[Notice]:
        return listed(await self._store.notices(query.below(), query.limit + 1), query, lambda notice: notice.seq)
