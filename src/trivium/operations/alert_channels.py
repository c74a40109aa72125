"""Channels of alerts: listed with how they do, added, changed, paused, removed, tried out. All of it is the house's.

URLs, headers and passwords go in and never come out. Where a channel leads is checked when it is saved, and again
whenever it is connected to. The configuration's channels are shown beside the others, and changed there.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from trivium.clock import Clock
from trivium.errors import Conflict, NotFound
from trivium.operations.channels import Channels
from trivium.operations.table import Actor, Arguments, Op, Table, given_of
from trivium.policy.alert_channels import Channel as Said
from trivium.policy.alert_channels import Headers, Kept, Kind, Login, Name, Password, Recipients, Url, changed, made
from trivium.policy.alert_rules import Finding
from trivium.policy.alert_words import Message
from trivium.policy.destinations import Destinations
from trivium.settings_alerts import RULES, SEVERITIES, Address, MailHost, MailSecurity, Patience, Port, Rule, Severity
from trivium.store.alert_channels import AlertChannels
from trivium.store.alerts import AlertStore
from trivium.store.answers import told
from trivium.upstream.webhook import Problem, Taken

_Severities = Annotated[tuple[Severity, ...], msgspec.Meta(min_length=1, max_length=2)]
_Rules = Annotated[tuple[Rule, ...], msgspec.Meta(min_length=1, max_length=len(RULES))]


class AddChannel(Arguments, frozen=True, kw_only=True):
    """`slack` and `webhook` need a `url`; `email` a `host`, a `sender` and `to`."""

    name: Name
    kind: Kind
    severities: _Severities = SEVERITIES
    rules: _Rules = RULES
    """What it is told of."""
    timeout: Patience | None = None
    """Seconds for each step; null: 10, of mail 20."""
    enabled: bool = True
    url: Url | None = None
    """Sealed."""
    headers: Headers = {}  # noqa: RUF012 # msgspec copies it
    """Sealed; of `webhook`."""
    host: MailHost | None = None
    port: Port | None = None
    """Null: 587 with `starttls`, 465 with `tls`, 25 with `none`."""
    security: MailSecurity | None = None
    """Null: `starttls`."""
    sender: Address | None = None
    to: Recipients = ()
    login: Login | None = None
    password: Password | None = None
    """Sealed."""


class SetChannel(Arguments, frozen=True, kw_only=True):
    """What is left out stays as it is."""

    channel: Name
    severities: _Severities | UnsetType = UNSET
    rules: _Rules | UnsetType = UNSET
    timeout: Patience | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET
    """False: it is told nothing until this is true again."""
    url: Url | UnsetType = UNSET
    headers: Headers | UnsetType = UNSET
    """All of them; {}: none."""
    host: MailHost | UnsetType = UNSET
    port: Port | UnsetType | None = UNSET
    security: MailSecurity | UnsetType | None = UNSET
    sender: Address | UnsetType = UNSET
    to: Recipients | UnsetType = UNSET
    login: Login | UnsetType | None = UNSET
    """Null takes the password away with it."""
    password: Password | UnsetType = UNSET


class OneChannel(Arguments, frozen=True, kw_only=True):
    channel: Name


class TestChannels(Arguments, frozen=True, kw_only=True):
    channel: str | None = None
    """Left out: all that are not paused."""


class ChannelState(Said, frozen=True, kw_only=True):
    """A channel, as much of it as is ever shown."""

    name: str
    source: Literal["configuration", "kept"]
    """Where it is changed: in the file, or here."""
    problem: str | None
    """Why it did not take the last alert; null: it did, or there was none."""
    created_ms: int | None


class Tested(msgspec.Struct, frozen=True, kw_only=True):
    channel: str
    problem: str | None
    """Null: all of it arrived."""
    answer: str
    """What the other side said; empty: nothing."""


class AlertChannelOperations:
    """Must run where the store is owned; tells through the channels of this gateway."""

    def __init__(
        self, alerts: AlertStore, kept: AlertChannels, channels: Channels, rules: Destinations, clock: Clock
    ) -> None:
        self._alerts, self._kept, self._channels, self._rules, self._clock = alerts, kept, channels, rules, clock
        self.table: Table = {
            "alerts.channels": Op(arguments=Arguments, result=list[ChannelState], act=self.listed),
            "alerts.channels.add": Op(arguments=AddChannel, result=ChannelState, act=self.add, changes=True),
            "alerts.channels.set": Op(arguments=SetChannel, result=ChannelState, act=self.set, changes=True),
            "alerts.channels.remove": Op(arguments=OneChannel, result=ChannelState, act=self.remove, changes=True),
            "alerts.channels.test": Op(arguments=OneChannel, result=Tested, act=self.test_one),
            "alerts.test": Op(arguments=TestChannels, result=list[Tested], act=self.test),
        }

    async def listed(self, _: Arguments, __: Actor) -> list[ChannelState]:
        await self._kept.refresh()
        problems = await self._alerts.problems()
        return [_state(one.name, one.said, one.created_ms, problems.get(one.name)) for one in self._channels.all]

    async def add(self, query: AddChannel, actor: Actor) -> ChannelState:
        """Raises Conflict, OperationError, UrlRefused, SecretUnreadable where nothing can be sealed."""
        if any(one.name == query.name for one in self._channels.configured):
            raise Conflict(f"The configuration has a channel {query.name!r}.")
        given = {name: getattr(query, name) for name in query.__struct_fields__ if name not in ("name", "kind")}
        said, sealed = made(query.kind, given, self._rules)
        return await told(_shown, self._kept.add(query.name, said, sealed, actor.id))

    async def set(self, query: SetChannel, actor: Actor) -> ChannelState:
        """Raises NotFound, OperationError, UrlRefused, SecretUnreadable."""
        self._check_ours(query.channel)
        given = given_of(query, (name for name in query.__struct_fields__ if name != "channel"))
        setting = self._kept.set(
            query.channel, lambda said, unseal: changed(said, given, self._rules, unseal), actor.id
        )
        return await told(_shown, setting)

    async def remove(self, query: OneChannel, actor: Actor) -> ChannelState:
        """Raises NotFound, OperationError."""
        self._check_ours(query.channel)
        return await told(_shown, self._kept.remove(query.channel, actor.id))

    async def test_one(self, query: OneChannel, actor: Actor) -> Tested:
        """Also where it is paused. Raises NotFound."""
        (found,) = await self.test(TestChannels(channel=query.channel), actor)
        return found

    async def test(self, query: TestChannels, actor: Actor) -> list[Tested]:
        """Nothing is written down: nothing has happened. Raises NotFound."""
        await self._kept.refresh()
        names = [one.name for one in self._channels.all]
        if query.channel is not None and query.channel not in names:
            raise NotFound(f"There is no channel {query.channel!r}; there are {', '.join(names) or 'none'}.")
        asked = [query.channel] if query.channel is not None else [one.name for one in self._channels.open]
        message = Message("ticket", [_test_finding(actor)], self._clock.now_ms(), test=True)
        answers = await asyncio.gather(*(self._channels.test(name, message) for name in asked))
        return [_tested(name, answer) for name, answer in zip(asked, answers, strict=True)]

    def _check_ours(self, name: str) -> None:
        if any(one.name == name for one in self._channels.configured):
            raise Conflict(f"The channel {name!r} is the configuration's, and is changed there.")


def _tested(name: str, answer: Problem | Taken) -> Tested:
    if isinstance(answer, Taken):
        return Tested(channel=name, problem=answer.lacks, answer=answer.said)
    return Tested(channel=name, problem=answer.why, answer=answer.why)


def _shown(kept: Kept) -> ChannelState:
    return _state(kept.name, kept.said, kept.created_ms, None)


def _state(name: str, said: Said, created_ms: int | None, problem: str | None) -> ChannelState:
    return ChannelState(
        **msgspec.structs.asdict(said),
        name=name,
        source="configuration" if created_ms is None else "kept",
        problem=problem,
        created_ms=created_ms,
    )


def _test_finding(actor: Actor) -> Finding:
    text = f"{actor.id} wants to know whether messages arrive here. Nothing is wrong."
    return Finding(rule="test", severity="ticket", key="test", title="This is a test", text=text, silenced=())
