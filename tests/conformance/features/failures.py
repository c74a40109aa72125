"""How calls fail, how streams go, and what no API knows yet."""

from __future__ import annotations

from typing import Any

from conformance.feature import DONE, C, Feature, Like, M, R, Some
from conformance.features.answers import chat_answer, message, response
from conformance.features.words import HELLO, HI, Three, alike, same_turns, sse, turns
from trivium.mock import Error, Reply

_SLOW, _FULL = "Slow down.", "Overloaded."
_TOO_LONG = "prompt is too long: 9 tokens > 8 maximum"
_COUNTING = "one two three four five six seven"


def _error(status: int, message: Any, openai: str, anthropic: str, **http: Any) -> Three:
    """The client's own error, as the answer."""
    return {
        api: {"http": {"status": status, "streamed": False, **http}, "error": {"type": kind, "message": message}}
        for api, kind in ((C, openai), (R, openai), (M, anthropic))
    }


_BROKEN_OFF = {
    C: {"error": {"message": ...}, "choices": [{"message": {"content": Like("^one")}, "finish_reason": None}]},
    R: {"status": "failed", "error": {"message": ...}, "events": Some("error", "response.failed")},
    M: {"error": {"type": ..., "message": ...}, "content": [{"text": Like("^one")}], "stop_reason": None},
}
_BROKEN_OFF_SAID = {
    C: {"error": {"message": _FULL}},
    R: {"status": "failed", "error": {"message": _FULL}},
    M: {"error": {"message": _FULL}},
}
_ODD = {"crystal_ball": True}
_ODD_PART = {"role": "user", "content": [{"type": "crystal_ball", "shows": "fog"}, {"type": "text", "text": "hi"}]}
_ODD_INPUT = {"role": "user", "content": [{"type": "crystal_ball"}, {"type": "input_text", "text": "hi"}]}


def _spoken(*parts: dict[str, Any], **members: Any) -> dict[str, Any]:
    """A message of Responses before the one that says the answer."""
    content = [{"type": "output_text", "text": "One moment.", "annotations": [], "logprobs": []}, *parts]
    message = {"id": "msg_0", "type": "message", "role": "assistant", "status": "completed", "content": content}
    return {**message, **members}


_ODD_ITEM = {"id": "cb_1", "type": "crystal_ball_call", "status": "completed"}

_CHAT_HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def _chunk(finish: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**_CHAT_HEAD, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}


def _chat_stream(*odd: dict[str, Any], finish: str = "stop") -> str:
    usage = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
    told = sse(
        _chunk(role="assistant", content=DONE), *odd, _chunk(finish), {**_CHAT_HEAD, "choices": [], "usage": usage}
    )
    return told + "data: [DONE]\n\n"


def _responses_stream(*odd: dict[str, Any]) -> str:
    whole: Any = response().body
    item, place = whole["output"][0], {"output_index": 0}
    return sse(
        {"type": "response.created", "response": {**whole, "status": "in_progress", "output": [], "usage": None}},
        *odd,
        {"type": "response.output_item.added", **place, "item": {**item, "content": [], "status": "in_progress"}},
        {"type": "response.output_text.delta", **place, "content_index": 0, "item_id": "msg_1", "delta": DONE},
        {"type": "response.output_item.done", **place, "item": item},
        {"type": "response.completed", "response": whole},
    )


def _messages_stream(*odd: dict[str, Any], stop: str = "end_turn") -> str:
    whole: Any = message().body
    return sse(
        {"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}},
        *odd,
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": DONE}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": stop}, "usage": {"output_tokens": 9}},
        {"type": "message_stop"},
    )


