"""Where alerts go, and how they are told: each channel by itself, with a few tries; one that fails stops no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from trivium.policy.alert_channels import Channel as Said
from trivium.policy.alert_rules import Finding
from trivium.policy.alert_words import Message
from trivium.telemetry.redaction import REDACTION
from trivium.upstream.webhook import Problem, Taken

_LOG = logging.getLogger("trivium.alerts")
_TRIES = 3
_FIRST_PAUSE = 2.0
"""Seconds; doubled with each try."""
_LONGEST = 20.0
"""Seconds that all tries may take together, beside what one try may."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    said: Said
    send: Callable[[Message], Awaitable[Problem | Taken]]
    created_ms: int | None = None
    """Of one that was set while the gateway runs; None: the configuration has it."""


class Told(NamedTuple):
    """What became of a message."""

    taken: list[tuple[Finding, list[str]]]
    """What at least one channel took, and which these are."""
    problems: dict[str, str | None]
    """Of those that were told, what went wrong; None: nothing."""


class Channels:
    def __init__(self, configured: Sequence[Channel]) -> None:
        self.configured = list(configured)
        self.kept: Sequence[Channel] = ()
        """Those that were set while the gateway runs. Replaced whole."""
        self._problems: dict[str, str | None] = {}
        """As they were logged."""

    @property
    def all(self) -> list[Channel]:
        """A name is the configuration's first."""
        names = {one.name for one in self.configured}
        return [*self.configured, *(one for one in self.kept if one.name not in names)]

    @property
    def open(self) -> list[Channel]:
        """Those that are not paused."""
        return [one for one in self.all if one.said.enabled]

    async def tell(self, message: Message) -> Told:
        """Returns when all channels that the message is for have been tried. Each is told of what it is for."""
        channels = self.open
        routed = [(finding, _for(finding, channels)) for finding in message.findings]
        parts: dict[str, list[Finding]] = {}
        for finding, names in routed:
            for name in names:
                parts.setdefault(name, []).append(finding)
        wanted = [one for one in channels if one.name in parts]
        told = await asyncio.gather(*(self._told(one, message._replace(findings=parts[one.name])) for one in wanted))
        answers = {one.name: answer for one, answer in zip(wanted, told, strict=True)}
        taken = [(one, [name for name in names if isinstance(answers[name], Taken)]) for one, names in routed]
        problems = {name: _problem(answer) for name, answer in answers.items()}
        return Told([(one, names) for one, names in taken if names], problems)

    async def test(self, name: str, message: Message) -> Problem | Taken:
        """What a channel says to a message, in a single try."""
        (channel,) = (one for one in self.all if one.name == name)
        return in_words_of(REDACTION.mask, await _tried(channel, message))

    async def _told(self, channel: Channel, message: Message) -> Problem | Taken:
        pause, ends = _FIRST_PAUSE, asyncio.get_running_loop().time() + _LONGEST
        answer = await _tried(channel, message)
        for _ in range(_TRIES - 1):
            if isinstance(answer, Taken) or not answer.passing or asyncio.get_running_loop().time() + pause > ends:
                break
            await asyncio.sleep(pause)
            pause *= 2
            answer = await _tried(channel, message)
        answer = in_words_of(REDACTION.mask, answer)
        why = _problem(answer)
        if why is not None and self._problems.get(channel.name) != why:  # once, or the log would say it every minute
            _LOG.error("alerts cannot be told to %s: %s", channel.name, why)
        self._problems |= {channel.name: why}
        return answer


def _for(finding: Finding, channels: Sequence[Channel]) -> list[str]:
    """Names of the channels that hear of it. Where none of those with its rule is for pages, all of these are."""
    taking = [one for one in channels if finding.rule in one.said.rules]
    wanted = [one for one in taking if finding.severity in one.said.severities]
    return [one.name for one in wanted or (taking if finding.severity == "page" else [])]


async def _tried(channel: Channel, message: Message) -> Problem | Taken:
    patience = 2 * channel.said.timeout
    try:
        async with asyncio.timeout(patience):
            return await channel.send(message)
    except TimeoutError:
        return Problem(f"no answer within {patience:g} s", passing=True)
    except Exception as error:
        _LOG.exception("the channel %s fails", channel.name)
        return Problem(f"{type(error).__name__}: {error}", passing=False)


def in_words_of(mask: Callable[[str], str], answer: Problem | Taken) -> Problem | Taken:
    """The same, with what was said as `mask` has it."""
    if isinstance(answer, Taken):
        return Taken(mask(answer.said), mask(answer.lacks) if answer.lacks is not None else None)
    return answer._replace(why=mask(answer.why))


def _problem(answer: Problem | Taken) -> str | None:
    return answer.lacks if isinstance(answer, Taken) else answer.why


def masked(finding: Finding) -> Finding:
    """Without secrets: providers' own words can hold keys."""
    return msgspec.structs.replace(
        finding,
        title=REDACTION.mask(finding.title),
        text=REDACTION.mask(finding.text),
        facts=msgspec.json.decode(REDACTION.json(finding.facts)),
    )
