"""What the model says, and what is said about it. Calls and thinking have groups of their own."""

from __future__ import annotations

from typing import Any

from conformance.feature import ABSENT, DONE, AnyOf, C, Feature, M, R
from conformance.features.words import Three, alike, both, ended, heard, spoken
from trivium.mock import Citation, Reply, Usage

_USAGE = Usage(input=20, output=9)
_CACHED = Usage(input=20, cache_read=30, output=9)
_WRITTEN = Usage(input=20, cache_write_5m=4, cache_write_1h=6, output=9)
_THOUGHT = Usage(input=20, output=9, reasoning=3)
_PAGE = "https://example.com/weather"
_NO = "I cannot help with that."


def _usage(chat: dict[str, Any], responses: dict[str, Any], messages: dict[str, Any]) -> Three:
    return {C: {"usage": chat}, R: {"usage": responses}, M: {"usage": messages}}


_COUNTED = _usage(
    {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29},
    {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29},
    {"input_tokens": 20, "output_tokens": 9},
)

# Whole answers with what only their API has words for.

_LIKELY = [{"token": DONE, "logprob": -0.1, "bytes": None, "top_logprobs": []}]
_AUDIO = {"id": "audio_1", "data": "UklGRg==", "expires_at": 0, "transcript": DONE}
_SEARCHED = {"id": "ws_1", "type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "q"}}
_FIRST: dict[str, Any] = {
    "id": "msg_0", "type": "message", "role": "assistant", "status": "completed",
    "content": [{"type": "output_text", "text": "First.", "annotations": [], "logprobs": []}],
}  # fmt: skip
_SEARCHES: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []},
]


def chat_answer(**members: Any) -> Reply:
    message = {"role": "assistant", "content": DONE, **members.pop("message", {})}
    choice = {"index": 0, "message": message, "finish_reason": "stop", **members.pop("choice", {})}
    usage = {"prompt_tokens": 20, "completion_tokens": 9, "total_tokens": 29}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m"}
    return Reply(body={**head, "choices": [choice], "usage": usage, **members})


def response(*before: dict[str, Any], **members: Any) -> Reply:
    text = {"type": "output_text", "text": DONE, "annotations": [], "logprobs": members.pop("logprobs", [])}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}
    usage = {"input_tokens": 20, "output_tokens": 9, "total_tokens": 29}
    head = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed", "error": None}
    return Reply(body={**head, "output": [*before, message], "usage": usage, **members})


def message(*before: dict[str, Any], **members: Any) -> Reply:
    content = [*before, {"type": "text", "text": DONE}]
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": content}
    usage = {"input_tokens": 20, "output_tokens": 9}
    return Reply(body={**head, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage, **members})


_SAFE = both(spoken("Once"), ended("content_filter", "content_filter", "refusal"))
_REFUSED = {
    C: {
        "choices": [
            {"message": AnyOf({"refusal": _NO}, {"content": _NO}), "finish_reason": AnyOf("content_filter", "stop")}
        ]
    },
    R: AnyOf(
        {"status": "completed", "output": [{"content": [{"type": "refusal", "refusal": _NO}]}]},
        {
            "status": "incomplete",
            "incomplete_details": {"reason": "content_filter"},
            "output": [{"content": [{"text": _NO}]}],
        },
    ),
    M: {"stop_reason": "refusal", "content": [{"type": "text", "text": _NO}]},
}
_CITED = both(
    spoken(DONE),
    heard(
        {"annotations": [{"type": "url_citation", "url_citation": {"url": _PAGE, "title": "Weather"}}]},
        [{"content": [{"annotations": [{"type": "url_citation", "url": _PAGE, "title": "Weather"}]}]}],
        None,
    ),
) | {M: None}

