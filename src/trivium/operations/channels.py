"""Where alerts go, and how they are told: each channel by itself, with a few tries; one that fails stops no other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from trivium.policy.alert_rules import Finding
from trivium.policy.alert_words import Message
from trivium.settings_alerts import Severity
from trivium.telemetry.redaction import REDACTION
from trivium.upstream.webhook import Problem

_LOG = logging.getLogger("trivium.alerts")
_TRIES = 3
_FIRST_PAUSE = 2.0
"""Seconds; doubled with each try."""
_LONGEST = 20.0
"""Seconds that all tries may take together, beside what one try may."""


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    """`slack`, `webhook` or `email`."""
    severities: tuple[Severity, ...]
    timeout: float
    """Seconds."""
    send: Callable[[Message], Awaitable[Problem | None]]


class Channels:
    def __init__(self, all: Sequence[Channel]) -> None:
        self.all = list(all)
        self.problems: dict[str, str] = {}
        """Why channels did not take the last message, by name."""

    async def tell(self, message: Message) -> list[str]:
        """The names of those that took it. Returns when all have been tried. Where no channel is for pages, all are."""
        wanted = [one for one in self.all if message.severity in one.severities]
        wanted = wanted or (self.all if message.severity == "page" else [])
        took = await asyncio.gather(*(self._told(one, message) for one in wanted))
        return [one.name for one, taken in zip(wanted, took, strict=True) if taken]

    async def test(self, name: str, message: Message) -> str | None:
        """Why a channel does not take a message, in a single try."""
        (channel,) = (one for one in self.all if one.name == name)
        problem = await _tried(channel, message)
        return None if problem is None else REDACTION.mask(problem.why)

    async def _told(self, channel: Channel, message: Message) -> bool:
        pause, ends = _FIRST_PAUSE, asyncio.get_running_loop().time() + _LONGEST
        problem = await _tried(channel, message)
        for _ in range(_TRIES - 1):
            if problem is None or not problem.passing or asyncio.get_running_loop().time() + pause > ends:
                break
            await asyncio.sleep(pause)
            pause *= 2
            problem = await _tried(channel, message)
        if problem is None:
            self.problems.pop(channel.name, None)
            return True
        why = REDACTION.mask(problem.why)
        if self.problems.get(channel.name) != why:  # once, or the log would say it every minute
            _LOG.error("alerts cannot be told to %s: %s", channel.name, why)
        self.problems[channel.name] = why
        return False


async def _tried(channel: Channel, message: Message) -> Problem | None:
    try:
        async with asyncio.timeout(2 * channel.timeout):
            return await channel.send(message)
    except TimeoutError:
        return Problem(f"no answer within {2 * channel.timeout:g} s", passing=True)
    except Exception as error:
        _LOG.exception("the channel %s fails", channel.name)
        return Problem(f"{type(error).__name__}: {error}", passing=False)


def masked(finding: Finding) -> Finding:
    """Without secrets: providers' own words can hold keys."""
    return msgspec.structs.replace(
        finding,
        title=REDACTION.mask(finding.title),
        text=REDACTION.mask(finding.text),
        facts=msgspec.json.decode(REDACTION.json(finding.facts)),
    )
