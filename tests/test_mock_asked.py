"""What the double reads out of a request, in whichever dialect it was said."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trivium.mock import Recorded
from trivium.mock.asked import Asked, flat_name, read, tokens

CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"


def asked(
    path: str,
    said: Any = None,
    *,
    method: str = "POST",
    query: str = "",
    headers: list[tuple[str, str]] | None = None,
    arrived: float = 0.0,
) -> Asked:
    return read(
        Recorded(
            number=1,
            arrived=arrived,
            method=method,
            path=path,
            query=query,
            headers=headers or [],
            body=msgspec.json.encode(said),
            json=said,
        )
    )


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


CALLED: dict[str, list[dict[str, Any]]] = {
    CHAT: [user("Hi"), {"role": "assistant", "content": None, "tool_calls": []}, {"role": "tool", "content": "42"}],
    RESPONSES: [
        user("Hi"),
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "name": "f"},
        {"type": "function_call_output", "output": "42"},
    ],
    MESSAGES: [
        user("Hi"),
        {"role": "assistant", "content": [{"type": "tool_use", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "content": "42"}]},
    ],
}


def conversation(path: str, history: list[dict[str, Any]]) -> Asked:
    return asked(path, {"model": "m", "input" if path == RESPONSES else "messages": history})


@pytest.mark.parametrize("path", CALLED)
def test_a_tool_result_is_seen_as_long_as_the_model_has_not_answered_it(path: str) -> None:
    history = CALLED[path]

    assert not conversation(path, history[:1]).has_tool_result
    assert conversation(path, history).has_tool_result
    assert not conversation(
        path, [*history, {"role": "assistant", "content": "It is 42."}, user("Why?")]
    ).has_tool_result


@pytest.mark.parametrize("path", CALLED)
def test_turns_count_what_the_model_said_in_one_go(path: str) -> None:
    history = CALLED[path]

    assert conversation(path, history[:1]).turn == 1
    assert conversation(path, history).turn == 2
    assert conversation(path, [*history, {"role": "assistant", "content": "It is 42."}, user("Why?")]).turn == 3


@pytest.mark.parametrize("path", CALLED)
def test_the_user_text_is_the_last_that_has_any(path: str) -> None:
    assert conversation(path, CALLED[path]).user_text == "Hi"


def test_the_input_of_responses_may_be_a_string_and_content_may_be_parts() -> None:
    assert asked(RESPONSES, {"input": "Hi"}).user_text == "Hi"
    parts = [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]
    assert asked(MESSAGES, {"messages": [{"role": "user", "content": parts}]}).user_text == "one\ntwo"


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "dialect"),
    [
        ("POST", "/v1/chat/completions", "chat", "chat"),
        ("POST", "/chat/completions", "chat", "chat"),
        ("POST", "/api/v1/responses", "responses", "responses"),
        ("POST", "/messages", "messages", "messages"),
        ("POST", "/v1/messages/count_tokens", "count_tokens", "messages"),
        ("POST", "/v1/responses/input_tokens", "input_tokens", "responses"),
        ("GET", "/v1/models", "models", "chat"),
        ("GET", "/v1/chat/completions", "unknown", "chat"),
        ("POST", "/v1/embeddings", "embeddings", "chat"),
        ("POST", "/api/fim/completions", "fim", "chat"),
        ("POST", "/v1/images", "unknown", "chat"),
    ],
)
def test_an_endpoint_is_known_under_any_prefix(method: str, path: str, endpoint: str, dialect: str) -> None:
    found = asked(path, method=method)

    assert (found.endpoint, found.dialect) == (endpoint, dialect)


def test_where_the_path_is_no_ones_the_version_header_tells_the_dialect() -> None:
    assert asked("/v1/models", method="GET", headers=[("anthropic-version", "2023-06-01")]).dialect == "messages"


def test_tools_are_known_by_name_in_the_shapes_of_all_dialects() -> None:
    tools = [{"type": "function", "function": {"name": "chat"}}, {"type": "function", "name": "responses"}]

    assert asked(CHAT, {"tools": [*tools, {"name": "messages"}, {"type": "web_search"}]}).tools == {
        "chat",
        "responses",
        "messages",
    }


def test_custom_tools_and_tools_in_a_namespace_are_known_as_well() -> None:
    custom = [{"type": "custom", "custom": {"name": "chat"}}, {"type": "custom", "name": "responses"}]
    inner = [{"type": "function", "name": "look"}, {"type": "custom", "name": "patch"}]
    grouped = [{"type": "namespace", "name": "maps", "tools": inner}, {"type": "namespace", "tools": [None]}]

    assert asked(CHAT, {"tools": custom}).tools == {"chat", "responses"}
    assert asked(RESPONSES, {"tools": grouped}).tools == {"look", "maps__look", "patch", "maps__patch"}


def test_a_flat_name_has_one_pair_of_underscores() -> None:
    assert [flat_name(space, "f") for space in (None, "a", "mcp__a__")] == ["f", "a__f", "mcp__a__f"]


@pytest.mark.parametrize(
    "said", [None, [], 5, {"messages": "x", "tools": {}, "stream": 1, "stream_options": []}, {"messages": [None, []]}]
)
def test_nonsense_is_read_as_a_request_that_says_little(said: Any) -> None:
    found = asked(CHAT, said)

    assert (found.stream, found.include_usage, found.turn, found.has_tool_result) == (False, False, 1, False)


def test_tokens_are_a_quarter_of_the_characters_wherever_they_are() -> None:
    assert tokens({"a": ["12345678", {"b": "1234"}], "c": 5}) == 3
    assert tokens("") == 1
    assert asked(CHAT, {"model": "m" * 400, "messages": [user("x" * 16)]}).tokens == 5


def test_the_query_is_unescaped_and_of_a_repeated_name_the_last_counts() -> None:
    assert asked(CHAT, query="id=a%2Fb&id=c%26+d&empty=").query == {"id": "c& d", "empty": ""}
    assert asked(CHAT).query == {}