FAILURES = [
    Feature(
        name="429 and when to try again",
        reply=Reply(status=429, headers={"retry-after": "7"}, error=Error(message=_SLOW)),
        heard=_error(429, _SLOW, "rate_limit_exceeded", "rate_limit_error", **{"retry-after": "7"}),
    ),
    Feature(
        name="400, with the upstream's reason",
        reply=Reply(status=400, error=Error(message="Not like this.", code="invalid_value")),
        heard=_error(400, "Not like this.", "invalid_request_error", "invalid_request_error"),
    ),
    Feature(
        name="400, the request is too long, so that agents make it shorter",
        reply=Reply(status=400, error=Error(message=_TOO_LONG, code="context_length_exceeded")),
        heard=_error(400, Like("prompt is too long|maximum context length"), *["invalid_request_error"] * 2),
    ),
    Feature(
        name="the provider overloaded (529)",
        reply=Reply(status=529, error=Error(message=_FULL)),
        heard=_error(529, _FULL, "server_error", "overloaded_error"),
    ),
    Feature(
        name="the operator's own key refused (401), which is not the caller's business",
        reply=Reply(status=401, error=Error(message="Bad key sk-secret.")),
        heard=_error(503, Like("operator"), "server_error", "overloaded_error", **{"retry-after": "60"}),
    ),
    Feature(
        name="an error in a 200, before any content: the status it should have had",
        reply=Reply(error=Error(message=_FULL, type="overloaded_error")),
        heard=_error(529, _FULL, "server_error", "overloaded_error"),
    ),
    Feature(
        name="an error in a stream, behind content",
        reply=Reply(text=_COUNTING, error=Error(message=_FULL), error_after_events=6),
        heard=_BROKEN_OFF_SAID,
        ways=("stream",),
    ),
    Feature(
        name="a stream that breaks off: no success",
        reply=Reply(text=_COUNTING, abort="close", abort_after_events=6),
        heard=_BROKEN_OFF,
        ways=("stream",),
    ),
    Feature(
        name="a stream that ends early in good order: no success",
        reply=Reply(text=_COUNTING, abort="end", abort_after_events=6),
        heard=_BROKEN_OFF,
        ways=("stream",),
    ),
    Feature(
        name="an answer that is none",
        reply=Reply(body="<html>Bad gateway</html>"),
        heard=_error(502, ..., "server_error", "api_error"),
    ),
    Feature(
        name="keep-alives while the upstream is silent",
        reply=Reply(text=DONE, first_event_delay_ms=350, ping_every_ms=60),
        heard=alike(http={"pinged": True}),
        ways=("stream",),
    ),
    Feature(
        name="a whole answer where a stream was asked for",
        reply={C: chat_answer(), R: response(), M: message()},
        ways=("stream",),
    ),
    Feature(
        name="a stream where a whole answer was asked for",
        reply={C: Reply(sse=_chat_stream()), R: Reply(sse=_responses_stream()), M: Reply(sse=_messages_stream())},
        ways=("whole",),
    ),
    Feature(name="unknown settings", asks=alike(**_ODD), told={C: None, R: None, M: None}),
    Feature(
        name="unknown parts of a message",
        asks=turns([_ODD_PART], [_ODD_INPUT], [_ODD_PART]),
        told={C: None, R: None, M: None},
    ),
    Feature(name="unknown items of a conversation", asks=turns(None, [HI, _ODD_ITEM]), told={C: None, M: None}),
    Feature(
        name="unknown members of messages",
        asks=same_turns(HI, {**HELLO, **_ODD}, HI),
        told={C: None, R: None, M: None},
    ),
    Feature(
        name="unknown parts of an answer",
        reply={
            C: chat_answer(message={"images": [{"type": "image_url"}]}),
            R: response(_ODD_ITEM),
            M: message({"type": "crystal_ball", "shows": "fog"}),
        },
        heard={C: None, R: None, M: None},
        ways=("whole",),
    ),
    Feature(
        name="unknown parts of an answer's message",
        reply={
            C: chat_answer(message={"content": [{"type": "text", "text": "Hello"}, {"type": "image_url"}]}),
            R: response(_spoken({"type": "output_crystal"})),
        },
        heard={C: None, R: None, M: None},
        ways=("whole",),
    ),
    Feature(
        name="unknown members of an answer's message",
        reply={R: response(_spoken(phase="commentary"))},
        heard={C: None, M: None},
        ways=("whole",),
    ),
    Feature(
        name="unknown members of an answer",
        reply={C: chat_answer(**_ODD), R: response(**_ODD), M: message(**_ODD)},
        heard={C: None, R: None, M: None},
        ways=("whole",),
    ),
    Feature(
        name="unknown events of a stream",
        reply={
            C: Reply(sse=_chat_stream({**_CHAT_HEAD, "choices": [], **_ODD})),
            R: Reply(sse=_responses_stream({"type": "response.crystal_ball.gazed", "shows": "fog"})),
            M: Reply(sse=_messages_stream({"type": "crystal_ball", "shows": "fog"})),
        },
        heard={C: None, R: None, M: None},
        ways=("stream",),
    ),
    Feature(
        name="unknown words for why an answer ended, read as its end",
        reply={C: Reply(sse=_chat_stream(finish="eureka")), M: Reply(sse=_messages_stream(stop="eureka"))},
        ways=("stream",),
    ),
]
