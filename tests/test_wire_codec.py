"""Properties of the decoders of all three APIs: chunks do not matter, and nothing that an upstream sends raises."""

import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.canon.events import Event, Fault
from trivium.canon.fold import Answer, Fold, fold
from trivium.wire.codec import decode_answer, stream_decoder
from trivium.wire.sse import SseParser

STREAMS: dict[Api, list[dict[str, Any]]] = {
    Api.CHAT: [
        {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "reasoning": "h\u00e9"}}]},
        {"choices": [{"index": 0, "delta": {"content": "\U0001f600\u2028"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {"content": [{"type": "thinking", "thinking": [{"text": "x"}]}]}}]},
        {
            "choices": [
                {"delta": {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "{"}}]}}
            ]
        },
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "function": {"arguments": "}"}}]}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls", "native_finish_reason": "x", "error": None}]},
        {
            "choices": [],
            "usage": {"prompt_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 1}, "cost": 0.1},
        },
    ],
    Api.RESPONSES: [
        {"type": "response.created", "response": {"id": "r", "model": "m", "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "content": []}},
        {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "h\u00e9\U0001f600"},
        {"type": "response.output_item.added", "output_index": 1, "item": {"type": "function_call", "name": "f"}},
        {"type": "response.function_call_arguments.done", "output_index": 1, "arguments": "{}"},
        {"type": "error", "error": {"message": "oh"}},
        {
            "type": "response.completed",
            "response": {
                "status": "completed",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": "h\u00e9\U0001f600!"}]}],
                "usage": {"input_tokens": 3, "input_tokens_details": {"cached_tokens": 1}},
            },
        },
    ],
    Api.MESSAGES: [
        {
            "type": "message_start",
            "message": {"id": "m", "model": "c", "usage": {"input_tokens": 3, "cache_creation": {}}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "h\u00e9"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "\U0001f600"}},
        {"type": "content_block_stop", "index": 0},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "t", "input": {"a": 1.5}},
        },
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 3, "server_tool_use": {}},
        },
        {"type": "message_stop"},
    ],
}
BODIES: dict[Api, dict[str, Any]] = {
    Api.CHAT: {
        "id": "c",
        "choices": [
            {
                "index": 0,
                "message": {"content": "a", "tool_calls": [{"function": {"name": "f"}}]},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": 1}, "cost_details": {}},
        "error": {"message": "x", "code": 500, "metadata": {"raw": "y"}},
    },
    Api.RESPONSES: {
        "object": "response",
        "status": "incomplete",
        "incomplete_details": {"reason": "max_output_tokens"},
        "output": [
            {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}]},
            {"type": "function_call"},
        ],
        "usage": {"input_tokens": 3, "output_tokens_details": {"reasoning_tokens": 1}},
        "error": {"message": "x", "code": "y"},
    },
    Api.MESSAGES: {
        "type": "message",
        "content": [{"type": "text", "text": "a"}, {"type": "tool_use", "id": "t", "name": "f", "input": {"x": []}}],
        "stop_reason": "tool_use",
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 4,
            "cache_creation": {"ephemeral_5m_input_tokens": 9},
        },
        "provider_metadata": {"gateway": {"cost": "0.1"}},
    },
}
APIS = st.sampled_from(list(Api))
ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from([10**30, "\ud800", "NaN"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "type", "index"]), inner, max_size=3)
    ),
    max_leaves=4,
)


def framed(said: list[Any]) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\r\n\r\n" for one in said)


def decode(api: Api, *chunks: bytes) -> list[Event]:
    parser, decoder = SseParser(), stream_decoder(api)
    found = [event for chunk in chunks for event in parser.feed(chunk)] + parser.close()
    return [told for event in found for told in decoder.decode(event)] + decoder.close()


def changed(value: Any, data: st.DataObject, odd: Any) -> Any:
    """The value with something odd in one place, at any depth."""
    value = copy.deepcopy(value)
    spots = [(value, key) for key in _keys(value)]
    for at, key in spots:
        spots.extend((at[key], inner) for inner in _keys(at[key]))
    at, key = data.draw(st.sampled_from(spots))
    if data.draw(st.booleans()):
        at[key] = odd
    else:
        del at[key]
    return value


def _keys(value: Any) -> list[Any]:
    return list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []


