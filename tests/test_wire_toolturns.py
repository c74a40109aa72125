"""Calls and results in order, in each API, with nothing changed that is in order already."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from support_work import little_work
from trivium.canon.api import Api
from trivium.wire import body as json_body
from trivium.wire.draft import CONVERSATION, Draft
from trivium.wire.losses import Losses
from trivium.wire.repair import INTERRUPTED
from trivium.wire.toolturns import repair_turns

C, R, M = Api.CHAT, Api.RESPONSES, Api.MESSAGES
USER = {"role": "user", "content": "q"}


def repaired(api: Api, said: list[Any]) -> tuple[list[Any], list[str]]:
    """The conversation, and why something of it is lost."""
    raw = json.dumps({CONVERSATION[api]: said}).encode()
    draft = Draft(api, json_body.members(raw), Losses())
    repair_turns(draft)
    return json.loads(draft.raw(CONVERSATION[api])), [loss.field for loss in draft.losses.told()]


def calls(api: Api, *ids: str) -> list[Any]:
    """The assistant's turn."""
    if api is C:
        return [{"role": "assistant", "content": None, "tool_calls": [{"id": id, "type": "function"} for id in ids]}]
    if api is M:
        return [
            {"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}} for id in ids]}
        ]
    return [{"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"} for id in ids]


def results(api: Api, *ids: str, text: str = "r") -> list[Any]:
    """What the tools said; in Messages one turn."""
    if api is C:
        return [{"role": "tool", "tool_call_id": id, "content": text} for id in ids]
    if api is M:
        made = {"is_error": True} if text == INTERRUPTED else {}
        return [
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": id, "content": text, **made} for id in ids],
            }
        ]
    return [{"type": "function_call_output", "call_id": id, "output": text} for id in ids]


def joined(api: Api, *turns: list[Any]) -> list[Any]:
    """Turns of the user's as one, where they are in Messages."""
    out: list[Any] = []
    for turn in turns:
        for one in turn:
            before = out[-1] if out else {}
            if api is M and before.get("role") == "user" == one.get("role") and isinstance(one["content"], list):
                out[-1] = {**before, "content": [*before["content"], *one["content"]]}
            else:
                out.append(one)
    return out


each = pytest.mark.parametrize("api", list(Api))


@each
def test_what_is_in_order_stays(api: Api) -> None:
    said = [USER, *calls(api, "a", "b"), *results(api, "a", "b"), USER, *calls(api, "a"), *results(api, "a")]
    assert repaired(api, said) == (said, [])
    assert repaired(api, [USER]) == ([USER], [])


@each
def test_a_missing_result_is_made_up_before_the_others(api: Api) -> None:
    told, losses = repaired(api, [USER, *calls(api, "a", "b"), *results(api, "b")])
    made = results(api, "a", text=INTERRUPTED)
    assert told == [USER, *calls(api, "a", "b"), *joined(api, made, results(api, "b"))]
    assert len(losses) == 1


@each
def test_where_nothing_follows_or_the_user_speaks_it_is_made_up_too(api: Api) -> None:
    made = results(api, "a", text=INTERRUPTED)
    assert repaired(api, [USER, *calls(api, "a")])[0] == [USER, *calls(api, "a"), *made]
    told, _ = repaired(api, [USER, *calls(api, "a"), USER])
    after = (
        [{"role": "user", "content": [*made[0]["content"], {"type": "text", "text": "q"}]}]
        if api is M
        else [*made, USER]
    )
    assert told == [USER, *calls(api, "a"), *after]


@each
def test_of_calls_and_results_with_one_id_the_first_counts(api: Api) -> None:
    told, losses = repaired(api, [USER, *calls(api, "a", "a"), *results(api, "a"), *results(api, "a", text="late")])
    assert told == [USER, *calls(api, "a"), *results(api, "a")]
    assert len(losses) == 2


@each
def test_a_result_without_a_call_goes(api: Api) -> None:
    said = [USER, *results(api, "x"), *calls(api, "a"), *results(api, "a", "y")]
    assert repaired(api, said)[0] == [USER, *calls(api, "a"), *results(api, "a")]


@each
def test_a_result_of_an_earlier_turn_does_not_answer_a_later_call(api: Api) -> None:
    told, _ = repaired(api, [USER, *calls(api, "a"), *results(api, "a"), *calls(api, "a")])
    made = results(api, "a", text=INTERRUPTED)
    assert told == [USER, *calls(api, "a"), *results(api, "a"), *calls(api, "a"), *made]


