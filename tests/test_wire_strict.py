"""Keys that Anthropic's Messages API knows: none of them ever goes, and every other does, at every depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typing_extensions
from anthropic.types.beta.message_create_params import MessageCreateParamsBase

from trivium.canon.api import Api
from trivium.errors import FieldUnsupported
from trivium.wire import body as json_body
from trivium.wire import strict
from trivium.wire.draft import Draft
from trivium.wire.losses import Losses

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"
RECORDED = sorted(path for api in ("messages", "count_tokens") for path in (RECORDINGS / api).glob("*/*/request.json"))

CLAUDE_CODE: dict[str, Any] = {
    "model": "claude-opus-4-7",
    "max_tokens": 32_000,
    "stream": True,
    "system": [{"type": "text", "text": "s", "cache_control": {"type": "ephemeral", "ttl": "1h", "scope": "global"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "q", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "sig"},
                {"type": "redacted_thinking", "data": "d"},
                {"type": "text", "text": "a", "citations": None},
                {
                    "type": "tool_use",
                    "id": "toolu_1",
                    "name": "Read",
                    "input": {"any": 1},
                    "caller": {"type": "direct"},
                },
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "is_error": False,
                    "content": [
                        {"type": "text", "text": "r"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aa"}},
                        {"type": "tool_reference", "tool_name": "WebFetch"},
                    ],
                }
            ],
        },
        {"role": "system", "content": "reminder"},
    ],
    "tools": [
        {
            "name": "Read",
            "description": "d",
            "input_schema": {"type": "object", "properties": {"odd": {"x-ours": 1}}},
            "input_examples": [{"odd": 1}],
            "strict": True,
            "defer_loading": True,
            "allowed_callers": ["direct"],
            "eager_input_streaming": True,
            "cache_control": {"type": "ephemeral", "ttl": "5m"},
        },
        {"type": "web_search_20260318", "name": "web_search", "max_uses": 8, "response_inclusion": "all"},
    ],
    "tool_choice": {"type": "auto", "disable_parallel_tool_use": True},
    "thinking": {"type": "adaptive", "display": "summarized"},
    "output_config": {
        "effort": "high",
        "task_budget": {"type": "tokens", "total": 5},
        "format": {"type": "json_schema", "schema": {"a": 1}},
    },
    "context_management": {
        "edits": [{"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 2}}]
    },
    "mcp_servers": [{"type": "url", "url": "https://x", "name": "n", "tool_configuration": {"enabled": True}}],
    "container": {"id": "c", "skills": [{"type": "anthropic", "skill_id": "pdf", "version": "latest"}]},
    "metadata": {"user_id": "u"},
    "service_tier": "auto",
}


def kept(body: Any, row: str = "anthropic") -> tuple[Any, list[str]]:
    """What is left, and what is lost."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    draft = Draft(Api.MESSAGES, json_body.members(raw), Losses())
    strict.keep_known(draft, row=row)
    told = json.loads(draft.body(raw))
    if not draft.changed:
        assert draft.body(raw) == raw
    return told, [loss.field for loss in draft.losses.told()]


def test_what_claude_code_sends_stays() -> None:
    assert kept(CLAUDE_CODE) == (CLAUDE_CODE, [])


def test_bedrock_is_told_of_no_tool_whose_input_is_to_come_at_once() -> None:
    told, lost = kept(CLAUDE_CODE, "bedrock")
    assert lost == ["tools[0].eager_input_streaming"]
    assert told["tools"][0] == {k: v for k, v in CLAUDE_CODE["tools"][0].items() if k != "eager_input_streaming"}
    assert kept(CLAUDE_CODE, "vertex") == (CLAUDE_CODE, [])


@pytest.mark.skipif(not RECORDED, reason="no recordings at ../shared/wire")
@pytest.mark.parametrize("path", RECORDED, ids=lambda path: "/".join(path.parts[-4:-1]))
def test_what_was_recorded_stays(path: Path) -> None:
    raw = path.read_bytes()
    row = path.parts[-3]
    assert kept(raw, row if row in strict.CLOUDS else "anthropic") == (json.loads(raw), [])


def places(value: Any, at: str = "") -> list[str]:
    """Every object in a request but those whose content is the client's own."""
    if isinstance(value, list):
        return [place for n, one in enumerate(value) for place in places(one, f"{at}[{n}]")]
    if not isinstance(value, dict):
        return []
    own = {"input", "input_schema", "input_examples", "schema", "metadata"}
    return [at, *(place for name, one in value.items() if name not in own for place in places(one, f"{at}.{name}"))]


