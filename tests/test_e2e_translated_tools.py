"""Tool loops of the official SDKs on upstreams of another API: parallel and interleaved calls over several turns, tools
that fail, the SDKs' own tool runners, and what Codex alone says: free-text tools and namespaces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic import beta_async_tool
from openai.lib.responses_tool_runner import AsyncRegisteredFunction, AsyncResponsesToolRunner

from support_translated import ACROSS, APIS, OTHERS, TALKS, ResponsesTalk, before, heard
from trivium.mock import Match, Reply, Rule, ToolCall

KOELN, ROMA, OSLO = ({"city": city} for city in ("Köln am Rhein", "Roma", 'Oslo "\\\u2028'))
FIRST = Reply(
    reasoning="Look both up.",
    signature="c2ln+/=",
    text="One moment.",
    tool_calls=[ToolCall("weather", KOELN), ToolCall("weather", ROMA)],
    calls_interleaved=True,
)
LOOP = (
    Rule(FIRST, Match(turn=1)),
    Rule(Reply(tool_calls=[ToolCall("clock", OSLO), ToolCall("weather", OSLO)], calls_interleaved=True), Match(turn=2)),
    Rule(Reply(text="Sunny, rainy, dark."), Match(turn=3)),
)
LAST_WORDS = {"chat": "stop", "responses": "completed", "messages": "end_turn"}


@pytest.mark.parametrize(("client", "upstream"), ACROSS)
async def test_parallel_calls_run_over_three_turns_and_the_upstream_hears_all_of_it(client: str, upstream: str) -> None:
    async with before(upstream, *LOOP) as (house, on):
        talk = TALKS[client](on, tools=["weather", "clock"])
        first = await talk.ask()
        koeln, roma = first.calls
        # Results come in the order of completion; the upstream gets them in the order of the calls.
        talk.hand_in({roma: "rain", koeln: "sun"})
        second = await talk.ask()
        clock, oslo = second.calls
        talk.hand_in({clock: "noon", oslo: "night"})
        third = await talk.ask()
        told = _without_ids(heard(house, upstream))
        records = await house.records()
    assert [*first.calls.values(), *second.calls.values()] == [
        ("weather", KOELN),
        ("weather", ROMA),
        ("clock", OSLO),
        ("weather", OSLO),
    ]
    assert (third.text, third.finish, third.calls) == ("Sunny, rainy, dark.", LAST_WORDS[client], {})
    assert told == [
        ("user", "Weather?"),
        ("thought", "Look both up.", "c2ln+/="),
        ("assistant", "One moment."),
        ("call", "1", "weather", KOELN),
        ("call", "2", "weather", ROMA),
        ("result", "1", "sun"),
        ("result", "2", "rain"),
        ("call", "3", "clock", OSLO),
        ("call", "4", "weather", OSLO),
        ("result", "3", "noon"),
        ("result", "4", "night"),
    ]
    assert [(record["outcome"], record["finish_reason"]) for record in records] == [
        ("success", "stop"),
        ("success", "tool_calls"),
        ("success", "tool_calls"),
    ]


def _without_ids(told: list[Any]) -> list[Any]:
    """Calls numbered in the order in which they were made, and their arguments read."""
    numbers: dict[str, str] = {}
    plain: list[Any] = []
    for kind, *said in told:
        if kind in ("call", "result"):
            said[0] = numbers.setdefault(said[0], str(len(numbers) + 1))
        if kind == "call":
            said[2] = json.loads(said[2])
        plain.append((kind, *said))
    return plain


@pytest.mark.parametrize("upstream", APIS)
async def test_the_ids_of_calls_come_back_as_their_upstream_gave_them(upstream: str) -> None:
    """Kimi's ids hold letters that Anthropic refuses."""
    kimi = "functions.weather:0" if upstream != "messages" else "toolu_bdrk-01"
    calls = [ToolCall("weather", KOELN, kimi), ToolCall("weather", ROMA, "call_2")]
    rules = (Rule(Reply(text="Sunny."), Match(has_tool_result=True)), Rule(Reply(tool_calls=calls)))
    async with before(upstream, *rules) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on, tools=["weather"])
            ids = [*(await talk.ask()).calls]
            talk.hand_in({ids[0]: "sun", ids[1]: "rain"})
            await talk.ask()
            told = [said[1] for said in heard(house, upstream) if said[0] in ("call", "result")]
            assert all(id.replace("_", "").replace("-", "").isalnum() for id in ids)
            assert (client, told) == (client, [kimi, "call_2", kimi, "call_2"])


@pytest.mark.parametrize("upstream", APIS)
async def test_a_tool_that_failed_says_so_in_the_upstreams_words(upstream: str) -> None:
    async with before(upstream, *LOOP) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on, tools=["weather", "clock"])
            koeln, roma = (await talk.ask()).calls
            talk.hand_in({koeln: "sun", roma: "No such city."}, failed=[roma])
            await talk.ask()
            results = [said[2:] for said in heard(house, upstream) if said[0] == "result"]
            # Only Messages knows errors of tools; elsewhere they are told in words.
            failed = "The tool failed: No such city." if client == "messages" else "No such city."
            assert (client, results) == (client, [("sun",), (failed,)])
            assert (await house.records())[0]["losses"] is None


