"""Telling channels: each by itself, with a few tries."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from trivium.operations import channels as channels_module
from trivium.operations.channels import Channel, Channels
from trivium.policy.alert_rules import Finding
from trivium.policy.alert_words import Message
from trivium.settings_alerts import Severity
from trivium.upstream.webhook import Problem

LATER, NEVER = Problem("later", passing=True), Problem("status 404 for sk-abcdefghijklmnop1234567890", passing=False)
BOTH: tuple[Severity, ...] = ("page", "ticket")


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels_module, "_FIRST_PAUSE", 0.0)


class Answers:
    """What a channel says in turn, then that it has taken it."""

    def __init__(self, *problems: Problem | Exception | None) -> None:
        self.problems = list(problems)
        self.heard: list[Message] = []

    async def __call__(self, message: Message) -> Problem | None:
        self.heard.append(message)
        problem = self.problems.pop(0) if self.problems else None
        if isinstance(problem, Exception):
            raise problem
        return problem


def channel(name: str, send: Any, severities: tuple[Severity, ...] = BOTH, timeout: float = 5) -> Channel:
    return Channel(name=name, kind="webhook", severities=severities, timeout=timeout, send=send)


def message(severity: Severity = "page", text: str = "x") -> Message:
    return Message(severity, [Finding(rule="r", severity=severity, key="k", title="t", text=text, silenced=())], 0)


async def test_what_may_pass_is_tried_three_times_and_the_rest_once() -> None:
    twice, thrice, never = Answers(LATER, LATER), Answers(LATER, LATER, LATER), Answers(NEVER)
    told = Channels([channel("twice", twice), channel("thrice", thrice), channel("never", never)])
    assert await told.tell(message()) == ["twice"]
    assert [len(one.heard) for one in (twice, thrice, never)] == [3, 3, 1]
    assert told.problems["thrice"] == "later"


async def test_one_that_breaks_or_hangs_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def hangs(_: Message) -> Problem | None:
        await asyncio.Event().wait()
        return None

    good = Answers()
    told = Channels(
        [channel("breaks", Answers(ValueError("x"))), channel("hangs", hangs, timeout=0.01), channel("good", good)]
    )
    assert await told.tell(message()) == ["good"]
    assert told.problems == {"breaks": "ValueError: x", "hangs": "no answer within 0.02 s"}
    assert len(good.heard) == 1


async def test_channels_hear_what_they_are_for_and_nobody_misses_a_page() -> None:
    pager, desk = Answers(), Answers()
    told = Channels([channel("pager", pager, ("page",)), channel("desk", desk, ("ticket",))])
    assert await told.tell(message("page")) == ["pager"]
    assert await told.tell(message("ticket")) == ["desk"]
    assert await Channels([channel("desk", desk, ("ticket",))]).tell(message("page")) == ["desk"]
    assert await Channels([channel("pager", pager, ("page",))]).tell(message("ticket")) == []


async def test_secrets_are_in_no_problem_and_a_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    heard = Answers(NEVER)
    told = Channels([channel("one", heard)])
    with caplog.at_level(logging.ERROR, "trivium.alerts"):
        for _ in range(2):
            heard.problems = [NEVER]
            assert await told.tell(message()) == []
    assert [one.getMessage() for one in caplog.records] == ["alerts cannot be told to one: status 404 for ***"]  # once
    await told.tell(message())
    assert told.problems == {}


async def test_a_test_is_tried_once() -> None:
    later = Answers(LATER, LATER)
    told = Channels([channel("one", later)])
    assert await told.test("one", message()) == "later"
    assert len(later.heard) == 1
    assert told.problems == {}