def check(answer: Answer) -> None:
    """What every answer promises, however it was said."""
    for said in (answer.text, answer.reasoning, answer.id or "", *(call.arguments for call in answer.tool_calls)):
        said.encode()
    usage = answer.usage
    if usage:
        assert min(usage.input_uncached, usage.cache_read, usage.cache_write, usage.output, usage.reasoning) >= 0
        assert usage.reasoning <= usage.output
        assert usage.reported_cost is None or usage.reported_cost >= 0
    assert (answer.finish == "error") == (answer.error is not None) or answer.finish == "error"


@pytest.mark.parametrize("api", list(Api))
@pytest.mark.parametrize("size", [1, 2, 3, 17, 4096])
def test_chunks_of_any_size_tell_the_same_events(api: Api, size: int) -> None:
    stream = framed(STREAMS[api])
    assert decode(api, *(stream[at : at + size] for at in range(0, len(stream), size))) == decode(api, stream)


@settings(max_examples=60, deadline=None)
@given(api=APIS, cuts=st.lists(st.integers(1, 80), max_size=30))
def test_chunks_cut_at_random_tell_the_same_events(api: Api, cuts: list[int]) -> None:
    stream, chunks, at = framed(STREAMS[api]), [], 0
    for cut in cuts:
        chunks.append(stream[at : at + cut])
        at += cut
    assert decode(api, *chunks, stream[at:]) == decode(api, stream)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(api=APIS, odd=ODD, data=st.data())
def test_a_stream_with_something_odd_in_it_is_still_read(api: Api, odd: Any, data: st.DataObject) -> None:
    check(fold(decode(api, framed(changed(STREAMS[api], data, odd)))))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(api=APIS, odd=ODD, data=st.data())
def test_a_body_with_something_odd_in_it_is_still_read(api: Api, odd: Any, data: st.DataObject) -> None:
    check(fold(decode_answer(api, json.dumps(changed(BODIES[api], data, odd)).encode())))


@settings(max_examples=150, deadline=None)
@given(api=APIS, noise=st.binary(max_size=12), data=st.data())
def test_bytes_that_were_damaged_on_the_way_are_still_read(api: Api, noise: bytes, data: st.DataObject) -> None:
    stream = framed(STREAMS[api])
    at = data.draw(st.integers(0, len(stream)))
    check(fold(decode(api, stream[:at] + noise + stream[at + len(noise) :])))
    body = json.dumps(BODIES[api]).encode()
    check(fold(decode_answer(api, body[:at] + noise + body[at:])))


@pytest.mark.parametrize("api", list(Api))
def test_a_stream_cut_anywhere_is_read_and_what_has_no_end_is_an_error(api: Api) -> None:
    stream = framed([one for one in STREAMS[api] if one.get("type") != "error"])
    for at in range(0, len(stream), 7):
        answer = fold(decode(api, stream[:at]))
        check(answer)
        assert answer.error or answer.finish != "unknown"
    assert fold(decode(api, stream)).error is None


@pytest.mark.parametrize("api", list(Api))
def test_nesting_without_end_is_one_malformed_event(api: Api) -> None:
    answer = fold(decode(api, b'data: {"choices":' + b"[" * 100_000 + b"\n\n"))
    assert isinstance(answer.error, Fault)
    for depth in (300, 600, 900, 990):
        deep = '{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","input":%s1%s}}'
        decode(api, b"data: " + (deep % ('{"a":' * depth, "}" * depth)).encode() + b"\n\n")


@pytest.mark.parametrize("api", list(Api))
def test_a_stream_without_an_event_is_an_error(api: Api) -> None:
    assert [type(event) for event in decode(api, b": nothing\n\n")] == [Fault]


@pytest.mark.parametrize("api", list(Api))
def test_parts_are_numbered_from_zero_without_gaps(api: Api) -> None:
    events = decode(api, framed(STREAMS[api]))
    numbers = [event.index for event in events if hasattr(event, "index")]
    assert sorted(set(numbers)) == list(range(len(set(numbers))))


@pytest.mark.parametrize("api", list(Api))
def test_the_answer_grows_with_its_stream(api: Api) -> None:
    folding, decoder, parser = Fold(), stream_decoder(api), SseParser()
    texts = []
    for event in parser.feed(framed(STREAMS[api])):
        for told in decoder.decode(event):
            folding.add(told)
        texts.append(folding.answer().text)
    assert all(later.startswith(earlier) for earlier, later in itertools.pairwise(texts))