@pytest.mark.parametrize("upstream", ["chat", "responses"])
async def test_an_image_that_a_tool_showed_reaches_the_upstream(upstream: str) -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    async with before(upstream, *LOOP) as (house, on):
        talk = TALKS["messages"](on, tools=["weather", "clock"])
        koeln, roma = (await talk.ask()).calls
        shown = [{"type": "text", "text": "A map:"}, {"type": "image", "source": source}]
        talk.add(
            [
                {"type": "tool_result", "tool_use_id": koeln, "content": shown},
                {"type": "tool_result", "tool_use_id": roma, "content": "rain"},
            ]
        )
        await talk.ask()
        body = house.upstream.requests[1].json
        told = heard(house, upstream)
    assert "data:image/png;base64,iVBORw0KGgo=" in json.dumps(body)
    if upstream == "responses":
        assert told[-2][2] == "A map:[input_image]"
    else:
        # Tools speak text there: the image follows all results, in a message of the user's that names its call.
        assert [said[0] for said in told[-4:]] == ["result", "result", "user", "user"]
        assert told[-4][2] == "A map:"
        assert koeln in told[-2][1]
        assert told[-1] == ("user", "image_url")


@pytest.mark.parametrize("upstream", APIS)
async def test_long_and_dotted_names_of_tools_come_back_as_the_client_knows_them(upstream: str) -> None:
    name = "mcp.a_server.with_a_very_long_name/and_a_tool_with_a_longer_one_" + "x" * 70
    async with before(upstream) as (house, on):
        for client in OTHERS[upstream]:
            await TALKS[client](on, tools=[name]).ask()
        first, second = (request.json["tools"][0] for request in house.upstream.requests)
    sent = first.get("function", first)["name"]
    assert len(sent) <= (128 if upstream == "messages" else 64)
    assert sent == second.get("function", second)["name"]
    # A model calls it by the name under which it was told of it.
    async with before(upstream, Reply(tool_calls=[ToolCall(sent, KOELN)])) as (_, on):
        for client in OTHERS[upstream]:
            told = await TALKS[client](on, tools=[name]).ask()
            assert [*told.calls.values()] == [(name, KOELN)]


