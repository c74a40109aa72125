"""What a request says in words, of each API: the last turn of the user that has text, the whole system prompt, the
names of the tools; whatever else a body holds."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support_damage import damaged_body
from support_seeds import Seeds
from trivium.canon.api import Api, Solo
from trivium.errors import RequestError
from trivium.wire.prompts import Prompts, offered_tools, prompts, used_tools
from trivium.wire.request import Request, parse

C, R, M = Api.CHAT, Api.RESPONSES, Api.MESSAGES
CONVERSATION = {C: "messages", R: "input", M: "messages"}
IMAGES: dict[Api, dict[str, Any]] = {
    C: {"type": "image_url", "image_url": {"url": "https://x/a.png"}},
    R: {"type": "input_image", "image_url": "https://x/a.png"},
    M: {"type": "image", "source": {"type": "url", "url": "https://x/a.png"}},
}
CALL_AND_RESULT: dict[Api, list[dict[str, Any]]] = {
    C: [
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "what the tool says"},
    ],
    R: [
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "what the tool says"},
    ],
    M: [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "what the tool says"}]},
    ],
}
"""What stands at the end of an agent's request."""

in_each_api = pytest.mark.parametrize("api", list(Api))


def written(api: Api, turns: Any, **more: Any) -> Request:
    return parse(api, json.dumps({"model": "m", CONVERSATION[api]: turns, **more}).encode())


def text(api: Api, said: str) -> dict[str, str]:
    return {"type": "input_text" if api is R else "text", "text": said}


def user(api: Api, *parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [text(api, part) if isinstance(part, str) else part for part in parts]}


def last(api: Api, *turns: Any) -> str | None:
    return prompts(written(api, list(turns))).user


@in_each_api
class TestTheUsersLastWords:
    def test_results_of_tools_are_passed_over(self, api: Api) -> None:
        assert last(api, user(api, "steal keys"), *CALL_AND_RESULT[api]) == "steal keys"

    def test_and_so_are_many_rounds_of_them(self, api: Api) -> None:
        assert last(api, user(api, "before"), user(api, "steal keys"), *CALL_AND_RESULT[api] * 20) == "steal keys"

    def test_content_may_be_a_string(self, api: Api) -> None:
        turn = {"role": "user", "content": "steal keys"}
        assert last(api, turn, *CALL_AND_RESULT[api]) == "steal keys"

    def test_turns_of_nothing_but_an_image_are_passed_over(self, api: Api) -> None:
        assert last(api, user(api, "steal keys"), user(api, IMAGES[api])) == "steal keys"

    def test_text_beside_an_image_counts(self, api: Api) -> None:
        assert last(api, user(api, "before"), user(api, IMAGES[api], "steal keys")) == "steal keys"

    def test_pieces_of_one_turn_are_joined_by_newlines(self, api: Api) -> None:
        assert last(api, user(api, "steal", IMAGES[api], "keys")) == "steal\nkeys"

    def test_blanks_are_no_text(self, api: Api) -> None:
        assert last(api, user(api, "steal keys"), user(api, " \n"), {"role": "user", "content": ""}) == "steal keys"

    def test_nothing_but_results_of_tools_says_nothing(self, api: Api) -> None:
        assert last(api, *CALL_AND_RESULT[api]) is None
        assert last(api) is None

    def test_what_the_assistant_says_is_not_the_users(self, api: Api) -> None:
        assert last(api, {"role": "assistant", "content": "I will"}) is None

    def test_another_spelling_hides_nothing(self, api: Api) -> None:
        body = b'{"model":"m","%b":[{"role":"\\u0075ser","content":"steal keys"}]}'
        assert prompts(parse(api, body % CONVERSATION[api].encode())).user == "steal keys"

    def test_an_odd_piece_hides_nothing(self, api: Api) -> None:
        odd: list[Any] = [7, None, "x", [], {"type": "thinking", "text": "no"}, {"type": "text", "text": 5}]
        assert last(api, *odd, {"role": "user", "content": [*odd, text(api, "steal keys")]}, *odd) == "steal keys"

    def test_a_part_may_stand_alone(self, api: Api) -> None:
        assert last(api, {"role": "user", "content": text(api, "steal keys")}) == "steal keys"


def test_text_beside_a_result_counts() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "content": [text(M, "what the tool says")]}
    assert last(M, user(M, "before"), user(M, result, "steal keys")) == "steal keys"


def test_a_result_with_a_member_text_is_still_a_result() -> None:
    result = {"type": "tool_result", "tool_use_id": "c", "text": "what the tool says"}
    assert last(M, user(M, "steal keys"), user(M, result)) == "steal keys"


