"""An upstream that says its name wherever a string can stand, and the ways in which it answers."""

from __future__ import annotations

import json
from typing import Any

from trivium.mock import Reply

NAME = "acmecorp"
"""Of the vendor whom nobody may know; in no test does a model speak it."""
HEADERS = {
    "x-request-id": f"{NAME}-1",
    "request-id": f"{NAME}-2",
    "x-generation-id": f"{NAME}-3",
    "openai-processing-ms": f"{NAME}4",
    "x-ratelimit-limit-requests": f"{NAME}-5",
    "anthropic-ratelimit-requests-limit": f"{NAME}-6",
    "server": NAME,
    "via": NAME,
    "x-should-retry": NAME,
    "retry-after": NAME,
    "date": NAME,
    "set-cookie": f"a={NAME}",
}


def name(word: str = "") -> str:
    return f"{NAME}/{word}" if word else NAME


COSTS: dict[str, Any] = {
    "cost": 0.5,
    "cost_details": {name("cost"): 1, "upstream_inference_cost": 0.4},
    "is_byok": False,
    "server_tool_use_details": {f"{NAME}_requests": 2},
    "service_tier": name("tier"),
    name("tokens"): 3,
}
BESIDE: dict[str, Any] = {
    "provider": name(),
    "system_fingerprint": name("fp"),
    "service_tier": name("tier"),
    name("member"): name("value"),
    "provider_metadata": {"gateway": {"cost": "0.5", "routing": name()}, name(): name()},
}


def chat_usage() -> dict[str, Any]:
    return {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18, **COSTS}


def other_usage() -> dict[str, Any]:
    return {"input_tokens": 11, "output_tokens": 7, **COSTS}


def _chat_message(kind: str) -> dict[str, Any]:
    call = {
        "id": name("call"),
        "type": "function",
        "function": {"name": "look", "arguments": '{"at":1}'},
        name(): name(),
    }
    detail = {"type": "reasoning.text", "text": "hmm", "signature": name("seal"), "format": name("v1"), "id": name("r")}
    return {
        "role": name("role"),
        "content": "Hello",
        "reasoning_content": "hmm",
        "reasoning_details": [{**detail, "index": 0}],
        "tool_calls": [{"index": 0, **call} if kind == "delta" else call],
        name("word"): name(),
        **BESIDE,
    }


def _logprobs() -> dict[str, Any]:
    token = {"token": "Hello", "logprob": -1, "bytes": None, "top_logprobs": [], name(): name()}
    return {"content": [token], name(): name()}


def chat_whole() -> dict[str, Any]:
    choice = {"index": 0, "message": _chat_message("message"), "finish_reason": name("stop"), "logprobs": _logprobs()}
    choice["native_finish_reason"] = name("native")
    head = {"id": name("gen"), "object": name("chat"), "created": 1, "model": name("model")}
    return {**head, "choices": [choice], "usage": chat_usage(), **BESIDE}


def chat_stream() -> list[str]:
    head = {"id": name("gen"), "object": name("chunk"), "created": 1, "model": name("model"), **BESIDE}
    first = {"index": 0, "delta": _chat_message("delta"), "finish_reason": None, "logprobs": _logprobs()}
    last = {"index": 0, "delta": {name(): name()}, "finish_reason": name("stop"), "native_finish_reason": name("n")}
    return [
        f": {NAME} PROCESSING\n\n",
        _data({**head, "choices": [first]}, event=name("event"), id=name("id")),
        "data: {broken " + NAME + "\n\n",
        _data({**head, "choices": [last]}),
        _data({**head, "choices": [], "usage": chat_usage()}),
        "data: [DONE]\n\n",
    ]


