"""Calls and results: each call answered once, right behind its turn, and nothing lost in silence."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.parts import Image, Part, Reasoning, Text, ToolCall, ToolResult, Url
from trivium.canon.request import Request, Role, Tool, ToolChoice, Turn
from trivium.wire.losses import Losses
from trivium.wire.repair import INTERRUPTED, choosable, repaired


def call(id: str, at: str = "") -> ToolCall:
    return ToolCall(id, "f", "{}", at=at or f"call.{id}")


def result(id: str, said: str = "", at: str = "") -> ToolResult:
    return ToolResult(id, (Text(said or f"of {id}"),), at=at or f"result.{id}")


def model(*parts: Part | str) -> Turn:
    return Turn(Role.ASSISTANT, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def user(*parts: Part | str, role: Role = Role.USER) -> Turn:
    return Turn(role, tuple(Text(part) if isinstance(part, str) else part for part in parts))


def repair(*turns: Turn) -> tuple[list[Turn], list[tuple[str, str]]]:
    losses = Losses()
    return list(repaired(turns, losses)), [(loss.field, loss.why) for loss in losses.told()]


MISSING = ToolResult("a", (Text(INTERRUPTED),), is_error=True)


class TestWhatIsInOrderStays:
    def test_a_conversation_without_tools(self) -> None:
        turns = [user("hi"), user("there"), model("a"), model("b"), user("c")]
        assert repair(*turns) == (turns, [])

    def test_calls_with_their_results(self) -> None:
        turns = [user("hi"), model(call("a"), call("b")), user(result("a"), result("b")), model("done")]
        assert repair(*turns) == (turns, [])


class TestIdsThatComeAgain:
    def test_the_later_call_and_its_result_get_another(self) -> None:
        told, lost = repair(model(call("a")), user(result("a", "1")), model(call("a")), user(result("a", "2")))
        assert told[:2] == [model(call("a")), user(result("a", "1"))]
        assert told[2:] == [model(call("a_2", "call.a")), user(result("a_2", "2", "result.a"))]
        assert lost == []

    def test_it_is_nobody_elses(self) -> None:
        again = [model(call("a"), call("a_2")), user(result("a", "3"), result("a_2", "4"))]
        told, _ = repair(model(call("a")), user(result("a", "1")), *again)
        ids = [part.id for turn in told for part in turn.parts if isinstance(part, ToolCall)]
        assert len(set(ids)) == 3
        assert told[3] == user(result(ids[1], "3", "result.a"), result(ids[2], "4", "result.a_2"))

    def test_it_stays_the_same_while_the_conversation_grows(self) -> None:
        turns = [turn for said in "123" for turn in (model(call("a")), user(result("a", said)))]
        assert repair(*turns)[0][:4] == repair(*turns[:4])[0]


class TestOrder:
    def test_results_stand_in_the_order_of_the_calls_in_one_turn(self) -> None:
        told, lost = repair(model(call("a"), call("b")), user(result("b")), user(result("a")))
        assert told[1:] == [user(result("a"), result("b"))]
        assert lost == []

    def test_they_stand_before_anything_else_that_is_said(self) -> None:
        reminder = user("be brief", role=Role.SYSTEM)
        told, lost = repair(model(call("a")), reminder, user("wait", result("a"), "go on"))
        assert told[1:] == [user(result("a")), reminder, user("wait", "go on")]
        assert lost == []

    def test_calls_of_turns_one_right_behind_the_other_are_answered_behind_the_last(self) -> None:
        told, lost = repair(model("I", call("a")), model(call("b")), user(result("a"), result("b")))
        assert told == [model("I", call("a"), call("b")), user(result("a"), result("b"))]
        assert lost == []

    def test_a_multitude_of_turns_in_a_row_is_one_answer(self) -> None:
        many = 200_000
        (answer, _), lost = repair(model(call("a")), *[model("m")] * many, user(result("a")))
        assert (len(answer.parts), lost) == (1 + many, [])


class TestMissing:
    def test_a_result_that_is_missing_is_made_up_as_an_error(self) -> None:
        told, lost = repair(model(call("a"), call("b")), user(result("b"), "go on"))
        assert told[1:] == [user(MISSING, result("b")), user("go on")]
        assert lost == [("call.a", "the call had no result; one was made up that says so")]

    def test_at_the_end_of_the_conversation_too(self) -> None:
        assert repair(model(call("a")))[0] == [model(call("a")), user(MISSING)]

    def test_one_that_comes_a_turn_too_late_is_missing_and_then_told_as_text(self) -> None:
        told, lost = repair(model(call("a")), user("never mind"), model("fine"), user(result("a")))
        assert told[1:3] == [user(MISSING), user("never mind")]
        assert [part.text for part in told[-1].parts if isinstance(part, Text)] == [
            "Result of the tool call a:",
            "of a",
        ]
        assert [field for field, _ in lost] == ["call.a", "result.a"]


class TestTooMany:
    def test_of_several_results_the_last_counts(self) -> None:
        told, lost = repair(model(call("a")), user(result("a", "1", "first"), result("a", "2")), user(result("a", "3")))
        assert told[1:] == [user(result("a", "3"))]
        assert [field for field, _ in lost] == ["first", "result.a"]

    def test_of_two_calls_with_one_id_the_first_counts(self) -> None:
        told, lost = repair(model(call("a"), "x", call("a", "second")), user(result("a")))
        assert told == [model(call("a"), "x"), user(result("a"))]
        assert lost == [("second", "a second call with the same id")]

    def test_a_result_without_a_call_is_told_as_text_where_it_stood(self) -> None:
        image = Image(Url("https://x/a.png"))
        orphan = ToolResult("z", (Text("seen"), image), at="orphan")
        told, lost = repair(user("hi", orphan, "go on"), model("ok"))
        assert told == [user("hi", Text("Result of the tool call z:", "orphan"), "seen", image, "go on"), model("ok")]
        assert lost == [("orphan", "the result of a call that is not there; given as text")]


class TestWithoutIds:
    def test_calls_get_ids_and_results_are_theirs_in_order(self) -> None:
        told, lost = repair(user("hi"), model(call(""), call("")), user(result("", "1"), result("", "2")))
        ids = [part.id for part in told[1].parts if isinstance(part, ToolCall)]
        assert len(set(ids)) == 2
        assert all(ids)
        assert told[2] == user(*(result(id, said, "result.") for id, said in zip(ids, "12", strict=True)))
        assert lost == []

    def test_an_id_that_is_made_up_is_nobody_elses(self) -> None:
        told, _ = repair(user("hi"), model(call("call_1_1"), call("")))
        assert len({part.id for part in told[1].parts if isinstance(part, ToolCall)}) == 2


class TestReasoning:
    THOUGHT = Reasoning("Hm.", "at")

    def test_what_led_to_something_stays(self) -> None:
        assert repair(model(self.THOUGHT, call("a")), user(result("a")))[0][0] == model(self.THOUGHT, call("a"))

    def test_at_the_end_of_a_turn_it_led_to_nothing(self) -> None:
        lost = [("at", "reasoning that led to nothing")]
        assert repair(user("hi"), model("a", self.THOUGHT)) == ([user("hi"), model("a")], lost)
        assert repair(user("hi"), model(self.THOUGHT), user("so?")) == ([user("hi"), user("so?")], lost)
        turns = [model(call("a")), user(result("a"))]
        assert repair(*turns, model(self.THOUGHT), user("so?")) == ([*turns, user("so?")], lost)


def test_what_a_speaker_cannot_say_elsewhere_is_lost_and_the_rest_stays() -> None:
    image = Image(Url("https://x/a.png"), "at")
    for turn in (user("be brief", image, role=Role.DEVELOPER), model("a", image), model("a", result("z", at="at"))):
        told, lost = repair(turn)
        assert told == [Turn(turn.role, turn.parts[:1])]
        assert [field for field, _ in lost] == ["at"]
    assert repair(user("see", image)) == ([user("see", image)], [])


def test_an_empty_turn_is_none() -> None:
    assert repair(user(), model("a"), user(), model()) == ([model("a")], [])


class TestChoice:
    TOOLS = (Tool(name="f"), Tool(name="g", namespace="n"))

    def choice(self, mode: str, name: str | None = None, tools: tuple[Tool, ...] = TOOLS) -> tuple[Any, int]:
        chosen, losses = ToolChoice(mode, name), Losses()
        asked = Request(api=Api.CHAT, model="m", turns=(), tools=tools, tool_choice=chosen)
        return choosable(asked, losses).tool_choice, len(losses)

    @pytest.mark.parametrize(
        ("mode", "name"), [("auto", None), ("none", None), ("required", None), ("tool", "f"), ("tool", "g")]
    )
    def test_one_that_a_tool_fits_stays(self, mode: str, name: str | None) -> None:
        assert self.choice(mode, name) == (ToolChoice(mode, name), 0)

    @pytest.mark.parametrize(
        ("mode", "name", "tools"), [("tool", "z", TOOLS), ("tool", "f", ()), ("required", None, ())]
    )
    def test_one_that_none_fits_is_lost(self, mode: str, name: str | None, tools: tuple[Tool, ...]) -> None:
        assert self.choice(mode, name, tools) == (None, 1)

    @pytest.mark.parametrize(
        ("mode", "among", "choice", "tools", "losses"),
        [
            ("auto", ("f",), ToolChoice("auto", among=("f",)), ["f"], 0),
            ("required", ("f", "z"), ToolChoice("required", among=("f", "z")), ["f"], 1),
            ("auto", (), ToolChoice("none"), ["f", "g"], 0),
            ("auto", ("z",), ToolChoice("none"), ["f", "g"], 1),
            ("required", (), ToolChoice("none"), ["f", "g"], 1),
            ("required", ("z",), ToolChoice("none"), ["f", "g"], 1),
        ],
    )
    def test_where_none_is_left_that_may_be_chosen_none_is_called(
        self, mode: str, among: tuple[str, ...], choice: ToolChoice, tools: list[str], losses: int
    ) -> None:
        found = Losses()
        chosen = ToolChoice(mode, among=among)
        told = choosable(Request(api=Api.CHAT, model="m", turns=(), tools=self.TOOLS, tool_choice=chosen), found)
        assert (told.tool_choice, [tool.name for tool in told.tools], len(found)) == (choice, tools, losses)


def test_a_multitude_may_be_chosen_among() -> None:
    tools = tuple(Tool(name=f"t{n}") for n in range(20_000))
    among = tuple(f"x{n}" for n in range(200_000))
    asked = Request(
        api=Api.CHAT, model="m", turns=(), tools=tools, tool_choice=ToolChoice("auto", among=(*among, "t7"))
    )
    assert [tool.name for tool in choosable(asked, Losses()).tools] == ["t7"]


IDS = st.sampled_from(["", "a", "b", "c", "call_0_0", "call_1_1"])
SAID: st.SearchStrategy[Part] = st.builds(call, IDS) | st.sampled_from([Text("said"), Reasoning("Hm.")])
MODEL = st.lists(SAID, max_size=4).map(lambda parts: model(*parts))
USER = st.builds(
    lambda parts, role: user(*parts, role=role),
    st.lists(st.builds(result, IDS, st.sampled_from("12")) | st.just(Text("asked")), max_size=4),
    st.sampled_from([Role.USER, Role.USER, Role.SYSTEM]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(MODEL | USER, max_size=7))
def test_after_repair_each_call_is_answered_once_right_behind_its_turn(turns: list[Turn]) -> None:
    told, lost = repair(*turns)
    answered: set[int] = set()
    ids = [part.id for turn in told for part in turn.parts if isinstance(part, ToolCall)]
    assert len(set(ids)) == len(ids)
    for place, turn in enumerate(told):
        calls = [part.id for part in turn.parts if isinstance(part, ToolCall)]
        assert all(calls)
        if calls:
            assert turn.role is Role.ASSISTANT
            assert [getattr(part, "id", None) for part in told[place + 1].parts] == calls
            answered.add(place + 1)
    for place, turn in enumerate(told):
        assert place in answered or not any(isinstance(part, ToolResult) for part in turn.parts)
    assert texts(turns) <= texts(told)
    assert repair(*told) == (told, [])
    dropped = sum(isinstance(part, ToolCall | ToolResult) for turn in turns for part in turn.parts) - sum(
        isinstance(part, ToolCall | ToolResult) for turn in told for part in turn.parts
    )
    assert dropped == 0 or lost


def texts(turns: list[Turn]) -> Counter[str]:
    return Counter(part.text for turn in turns for part in turn.parts if isinstance(part, Text))
