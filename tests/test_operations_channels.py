"""Telling channels: each by itself, with a few tries."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from trivium.operations import channels as channels_module
from trivium.operations.alerting import _LOOKS
from trivium.operations.channels import Channel, Channels
from trivium.policy.alert_channels import Channel as Said
from trivium.policy.alert_rules import Finding
from trivium.policy.alert_words import Message
from trivium.settings_alerts import RULES, Rule, Severity
from trivium.upstream.webhook import Problem, Taken

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

    async def __call__(self, message: Message) -> Problem | Taken:
        self.heard.append(message)
        problem = self.problems.pop(0) if self.problems else None
        if isinstance(problem, Exception):
            raise problem
        return problem or Taken()


def channel(name: str, send: Any, severities: tuple[Severity, ...] = BOTH, **more: Any) -> Channel:
    return Channel(name=name, said=Said(kind="webhook", severities=severities, **{"timeout": 5, **more}), send=send)


def message(severity: Severity = "page", *rules: Rule) -> Message:
    about = rules or ("errors",)
    said = [Finding(rule=rule, severity=severity, key=rule, title="t", text="x", silenced=()) for rule in about]
    return Message(severity, said, 0)


async def took(told: Channels, about: Message) -> list[str]:
    """The channels that took all of a message."""
    taken = (await told.tell(about)).taken
    assert len(taken) in (0, len(about.findings))
    return taken[0][1] if taken else []


async def test_a_channel_of_everything_hears_of_whatever_rules_find() -> None:
    assert set(_LOOKS) == set(RULES)
    told = Channels([channel("all", Answers())])
    for rule in _LOOKS:
        assert await took(told, message("page", rule)) == ["all"]  # type: ignore[arg-type]


async def test_what_may_pass_is_tried_three_times_and_the_rest_once() -> None:
    twice, thrice, never = Answers(LATER, LATER), Answers(LATER, LATER, LATER), Answers(NEVER)
    told = Channels([channel("twice", twice), channel("thrice", thrice), channel("never", never)])
    answer = await told.tell(message())
    assert [names for _, names in answer.taken] == [["twice"]]
    assert [len(one.heard) for one in (twice, thrice, never)] == [3, 3, 1]
    assert answer.problems == {"twice": None, "thrice": "later", "never": "status 404 for ***"}


async def test_one_that_breaks_or_hangs_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    async def hangs(_: Message) -> Problem | Taken:
        await asyncio.Event().wait()
        return Taken()

    good = Answers()
    told = Channels(
        [channel("breaks", Answers(ValueError("x"))), channel("hangs", hangs, timeout=0.01), channel("good", good)]
    )
    answer = await told.tell(message())
    assert [names for _, names in answer.taken] == [["good"]]
    assert answer.problems == {"breaks": "ValueError: x", "hangs": "no answer within 0.02 s", "good": None}
    assert len(good.heard) == 1


async def test_channels_hear_what_they_are_for_and_nobody_misses_a_page() -> None:
    pager, desk = Answers(), Answers()
    told = Channels([channel("pager", pager, ("page",)), channel("desk", desk, ("ticket",))])
    assert await took(told, message("page")) == ["pager"]
    assert await took(told, message("ticket")) == ["desk"]
    assert await took(Channels([channel("desk", desk, ("ticket",))]), message("page")) == ["desk"]
    assert await took(Channels([channel("pager", pager, ("page",))]), message("ticket")) == []


async def test_each_channel_hears_of_the_rules_that_it_is_for() -> None:
    money, rest = Answers(), Answers()
    about = tuple(rule for rule in RULES if rule not in ("balance", "budget"))
    told = Channels([channel("money", money, rules=("balance", "budget")), channel("rest", rest, rules=about)])
    answer = await told.tell(message("ticket", "errors", "budget", "balance"))
    assert [(one.rule, names) for one, names in answer.taken] == [
        ("errors", ["rest"]), ("budget", ["money"]), ("balance", ["money"]),
    ]  # fmt: skip
    assert [[one.rule for one in heard.heard[0].findings] for heard in (money, rest)] == [
        ["budget", "balance"], ["errors"],
    ]  # fmt: skip
    tickets = Channels([channel("t", rest, ("ticket",), rules=("errors",)), channel("m", money, rules=("budget",))])
    assert await took(tickets, message("page", "errors")) == ["t"]  # no other is for errors, and a page is for somebody
    assert await took(tickets, message("page", "audit")) == []


async def test_who_is_paused_is_told_nothing_and_can_be_tested() -> None:
    heard, other = Answers(), Answers()
    told = Channels([channel("paused", heard, enabled=False)])
    told.kept = [channel("other", other), channel("paused", other)]  # a name is the configuration's first
    assert [one.name for one in told.open] == ["other"]
    assert await took(told, message()) == ["other"]
    assert heard.heard == []
    assert await told.test("paused", message()) == Taken()
    assert len(heard.heard) == 1


async def test_secrets_are_in_no_problem_and_a_problem_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    heard = Answers(NEVER)
    told = Channels([channel("one", heard)])
    with caplog.at_level(logging.ERROR, "trivium.alerts"):
        for _ in range(2):
            heard.problems = [NEVER]
            assert await took(told, message()) == []
    assert [one.getMessage() for one in caplog.records] == ["alerts cannot be told to one: status 404 for ***"]  # once
    assert (await told.tell(message())).problems == {"one": None}


async def test_what_reached_some_was_told_and_is_a_problem_all_the_same() -> None:
    async def some(_: Message) -> Problem | Taken:
        return Taken("250 fine", "b@ops.test: 550 nobody")

    answer = await Channels([channel("mail", some)]).tell(message())
    assert [names for _, names in answer.taken] == [["mail"]]
    assert answer.problems == {"mail": "b@ops.test: 550 nobody"}


async def test_a_test_is_tried_once() -> None:
    later = Answers(LATER, LATER)
    told = Channels([channel("one", later)])
    assert await told.test("one", message()) == LATER
    assert len(later.heard) == 1
    assert (await told.test("one", message()), await told.test("one", message())) == (LATER, Taken())