def _items() -> list[dict[str, Any]]:
    content = {
        "type": "output_text",
        "text": "Hello",
        "annotations": [],
        "logprobs": _logprobs()["content"],
        name(): name(),
    }
    summary = {"type": "summary_text", "text": "hmm", name(): name()}
    sealed = {"encrypted_content": name("seal"), name(): name()}
    return [
        {"id": name("rs"), "type": "reasoning", "summary": [summary], **sealed},
        {"id": name("x"), "type": name("search_call"), "status": name("done"), "action": {name(): name()}},
        {
            "id": name("msg"), "type": "message", "role": "assistant", "status": name("s"), "content": [content],
            name(): name(),
        },
        {
            "id": name("fc"), "type": "function_call", "call_id": name("call"), "name": "look", "arguments": '{"at":1}',
            "namespace": name("ns"), "status": name("s"), name(): name(),
        },
    ]  # fmt: skip


def response(status: str, output: list[dict[str, Any]]) -> dict[str, Any]:
    head = {"id": name("resp"), "object": "response", "created_at": 1, "model": name("model"), "status": status}
    told = {"metadata": {name(): name()}, "instructions": name(), "tools": [{"type": name()}], "user": name()}
    return {**head, **told, "output": output, "usage": other_usage(), "error": None, **BESIDE}


def responses_whole() -> dict[str, Any]:
    return response("completed", _items())


def responses_stream() -> list[str]:
    said: list[dict[str, Any]] = [{"type": "response.created", "response": response("in_progress", [])}]
    for place, item in enumerate(_items()):
        at = {"item_id": item["id"], "output_index": place, name(): name()}
        empty = {key: value for key, value in item.items() if key not in ("summary", "content", "encrypted_content")}
        said.append({"type": "response.output_item.added", "item": {**empty, "summary": [], "content": []}, **at})
        if item["type"] == "message":
            said += [
                {
                    "type": "response.content_part.added",
                    "content_index": 0,
                    "part": {**item["content"][0], "text": ""},
                    **at,
                },
                {
                    "type": "response.output_text.delta",
                    "content_index": 0,
                    "delta": "Hello",
                    "obfuscation": name(),
                    **at,
                },
                {"type": "response.output_text.done", "content_index": 0, "text": "Hello", **at},
            ]
        if item["type"] == "function_call":
            said.append({"type": "response.function_call_arguments.delta", "delta": '{"at":1}', **at})
        said.append({"type": "response.output_item.done", "item": item, **at})
    said += [
        {"type": f"response.{NAME}", "word": name()},
        {"type": "response.completed", "response": responses_whole()},
    ]
    events = [_data({**one, "sequence_number": place}, event=one["type"]) for place, one in enumerate(said)]
    return [f": {NAME}\n\n", *events]


def messages_whole() -> dict[str, Any]:
    content = [
        {"type": "thinking", "thinking": "hmm", "signature": name("seal"), name(): name()},
        {"type": "redacted_thinking", "data": name("seal"), name(): name()},
        {"type": name("search"), "id": name("x"), "input": {name(): name()}},
        {"type": "text", "text": "Hello", "citations": [{"type": name("c"), name(): name()}], name(): name()},
        {"type": "tool_use", "id": name("toolu"), "name": "look", "input": {"at": 1}, name(): name()},
    ]
    head = {"id": name("msg"), "type": "message", "role": "assistant", "model": name("model"), "content": content}
    ended = {"stop_reason": name("end"), "stop_sequence": name("stop"), "container": {"id": name()}}
    return {**head, **ended, "usage": other_usage(), **BESIDE}


def messages_stream() -> list[str]:
    whole = messages_whole()
    said: list[dict[str, Any]] = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
    for place, block in enumerate(whole["content"]):
        at = {"index": place, name(): name()}
        empty = {**block, **{member: "" for member in ("thinking", "signature", "text") if member in block}}
        if "input" in block:
            empty["input"] = {}
        said.append({"type": "content_block_start", "content_block": empty, **at})
        said += [{"type": "content_block_delta", "delta": delta, **at} for delta in _deltas(block)]
        said.append({"type": "content_block_stop", **at})
    delta = {"stop_reason": name("end"), "stop_sequence": name("stop"), name(): name()}
    said += [
        {"type": "ping", name(): name()},
        {"type": NAME, "word": name()},
        {"type": "message_delta", "delta": delta, "usage": other_usage(), **BESIDE},
        {"type": "message_stop", **BESIDE},
    ]
    return [f": {NAME}\n\n", *(_data(one, event=one["type"]) for one in said)]


