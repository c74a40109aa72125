"""Rules over bodies that nobody should send: each passes or is refused in words, and what no rule means stays."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.api import Api
from trivium.errors import RequestError
from trivium.pipeline.call import Call
from trivium.pipeline.rules import Rules
from trivium.policy.caller import Caller, Organization, OrganizationSettings, Policy
from trivium.providers.provider import Provider
from trivium.routing.catalog import Target
from trivium.settings_requests import AdaptSettings, IdentitySettings
from trivium.wire import body as json_body
from trivium.wire.losses import Losses
from trivium.wire.request import Request

ROWS = ["openrouter", "vercel", "anthropic", "vertex", "mistral", "groq", "xai", "openai", "openai-compatible"]
MODELS = ["anthropic/claude-haiku-4.5", "mistralai/devstral", "grok-4-fast", "google/gemini-3", "kimi-k2", "qwen/qwen3"]
NAMES = (
    *("messages", "input", "system", "tools", "tool_choice", "provider", "user", "session_id", "metadata", "verbosity"),
    *("reasoning", "temperature", "thinking", "max_tokens", "max_completion_tokens", "max_output_tokens", "odd"),
    *("prompt_cache_key", "transforms", "cache_control", "context_management"),
    *("reasoning_effort", "top_k", "seed"),
)
WORDS = [
    "assistant",
    "user",
    "tool",
    "system",
    "tool_use",
    "tool_result",
    "function_call",
    "function_call_output",
    "text",
]
KEYS = [
    *(
        "role",
        "type",
        "content",
        "id",
        "tool_calls",
        "tool_call_id",
        "tool_use_id",
        "call_id",
        "name",
        "function",
        "text",
    ),
    *("reasoning_details", "reasoning_content", "reasoning", "signature"),
    *("data", "cache_control", "only", "order", "ignore", "zdr", "enabled", "effort", "strict"),
]
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.sampled_from(["", "a.b", "attempt_completion", "read_file", *WORDS])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=20,
)
BODIES = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8)
POLICY = Policy(zdr=True, providers_allow=("up", "up/anthropic", "google-vertex"), providers_deny=("deepinfra",))
DEPS = SimpleNamespace(
    identity=IdentitySettings(send=True, salt="a salt of ours", referer="https://x.example"),
    adapt=AdaptSettings(repair_tools=True, cache_conversations=True, preferred_vendors=True),
)
HEADERS = {b"user-agent": b"opencode/1", b"x-trivium-task": b"t", b"anthropic-beta": b"a,,b", b"x-title": b"T"}


def ruled(row: str, model: str, api: Api, body: dict[str, Any]) -> tuple[Request, Request]:
    """The request before and after."""
    raw = json.dumps(body).encode()
    acme = Organization(id="acme", name="Acme", settings=OrganizationSettings(policy=POLICY))
    run: Any = SimpleNamespace(deps=DEPS, key=Caller(id="k", organization=acme), rules=(), headers=())
    call = Call(id="r", api=api, headers=HEADERS, client_ip=None, time_ms=0, started_ns=0)
    provider = Provider(name="up", kind=row, base_url="", apis=frozenset(Api), strict=row in ("anthropic", "vertex"))
    request = Request(
        api=api, body=raw, members=json_body.members(raw), model="m", stream=False, max_tokens=None, wants_usage=True
    )
    rules = Rules(call, request, Target(provider, model), api, run, Losses())
    return request, rules.on_request(request)


@pytest.mark.parametrize("row", ROWS)
@given(model=st.sampled_from(MODELS), api=st.sampled_from(list(Api)), body=BODIES)
def test_whatever_is_sent(row: str, model: str, api: Api, body: dict[str, Any]) -> None:
    try:
        before, after = ruled(row, model, api, body)
    except RequestError:
        return
    told = msgspec.json.decode(after.body)
    assert told == {name: msgspec.json.decode(raw) for name, raw in after.members.items()}
    assert list(told) == list(after.members)
    if api is not Api.MESSAGES or row not in ("anthropic", "vertex"):
        assert told.get("odd") == body.get("odd")
    # What has been adapted once is as it should be.
    again = ruled(row, model, api, told)[1]
    if row != "vercel":  # where `provider` has become something else
        assert msgspec.json.decode(again.body) == told
    assert before.body == json.dumps(body).encode()
