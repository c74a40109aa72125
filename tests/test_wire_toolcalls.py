"""Calls of tools on their way back: under the client's name, as the client's kind, cut wherever the upstream cuts."""

from __future__ import annotations

import itertools
import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.events import (
    Begin,
    Event,
    Finish,
    FinishReason,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    ToolCallEnd,
)
from trivium.canon.parts import ToolKind
from trivium.wire.toolcalls import FreeText, Restored
from trivium.wire.toolnames import ToolNames

CALLED = Finish(FinishReason.TOOL_CALLS, "tool_use")


def heard(*pieces: str) -> str:
    text = FreeText()
    return "".join(map(text.feed, pieces)) + text.close()


def everywhere(said: str) -> list[tuple[str, ...]]:
    """The same arguments in one piece, in two at every place, and letter by letter."""
    return [(said,), tuple(said), *((said[:at], said[at:]) for at in range(1, len(said)))]


class TestFreeText:
    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ('{"input":"select 1"}', "select 1"),
            ('{"input":""}', ""),
            ('{"patch":"*** Begin Patch"}', "*** Begin Patch"),
            (' {\n "input" : "a" }\n', "a"),
            (r'{"input":"a\nb\t\"c\" \\ \/ \b\f\r"}', 'a\nb\t"c" \\ / \b\f\r'),
            (r'{"input":"\u00e9\u20AC"}', "é€"),
            (r'{"input":"\ud83d\ude00!"}', "😀!"),
            ('{"input":"😀 日本 \u2028"}', "😀 日本 \u2028"),
            (r'{"input":"\\ud83d"}', r"\ud83d"),
            (r'{"input":"\\\ud83d\ude00"}', "\\😀"),
            (r'{"input":"\\\\ud83d\\n"}', r"\\ud83d\n"),
            ('{"input":"}","x"}', "}"),
            ('{"input":"a\nb\x01"}', "a\nb\x01"),
        ],
    )
    def test_the_string_is_taken_out_wherever_it_is_cut(self, arguments: str, text: str) -> None:
        assert {heard(*pieces) for pieces in everywhere(arguments)} == {text}

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (r'{"input":"\d+\."}', r"\d+\."),
            (r'{"input":"\u12g \ud83"}', r"\u12g \ud83"),
            (r'{"input":"\ud83d"}', "\ufffd"),
            (r'{"input":"\ud83dx"}', "\ufffdx"),
            (r'{"input":"\ude00\n"}', "\ufffd\n"),
            (r'{"input":"\ud83d\ud83d\ude00"}', "\ufffd😀"),
        ],
    )
    def test_what_json_does_not_allow_is_no_reason_to_lose_anything(self, arguments: str, text: str) -> None:
        assert {heard(*pieces) for pieces in everywhere(arguments)} == {text}

    def test_it_comes_as_soon_as_it_is_known(self) -> None:
        text = FreeText()
        pieces = ['{"inp', 'ut":"', "sel", "ect\\", "n1\\u00", "e9\\ud83d", "\\ude00", '"', "}"]
        assert [text.feed(piece) for piece in pieces] == ["", "", "sel", "ect", "\n1", "é", "😀", "", ""]

    def test_arguments_cut_short_are_told_as_far_as_they_came(self) -> None:
        assert heard('{"input":"select 1\\') == heard('{"input":"select 1\\ud83d') == "select 1"

    @pytest.mark.parametrize("arguments", ["select 1", '{"query":"x"}', '{"input":5}', '["input"]', "", '{"inp', "{}"])
    def test_arguments_of_another_form_are_the_text_as_they_stand(self, arguments: str) -> None:
        assert {heard(*pieces) for pieces in everywhere(arguments)} == {arguments}

    def test_long_ones_of_another_form_do_not_wait_for_the_end(self) -> None:
        text = FreeText()
        pieces = ["x" * 600, "y" * 600, '{"input":"z"}']
        assert [text.feed(piece) for piece in pieces] == ["", "x" * 600 + "y" * 600, '{"input":"z"}']
        assert text.close() == ""

    @settings(max_examples=200, deadline=None)
    @given(st.text() | st.text('\\"u{}d8c\n😀é'), st.booleans(), st.data())
    def test_any_text_arrives_in_any_cutting(self, text: str, ascii: bool, data: st.DataObject) -> None:
        arguments = json.dumps({"input": text}, ensure_ascii=ascii)
        places = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=8)))
        bounds = [0, *places, len(arguments)]
        assert heard(*(arguments[start:end] for start, end in itertools.pairwise(bounds))) == text

    @settings(max_examples=200, deadline=None)
    @given(st.text('\\"u{}d8c\n😀0') | st.from_regex(r'(\\u?[dD8c0-9]{0,4}|["x\\]){0,8}', fullmatch=True), st.data())
    def test_no_arguments_are_too_odd_and_cuts_change_nothing(self, inside: str, data: st.DataObject) -> None:
        arguments = '{"input":"' + inside
        at = data.draw(st.integers(0, len(arguments)))
        told = heard(arguments)
        assert heard(arguments[:at], arguments[at:]) == told
        assert not re.search("[\ud800-\udfff]", told)


