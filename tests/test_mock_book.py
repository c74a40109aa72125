"""Which rule answers."""

from __future__ import annotations

from typing import Any

import pytest

from test_mock_asked import CHAT, asked, user
from trivium.mock import Generation, Match, Reply, Rule, Script
from trivium.mock.asked import Asked
from trivium.mock.book import Book, fits

ONE, TWO = Reply(text="one"), Reply(text="two")
HELLO = asked(
    CHAT,
    {"model": "gpt-mini", "stream": True, "messages": [user("Hello")], "tools": [{"name": "look"}]},
    headers=[("x-team", "blue")],
    query="beta=1&other=2",
)


def answers(script: Script, requests: list[Asked]) -> list[int | None]:
    book = Book(script)
    return [book.choose(request)[0] for request in requests]


def test_the_first_matching_rule_wins_until_it_is_used_up() -> None:
    script = Script([Rule(ONE, times=2), Rule(TWO, times=1)])

    assert answers(script, [HELLO] * 4) == [0, 0, 1, None]


def test_nth_counts_the_requests_that_fulfil_the_other_conditions() -> None:
    other = asked(CHAT, {"model": "other", "messages": []})
    script = Script([Rule(ONE, Match(model="gpt-*", nth=2)), Rule(TWO)])

    assert answers(script, [HELLO, other, HELLO, HELLO]) == [1, 1, 0, 1]


@pytest.mark.parametrize(
    ("holds", "fails"),
    [
        ({"api": "chat"}, {"api": "messages"}),
        ({"path": "*/chat/*"}, {"path": "/chat/*"}),
        ({"model": "gpt-*"}, {"model": "gpt"}),
        ({"stream": True}, {"stream": False}),
        ({"contains": '"Hello"'}, {"contains": "hello"}),
        ({"tool": "look"}, {"tool": "see"}),
        ({"has_tool_result": False}, {"has_tool_result": True}),
        ({"turn": 1}, {"turn": 2}),
        ({"query": {"beta": "1"}}, {"query": {"beta": "1", "id": "x"}}),
        ({"headers": {"X-Team": "blue"}}, {"headers": {"x-team": "blue", "x-other": "1"}}),
    ],
)
def test_every_condition_can_hold_and_fail(holds: dict[str, Any], fails: dict[str, Any]) -> None:
    assert fits(Match(**holds), HELLO)
    assert not fits(Match(**fails), HELLO)
    assert not fits(Match(**{**holds, "model": "no"}), HELLO)


def test_only_a_rule_with_a_path_answers_what_no_model_answers() -> None:
    counting = asked("/v1/messages/count_tokens", {"messages": []})

    assert not fits(Match(), counting)
    assert not fits(Match(api="messages"), counting)
    assert fits(Match(api="messages", path="*/count_tokens"), counting)


def test_without_a_rule_the_last_user_text_comes_back() -> None:
    assert Book(Script()).choose(HELLO) == (None, Reply(text="You said: Hello"))
    assert Book(Script(default=TWO)).choose(HELLO) == (None, TWO)


def test_without_a_rule_a_broken_body_is_400_and_an_unknown_path_404() -> None:
    assert Book(Script(default=TWO)).choose(asked(CHAT, [1]))[1].status == 400
    assert Book(Script(default=TWO)).choose(asked("/v1/other", {}))[1].status == 404


def look_up(id: str, arrived: float = 0.0) -> Asked:
    return asked("/v1/generation", method="GET", query=f"id={id}", arrived=arrived)


def test_a_generation_is_known_by_its_id() -> None:
    book = Book(Script(generations=[Generation(id="g", record={"total_cost": 1}), Generation(id="h")]))

    assert book.choose(look_up("g")) == (None, Reply(body={"data": {"id": "g", "total_cost": 1}}))
    assert book.choose(look_up("h")) == (None, Reply(body={"data": {"id": "h"}}))
    assert book.choose(look_up("i"))[1].status == 404


def test_a_generation_can_appear_after_so_many_questions() -> None:
    book = Book(Script(generations=[Generation(id="g", after_asks=2), Generation(id="h")]))

    assert [book.choose(look_up(id))[1].status for id in ("g", "h", "g", "g", "g")] == [404, 200, 404, 200, 200]


def test_a_generation_can_appear_so_long_after_the_first_question() -> None:
    book = Book(Script(generations=[Generation(id="g", after_ms=500)]))

    assert [book.choose(look_up("g", at))[1].status for at in (7.0, 7.25, 7.5, 9.0)] == [404, 404, 200, 200]


def test_a_rule_can_spoil_a_look_up() -> None:
    spoilt = Rule(Reply(status=500), Match(path="*/generation", query={"id": "g"}), times=1)
    book = Book(Script([spoilt], generations=[Generation(id="g", after_asks=1), Generation(id="h")]))

    assert [book.choose(look_up(id))[1].status for id in ("h", "g", "g", "g")] == [200, 500, 404, 200]