@pytest.mark.parametrize("api", [C, M])
def test_what_was_said_before_the_results_follows_them(api: Api) -> None:
    told, losses = repaired(api, [USER, *calls(api, "a", "b"), USER, *results(api, "b"), USER, *results(api, "a")])
    said = [{"role": "user", "content": [*results(api, "b", "a")[0]["content"], {"type": "text", "text": "q"}]}, USER]
    assert told == [USER, *calls(api, "a", "b"), *(said if api is M else [*results(api, "b", "a"), USER, USER])]
    assert losses == []
    told, losses = repaired(api, [USER, *calls(api, "a", "b"), USER, *results(api, "b")])
    made = results(api, "a", text=INTERRUPTED)
    behind = joined(M, made, results(M, "b"), [{"role": "user", "content": [{"type": "text", "text": "q"}]}])
    assert told == [USER, *calls(api, "a", "b"), *(behind if api is M else [*made, *results(api, "b"), USER])]
    assert len(losses) == 1


def test_in_messages_results_are_the_first_blocks() -> None:
    text, result = {"type": "text", "text": "before"}, results(M, "a")[0]["content"][0]
    told, losses = repaired(M, [USER, *calls(M, "a"), {"role": "user", "content": [text, result]}])
    assert (told[2], losses) == ({"role": "user", "content": [result, text]}, [])
    notice = {"role": "system", "content": "be quick"}
    said = [USER, *calls(M, "a"), *results(M, "a"), notice, {"role": "user", "content": [text]}]
    assert repaired(M, said) == (said, [])


def test_in_chat_a_second_message_of_the_assistants_does_not_cut_calls_off() -> None:
    more = {"role": "assistant", "content": "wait"}
    told, losses = repaired(C, [USER, *calls(C, "a"), more, *results(C, "a"), USER])
    assert (told, losses) == ([USER, *calls(C, "a"), *results(C, "a"), more, USER], [])
    told, losses = repaired(C, [USER, *calls(C, "a"), *calls(C, "b"), *results(C, "a", "b", "a")])
    assert told == [USER, *calls(C, "a"), *results(C, "a"), *calls(C, "b"), *results(C, "b")]
    assert losses == ["messages[5]"]


def test_responses_may_answer_later() -> None:
    message = {"role": "assistant", "content": "wait"}
    said = [USER, *calls(R, "a", "b"), *results(R, "a"), message, *results(R, "b")]
    assert repaired(R, said) == (said, [])
    custom = [USER, {"type": "custom_tool_call", "call_id": "c", "name": "f", "input": "x"}]
    told, _ = repaired(R, custom)
    assert told == [*custom, {"type": "custom_tool_call_output", "call_id": "c", "output": INTERRUPTED}]


@each
def test_many_calls_that_wait_at_once_hold_nobody_up(api: Api) -> None:
    ids = [f"c{number}" for number in range(15_000)]
    said = [*(one for id in ids for one in calls(api, id)), *(one for id in ids for one in results(api, id))]
    with little_work():
        told, losses = repaired(api, said)
    assert (len(told), losses) == (len(said), [])
    with little_work():
        told, losses = repaired(api, [one for id in ids for one in calls(api, id)])
    assert str(told).count(INTERRUPTED) == len(ids)
    assert len(losses) == 1


@each
def test_odd_conversations_are_the_upstreams_to_refuse(api: Api) -> None:
    odd: list[Any] = [7, None, [], {"role": 3}, {"type": "function_call"}, {"role": "assistant", "tool_calls": "x"}]
    odd += [
        {"role": "assistant", "content": {"tool_use": 1}},
        {"role": "tool"},
        {"type": "function_call_output", "x": "tool_use"},
    ]
    assert repaired(api, odd)[0] == odd


@each
def test_repairing_twice_is_repairing_once_and_every_call_has_its_result(api: Api) -> None:
    dice = random.Random(7)
    for _ in range(300):
        said: list[Any] = [USER]
        for _ in range(dice.randrange(1, 7)):
            ids = [dice.choice("abc") for _ in range(dice.randrange(1, 4))]
            said += dice.choice([calls(api, *ids), results(api, *ids), [USER], [{"role": "assistant", "content": "t"}]])
        once, _ = repaired(api, said)
        assert repaired(api, once) == (once, []), said
