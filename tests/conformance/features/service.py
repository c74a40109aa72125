"""What is for the provider more than for the model."""

from __future__ import annotations

from typing import Any

from conformance.feature import ABSENT, C, Feature, Like, M, R
from conformance.features.words import HI, alike, asks, parts, setting
from trivium.mock import Reply, Usage

_MARK, _LONG_MARK = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}
_MARKED = {"type": "text", "text": "hi", "cache_control": _MARK}
_HASH = Like("^[0-9a-f]{64}$")
_USER = '{"device_id":"1f88","account_uuid":"","session_id":"29a2"}'


def _marked(mark: Any) -> Any:
    part = {**_MARKED, "cache_control": mark}
    return parts(part, None, part)


SERVICE = [
    Feature(name="cache marks", asks=_marked(_MARK), told={C: None, R: None}),
    setting("cache marks", _marked(_MARK), upstreams="openrouter"),
    setting("cache marks for an hour", _marked(_LONG_MARK), upstreams="openrouter"),
    Feature(
        name="more than four cache marks",
        asks=alike(C, M, messages=[{"role": "user", "content": [_MARKED] * 5}]),
        told={C: None, R: None, M: {"messages": [{"content": [{"cache_control": ABSENT}, *[_MARKED] * 4]}]}},
    ),
    setting("cache key", alike(C, R, prompt_cache_key="k")),
    setting("cache retention", alike(C, R, prompt_cache_retention="24h")),
    setting(
        "service tier: the usual",
        asks({"service_tier": "default"}, {"service_tier": "default"}, {"service_tier": "standard_only"}),
    ),
    setting("service tier: flex, priority", alike(C, R, service_tier="flex")),
    Feature(
        name="who the user is, as a hash",
        asks=asks({"safety_identifier": _USER}, {"safety_identifier": _USER}, {"metadata": {"user_id": _USER}}),
        told=asks({"user": _HASH}, {"user": _HASH}, {"metadata": {"user_id": _HASH}}),
    ),
    Feature(name="metadata", asks=alike(C, R, metadata={"k": "v"}), told={C: None}),
    Feature(name="answers to be kept (`store`)", asks=alike(C, R, store=True), told={C: None, R: {"store": False}}),
    setting(
        "the provider's memory (`previous_response_id`, `thread`)",
        asks(None, {"previous_response_id": "resp_1"}, {"thread": {"id": "t"}}),
    ),
    Feature(
        name="tools that the provider runs (web search)",
        asks=asks(
            {"web_search_options": {}},
            {"tools": [{"type": "web_search"}]},
            {"tools": [{"type": "web_search_20250305", "name": "web_search"}]},
        ),
        told={C: None, R: None, M: None},
    ),
    Feature(
        name="tools on servers elsewhere (MCP)",
        asks=asks(
            None,
            {"tools": [{"type": "mcp", "server_label": "s", "server_url": "https://example.com/mcp"}]},
            {"mcp_servers": [{"type": "url", "name": "s", "url": "https://example.com/mcp"}]},
        ),
        told={C: None, R: None, M: None},
    ),
    Feature(
        name="what the client would have forgotten (`truncation`, `context_management`)",
        asks=asks(
            None,
            {"truncation": "auto"},
            {"context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}},
        ),
        told={C: None, R: None, M: None},
    ),
    Feature(
        name="counting tokens",
        asks={R: {"input": [HI]}, M: {"max_tokens": None, "messages": [HI]}},
        told={C: {}, R: {"input": [{"role": "user"}]}, M: {"messages": [{"role": "user"}]}},
        reply=Reply(usage=Usage(input=1234)),
        heard={R: {"object": "response.input_tokens", "input_tokens": ...}, M: {"input_tokens": ...}},
        ways=("whole",),
        counts=True,
    ),
]
