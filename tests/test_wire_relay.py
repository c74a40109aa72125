"""Streams on their way through: the same bytes however they are cut, and the meter reads what a full decoder reads."""

from __future__ import annotations

import json
import re
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support_streams import CHAT, ENDS, USAGE, chunk, cut_streams, named, sse
from trivium.canon.api import Api
from trivium.canon.fold import Answer, Fold
from trivium.canon.size import content_of
from trivium.wire import relay as module
from trivium.wire.codec import stream_decoder
from trivium.wire.decoder import PART
from trivium.wire.errors import ErrorValue
from trivium.wire.relay import TURN, StreamRelay
from trivium.wire.sse import ServerSentEvent, SseParser, last_end

ERROR = ErrorValue(status=502, code="upstream_disconnected", message="gone", request_id="req_1")
METERED = ("id", "model", "finish", "native_finish", "usage", "error", "ended")


def relay(api: Api, **options: Any) -> StreamRelay:
    return StreamRelay(api, stream_decoder(api), **options)


def pass_on(through: StreamRelay, *chunks: bytes) -> bytes:
    return b"".join(map(through.feed, chunks)) + through.close()


def events_of(stream: bytes) -> list[ServerSentEvent]:
    parser = SseParser()
    return parser.feed(stream) + parser.close()


def failure_of(through: StreamRelay) -> list[ServerSentEvent]:
    """The events with which the stream ends if it fails now."""
    said = through.failure(ERROR)
    assert said
    return events_of(said)


def numbers_of(through: StreamRelay) -> list[int]:
    return [json.loads(told.data)["sequence_number"] for told in failure_of(through)]


def in_full(api: Api, stream: bytes) -> Answer:
    """What the decoder reads that looks at everything."""
    decoder, folding = stream_decoder(api), Fold()
    for said in events_of(stream):
        for event in decoder.decode(said):
            folding.add(event)
    for event in decoder.close():
        folding.add(event)
    return folding.answer()


def metered(answer: Answer) -> dict[str, Any]:
    return {name: getattr(answer, name) for name in METERED}


def check_bytes(through: StreamRelay, out: bytes, sent: bytes) -> None:
    """Nothing changed and nothing is missing, but perhaps the half event with which a stream broke off. A last event
    without a blank line has one."""
    assert sent.startswith(out) or (out.startswith(sent) and not out[len(sent) :].strip(b"\n"))
    rest = sent[len(out) :]
    assert not rest or (through.unterminated and re.search(rb"(\r\n|\n|\r(?!\n)){2}", rest.rstrip()) is None)


@settings(max_examples=150, deadline=None)
@given(cut_streams())
def test_the_bytes_stay_the_same_and_the_meter_reads_all_that_counts(
    stream: tuple[Api, list[bytes], list[bytes]],
) -> None:
    api, _, chunks = stream
    through = relay(api)
    check_bytes(through, pass_on(through, *chunks), b"".join(chunks))
    answer = in_full(api, b"".join(chunks))
    assert metered(through.answer()) == metered(answer)
    assert through.unterminated == (answer.error is not None and answer.error.type == "upstream_disconnected")
    assert (through.holds(), through.malformed) == (False, 0)


@settings(max_examples=150, deadline=None)
@given(cut_streams())
def test_a_usage_chunk_that_was_not_asked_for_is_all_that_is_missing(
    stream: tuple[Api, list[bytes], list[bytes]],
) -> None:
    _, blocks, chunks = stream
    through = relay(Api.CHAT, hide_usage=True)
    out = pass_on(through, *chunks)
    whole = b"".join(chunks)
    hidden = [block for block in blocks if b'"choices":[],"usage":{' in block]
    check_bytes(through, out, whole.replace(hidden[0], b"") if hidden else whole)
    assert metered(through.answer()) == metered(in_full(Api.CHAT, whole))


@settings(max_examples=150, deadline=None)
@given(cut_streams(), st.integers(1, 300))
def test_an_event_too_long_to_hold_goes_on_in_pieces_and_is_metered_all_the_same(
    stream: tuple[Api, list[bytes], list[bytes]], hold: int
) -> None:
    api, _, chunks = stream
    with patch.object(module, "HOLD", hold):
        through = relay(api)
        check_bytes(through, pass_on(through, *chunks), b"".join(chunks))
        assert metered(through.answer()) == metered(in_full(api, b"".join(chunks)))