def _deltas(block: dict[str, Any]) -> list[dict[str, Any]]:
    match block["type"]:
        case "thinking":
            return [
                {"type": "thinking_delta", "thinking": "hmm", name(): name()},
                {"type": "signature_delta", "signature": name("seal")},
            ]
        case "text":
            cited = {"type": "citations_delta", "citation": {"type": name("c"), name(): name()}}
            return [{"type": "text_delta", "text": "Hello", name(): name()}, cited]
        case "tool_use":
            return [{"type": "input_json_delta", "partial_json": '{"at":1}', name(): name()}]
        case _:
            return [{"type": name("delta"), "word": name()}]


WHOLE = {"chat": chat_whole, "responses": responses_whole, "messages": messages_whole}
STREAMS = {"chat": chat_stream, "responses": responses_stream, "messages": messages_stream}


def _data(said: dict[str, Any], event: str = "", id: str = "") -> str:
    named = f"event: {event}\n" if event else ""
    return f"{named}{f'id: {id}' + chr(10) if id else ''}data: {json.dumps(said)}\n\n"


def error(api: str, kind: str = "") -> dict[str, Any]:
    inner = {"type": kind or name("type"), "message": f"{NAME} says no", "code": kind or name("code"), "param": name()}
    more = {"metadata": {"provider_name": name(), "raw": name()}, name(): name()}
    return {"type": "error", "error": {**inner, **more}, "request_id": name("req"), "user_id": name()}


IN_BAND = {
    "chat": lambda: _data({"id": name("gen"), "model": name("model"), "choices": [], **error("chat")}),
    "responses": lambda: _data(
        {
            "type": "response.failed",
            "sequence_number": 9,
            "response": {**response("failed", []), "error": {"code": name("code"), "message": name("no")}},
        },
        event="response.failed",
    ),
    "messages": lambda: _data(error("messages"), event="error"),
}
"""An error inside a stream."""


def replies(api: str) -> dict[str, Reply]:
    """All the ways in which it answers, by what they are called in tests."""
    stream = STREAMS[api]()
    told: dict[str, dict[str, Any]] = {
        "whole": {"body": WHOLE[api]()},
        "stream": {"sse": "".join(stream)},
        "error at once": {"sse": f": {NAME}\n\n" + IN_BAND[api]()},
        "error in the middle": {"sse": "".join(stream[:3]) + IN_BAND[api]()},
        "cut": {"sse": "".join(stream[:3])},
        "cut in an event": {"sse": "".join(stream)[: len("".join(stream[:3])) + 40]},
        "error in a 200": {"body": error(api)},
        "no answer": {"body": {name(): name()}},
        "html": {"status": 502, "body": f"<html>{NAME}</html>", "content_type": "text/html"},
        "html 200": {"body": f"<html>{NAME}</html>", "content_type": "text/html"},
        "garbage": {"sse": f"data: {NAME}\n\n{NAME}\n\n\x00\xff{NAME}"},
        "redirect": {"status": 302, "body": f"{NAME}", "headers": {"location": f"http://{NAME}"}},
        "nothing": {"body": ""},
    }
    for status in (400, 401, 402, 403, 404, 408, 413, 418, 422, 429, 451, 500, 502, 503, 504, 520, 529):
        told[f"status {status}"] = {"status": status, "body": error(api)}
    told["too long"] = {"status": 400, "body": error(api, "context_length_exceeded")}
    return {case: Reply(**{**said, "headers": {**HEADERS, **said.get("headers", {})}}) for case, said in told.items()}
