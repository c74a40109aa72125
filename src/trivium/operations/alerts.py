"""What an operator sees and decides of alerts: providers that refuse the house, rules, what was told and through which
channels, and what rules the past suggests. All of it is the house's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated

import msgspec

from trivium.clock import Clock
from trivium.errors import NotFound
from trivium.operations.channels import Channels
from trivium.operations.orgs import Version
from trivium.operations.table import Actor, Arguments, ListArguments, Listed, Op, Table, listed
from trivium.policy.alert_rules import AlertRules, Finding
from trivium.policy.alert_words import Message
from trivium.policy.alerts import Alert
from trivium.policy.baseline import Suggestion, suggestions
from trivium.settings_alerts import Severity
from trivium.store.alerts import AlertStore, Notice, Rules

_DAY_MS = 86_400_000


class ShowAlerts(Arguments, frozen=True, kw_only=True):
    pass


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


class ChannelState(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    severities: tuple[Severity, ...]
    problem: str | None
    """Why it did not take the last alert; null: it did, or there was none."""


class TestChannels(Arguments, frozen=True, kw_only=True):
    channel: str | None = None
    """Left out: all of them."""


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    channel: str
    problem: str | None
    """Null: it took the message."""


class AlertRuleOperations:
    """Those that need the store alone."""

    def __init__(self, store: AlertStore, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self.table: Table = {
            "alerts.rules.show": Op(arguments=ShowAlerts, result=Rules, act=self._show),
            "alerts.rules.set": Op(arguments=SetRules, result=Rules, act=self._set, changes=True),
            "alerts.baseline": Op(arguments=Baseline, result=list[Suggestion], act=self._baseline),
            "alerts.notices": Op(arguments=ListNotices, result=Listed[Notice], act=self._notices),
        }

    async def _show(self, _: ShowAlerts, __: Actor) -> Rules:
        return await self._store.rules.get()

    async def _set(self, query: SetRules, actor: Actor) -> Rules:
        return await self._store.rules.set(query.settings, query.version, actor.id)

    async def _baseline(self, query: Baseline, _: Actor) -> list[Suggestion]:
        return suggestions(await self._store.past(self._clock.now_ms() - query.days * _DAY_MS))

    async def _notices(self, query: ListNotices, _: Actor) -> Listed[Notice]:
        return listed(await self._store.notices(query.below(), query.limit + 1), query, lambda notice: notice.seq)


class AlertOperations:
    """Those that ask the running gateway."""

    def __init__(
        self, store: AlertStore, standing: Callable[[], list[Alert]], channels: Channels, clock: Clock
    ) -> None:
        self._store, self._standing, self._channels, self._clock = store, standing, channels, clock
        self.table: Table = {
            "alerts.show": Op(arguments=ShowAlerts, result=list[Alert], act=self._show),
            "alerts.channels": Op(arguments=ShowAlerts, result=list[ChannelState], act=self._list),
            "alerts.test": Op(arguments=TestChannels, result=list[Tested], act=self._test),
        }

    async def _show(self, _: ShowAlerts, __: Actor) -> list[Alert]:
        return self._standing()

    async def _list(self, _: ShowAlerts, __: Actor) -> list[ChannelState]:
        problems = await self._store.problems()
        return [
            ChannelState(name=one.name, kind=one.kind, severities=one.severities, problem=problems.get(one.name))
            for one in self._channels.all
        ]

    async def _test(self, query: TestChannels, actor: Actor) -> list[Tested]:
        """Nothing is written down: nothing has happened."""
        names = [one.name for one in self._channels.all]
        if query.channel is not None and query.channel not in names:
            raise NotFound(f"There is no channel {query.channel!r}; there are {', '.join(names) or 'none'}.")
        asked = [query.channel] if query.channel is not None else names
        message = Message("ticket", [_test_finding(actor)], self._clock.now_ms(), test=True)
        problems = await asyncio.gather(*(self._channels.test(name, message) for name in asked))
        return [Tested(channel=name, problem=problem) for name, problem in zip(asked, problems, strict=True)]


def _test_finding(actor: Actor) -> Finding:
    text = f"{actor.id} wants to know whether messages arrive here. Nothing is wrong."
    return Finding(rule="test", severity="ticket", key="test", title="This is a test", text=text, silenced=())