@settings(max_examples=150, deadline=None)
@given(cut_streams(), st.integers(1, 100), st.integers(1, 200))
def test_an_event_too_long_to_copy_goes_on_too(
    stream: tuple[Api, list[bytes], list[bytes]], hold: int, kept: int
) -> None:
    api, _, chunks = stream
    with patch.object(module, "HOLD", hold), patch.object(module, "KEPT", kept):
        through = relay(api)
        check_bytes(through, pass_on(through, *chunks), b"".join(chunks))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=30) | st.sampled_from(ENDS), max_size=30), st.sampled_from(list(Api)))
def test_no_bytes_are_too_odd(chunks: list[bytes], api: Api) -> None:
    through = relay(api)
    check_bytes(through, pass_on(through, *chunks), b"".join(chunks))


class TestWholeEvents:
    @pytest.mark.parametrize("end", ENDS)
    def test_half_an_event_waits_for_its_other_half(self, end: bytes) -> None:
        first, second = sse(chunk(content="a"), end=end), sse(chunk(content="b"), end=end)
        through = relay(Api.CHAT)
        assert through.feed(first + second[:20]) == first
        assert through.held == 20 + PART
        assert failure_of(through)
        assert through.feed(second[20:] + b":").startswith(second[:-1])

    def test_an_event_goes_on_with_its_last_byte(self) -> None:
        stream = sse(*CHAT)
        through = relay(Api.CHAT)
        out = [through.feed(bytes([byte])) for byte in stream]
        assert [len(piece) for piece in out if piece] == [len(sse(one)) for one in CHAT]

    def test_beyond_the_hold_it_is_known_that_half_an_event_has_gone(self) -> None:
        with patch.object(module, "HOLD", 100):
            through = relay(Api.CHAT)
            assert through.feed(b"data: " + b"x" * 94) == b""
            assert through.feed(b"yz") == b"data: " + b"x" * 94 + b"yz"
            assert through.failure(ERROR) is None
            assert through.feed(b"\n\n") == b"\n\n"
            assert failure_of(through)

    def test_beyond_what_is_kept_it_is_flagged_and_leaves_the_memory(self) -> None:
        with patch.object(module, "HOLD", 100), patch.object(module, "KEPT", 1000):
            through = relay(Api.CHAT)
            passed = sum(len(through.feed(b"x" * 50)) for _ in range(1000))
            assert through.oversized
            assert through.held <= 1050
            assert passed + through.held >= 50_000

    def test_content_has_begun_with_the_first_word_and_not_before(self) -> None:
        through = relay(Api.CHAT)
        through.feed(sse(": ping", chunk(role="assistant", content="")))
        assert not through.content_began
        through.feed(sse(chunk(content="H")))
        assert through.content_began

    def test_each_byte_is_searched_a_constant_number_of_times(self, monkeypatch: pytest.MonkeyPatch) -> None:
        searched = 0
        search = last_end

        def counting(data: bytes | bytearray, start: int) -> int:
            nonlocal searched
            searched += len(data) - start
            return search(data, start)

        monkeypatch.setattr(module, "last_end", counting)
        stream = b"data: " + b"x" * 30_000 + b"\n\n"
        assert pass_on(relay(Api.CHAT), *(bytes([byte]) for byte in stream)) == stream
        assert searched <= 5 * len(stream)