def names(api: Api = Api.CHAT) -> ToolNames:
    known = ToolNames(api)
    known.upstream("close_agent", "multi_agent_v1")
    known.upstream("apply_patch", kind=ToolKind.CUSTOM, wrapped=True)
    return known


def restored(known: ToolNames, *events: Event) -> list[Event]:
    """Event by event, as a stream brings them."""
    restoring = Restored(known)
    return [told for event in events for told in restoring.events([event])]


class TestNames:
    def test_where_nothing_was_renamed_nothing_changes(self) -> None:
        events: list[Event] = [Begin("a", "m"), ToolCallBegin(0, "c", "f"), ToolCallDelta(0, "{}"), CALLED]
        assert restored(ToolNames(Api.CHAT), *events) == events

    def test_a_call_has_the_clients_name_and_namespace(self) -> None:
        said = ToolCallBegin(0, "c", "multi_agent_v1__close_agent")
        assert restored(names(), said, ToolCallDelta(0, "{}"), CALLED) == [
            ToolCallBegin(0, "c", "close_agent", namespace="multi_agent_v1"),
            ToolCallDelta(0, "{}"),
            CALLED,
        ]

    def test_a_name_that_the_model_made_up_stays(self) -> None:
        assert restored(names(), ToolCallBegin(0, "c", "invalid")) == [ToolCallBegin(0, "c", "invalid")]

    def test_a_free_text_tool_that_went_as_a_function_comes_back_as_one(self) -> None:
        events: list[Event] = [
            ToolCallBegin(1, "c", "apply_patch"),
            ToolCallDelta(1, '{"input"'),
            ToolCallDelta(1, ':"*** Begin\\n'),
            ToolCallDelta(1, '"}'),
            CALLED,
        ]
        assert restored(names(), *events) == [
            ToolCallBegin(1, "c", "apply_patch", ToolKind.CUSTOM),
            ToolCallDelta(1, "*** Begin\n"),
            ToolCallEnd(1),
            CALLED,
        ]

    def test_one_that_the_upstream_knows_as_what_it_is_comes_as_it_stands(self) -> None:
        said: list[Event] = [
            ToolCallBegin(0, "c", "apply_patch", ToolKind.CUSTOM),
            ToolCallDelta(0, '{"input":"x"}'),
            CALLED,
        ]
        assert restored(names(), *said) == said

    def test_arguments_of_another_form_come_before_the_finish(self) -> None:
        said: list[Event] = [ToolCallBegin(0, "c", "apply_patch"), ToolCallDelta(0, "*** Begin"), CALLED]
        assert restored(names(), *said)[1:] == [ToolCallDelta(0, "*** Begin"), ToolCallEnd(0), CALLED]

    def test_texts_of_parallel_calls_are_told_one_after_the_other(self) -> None:
        events: list[Event] = [
            ToolCallBegin(0, "a", "apply_patch"),
            ToolCallBegin(1, "b", "apply_patch"),
            ToolCallDelta(1, '{"input":"tw'),
            ToolCallDelta(0, '{"input":"one"'),
            ToolCallDelta(1, 'o"}'),
            ToolCallDelta(0, "}"),
            CALLED,
        ]
        assert restored(names(), *events) == [
            ToolCallBegin(0, "a", "apply_patch", ToolKind.CUSTOM),
            ToolCallDelta(0, "one"),
            ToolCallEnd(0),
            ToolCallBegin(1, "b", "apply_patch", ToolKind.CUSTOM),
            ToolCallDelta(1, "tw"),
            ToolCallDelta(1, "o"),
            ToolCallEnd(1),
            CALLED,
        ]

    @pytest.mark.parametrize("arguments", [[], ["{", '"input":"x"}']], ids=["never said", "said"])
    def test_so_they_are_where_there_are_tens_of_thousands(self, arguments: list[str]) -> None:
        many = 30_000
        restoring = Restored(names())
        for at in range(many):
            restoring.events([ToolCallBegin(at, f"c{at}", "apply_patch")])
        for said in arguments:
            restoring.events([ToolCallDelta(at, said) for at in range(1, many)])
        assert restoring.kept > 100 * many
        told = restoring.events([ToolCallDelta(0, '{"input":"x"}'), CALLED])
        begun = [event.index for event in told if isinstance(event, ToolCallBegin)]
        ended = [event.index for event in told if isinstance(event, ToolCallEnd)]
        assert (begun, ended) == ([*range(1, many)], [*range(many)])
        assert (restoring.kept, restoring.waits()) == (0, False)

    def test_what_comes_behind_arguments_of_another_form_waits_for_the_finish(self) -> None:
        said: list[Event] = [ToolCallBegin(0, "a", "apply_patch"), ToolCallDelta(0, "*** raw"), TextDelta("So.", 1)]
        told = restored(names(), *said, CALLED)[1:]
        assert told == [ToolCallDelta(0, "*** raw"), ToolCallEnd(0), TextDelta("So.", 1), CALLED]

    def test_an_answer_that_begins_anew_leaves_nothing_behind(self) -> None:
        said: list[Event] = [ToolCallBegin(0, "a", "apply_patch"), ToolCallDelta(0, "raw"), TextDelta("old", 1)]
        again: list[Event] = [Begin("b", restarted=True), TextDelta("new", 2), CALLED]
        assert restored(names(), *said, *again)[1:] == again


