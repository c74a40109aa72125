"""Signs of abuse that a gateway can see by itself: a call is looked at before it is sent, and judged (behaviour page,
section 10). Pure but for its counters, which are bounded: of too many identities those are forgotten that called
longest ago.

Rates are sliding: what was counted in the window before counts as far as that window still reaches into the last minute
or hour. Whoever slows down is no longer held to be abusive.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import lru_cache
from typing import TypeVar

import msgspec

from trivium.canon import wildcard
from trivium.clock import HOUR_MS, MINUTE_MS
from trivium.errors import ConfigError
from trivium.money import to_nano
from trivium.policy import addresses
from trivium.policy.ranges import Ranges
from trivium.settings import AbuseRules

_REMEMBERED = 20_000
"""Identities, and addresses."""
_V = TypeVar("_V")


class Verdict(enum.StrEnum):
    """What should become of a call, from the mildest to the gravest."""

    ALLOW = "allow"
    SOFT_BLOCK = "soft_block"
    """A cheaper model answers."""
    CHALLENGE = "challenge"
    """Refused, and told what to do."""
    HARD_BLOCK = "hard_block"
    """Refused."""


_GRAVITY = {verdict: gravity for gravity, verdict in enumerate(Verdict)}


class Judgement(msgspec.Struct, frozen=True):
    verdict: Verdict = Verdict.ALLOW
    reason: str = ""
    """The rules that spoke, or the classifier's word."""
    advice: str | None = None
    """What the caller is told, if that was said."""


ALLOWED = Judgement()


def graver(one: Judgement, other: Judgement) -> Judgement:
    """The graver judgement, with the reasons of both where they say the same."""
    if one.verdict is other.verdict:
        reason = "; ".join(said for said in (one.reason, other.reason) if said)
        return Judgement(one.verdict, reason, one.advice or other.advice)
    return max(one, other, key=lambda judgement: _GRAVITY[judgement.verdict])


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What the rules look at."""

    identity: str
    """A user, else a key, else the subscriber's address."""
    client_ip: str | None
    agent: str = ""
    """The User-Agent header."""
    born_ms: int | None = None
    """When the identity was made, milliseconds since the epoch; None of what nobody made."""
    free: bool = False
    """The call costs its caller nothing, and is not paid with a key of theirs."""
    time_ms: int
    """Now: of two calls that are looked at, the later one is not the older."""


class Lists(msgspec.Struct, frozen=True):
    """What is known to be bad, and where nobody lives."""

    datacentres: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()


_KINDS = {"datacentre": "datacentres", "address": "addresses", "agent": "agents", "prompt": "prompts"}
"""The first word of a line in a file of lists."""


