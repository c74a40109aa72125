"""What is written anew in answers of the house's free models, and what stays the bytes it was."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.wire.codec import stream_decoder
from trivium.wire.relay import HOLD, TURN
from trivium.wire.rewrite import Rewriter, RewrittenRelay

CHAT, RESPONSES, MESSAGES = (Rewriter(api, "house/m") for api in (Api.CHAT, Api.RESPONSES, Api.MESSAGES))
APIS = pytest.mark.parametrize("rewriter", [CHAT, RESPONSES, MESSAGES])


def whole(rewriter: Rewriter, said: Any) -> Any:
    return json.loads(rewriter.whole(json.dumps(said).encode()))


def event(rewriter: Rewriter, said: Any, before: str = "") -> Any:
    out = rewriter.event(f"{before}data: {json.dumps(said)}\n\n".encode()).decode()
    assert out.startswith(f"{before}data: ")
    assert out.endswith("\n\n")
    return json.loads(out.removeprefix(f"{before}data: "))


def chunk(**delta: Any) -> dict[str, Any]:
    return {"id": "c", "model": "up", "choices": [{"index": 0, "delta": delta}]}


def delta(said: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = event(CHAT, said)["choices"][0]["delta"]
    return found


def test_the_model_is_the_public_id_wherever_an_api_says_it() -> None:
    assert event(CHAT, chunk(content="x"))["model"] == "house/m"
    assert event(CHAT, {"choices": []})["model"] == "house/m"
    assert whole(CHAT, {"model": "up", "choices": []})["model"] == "house/m"
    assert whole(RESPONSES, {"object": "response", "model": "up"})["model"] == "house/m"
    created = {"type": "response.created", "response": {"model": "up"}}
    assert event(RESPONSES, created, "event: response.created\n")["response"] == {"model": "house/m"}
    assert whole(MESSAGES, {"type": "message", "model": "up"})["model"] == "house/m"
    start = {"type": "message_start", "message": {"model": "up"}}
    assert event(MESSAGES, start, "event: message_start\n")["message"]["model"] == "house/m"


def test_reasoning_is_told_in_openrouters_words() -> None:
    told = {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]}
    assert delta(chunk(reasoning_content="hm")) == told
    assert whole(CHAT, {"choices": [{"message": {"content": None, "reasoning_content": "hm"}}]})["choices"] == [
        {"message": {"content": None, **told}}
    ]
    assert delta(chunk(reasoning_content=None, content="x")) == {"content": "x"}
    assert delta(chunk(reasoning_content="")) == {"reasoning": ""}
    assert delta(chunk(reasoning_content="a", reasoning="b", reasoning_details=[1])) == {
        "reasoning": "b",
        "reasoning_details": [1],
    }


def test_chunks_are_mended() -> None:
    assert delta(chunk(role=None, content="x")) == {"content": "x"}
    assert delta(chunk(role="assistant")) == {"role": "assistant"}
    assert event(CHAT, {"id": "c"}) == {"id": "c", "choices": [], "model": "house/m"}
    error = {"error": {"message": "no"}}
    assert event(CHAT, error) == error


COSTS = {"cost": 1, "cost_details": {"a": 1}, "is_byok": False}


def test_usage_tells_no_costs_and_how_much_came_from_a_cache() -> None:
    usage = {"prompt_tokens": 5, **COSTS}
    assert event(CHAT, {"choices": [], "usage": usage})["usage"] == {
        "prompt_tokens": 5,
        "prompt_tokens_details": {"cached_tokens": 0},
    }
    for details, cached in (({"cached_tokens": 3}, 3), ({"cached_tokens": None}, 0), (None, 0), ({"a": 1}, 0)):
        said = whole(CHAT, {"choices": [], "usage": {"prompt_tokens_details": details}})
        assert said["usage"]["prompt_tokens_details"]["cached_tokens"] == cached
    completed = {"type": "response.completed", "response": {"usage": {"input_tokens": 1, **COSTS}}}
    assert event(RESPONSES, completed)["response"]["usage"] == {
        "input_tokens": 1,
        "input_tokens_details": {"cached_tokens": 0},
    }
    assert event(MESSAGES, {"type": "message_delta", "usage": {"output_tokens": 1, **COSTS}})["usage"] == {
        "output_tokens": 1
    }
    start = {"type": "message_start", "message": {"model": "up", "usage": {"input_tokens": 1, **COSTS}}}
    assert event(MESSAGES, start)["message"]["usage"] == {"input_tokens": 1}
    assert event(CHAT, {"choices": [], "usage": None})["usage"] is None


def test_what_vercel_tells_of_the_way_goes() -> None:
    beside = {"provider_metadata": {"gateway": {"cost": "1"}}}
    assert "provider_metadata" not in json.dumps(whole(CHAT, {"choices": [{"message": beside}], **beside}))
    assert "provider_metadata" not in json.dumps(event(MESSAGES, {"type": "message_delta", **beside}))
    assert "provider_metadata" not in json.dumps(event(RESPONSES, {"type": "x", "response": beside}))


@APIS
@pytest.mark.parametrize(
    "block",
    [
        b": OPENROUTER PROCESSING\n\n",
        b"data: [DONE]\n\n",
        b"data: {broken\n\n",
        b"data: \xff\n\n",
        b"data: 3\n\n",
        b'data: "text"\n\n',
        b"data: " + b"[" * 5000 + b"\n\n",
        b"event: ping\n\n",
        b"data\n\n",
        b"\n\n",
        b"",
    ],
)
def test_comments_marks_and_what_is_no_json_stay_as_they_came(rewriter: Rewriter, block: bytes) -> None:
    assert rewriter.event(block) == block
    assert rewriter.whole(block) == block


def test_what_holds_countless_values_is_not_walked() -> None:
    body = b'{"model":"up","choices":[' + b"{}," * 1_100_000 + b"{}]}"
    assert CHAT.whole(body) == body
    assert CHAT.event(b"data: %b\n\n" % body) == b"data: %b\n\n" % body


def test_lines_beside_the_data_stay_where_they_are() -> None:
    block = b': note\r\nid: 7\r\nevent: x\r\ndata: {"choices":[],\r\ndata: "model":"up"}\r\nretry: 3\r\n\r\n'
    assert CHAT.event(block) == (
        b': note\r\nid: 7\r\nevent: x\r\ndata: {"choices":[],"model":"house/m"}\r\nretry: 3\r\n\r\n'
    )


def test_numbers_and_texts_stay_the_bytes_they_are() -> None:
    choices = rb'[{"message":{"content":"\u00e9 \ud83d\ude00","n":1.10e3}}]'
    body = rb'{"model":"up","choices":%b,"big":12345678901234567890123}' % choices
    assert CHAT.whole(body) == body.replace(b'"up"', b'"house/m"')


values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "delta", "message", "response", "usage", "model", "reasoning_content", "error", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(values, st.sampled_from([CHAT, RESPONSES, MESSAGES]))
def test_whatever_an_upstream_says_is_an_answer_afterwards_and_a_second_time_changes_nothing(
    said: Any, rewriter: Rewriter
) -> None:
    once = rewriter.whole(json.dumps(said).encode())
    assert rewriter.whole(once) == once
    block = rewriter.event(b"data: " + json.dumps(said).encode() + b"\n\n")
    assert rewriter.event(block) == block
    json.loads(block.removeprefix(b"data: "))


def relay() -> RewrittenRelay:
    return RewrittenRelay(Api.CHAT, stream_decoder(Api.CHAT), CHAT, hide_usage=True)


USAGE = {"choices": [], "model": "up", "usage": {"prompt_tokens": 5, "completion_tokens": 2, "cost": 0.5}}


def test_the_meter_sees_what_the_client_does_not() -> None:
    stream = relay()
    said = "".join(
        f"data: {json.dumps(one)}\n\n"
        for one in (chunk(content="Hi"), {**chunk(), "choices": [{"delta": {}, "finish_reason": "stop"}]}, USAGE)
    )
    out = b"".join(stream.feed(said[at : at + 7].encode()) for at in range(0, len(said), 7)) + stream.close()
    assert b'"up"' not in out
    assert b"cost" not in out
    assert b"[DONE]" not in out
    answer = stream.answer()
    assert (answer.model, answer.usage and str(answer.usage.reported_cost)) == ("up", "0.5")


def test_an_event_is_held_until_it_is_whole_however_long_it_is() -> None:
    stream = relay()
    long = f"data: {json.dumps(chunk(content='x' * 3 * HOLD))}\n\n".encode()
    assert stream.feed(long[: 2 * HOLD]) == b""
    assert stream.held == 2 * HOLD
    out = stream.feed(long[2 * HOLD :])
    assert json.loads(out.removeprefix(b"data: "))["model"] == "house/m"


def test_events_that_waited_for_the_others_turn_are_rewritten_too() -> None:
    rewriter = Rewriter(Api.CHAT, "house/public")
    through = RewrittenRelay(Api.CHAT, stream_decoder(Api.CHAT), rewriter, hide_usage=False)
    out = [through.feed(b'data: {"model":"m","choices":[]}\n\n' * (2 * TURN))]
    while through.rest:
        out.append(through.go_on())
    assert (len(out), b"".join(out).count(b'"house/public"')) == (2, 2 * TURN)