class TestAnswersThroughATool:
    def known(self) -> ToolNames:
        known = ToolNames(Api.MESSAGES)
        known.answer = "json_answer"
        return known

    def test_its_arguments_are_the_answers_text_and_the_answer_just_stops(self) -> None:
        events: list[Event] = [
            ToolCallBegin(0, "c", "json_answer"),
            ToolCallDelta(0, '{"a"'),
            ToolCallDelta(0, ":1}"),
            CALLED,
        ]
        assert restored(self.known(), *events) == [
            TextDelta('{"a"', 0),
            TextDelta(":1}", 0),
            Finish(FinishReason.STOP, "tool_use"),
        ]

    def test_beside_a_real_call_the_client_still_has_to_act(self) -> None:
        events: list[Event] = [ToolCallBegin(0, "c", "json_answer"), ToolCallBegin(1, "d", "f"), CALLED]
        assert restored(self.known(), *events) == [ToolCallBegin(1, "d", "f"), CALLED]

    def test_one_that_was_cut_short_says_so(self) -> None:
        events: list[Event] = [
            ToolCallBegin(0, "c", "json_answer"),
            ToolCallDelta(0, '{"a'),
            Finish(FinishReason.LENGTH, "max_tokens"),
        ]
        assert restored(self.known(), *events)[1:] == [Finish(FinishReason.LENGTH, "max_tokens")]