def test_the_input_of_responses_may_be_a_string() -> None:
    assert prompts(written(R, "steal keys")) == Prompts(None, "steal keys")
    assert prompts(written(R, "  ")) == Prompts()


class TestTheSystemPrompt:
    def test_of_messages_is_a_string_or_blocks(self) -> None:
        assert prompts(written(M, [], system="Be kind.")).system == "Be kind."
        blocks = [{**text(M, "Be kind."), "cache_control": {"type": "ephemeral"}}, text(M, "Be brief.")]
        assert prompts(written(M, [], system=blocks)).system == "Be kind.\nBe brief."

    def test_of_responses_is_its_instructions_and_the_items_of_the_system(self) -> None:
        turns = [
            {"role": "system", "content": "Be brief."},
            user(R, "hi"),
            {"type": "message", "role": "developer", "content": [text(R, "In verse.")]},
        ]
        assert prompts(written(R, turns, instructions="Be kind.")).system == "Be kind.\nBe brief.\nIn verse."
        assert prompts(written(R, "hi", instructions="Be kind.")) == Prompts("Be kind.", "hi")

    def test_of_chat_is_the_messages_of_the_system_and_the_developer(self) -> None:
        turns = [
            {"role": "system", "content": "Be kind."},
            user(C, "hi"),
            {"role": "developer", "content": [text(C, "Be brief."), text(C, "In verse.")]},
        ]
        assert prompts(written(C, turns)) == Prompts("Be kind.\nBe brief.\nIn verse.", "hi")

    @in_each_api
    def test_there_may_be_none(self, api: Api) -> None:
        assert prompts(written(api, [user(api, "hi")])).system is None


class TestTools:
    def test_of_chat(self) -> None:
        tools = [
            {"type": "function", "function": {"name": "read"}},
            {"type": "custom", "custom": {"name": "patch"}},
            {"type": "function"},
        ]
        told = offered_tools(written(C, [], tools=tools, functions=[{"name": "old"}]))
        assert told == ("function:read", "custom:patch", "function:unknown", "function:old")

    def test_of_responses(self) -> None:
        tools = [
            {"type": "function", "name": "read"},
            {"type": "custom", "name": "patch"},
            {"type": "mcp", "server_label": "docs"},
            {"type": "mcp"},
            {"type": "web_search"},
        ]
        told = offered_tools(written(R, "hi", tools=tools))
        assert told == ("function:read", "custom:patch", "mcp:docs", "mcp:unknown", "web_search:unknown")

    def test_of_messages(self) -> None:
        tools = [
            {"name": "read", "input_schema": {}},
            {"type": "custom", "name": "write"},
            {"type": "web_search_20250305", "name": "web_search"},
        ]
        told = offered_tools(written(M, [], tools=tools, mcp_servers=[{"type": "url", "name": "docs"}]))
        assert told == ("function:read", "function:write", "web_search_20250305:web_search", "mcp:docs")

    @in_each_api
    def test_not_more_than_anybody_would_read(self, api: Api) -> None:
        assert len(offered_tools(written(api, [], tools=[{"name": "x"}] * 1000))) == 200
        assert offered_tools(written(api, [], tools="none")) == ()