class TestManyEvents:
    @pytest.mark.parametrize("said", [b"\n", b"\r", b"\r\n", b":\n\n", b"event: x\n\n", b": \r\r"])
    def test_what_has_no_data_is_not_read_however_much_there_is_of_it(
        self, said: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        read = 0

        class Counting(SseParser):
            def __init__(self) -> None:
                nonlocal read
                super().__init__()
                read += 1

        monkeypatch.setattr(module, "SseParser", Counting)
        stream = sse(*CHAT[:2]) + said * 10_000 + sse(*CHAT[2:])
        assert pass_on(relay(Api.CHAT), stream) == stream
        assert read <= len(CHAT) + 2

    @pytest.mark.parametrize("kind", ["response.output_item.added", "response.output_item.done"])
    def test_what_is_known_of_items_counts_as_memory(self, kind: str) -> None:
        through, before = relay(Api.RESPONSES), 0
        for number in range(100):
            item = {"id": f"{number}" + "x" * 1000, "type": "web_search_call"}
            through.feed(sse(named({"type": kind, "item": item})))
            assert 1000 < through.held - before < 3000
            before = through.held
            if number < 10:
                assert not through.holds()
        assert through.holds(), "each chunk is accounted for from now on"

    def test_a_comment_is_no_content_and_no_usage(self) -> None:
        stream = sse(*CHAT[:2]) + b': "delta" "content":"more" "usage"\n\n' + sse(*CHAT[2:3], CHAT[4])
        through, bare = relay(Api.CHAT, hide_usage=True), relay(Api.CHAT)
        assert pass_on(through, stream) == stream
        pass_on(bare, sse(*CHAT[:3], CHAT[4]))
        assert through.content_bytes == bare.content_bytes

    @pytest.mark.parametrize("said", [b"data: {}\n\n", b"data\r\r", b"data: {}\n\n" + sse(chunk(content="x"))])
    def test_it_waits_for_the_others_turn_with_the_rest(self, said: bytes) -> None:
        through, stream = relay(Api.CHAT), sse(*CHAT[:2]) + said * (2 * TURN) + sse(*CHAT[2:])
        out = [through.feed(stream)]
        while through.rest:
            assert through.held == len(through.rest) + PART
            out.append(through.go_on())
        assert b"".join([*out, through.close()]) == stream
        assert max(piece.count(b"data") for piece in out) <= 2 * TURN
        assert (len(out), through.answer().ended) == (3, True)

    def test_an_event_of_very_many_lines_passes_unread(self) -> None:
        through, stream = relay(Api.CHAT), sse(CHAT[0]) + b"data: x\n" * 100_000 + b"\n" + sse(*CHAT[1:])
        assert pass_on(through, stream) == stream
        assert (through.oversized, through.malformed, through.answer().ended) == (True, 0, True)


class TestHiddenUsage:
    def test_a_chunk_that_says_anything_else_stays(self) -> None:
        for extra in (chunk(content="x"), {"choices": [], "error": {"message": "no"}}):
            stream = sse({**extra, "usage": {"prompt_tokens": 1}}, chunk("stop"), "data: [DONE]")
            assert pass_on(relay(Api.CHAT, hide_usage=True), stream) == stream

    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("size", [1, 2, 3, 10_000])
    def test_it_leaves_nothing_behind_wherever_the_network_cuts(self, end: bytes, size: int) -> None:
        stream = sse(*CHAT, end=end)
        out = pass_on(relay(Api.CHAT, hide_usage=True), *(stream[at : at + size] for at in range(0, len(stream), size)))
        assert out == sse(*CHAT[:3], CHAT[4], end=end)

    def test_nulls_and_chunks_without_usage_stay(self) -> None:
        stream = sse({"choices": [], "usage": None}, {"choices": []}, *CHAT[:3], "data: [DONE]")
        assert pass_on(relay(Api.CHAT, hide_usage=True), stream) == stream

    def test_it_is_hidden_behind_an_event_that_was_too_long_to_hold(self) -> None:
        with patch.object(module, "HOLD", 100):
            long = sse(chunk(content="x" * 300))
            through = relay(Api.CHAT, hide_usage=True)
            out = pass_on(through, long[:200], long[200:] + sse(chunk("stop"), USAGE, "data: [DONE]"))
        assert out == long + sse(chunk("stop"), "data: [DONE]")


def test_a_mending_sees_each_event_once_and_whole() -> None:
    seen: list[bytes] = []

    def mend(event: bytes) -> bytes:
        seen.append(event)
        return event.replace(b"Hi", b"Ho")

    stream = sse(*CHAT)
    assert pass_on(relay(Api.CHAT, mend=mend), *(stream[at : at + 9] for at in range(0, len(stream), 9))) == (
        stream.replace(b"Hi", b"Ho")
    )
    assert seen == [sse(one) for one in CHAT]


def test_an_event_of_which_some_has_gone_is_not_mended() -> None:
    with patch.object(module, "HOLD", 100):
        long = sse(chunk(content="x" * 300))
        assert pass_on(relay(Api.CHAT, mend=lambda event: event.replace(b"x", b"yy")), long[:200], long[200:]) == long


class TestSequenceNumbers:
    EVENT = sse({"type": "response.created", "sequence_number": 5, "response": {"id": "r"}})

    def test_ours_follows_the_last_one(self) -> None:
        through = relay(Api.RESPONSES)
        assert numbers_of(through) == [0, 1]
        through.feed(self.EVENT)
        assert numbers_of(through) == [6, 7]
        through.feed(sse({"type": "x", "sequence_number": 6, "delta": '"sequence_number": 90'}))
        assert numbers_of(through) == [7, 8]

    def test_a_keep_alive_in_between_changes_nothing(self) -> None:
        through = relay(Api.RESPONSES)
        through.feed(self.EVENT)
        through.feed(sse(": ping"))
        assert numbers_of(through) == [6, 7]
        *_, failed = failure_of(through)
        assert json.loads(failed.data)["response"]["id"] == "r"


@pytest.mark.parametrize("api", list(Api))
def test_a_stream_that_ends_inside_an_event_can_still_be_told_to_have_failed(api: Api) -> None:
    through = relay(api)
    out = pass_on(through, b': hi\n\ndata: {"id": "c1", "choi')
    assert through.unterminated
    said = through.failure(ERROR)
    assert said
    *_, told = events_of(out + said)
    assert "gone" in json.loads(told.data)["response" if api is Api.RESPONSES else "error"].__repr__()


def test_what_is_cut_behind_the_end_of_an_answer_goes_on_as_it_came() -> None:
    through = relay(Api.CHAT)
    stream = sse(*CHAT) + b'data: {"id": "c1", "choi'
    assert pass_on(through, stream) == stream
    assert (through.unterminated, through.malformed) == (False, 1)


@pytest.mark.parametrize("api", list(Api))
def test_an_event_that_lacked_its_blank_line_gets_it_before_ours(api: Api) -> None:
    through = relay(api)
    stream = BEGUN[api].rstrip(b"\n")
    out = pass_on(through, stream)
    assert out == stream + b"\n\n"
    said = through.failure(ERROR)
    assert said
    told = events_of(out + said)
    assert told[: -len(events_of(said))] == events_of(stream)
    assert "gone" in told[-1].data.decode()


@pytest.mark.parametrize("rest", [b"", b"\n"])
def test_a_last_event_that_lacks_only_its_blank_line_goes_on_even_where_the_end_is_missing(rest: bytes) -> None:
    through = relay(Api.CHAT)
    stream = sse(chunk(content="a"), chunk(content="b"))
    assert pass_on(through, stream.rstrip(b"\n") + rest) == stream
    assert through.unterminated


def test_json_may_be_written_with_blanks() -> None:
    stream = sse(*(one if isinstance(one, str) else f"data: {json.dumps({'usage': None, **one})}" for one in CHAT))
    through = relay(Api.CHAT)
    assert pass_on(through, *(stream[at : at + 50] for at in range(0, len(stream), 50))) == stream
    assert metered(through.answer()) == metered(in_full(Api.CHAT, stream))


def test_an_end_without_a_blank_line_is_an_end_and_gets_one() -> None:
    """SDKs pass over an event without one."""
    stream = sse(*CHAT)
    through = relay(Api.CHAT)
    assert pass_on(through, stream.rstrip(b"\n")) == stream
    assert not through.unterminated
    assert through.answer().ended


BEGUN: dict[Api, bytes] = {
    Api.CHAT: sse(chunk(content="Hi")),
    Api.MESSAGES: sse(
        named({"type": "message_start", "message": {"id": "msg_1", "model": "m"}}),
        named({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
    ),
    Api.RESPONSES: sse(
        named({"type": "response.created", "response": {"id": "r", "model": "m"}}),
        named({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}),
    ),
}
ODD = {
    "error that is no JSON": (Api.CHAT, sse("event: error\ndata: upstream failed")),
    "error that is no JSON, responses": (Api.RESPONSES, sse("event: error\ndata: upstream failed")),
    "error without the word": (Api.CHAT, sse({"detail": "the engine died"})),
    "error by its event name": (Api.RESPONSES, sse('event: error\ndata: {"code": "x", "message": "no"}')),
    "types by event names": (
        Api.MESSAGES,
        sse(
            'event: message_delta\ndata: {"delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 9}}',
            "event: message_stop\ndata: {}",
        ),
    ),
    "a call and a finish word nobody knows": (
        Api.CHAT,
        sse(chunk(tool_calls=[{"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}]), chunk("weird")),
    ),
    "costs beside a word": (
        Api.CHAT,
        sse(chunk(content="x", provider_metadata={"gateway": {"cost": "0.5"}}), chunk("stop"), "data: [DONE]"),
    ),
}


@pytest.mark.parametrize(("api", "rest"), ODD.values(), ids=ODD)
def test_odd_events_are_metered_after_the_first_word_as_before_it(api: Api, rest: bytes) -> None:
    through = relay(api)
    pass_on(through, BEGUN[api], rest)
    assert metered(through.answer()) == metered(in_full(api, BEGUN[api] + rest))


def test_what_is_no_json_is_counted_after_the_first_word_too() -> None:
    through = relay(Api.CHAT)
    pass_on(through, BEGUN[Api.CHAT], b'data: {"choices": [\n\n', sse(chunk("stop"), "data: [DONE]"))
    assert through.malformed == 1


def content_in_full(api: Api, stream: bytes) -> int:
    decoder = stream_decoder(api)
    return sum(content_of(event) for said in events_of(stream) for event in decoder.decode(said))


class TestContentBytes:
    """The bytes of content that went on: its letters in UTF-8, whatever JSON makes of them."""

    @settings(max_examples=300, deadline=None)
    @given(cut_streams())
    def test_all_that_is_said_is_measured_however_it_is_cut(self, stream: tuple[Api, list[bytes], list[bytes]]) -> None:
        api, _, chunks = stream
        through = relay(api)
        pass_on(through, *chunks)
        assert through.content_bytes == content_in_full(api, b"".join(chunks))

    @settings(max_examples=100, deadline=None)
    @given(cut_streams())
    def test_it_grows_with_each_event_that_has_gone_on(self, stream: tuple[Api, list[bytes], list[bytes]]) -> None:
        api, blocks, _ = stream
        through, sent = relay(api), b""
        for block in (block.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for block in blocks):
            through.feed(block[:-1])
            assert through.content_bytes == content_in_full(api, sent)
            through.feed(block[-1:])
            sent += block
            assert through.content_bytes == content_in_full(api, sent)

    @pytest.mark.parametrize(
        ("api", "event", "size"),
        [
            (Api.CHAT, chunk(content="Grüße"), 7),
            (Api.CHAT, chunk(content='"a"\n\\'), 5),
            (Api.CHAT, chunk(content=None, reasoning_content="hmm"), 3),
            (Api.CHAT, chunk(reasoning="hmm", reasoning_content="hmm"), 3),
            (Api.CHAT, chunk(reasoning="hmm", reasoning_details=[{"type": "reasoning.text", "text": "hmm"}]), 3),
            (Api.CHAT, chunk(content="one", reasoning="hmm"), 6),
            (Api.CHAT, chunk(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "hmm"}]}]), 3),
            (Api.CHAT, chunk(refusal="no"), 2),
            (Api.CHAT, chunk(content=""), 0),
            (Api.CHAT, chunk(content="", annotations=[{"url_citation": {"content": "of a page", "url": "x"}}]), 0),
            (Api.CHAT, chunk(tool_calls=[{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}]), 2),
            (Api.CHAT, {**chunk(content="four"), "obfuscation": "xxxxxxxxx"}, 4),
            (Api.CHAT, {"choices": [{"index": 1, "delta": {"content": "four"}, "finish_reason": None}]}, 4),
            (Api.CHAT, chunk(content='","content":"no'), 15),
            (Api.MESSAGES, {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "hmm"}}, 3),
            (Api.MESSAGES, {"type": "content_block_delta", "delta": {"type": "signature_delta", "signature": "x"}}, 0),
            (Api.MESSAGES, {"type": "content_block_delta", "delta": {"partial_json": "{}"}}, 2),
            (Api.RESPONSES, {"type": "response.output_text.delta", "delta": "hmm", "obfuscation": "xx"}, 3),
            (Api.RESPONSES, {"type": "response.code_interpreter_call_code.delta", "delta": "1+1"}, 3),
            (Api.RESPONSES, {"type": "response.audio.delta", "delta": "AAAA"}, 0),
        ],
    )
    def test_what_is_content(self, api: Api, event: Any, size: int) -> None:
        for together in (1, 2):
            for begun in (BEGUN[api], b""):
                through = relay(api)
                through.feed(begun)
                through.feed(sse(*[named(event) if "type" in event else event] * together))
                assert through.content_bytes == (2 if begun else 0) + size * together

    @pytest.mark.parametrize(
        "delta", [{"content": "Hi"}, {"content": "", "reasoning": "hm"}, {"role": "assistant", "content": "Hi"}]
    )
    def test_a_mere_piece_of_content_is_not_decoded_for_it(self, delta: dict[str, Any]) -> None:
        through = relay(Api.CHAT)
        through.feed(BEGUN[Api.CHAT])
        with patch.object(through, "_decoder", None):
            through.feed(sse(chunk(**delta), chunk(**delta)))
        assert through.content_bytes == 2 + 4

    def test_letters_that_are_cut_in_two_count_however_they_come(self) -> None:
        halves = [json.dumps(chunk(content=half)) for half in ("\ud83d", "\ude00")]
        blocks = sse(*[f"data: {half}" for half in halves])
        together, apart = relay(Api.CHAT), relay(Api.CHAT)
        for through in (together, apart):
            through.feed(BEGUN[Api.CHAT])
        together.feed(blocks)
        for at in range(len(blocks)):
            apart.feed(blocks[at : at + 1])
        # A half as it stands, and then the letter.
        assert together.content_bytes == apart.content_bytes == 2 + 3 + 4

    def test_what_is_said_again_at_the_end_of_a_part_is_not_measured_again(self) -> None:
        through = relay(Api.RESPONSES)
        deltas = [{"type": "response.output_text.delta", "output_index": 0, "delta": f" {word}"} for word in "abcdef"]
        whole = " a b c d e f"
        ends = [
            {"type": "response.output_text.done", "output_index": 0, "text": whole},
            {"type": "response.output_item.done", "output_index": 0, "item": {"type": "message", "content": [
                {"type": "output_text", "text": whole}]}},
        ]  # fmt: skip
        for event in (*deltas, *ends):
            through.feed(sse(named(event)))
        assert through.content_bytes == len(whole)

    def test_what_is_said_only_at_the_end_of_a_part_is_measured_there(self) -> None:
        through = relay(Api.RESPONSES)
        through.feed(BEGUN[Api.RESPONSES])
        call = {"type": "function_call", "call_id": "t", "name": "f"}
        through.feed(sse(named({"type": "response.output_item.added", "output_index": 1, "item": call})))
        done = {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": '{"a":1}'}
        through.feed(sse(named(done)))
        assert through.content_bytes == 2 + 7

    def test_an_event_too_long_to_hold_is_measured_when_it_is_whole(self) -> None:
        with patch.object(module, "HOLD", 100):
            through = relay(Api.CHAT)
            long = sse(chunk(content="x" * 300))
            assert through.feed(long[:200])
            assert through.content_bytes == 0
            through.feed(long[200:])
            assert through.content_bytes == 300


def test_the_last_word_of_a_stream_that_said_nothing_is_kept_back_from_clients_who_would_read_no_further() -> None:
    through = relay(Api.CHAT)
    assert pass_on(through, b": hello\n\ndata: [DONE]\n\n") == b": hello\n\n"
    assert through.unterminated
    silent = sse(chunk("stop"), "data: [DONE]")
    through = relay(Api.CHAT)
    assert (pass_on(through, silent), through.unterminated) == (silent, False)