def read_lists(text: str, name: str) -> Lists:
    """Lists from the text of a file: a kind, a blank, and the rest of the line; `#` begins a comment line. Raises
    ConfigError."""
    found: dict[str, list[str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        kind, _, said = line.strip().partition(" ")
        if not kind or kind.startswith("#"):
            continue
        if kind not in _KINDS or not said.strip():
            raise ConfigError(f"{name}:{number}: expected one of {', '.join(_KINDS)}, and what is listed")
        found.setdefault(_KINDS[kind], []).append(said.strip())
    lists = Lists(**{kind: tuple(listed) for kind, listed in found.items()})
    for network in (*lists.datacentres, *lists.addresses):
        try:
            addresses.networks([network])
        except ValueError:
            raise ConfigError(f"{name}: expected an address or a network as 10.0.0.0/8, got {network!r}") from None
    return lists


class _Rate:
    """How much there was in the last window, however long ago that began. Times are the clock's at each moment; where
    it has gone back, what was counted by the time before is forgotten, which may have been any."""

    __slots__ = ("_before", "_now", "_number", "_window_ms")

    def __init__(self, window_ms: int) -> None:
        self._window_ms = window_ms
        self._number = self._now = self._before = 0

    def add(self, amount: int, time_ms: int) -> None:
        self._turn(time_ms)
        self._now += amount

    def at(self, time_ms: int) -> int:
        self._turn(time_ms)
        left = self._window_ms - time_ms % self._window_ms
        return self._now + self._before * left // self._window_ms

    def _turn(self, time_ms: int) -> None:
        number = time_ms // self._window_ms
        if number != self._number:
            self._before = self._now if number == self._number + 1 else 0
            self._number, self._now = number, 0


class _Identity:
    __slots__ = ("free_spend", "hour", "minute")

    def __init__(self) -> None:
        self.minute, self.hour, self.free_spend = _Rate(MINUTE_MS), _Rate(HOUR_MS), _Rate(HOUR_MS)


class _Address:
    """The new identities that called from an address, by when they did last."""

    __slots__ = ("new",)

    def __init__(self) -> None:
        self.new: OrderedDict[str, int] = OrderedDict()


Texts = Callable[[], Iterable[str] | None]
"""The prompts of a call, read only where a rule asks for them; None where they are more than anybody reads."""


class Rules:
    """`judge` each call once, and tell what it was worth when it has `ended`."""

    def __init__(self, settings: AbuseRules, lists: Lists | None = None, before: Rules | None = None) -> None:
        """`before` are the rules until now, whose memory of callers these go on with."""
        more = lists or Lists()
        self._settings = settings
        self._free_spend = to_nano(Decimal(settings.free_spend_per_hour))
        self._new_ms = settings.new_hours * HOUR_MS
        self._datacentres = Ranges((*settings.datacentres, *more.datacentres))
        self._bad = Ranges((*settings.bad_addresses, *more.addresses))
        self._agents = [wildcard.compiled(agent.lower()) for agent in (*settings.bad_agents, *more.agents)]
        self._prompts = [text.lower() for text in (*settings.bad_prompts, *more.prompts)]
        self._identities: OrderedDict[str, _Identity] = before._identities if before else OrderedDict()
        self._addresses: OrderedDict[str, _Address] = before._addresses if before else OrderedDict()
        self._rules = [(name, verdict, holds) for name, verdict, holds in self._table() if verdict is not Verdict.ALLOW]

    def judge(self, seen: Seen, texts: Texts) -> Judgement:
        """The gravest of what the rules say that hold. Counts the call."""
        identity = _of(self._identities, seen.identity, _Identity)
        identity.minute.add(1, seen.time_ms)
        identity.hour.add(1, seen.time_ms)
        found = ALLOWED
        for name, verdict, holds in self._rules:
            if holds(seen, identity, texts):
                found = graver(found, Judgement(verdict, name))
        return found

    def ended(self, identity: str, market_nano: int, time_ms: int) -> None:
        """What a call was worth that cost its caller nothing, in nanodollars. The time is now."""
        _of(self._identities, identity, _Identity).free_spend.add(market_nano, time_ms)

    def _table(self) -> list[tuple[str, Verdict, Callable[[Seen, _Identity, Texts], bool]]]:
        """The rules that are switched on."""
        settings, said = self._settings, self._settings.verdicts
        table = {
            "velocity": (settings.requests_per_minute, self._is_fast),
            "free_spend": (self._free_spend, self._spends_much),
            "new_identity": (self._new_ms and settings.new_requests_per_hour, self._is_new_and_busy),
            "new_identities": (self._new_ms and settings.new_identities_per_address, self._is_one_of_many),
            "datacentre": (self._datacentres, self._is_no_person),
            "bad_address": (self._bad, self._is_at_a_bad_address),
            "bad_agent": (self._agents, self._is_a_bad_agent),
            "bad_prompt": (self._prompts, self._says_bad_things),
            "unread": (self._prompts, self._is_unread),
        }
        return [(name, Verdict(getattr(said, name)), holds) for name, (on, holds) in table.items() if on]

    def _is_fast(self, seen: Seen, identity: _Identity, _: Texts) -> bool:
        return identity.minute.at(seen.time_ms) > self._settings.requests_per_minute

    def _spends_much(self, seen: Seen, identity: _Identity, _: Texts) -> bool:
        return seen.free and identity.free_spend.at(seen.time_ms) > self._free_spend

    def _is_new_and_busy(self, seen: Seen, identity: _Identity, _: Texts) -> bool:
        return self._is_new(seen) and identity.hour.at(seen.time_ms) > self._settings.new_requests_per_hour

    def _is_one_of_many(self, seen: Seen, _: _Identity, __: Texts) -> bool:
        """Many new identities behind one address are one who makes identities. Those beyond the limit need not be known
        by name."""
        if not self._is_new(seen) or not (address := _subscriber(seen.client_ip)):
            return False
        new, most = _of(self._addresses, address, _Address).new, self._settings.new_identities_per_address
        while new and abs(next(iter(new.values())) - seen.time_ms) > HOUR_MS:  # ahead: the clock has gone back
            new.popitem(last=False)
        new[seen.identity] = seen.time_ms
        new.move_to_end(seen.identity)
        while len(new) > most + 1:
            new.popitem(last=False)
        return len(new) > most

    def _is_no_person(self, seen: Seen, _: _Identity, __: Texts) -> bool:
        return seen.free and _is_in(seen.client_ip, self._datacentres)

    def _is_at_a_bad_address(self, seen: Seen, _: _Identity, __: Texts) -> bool:
        return _is_in(seen.client_ip, self._bad)

    def _is_a_bad_agent(self, seen: Seen, _: _Identity, __: Texts) -> bool:
        agent = seen.agent.lower()
        return any(pattern.fullmatch(agent) for pattern in self._agents)

    def _says_bad_things(self, _: Seen, __: _Identity, texts: Texts) -> bool:
        return any(bad in said for said in map(str.lower, texts() or ()) for bad in self._prompts)

    def _is_unread(self, _: Seen, __: _Identity, texts: Texts) -> bool:
        return texts() is None

    def _is_new(self, seen: Seen) -> bool:
        return seen.born_ms is not None and seen.time_ms - seen.born_ms < self._new_ms


def _of(kept: OrderedDict[str, _V], name: str, make: Callable[[], _V]) -> _V:
    """What is kept under a name, made if need be. Of too many, the one goes that nobody asked for longest."""
    found = kept.get(name)
    if found is None:
        found = kept[name] = make()
        if len(kept) > _REMEMBERED:
            kept.popitem(last=False)
    else:
        kept.move_to_end(name)
    return found


def _is_in(address: str | None, ranges: Ranges) -> bool:
    found = _parsed(address)
    return found is not None and found in ranges


_parsed = lru_cache(_REMEMBERED)(addresses.parsed)
_subscriber = lru_cache(_REMEMBERED)(addresses.subscriber)
"""Reading an address takes longer than all rules together, and callers come again."""
