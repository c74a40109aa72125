"""The order of things, whichever API the client speaks: one part after the other, and nothing lost that waited."""

from __future__ import annotations

import time
import tracemalloc

import pytest

from support_answers import called, spoken
from support_grammar import check
from support_translation import decoded, encoded, encoder
from trivium.canon.api import Api
from trivium.canon.events import (
    Begin,
    Event,
    Fault,
    Finish,
    FinishReason,
    Foreign,
    ReasoningDelta,
    ReasoningSeal,
    RefusalDelta,
    TextDelta,
    ToolCallBegin,
    ToolCallDelta,
    ToolCallEnd,
    UsageReport,
)
from trivium.canon.fold import Answer, fold
from trivium.canon.parts import Reasoning, Seal, ToolKind
from trivium.canon.usage import Usage
from trivium.wire.encoder import RESTARTED
from trivium.wire.losses import Losses

BEGIN = Begin("id_1", "m")
CALLS = Finish(FinishReason.TOOL_CALLS, "tool_calls")
STOP = Finish(FinishReason.STOP, "stop")
USAGE = UsageReport(Usage(output=5))
each_api = pytest.mark.parametrize("api", list(Api))


def begin(index: int, kind: ToolKind = ToolKind.FUNCTION) -> ToolCallBegin:
    return ToolCallBegin(index, f"id{index}", f"f{index}", kind)


def read(api: Api, *events: Event, losses: Losses | None = None) -> Answer:
    """What a client of the API reads, whose SDK is strict."""
    out = encoded(encoder(api, origin="up", losses=losses), [BEGIN, *events, USAGE])
    check(api, out)
    return fold(decoded(api, out))


@each_api
class TestInterleavedCalls:
    def test_each_keeps_its_own_arguments(self, api: Api) -> None:
        mixed: list[Event] = [ToolCallDelta(2, '{"z"'), ToolCallDelta(1, '{"y":"}"'), ToolCallDelta(0, '{"x":"\\"}'),
                              ToolCallDelta(2, ":3}"), ToolCallDelta(0, '"}'), ToolCallDelta(1, "}")]  # fmt: skip
        answer = read(api, begin(0), begin(1), begin(2), *mixed, CALLS)
        assert called(answer) == [("f0", {"x": '"}'}), ("f1", {"y": "}"}), ("f2", {"z": 3})]

    def test_an_escape_may_be_cut_in_two(self, api: Api) -> None:
        pieces = [ToolCallDelta(0, piece) for piece in ('{"x":"', "\\", '"}', "\\", '\\"', "}")]
        assert called(read(api, begin(0), begin(1), *pieces, CALLS)) == [("f0", {"x": '"}\\'}), ("f1", {})]

    @pytest.mark.parametrize("ends", [[ToolCallEnd(0), ToolCallEnd(1)], [ToolCallEnd(1), ToolCallEnd(0)], []])
    def test_each_keeps_its_own_free_text(self, api: Api, ends: list[Event]) -> None:
        mixed: list[Event] = [ToolCallDelta(0, "{}"), ToolCallDelta(1, "second"), ToolCallDelta(0, " first")]
        both = begin(0, ToolKind.CUSTOM), begin(1, ToolKind.CUSTOM)
        first, second = read(api, *both, *mixed, *ends, CALLS).tool_calls
        assert "{} first" in first.arguments
        assert "second" in second.arguments

    def test_those_without_arguments_all_arrive(self, api: Api) -> None:
        assert called(read(api, *map(begin, range(4)), CALLS)) == [(f"f{number}", {}) for number in range(4)]

    def test_those_cut_short_all_arrive(self, api: Api) -> None:
        cut = [ToolCallDelta(number, '{"x') for number in range(4)]
        answer = read(api, *map(begin, range(4)), *cut, Finish(FinishReason.LENGTH, "length"))
        assert called(answer) == [(f"f{number}", '{"x') for number in range(4)]

    def test_what_is_said_between_them_waits_for_its_turn(self, api: Api) -> None:
        between: list[Event] = [TextDelta("Hi", 1), ReasoningDelta("Hm", 2), ReasoningSeal(2, Seal("detail", "{}"))]
        answer = read(api, begin(0), *between, begin(3), TextDelta(" you", 1), ToolCallDelta(0, "{}"), CALLS)
        assert [type(part).__name__ for part in answer.parts] == ["ToolCall", "Text", "Reasoning", "ToolCall"]
        assert spoken(answer) == "Hi you"

    def test_thousands_take_no_longer_than_as_many_in_order(self, api: Api) -> None:
        many = range(4000)
        began = time.process_time()
        encoding = encoder(api, origin="up")
        encoding.encode([*map(begin, many), *(ToolCallDelta(number, "{}") for number in many), CALLS])
        encoding.close()
        assert time.process_time() - began < 3

    def test_a_call_in_thousands_of_pieces_is_looked_at_once(self, api: Api) -> None:
        pieces = [ToolCallDelta(0, ',{"x":{}}') for _ in range(20_000)]
        began = time.process_time()
        encoded(encoder(api, origin="up"), [begin(0), ToolCallDelta(0, "[0"), begin(1), *pieces, CALLS])
        assert time.process_time() - began < 3


