"""Settings of a request: the form of the answer, where it stops, how it is sampled."""

from __future__ import annotations

from typing import Any

from conformance.feature import ABSENT, C, Feature, Like, M, R
from conformance.features.words import SCHEMA, alike, asks, setting, spoken
from trivium.mock import Reply, ToolCall

_SAID = '{"city":"Köln"}'
_NAMED = {"name": "place", "schema": SCHEMA, "strict": True}
_BY_SCHEMA: dict[Any, dict[str, Any]] = asks(
    {"response_format": {"type": "json_schema", "json_schema": _NAMED}},
    {"text": {"format": {"type": "json_schema", **_NAMED}}},
    {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
)
_UNNAMED = {"schema": SCHEMA, "strict": True}
_PLEASE = [{"role": "user", "content": "A city, in JSON."}]
_FORCED = {
    "tools": [{"name": Like("place|answer"), "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": Like("place|answer")},
    "output_config": ABSENT,
}

SETTINGS = [
    Feature(
        name="an answer by a JSON Schema",
        asks=_BY_SCHEMA,
        told=asks(
            {"response_format": {"type": "json_schema", "json_schema": _UNNAMED}},
            {"text": {"format": {"type": "json_schema", **_UNNAMED}}},
        ),
        reply=Reply(text=_SAID),
        heard=spoken(_SAID),
    ),
    Feature(
        name="an answer by a JSON Schema, as the call of a tool that must be called",
        asks={api: _BY_SCHEMA[api] for api in (C, R)},
        told={M: _FORCED},
        reply={C: Reply(text=_SAID), R: Reply(text=_SAID), M: Reply(tool_calls=[ToolCall("place", {"city": "Köln"})])},
        heard=spoken(_SAID),
        upstreams="older",
    ),
    Feature(
        name="an answer that is any JSON",
        asks=asks(
            {"messages": _PLEASE, "response_format": {"type": "json_object"}},
            {"input": _PLEASE, "text": {"format": {"type": "json_object"}}},
        ),
        told=asks(
            {"response_format": {"type": "json_object"}},
            {"text": {"format": {"type": "json_object"}}},
            {"system": [{"type": "text", "text": Like("JSON")}]},
        ),
        reply=Reply(text=_SAID),
        heard=spoken(_SAID),
    ),
    setting("limit of tokens", asks({"max_completion_tokens": 99}, {"max_output_tokens": 99}, {"max_tokens": 99})),
    Feature(
        name="limit under what the upstream takes",
        asks=asks({"max_completion_tokens": 9}, None, {"max_tokens": 9}),
        told={R: {"max_output_tokens": 16}},
    ),
    setting("stop sequences", asks({"stop": ["END", "###"]}, None, {"stop_sequences": ["END", "###"]})),
    Feature(
        name="more than four stop sequences",
        asks=asks(None, None, {"stop_sequences": [*"ABCDE"]}),
        told={C: {"stop": [*"ABCD"]}},
    ),
    setting("`temperature`", alike(temperature=0.5)),
    Feature(
        name="`temperature` over 1",
        asks=alike(C, R, temperature=1.5),
        told={M: {"temperature": 1}},
    ),
    Feature(
        name="`temperature`",
        asks=alike(temperature=0.5),
        told={C: None, R: None},
        upstreams="thinkers",
    ),
    setting("`top_p`", alike(top_p=0.5)),
    Feature(
        name="`temperature` and `top_p` at once",
        asks=alike(temperature=0.5, top_p=0.5),
        told={M: {"temperature": 0.5, "top_p": ABSENT}},
    ),
    setting("`top_k`", alike(C, M, top_k=5), upstreams="openrouter"),
    Feature(name="`top_k`", asks=alike(M, top_k=5)),
    setting("`seed`", alike(C, seed=7)),
    setting("`frequency_penalty`, `presence_penalty`", alike(C, frequency_penalty=0.5, presence_penalty=0.5)),
    setting("`logit_bias`", alike(C, logit_bias={"50256": -100})),
    setting("`n` over 1", alike(C, n=2)),
    setting(
        "log probabilities",
        asks({"logprobs": True, "top_logprobs": 3}, {"top_logprobs": 3, "include": ["message.output_text.logprobs"]}),
    ),
    setting("`prediction`", alike(C, prediction={"type": "content", "content": "Done."})),
    setting("answers in audio", alike(C, modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"})),
    setting(
        "verbosity",
        asks({"verbosity": "low"}, {"text": {"verbosity": "low"}}),
        upstreams="thinkers",
    ),
]