@pytest.mark.parametrize("place", places(CLAUDE_CODE))
def test_a_key_that_nobody_knows_goes_wherever_it_stands(place: str) -> None:
    body = json.loads(json.dumps(CLAUDE_CODE))
    holder = body
    for step in place.replace("[", ".").replace("]", "").split("."):
        holder = holder if not step else holder[int(step)] if isinstance(holder, list) else holder[step]
    holder["reasoning_details"] = [1]
    left, losses = kept(body)
    assert left == CLAUDE_CODE
    assert losses == [f"{place}.reasoning_details".lstrip(".")]


def test_kinds_that_nobody_knows_stay_and_so_does_what_is_no_json() -> None:
    new = {"messages": [{"role": "user", "content": [{"type": "hologram_20270101", "depth": 3}]}]}
    assert kept(new) == (new, [])
    odd: dict[str, Any] = {"messages": 7, "system": None, "tools": "x", "thinking": []}
    assert kept(odd) == (odd, [])


def test_as_deep_as_the_api_goes_nothing_hides() -> None:
    text = {"type": "text", "text": "t", "citations": [{"type": "char_location", "cited_text": "c", "x": 1}]}
    document = {"type": "document", "source": {"type": "content", "content": [text]}}
    fetched = {"type": "web_fetch_tool_result", "content": {"type": "web_fetch_result", "content": document}}
    said = {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [fetched]}]}]}
    (field,) = kept(said)[1]
    assert field.endswith(".source.content[0].citations[0].x")


@pytest.mark.parametrize("depth", [10, 300])
def test_deeper_than_that_nothing_goes(depth: int) -> None:
    said: dict[str, Any] = {"type": "text", "text": "t", "x": 1}
    for _ in range(depth):
        said = {"type": "tool_result", "content": [said]}
    with pytest.raises(FieldUnsupported, match="too deep a nesting"):
        kept({"messages": [{"role": "user", "content": [said]}]})


@pytest.mark.parametrize("name", ["messages", "system", "tools"])
@pytest.mark.parametrize("entry", [[], {"x": 1}, 0])
def test_nor_does_a_crowd(name: str, entry: Any) -> None:
    with pytest.raises(FieldUnsupported, match=f"`{name}` has too many entries"):
        kept({name: [entry] * 110_000 + [[]]})


def test_commas_in_a_text_are_no_entries() -> None:
    said = {"role": "user", "content": [{"type": "text", "text": "1," * 600_000, "x": 1}]}
    assert "x" not in kept({"messages": [said]})[0]["messages"][0]["content"][0]


@pytest.mark.parametrize(
    "block", [{"citations": [[]] * 60_000}, {"cache_control": dict.fromkeys(map(str, range(60_000)))}]
)
def test_nor_do_several_together(block: dict[str, Any]) -> None:
    content = [{"type": "text", "text": "t", **block}]
    assert kept({"system": content})[0]["system"]
    with pytest.raises(FieldUnsupported, match="`system` has too many entries"):
        kept({"system": [*content, *content]})


def test_the_clouds_have_members_of_their_own() -> None:
    body = {"anthropic_version": "vertex-2023-10-16", "messages": []}
    assert kept(body, "vertex") == (body, [])
    assert kept(body)[1] == ["anthropic_version"]


def typed_dicts(kind: Any, found: dict[str, Any]) -> dict[str, Any]:
    """All objects that the SDK's types of a request consist of."""
    if get_origin(kind) is not None:
        for part in get_args(kind):
            typed_dicts(part, found)
    elif isinstance(kind, type) and typing_extensions.is_typeddict(kind) and kind.__name__ not in found:
        found[kind.__name__] = hints = typing_extensions.get_type_hints(kind)
        for hint in hints.values():
            typed_dicts(hint, found)
    return found


SDK = typed_dicts(MessageCreateParamsBase, {})
BLOCKS = {name: hints for name, hints in SDK.items() if name.endswith("BlockParam")}


def literal(hint: Any) -> list[str]:
    """The words of a `type`."""
    return [part for one in get_args(hint) for part in (literal(one) if get_origin(one) else [one])]


def test_the_sdk_knows_no_key_of_a_request_that_we_do_not() -> None:
    own = {"betas", "stream"}
    """The SDK sends `betas` as a header, and adds `stream` in another type."""
    assert SDK["MessageCreateParamsBase"].keys() - own <= strict._REQUEST.keys


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_nor_of_a_block(name: str) -> None:
    for kind in literal(BLOCKS[name]["type"]):
        known = strict._BLOCK.kinds.get(kind)
        assert known is None or BLOCKS[name].keys() <= known, kind


@pytest.mark.parametrize(
    "name", sorted(name for name in SDK if "Tool20" in name or name == "BetaToolParam" or "Toolset" in name)
)
def test_nor_of_a_tool(name: str) -> None:
    if "Config" not in name and "Reference" not in name:
        assert SDK[name].keys() <= strict._TOOL.keys