@each_api
class TestAtOnce:
    def test_first_words_are_not_held(self, api: Api) -> None:
        for event in (TextDelta("Hi", 0), ReasoningDelta("Hm", 0), RefusalDelta("No", 0), begin(0)):
            encoding = encoder(api, origin="up")
            assert encoding.encode([BEGIN]) == b""
            assert not encoding.began
            assert encoding.encode([event])
            assert encoding.began

    def test_the_next_call_begins_when_the_one_before_is_whole(self, api: Api) -> None:
        encoding = encoder(api, origin="up")
        encoding.encode([BEGIN, begin(0), ToolCallDelta(0, '{"x":[1,')])
        assert encoding.encode([begin(1), ToolCallDelta(1, "{}")]) == b""
        assert b"f1" not in encoding.encode([ToolCallDelta(0, "2]")])
        assert b"f1" in encoding.encode([ToolCallDelta(0, "}")])

    def test_the_next_call_begins_when_the_free_text_before_is_said_to_be_whole(self, api: Api) -> None:
        encoding = encoder(api, origin="up")
        encoding.encode([BEGIN, begin(0, ToolKind.CUSTOM), ToolCallDelta(0, "{}")])
        assert encoding.encode([begin(1, ToolKind.CUSTOM), ToolCallDelta(1, "a"), ToolCallEnd(1), begin(2)]) == b""
        assert b"f1" not in encoding.encode([ToolCallDelta(0, " and more")])
        said = encoding.encode([ToolCallEnd(0)])
        assert b"f1" in said
        assert b"f2" in said


@each_api
class TestLate:
    def test_arguments_of_a_call_that_is_over_are_a_loss(self, api: Api) -> None:
        losses = Losses()
        late: list[Event] = [begin(0), ToolCallDelta(0, "{}"), begin(1), ToolCallDelta(0, ' {"y":2}'), CALLS]
        assert called(read(api, *late, losses=losses)) == [("f0", {}), ("f1", {})]
        assert [loss.field for loss in losses.told()] == ["tool_calls"]

    def test_blanks_of_a_call_that_is_over_are_none(self, api: Api) -> None:
        losses = Losses()
        read(api, begin(0), ToolCallDelta(0, "{}"), begin(1), ToolCallDelta(0, " \n"), CALLS, losses=losses)
        assert losses.told() == ()

    def test_text_goes_on_behind_a_call(self, api: Api) -> None:
        answer = read(api, TextDelta("Hi", 0), begin(1), ToolCallDelta(1, "{}"), TextDelta(" you", 0), CALLS)
        assert spoken(answer) == "Hi you"

    def test_text_goes_on_behind_the_finish(self, api: Api) -> None:
        early = Finish(FinishReason.LENGTH, "length")
        answer = read(api, TextDelta("Hi", 0), early, TextDelta(" you", 0), STOP)
        assert (spoken(answer), answer.finish) == ("Hi you", "stop")

    def test_a_seal_whose_text_is_over_stands_alone(self, api: Api) -> None:
        answer = read(api, ReasoningDelta("Hm", 0), TextDelta("Hi", 1), ReasoningSeal(0, Seal("detail", "{}")), STOP)
        thoughts = [part for part in answer.parts if isinstance(part, Reasoning)]
        assert [part.text for part in thoughts] == ["Hm", ""]
        assert all(part.seal for part in thoughts)