@pytest.mark.parametrize("upstream", ["chat", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_runner_of_the_messages_beta_calls_its_tools_itself(upstream: str, stream: bool) -> None:
    asked_for: list[str] = []

    @beta_async_tool
    async def weather(city: str) -> str:
        """The weather in a city."""
        asked_for.append(city)
        if city == "Roma":
            raise ValueError("no such city")
        return "sun"

    rules = (LOOP[0], Rule(Reply(text="Sunny."), Match(has_tool_result=True)))
    async with before(upstream, *rules) as (house, on):
        runner: Any = on.anthropic.beta.messages.tool_runner(
            model="m", messages=_question(), max_tokens=50, tools=[weather], stream=stream
        )
        final = await runner.until_done()
        results = [said[2] for said in heard(house, upstream) if said[0] == "result"]
    assert final.content[0].text == "Sunny."
    assert asked_for == ["Köln am Rhein", "Roma"]
    assert results[0] == "sun"
    assert results[1].startswith("The tool failed: ")
    assert "no such city" in results[1]


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_the_tool_runner_of_responses_calls_its_tools_itself(upstream: str, stream: bool) -> None:
    async def weather(arguments: dict[str, object]) -> str:
        return f"sun in {arguments['city']}"

    rules = (LOOP[0], Rule(Reply(text="Sunny."), Match(has_tool_result=True)))
    tool: Any = ResponsesTalk.tool("weather")
    runner = AsyncResponsesToolRunner(functions=[AsyncRegisteredFunction(tool, weather)])
    async with before(upstream, *rules) as (house, on):
        final = await runner.run(on.openai, {"model": "m", "input": "Weather?", "store": False}, stream=stream)
        results = [said[2] for said in heard(house, upstream) if said[0] == "result"]
    assert final.output_text == "Sunny."
    assert results == ["sun in Köln am Rhein", "sun in Roma"]


def _question() -> list[Any]:
    return [{"role": "user", "content": "Weather?"}]


# Codex.

PATCH = '*** Begin Patch\n*** Add File: "grüße".txt\n+\\ \u2028 \t😀\n*** End Patch'
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
APPLY_PATCH = {"type": "custom", "name": "apply_patch", "description": "Edits files.", "format": GRAMMAR}
AGENTS = {
    "type": "namespace",
    "name": "multi_agent_v1",
    "description": "Agents.",
    "tools": [{"type": "function", "name": "close_agent", "strict": False, "parameters": {"type": "object"}}],
}
SAID: dict[str, Any] = {"role": "user", "content": "Go on."}


@pytest.mark.parametrize("upstream", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
async def test_free_text_and_namespaced_tools_of_codex_come_and_go_as_codex_knows_them(
    upstream: str, stream: bool
) -> None:
    calls = [
        ToolCall("apply_patch", {"input": PATCH}, "call_1"),
        ToolCall("multi_agent_v1__close_agent", {"id": "a"}, "call_2"),
    ]
    rules = (Rule(Reply(text="Done."), Match(has_tool_result=True)), Rule(Reply(tool_calls=calls)))
    body = {"model": "m", "input": [SAID], "tools": [APPLY_PATCH, AGENTS], "store": False, "stream": stream}
    async with before(upstream, *rules) as (house, _):
        items = [{key: item[key] for key in item if key != "status"} for item in await _raw(house, body)]
        patch, close = items
        outputs = [
            {"type": "custom_tool_call_output", "call_id": "call_1", "output": "Exit code: 0"},
            {"type": "function_call_output", "call_id": "call_2", "output": "closed"},
        ]
        (last,) = await _raw(house, {**body, "input": [SAID, *items, *outputs]})
        told, tools = heard(house, upstream), house.upstream.requests[1].json["tools"]
    assert (patch["type"], patch["name"], patch["input"]) == ("custom_tool_call", "apply_patch", PATCH)
    assert (close["type"], close["name"], close["namespace"]) == ("function_call", "close_agent", "multi_agent_v1")
    assert json.loads(close["arguments"]) == {"id": "a"}
    assert last["content"][0]["text"] == "Done."
    assert [tool.get("function", tool)["name"] for tool in tools] == ["apply_patch", "multi_agent_v1__close_agent"]
    assert "start: /.+/" in json.dumps(tools[0])
    assert [(*said[:3], json.loads(said[3])) for said in told if said[0] == "call"] == [
        ("call", "call_1", "apply_patch", {"input": PATCH}),
        ("call", "call_2", "multi_agent_v1__close_agent", {"id": "a"}),
    ]
    assert told[-2:] == [("result", "call_1", "Exit code: 0"), ("result", "call_2", "closed")]


async def _raw(house: Any, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The output of a response, from the last event where it is a stream."""
    status, said, _ = await house.post("/v1/responses", body)
    assert status == 200
    if not body["stream"]:
        return list(said["output"])
    events = [json.loads(line[6:]) for line in said.split("\n") if line.startswith("data: ")]
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    # Codex acts on these; what the deltas add up to must be the same.
    for item in done:
        deltas = [event["delta"] for event in events if event.get("item_id") == item["id"] and "delta" in event]
        assert "".join(deltas) == item.get("input", item.get("arguments")) or item["type"] == "message"
    assert done == events[-1]["response"]["output"]
    return done


async def test_a_free_text_call_of_an_openai_upstream_reaches_a_client_of_messages_as_a_tool_with_one_string() -> None:
    call = ToolCall("apply_patch", PATCH, "call_1", kind="custom")
    for upstream in ("responses", "chat"):
        async with before(upstream, Reply(tool_calls=[call])) as (_, on):
            told = await TALKS["messages"](on, tools=["apply_patch"]).ask()
            assert told.calls == {"call_1": ("apply_patch", {"input": PATCH})}


@pytest.mark.parametrize("upstream", ["chat", "responses"])
async def test_free_texts_of_parallel_calls_that_come_in_turns_are_told_apart(upstream: str) -> None:
    texts = ["*** Begin Patch of one file", "*** Begin Patch of another"]
    calls = [ToolCall("apply_patch", text, kind="custom") for text in texts]
    async with before(upstream, Reply(tool_calls=calls, calls_interleaved=True)) as (house, on):
        told = await TALKS["messages"](on, tools=["apply_patch"]).ask()
        assert [said["input"] for _, said in told.calls.values()] == texts
        if upstream == "chat":
            body = {"model": "m", "input": [SAID], "tools": [APPLY_PATCH], "stream": True}
            assert [item["input"] for item in await _raw(house, body)] == texts
        assert {record["losses"] for record in await house.records()} == {None}


async def test_tools_that_run_at_the_provider_are_losses_and_the_others_go_on() -> None:
    body = {"model": "m", "input": [SAID], "tools": [{"type": "web_search"}, ResponsesTalk.tool("weather")]}
    async with before("messages", Reply(text="Hm.")) as (house, _):
        status, _, headers = await house.post("/v1/responses", body)
        tools = house.upstream.requests[0].json["tools"]
    assert (status, headers["x-trivium-loss"]) == (200, "1; tools[0]")
    assert [tool["name"] for tool in tools] == ["weather"]


@pytest.mark.parametrize("upstream", APIS)
async def test_a_conversation_that_lost_a_result_is_mended_and_goes_on(upstream: str) -> None:
    """Clients are stopped in the middle of a tool; vendors refuse a call without a result."""
    async with before(upstream, LOOP[0], Reply(text="Where was I?")) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on, tools=["weather"])
            koeln, _ = (await talk.ask()).calls
            talk.hand_in({koeln: "sun"})
            talk.add("Never mind the other.")
            assert (await talk.ask()).text == "Where was I?"
            results = [said for said in _without_ids(heard(house, upstream)) if said[0] == "result"]
            losses = json.loads((await house.records())[0]["losses"])
            assert results[0] == ("result", "1", "sun")
            assert "interrupted" in results[1][-1]
            assert any("no result" in why for _, why in losses)