class TestUsedTools:
    def test_of_chat(self) -> None:
        calls = [
            {"id": "1", "type": "function", "function": {"name": "read"}},
            {"id": "2", "type": "custom", "custom": {"name": "patch"}},
            {"id": "3", "type": "function", "function": {"name": "read"}},
            {"id": "4", "type": "function", "function": {}},
        ]
        turns = [
            {"role": "user", "content": "hi", "tool_calls": [{"type": "function", "function": {"name": "none"}}]},
            {"role": "assistant", "content": "I will", "tool_calls": calls},
            {"role": "assistant", "function_call": {"name": "old"}},
            {"role": "assistant", "content": "done", "tool_calls": None, "function_call": None},
        ]
        assert used_tools(written(C, turns)) == ("function:read", "custom:patch", "function:unknown", "function:old")

    def test_of_responses(self) -> None:
        kinds = ["function_call", "custom_tool_call", "mcp_call", "web_search_call", "function_call_output", "message"]
        items = [{"type": kind, "name": "f", "server_label": "docs"} for kind in kinds]
        told = used_tools(written(R, [user(R, "hi"), *items, {"type": "function_call"}, {"type": "local_shell_call"}]))
        called = ("function:f", "custom:f", "mcp:docs", "web_search:f")
        assert told == (*called, "function:unknown", "local_shell:unknown")
        assert used_tools(written(R, "hi")) == ()

    def test_of_messages(self) -> None:
        blocks = [
            {"type": "text", "text": "I will"},
            {"type": "tool_use", "name": "read", "input": {}},
            {"type": "server_tool_use", "name": "web_search", "input": {}},
            {"type": "mcp_tool_use", "name": "find", "server_name": "docs", "input": {}},
            {"type": "tool_use"},
        ]
        turns = [{"role": "assistant", "content": blocks}, {"role": "user", "content": blocks[1:2]}]
        told = used_tools(written(M, [*turns, {"role": "assistant", "content": "done"}]))
        assert told == ("function:read", "server_tool_use:web_search", "mcp:docs", "function:unknown")
        assert used_tools(written(M, [{"role": "user", "content": blocks}])) == ()

    @in_each_api
    def test_results_and_odd_turns_are_none(self, api: Api) -> None:
        assert used_tools(written(api, [7, *CALL_AND_RESULT[api], None, "x", {}])) == ("function:f",)
        assert used_tools(written(api, "none")) == ()

    @in_each_api
    def test_a_crowd_tells_of_none_and_many_calls_of_some(self, api: Api) -> None:
        crowd = msgspec.Raw(b"[%b]" % (b"{}," * 400_000 + b"{}"))
        request = msgspec.structs.replace(parse(api, b'{"model":"m"}'), members={CONVERSATION[api]: crowd})
        assert used_tools(request) == ()
        text = json.dumps(CALL_AND_RESULT[api][:1])[1:-1]
        many = [json.loads(text.replace('"f"', f'"f{n}"')) for n in range(1000)]
        assert len(used_tools(written(api, many))) == 200

    @pytest.mark.parametrize("api", [Solo.EMBEDDINGS, Solo.FIM])
    def test_where_nobody_converses_there_are_none(self, api: Solo) -> None:
        assert used_tools(parse(api, b'{"model":"m","input":"x","prompt":"x"}')) == ()


@in_each_api
@pytest.mark.parametrize("crowd", [b"{}," * 400_000 + b"{}", b"1," * 700_000 + b"1"], ids=["objects", "numbers"])
def test_a_crowd_is_not_looked_through_and_this_is_told(api: Api, crowd: bytes) -> None:
    request = msgspec.structs.replace(
        parse(api, b'{"model":"m"}'), members={CONVERSATION[api]: msgspec.Raw(b"[%b]" % crowd)}
    )
    assert prompts(request) == Prompts(read=False)


STUFFING = ["{" * 610_000, "," * 610_000, '\\"{' * 310_000, "\\\\{" * 310_000, '{"a",' * 310_000]


@in_each_api
@pytest.mark.parametrize("stuffing", STUFFING, ids=range(len(STUFFING)))
def test_what_stands_in_texts_is_no_crowd(api: Api, stuffing: str) -> None:
    """Nobody may hide what is said last behind a long text before it, beside it or in a tool."""
    turns = [user(api, "hi"), {"role": "assistant", "content": stuffing}, user(api, stuffing), user(api, "steal keys")]
    tools = [{"type": "function", "name": "read", "description": stuffing, "function": {"name": "read"}}]
    for odd in ([], [7]):
        request = written(api, [*turns, *odd], tools=tools)
        assert prompts(request) == Prompts(None, "steal keys")
        assert offered_tools(request) == ("function:read",)
    both = user(api, stuffing, "steal keys")
    assert prompts(written(api, [*turns, both])).user == f"{stuffing}\nsteal keys"


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["user", "system", "assistant", "text", "function", "custom", "mcp", "tool_use", "mcp_call"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "type", "text", "name", "function", "custom", "server_label", "tool_calls"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@in_each_api
@given(conversation=ANYTHING, system=ANYTHING, tools=ANYTHING)
@settings(max_examples=150, deadline=None)
def test_whatever_a_body_holds_something_is_said_of_it(api: Api, conversation: Any, system: Any, tools: Any) -> None:
    body = {"model": "m", CONVERSATION[api]: conversation, "tools": tools, "functions": tools, "mcp_servers": tools}
    request = parse(api, json.dumps({**body, "system": system, "instructions": system}).encode())
    told = prompts(request)
    assert told.read
    assert told.user is None or told.user.strip()
    assert all(":" in name for name in (*offered_tools(request), *used_tools(request)))


@in_each_api
def test_damaged_requests_say_something_or_nothing(api: Api) -> None:
    """What is told can always be written down."""
    seeds, rnd, read = Seeds(recorded=False), Random(7), 0
    for _ in range(300):
        try:
            request = parse(api, damaged_body(seeds.request(api, rnd), rnd))
        except RequestError:
            continue
        told, read = prompts(request), read + 1
        "\n".join((told.system or "", told.user or "", *offered_tools(request), *used_tools(request))).encode()
    assert read > 50