ANSWERS = [
    Feature(
        name="id and model",
        reply=Reply(id="gen-1", model="another", text=DONE),
        heard=alike(id="gen-1", model="another"),
    ),
    Feature(name="usage", reply=Reply(text=DONE, usage=_USAGE), heard=_COUNTED),
    Feature(name="usage in streams", reply=Reply(text=DONE, usage=_USAGE), heard=_COUNTED, ways=("stream",)),
    Feature(
        name="cache reads in usage",
        reply=Reply(text=DONE, usage=_CACHED),
        heard=_usage(
            {"prompt_tokens": 50, "prompt_tokens_details": {"cached_tokens": 30}},
            {"input_tokens": 50, "input_tokens_details": {"cached_tokens": 30}},
            {"input_tokens": 20, "cache_read_input_tokens": 30},
        ),
    ),
    Feature(
        name="cache writes in usage",
        reply=Reply(text=DONE, usage=_WRITTEN),
        heard=_usage(
            {"prompt_tokens": 30, "prompt_tokens_details": {"cache_write_tokens": 10}},
            {"input_tokens": 30, "input_tokens_details": {"cache_write_tokens": 10}},
            {"input_tokens": 20, "cache_creation_input_tokens": 10},
        ),
    ),
    Feature(
        name="reasoning tokens in usage",
        reply=Reply(text=DONE, usage=_THOUGHT),
        heard=_usage(
            {"completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 3}},
            {"output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 3}},
            {"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 3}},
        ),
    ),
    Feature(
        name="cost",
        reply=Reply(text=DONE, cost=0.0025),
        heard=alike(usage={"cost": 0.0025}),
    ),
    Feature(
        name="no usage told",
        reply={api: Reply(text=DONE, no_usage=True) for api in (C, R)},
        heard={C: {"usage": ABSENT}, R: {"usage": ABSENT}, M: {"usage": {"input_tokens": 0, "output_tokens": 0}}},
    ),
    Feature(
        name="service tier that answered",
        heard={
            C: {"service_tier": "default"},
            R: {"service_tier": "default"},
            M: {"usage": {"service_tier": "standard"}},
        },
    ),
    Feature(
        name="end: length",
        reply=Reply(text="Once", finish="length"),
        heard=both(spoken("Once"), ended("length", "max_output_tokens", "max_tokens")),
    ),
    Feature(
        name="end: content filter",
        reply={api: Reply(text="Once", finish="content_filter") for api in (C, R)},
        heard=_SAFE,
    ),
    Feature(name="end: refusal, and its text", reply=Reply(text=_NO, finish="refusal"), heard=_REFUSED),
    Feature(
        name="end: a stop sequence, and which",
        reply={M: Reply(text=DONE, stop_sequence="END")},
        heard={C: None, R: None},
    ),
    Feature(
        name="end: a pause, to be resumed",
        reply={M: Reply(text=DONE, finish="pause")},
        heard=ended("stop", "pause_turn", "pause_turn"),
    ),
    Feature(
        name="citations of web pages",
        reply=Reply(text=DONE, citations=[Citation(_PAGE, "Weather")]),
        heard=_CITED,
    ),
    Feature(
        name="log probabilities told",
        reply={C: chat_answer(choice={"logprobs": {"content": _LIKELY}}), R: response(logprobs=_LIKELY)},
        heard={
            C: {"choices": [{"logprobs": {"content": [{"token": DONE, "logprob": -0.1}]}}]},
            R: {"output": [{"content": [{"logprobs": [{"token": DONE, "logprob": -0.1}]}]}]},
        },
        ways=("whole",),
    ),
    Feature(
        name="audio told",
        reply={C: chat_answer(message={"audio": _AUDIO})},
        heard={R: None, M: None},
        ways=("whole",),
    ),
    Feature(
        name="several texts in an answer, a blank line between them where there is one place for all",
        reply={R: response(_FIRST), M: message({"type": "text", "text": "First."}, *_SEARCHES)},
        heard={
            C: {"choices": [{"message": {"content": f"First.\n\n{DONE}"}}]},
            R: {"output": [{"content": [{"text": "First."}, {"text": DONE}]}]},
            M: {"content": [{"text": "First."}, {"text": DONE}]},
        },
        ways=("whole",),
    ),
    Feature(
        name="calls of tools that the provider ran",
        reply={R: response(_SEARCHED), M: message(*_SEARCHES)},
        heard={C: None, R: None, M: None},
        ways=("whole",),
    ),
]