@each_api
class TestParagraphs:
    def test_reasoning_that_nothing_interrupts_is_one_part(self, api: Api) -> None:
        answer = read(api, ReasoningDelta("One", 0), ReasoningDelta("Two", 1), ReasoningDelta("!", 1), STOP)
        whole = "One\n\nTwo!" if api is not Api.RESPONSES else "OneTwo!"
        assert answer.reasoning == whole
        assert sum(isinstance(part, Reasoning) and part.seal is not None for part in answer.parts) == 1

    def test_a_seal_or_a_text_ends_it(self, api: Api) -> None:
        one: list[Event] = [ReasoningDelta("One", 0), ReasoningSeal(0, Seal("detail", "{}"))]
        answer = read(api, *one, ReasoningDelta("Two", 1), TextDelta("Hi", 2), ReasoningDelta("Three", 3), STOP)
        assert [part.text for part in answer.parts if isinstance(part, Reasoning)] == ["One", "Two", "Three"]

    def test_an_upstream_of_the_same_api_keeps_its_parts(self, api: Api) -> None:
        events: list[Event] = [
            BEGIN,
            ReasoningDelta("One", 0),
            ReasoningSeal(0, _own(api)),
            ReasoningDelta("Two", 1),
            STOP,
        ]
        answer = fold(decoded(api, encoded(encoder(api), [*events, USAGE])))
        assert [part.text for part in answer.parts if isinstance(part, Reasoning)] == ["One", "Two"]


def _own(api: Api) -> Seal:
    forms = {Api.CHAT: ("detail", '{"signature":"s","type":"reasoning.text"}'), Api.RESPONSES: ("encrypted", "s")}
    return Seal(*forms.get(api, ("signature", "s")))


@each_api
class TestRestarts:
    AGAIN = Begin("id_2", "n", restarted=True)

    def test_before_anything_was_said_the_client_sees_only_the_second(self, api: Api) -> None:
        answer = read(api, Finish(FinishReason.LENGTH, "length"), self.AGAIN, TextDelta("Hi", 0), STOP)
        assert (answer.id, answer.model, answer.text, answer.finish) == ("id_2", "n", "Hi", "stop")

    def test_after_something_was_said_the_answer_failed(self, api: Api) -> None:
        encoding = encoder(api, origin="up")
        assert encoding.encode([BEGIN, TextDelta("Hi", 0)])
        assert encoding.encode([self.AGAIN, TextDelta("Hello", 0), STOP]) == b""
        assert encoding.fault is RESTARTED

    def test_names_that_come_late_do_not_change_what_was_told(self, api: Api) -> None:
        assert read(api, TextDelta("Hi", 0), Begin("id_9", "z"), STOP).id == "id_1"


@each_api
class TestFaults:
    def test_nothing_is_said_behind_one(self, api: Api) -> None:
        encoding = encoder(api, origin="up")
        assert encoding.encode([BEGIN, Fault("x", "no"), TextDelta("Hi", 0), begin(1), STOP]) == b""
        assert (encoding.began, encoding.fault) == (False, Fault("x", "no"))

    def test_the_first_counts(self, api: Api) -> None:
        encoding = encoder(api, origin="up")
        encoding.encode([Fault("x", "no"), Fault("y", "neither")])
        assert encoding.fault == Fault("x", "no")


@each_api
class TestForeign:
    def test_what_only_the_upstream_can_say_is_a_loss_told_once(self, api: Api) -> None:
        losses = Losses()
        read(
            api,
            Foreign("output[1]"),
            Foreign("output[1]"),
            TextDelta("Hi", 0),
            Foreign("container"),
            STOP,
            losses=losses,
        )
        assert [loss.field for loss in losses.told()] == ["output[1]", "container"]

    def test_countless_names_fill_neither_memory_nor_the_record(self, api: Api) -> None:
        losses = Losses()
        names = [Foreign(f"{number}" + "x" * 10_000) for number in range(2000)]
        read(api, *names, TextDelta("Hi", 0), STOP, losses=losses)
        told = losses.told()
        assert len(told) < 300
        assert max(len(loss.field) for loss in told) <= 200


@pytest.mark.parametrize("api", [Api.CHAT, Api.MESSAGES])
def test_a_long_text_is_not_kept(api: Api) -> None:
    encoding = encoder(api, origin="up")
    encoding.encode([BEGIN, TextDelta("Hi", 0)])
    tracemalloc.start()
    for _ in range(10_000):
        encoding.encode([TextDelta("words and more words " * 5, 0)])
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 20_000
