"""Structured output: the SDKs' own parsers in every direction, with what each upstream is asked for, and with Claude
models of all ages behind Anthropic's own row."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from support_sdks import CHAT, MESSAGES, RESPONSES, Clients
from support_translated import ANTHROPIC, APIS, OTHERS, SCHEMA, before
from trivium.mock import Match, Reply, Rule, ToolCall

QUESTION = "What is the capital of Italy?"


class City(BaseModel):
    name: str
    people: int


KOELN = City(name="Köln \u2028", people=1)
SAID = KOELN.model_dump_json()
OLD, NEW = "claude-3-5-haiku-20241022", "claude-opus-4-5"


async def parsed(client: str, on: Clients, model: str, *, stream: bool) -> Any:
    """The answer as the SDK's parser reads it."""
    if client == "chat" and stream:
        asked = on.openai.chat.completions.stream(model=model, response_format=City, **CHAT)
        async with asked as chunks:
            return (await chunks.get_final_completion()).choices[0].message.parsed
    if client == "chat":
        completion = await on.openai.chat.completions.parse(model=model, response_format=City, **CHAT)
        return completion.choices[0].message.parsed
    if client == "responses" and stream:
        async with on.openai.responses.stream(model=model, text_format=City, **RESPONSES) as events:
            return (await events.get_final_response()).output_parsed
    if client == "responses":
        return (await on.openai.responses.parse(model=model, text_format=City, **RESPONSES)).output_parsed
    if stream:
        async with on.anthropic.messages.stream(model=model, output_format=City, **MESSAGES) as events_:
            return (await events_.get_final_message()).parsed_output
    return (await on.anthropic.messages.parse(model=model, output_format=City, **MESSAGES)).parsed_output


def asked(upstream: str, body: dict[str, Any]) -> dict[str, Any]:
    """The form that an upstream was asked for, as OpenAI writes it."""
    if upstream == "chat":
        return dict(body["response_format"]["json_schema"])
    if upstream == "responses":
        return dict(body["text"]["format"])
    return dict(body["output_config"]["format"])


@pytest.mark.parametrize("upstream", APIS)
async def test_parsers_read_answers_of_upstreams_that_know_schemas(upstream: str) -> None:
    provider = ANTHROPIC if upstream == "messages" else ""
    async with before(upstream, Reply(text=SAID), provider=provider) as (house, on):
        for client in OTHERS[upstream]:
            for stream in (False, True):
                assert (client, await parsed(client, on, NEW, stream=stream)) == (client, KOELN)
                form = asked(upstream, house.upstream.requests[-1].json)
                assert form["schema"]["properties"].keys() == {"name", "people"}
                assert form["schema"]["additionalProperties"] is False
                # Messages has no names for schemas; elsewhere the client's own goes on.
                assert form.get("name") == {"messages": None}.get(
                    upstream, "answer" if client == "messages" else "City"
                )
                assert form.get("strict") is (None if upstream == "messages" else True)
                assert (await house.records())[0]["losses"] is None


@pytest.mark.parametrize("client", ["chat", "responses"])
async def test_an_old_claude_is_made_to_answer_by_a_tool_of_which_nobody_sees_anything(client: str) -> None:
    """It knows no schemas: a tool that it must call has the schema, and its arguments are the answer."""
    answer = Reply(tool_calls=[ToolCall("City", SAID)])
    async with before("messages", Rule(answer, Match(tool="City")), provider=ANTHROPIC) as (house, on):
        found = [await parsed(client, on, OLD, stream=stream) for stream in (False, True)]
        bodies = [request.json for request in house.upstream.requests]
        finishes = {record["finish_reason"] for record in await house.records()}
        whole = await on.openai.chat.completions.create(model=OLD, response_format=_json_schema("City"), **CHAT)
    assert found == [KOELN, KOELN]
    for body in bodies:
        assert body["tool_choice"] == {"type": "tool", "name": "City", "disable_parallel_tool_use": True}
        assert body["tools"][0]["input_schema"]["additionalProperties"] is False
        assert "output_config" not in body
    assert finishes <= {"stop", "tool_calls"}
    assert (whole.choices[0].finish_reason, whole.choices[0].message.tool_calls) == ("stop", None)


def _json_schema(name: str) -> Any:
    return {"type": "json_schema", "json_schema": {"name": name, "schema": City.model_json_schema()}}


@pytest.mark.parametrize("client", ["chat", "responses"])
async def test_an_old_claude_with_tools_of_its_own_is_asked_in_words_and_that_is_a_loss(client: str) -> None:
    tool = {"name": "weather", "parameters": SCHEMA}
    schema = City.model_json_schema()
    bodies = {
        "chat": (
            "/v1/chat/completions",
            {
                "messages": [{"role": "user", "content": QUESTION}],
                "tools": [{"type": "function", "function": tool}],
                "response_format": _json_schema("City"),
            },
        ),
        "responses": (
            "/v1/responses",
            {
                "input": QUESTION,
                "tools": [{"type": "function", **tool}],
                "text": {"format": {"type": "json_schema", "name": "City", "schema": schema}},
            },
        ),
    }
    path, body = bodies[client]
    async with before("messages", Reply(text=SAID), provider=ANTHROPIC) as (house, _):
        status, _, headers = await house.post(path, {"model": OLD, **body})
        sent = house.upstream.requests[0].json
    field = "response_format" if client == "chat" else "text.format"
    assert (status, headers["x-trivium-loss"]) == (200, f"1; {field}")
    assert json.dumps(schema)[1:-1].replace(" ", "") in sent["system"][-1]["text"].replace(" ", "")
    assert "tool_choice" not in sent


@pytest.mark.parametrize("upstream", ["responses", "messages"])
async def test_any_json_object_can_be_asked_for(upstream: str) -> None:
    form: Any = {"type": "json_object"}
    async with before(upstream, Reply(text='{"a": 1}')) as (house, on):
        messages: Any = [{"role": "system", "content": "Answer in JSON."}, *CHAT["messages"]]
        answer = await on.openai.chat.completions.create(model="m", messages=messages, response_format=form)
        body = house.upstream.requests[0].json
        losses = (await house.record())["losses"]
    assert json.loads(answer.choices[0].message.content or "") == {"a": 1}
    if upstream == "responses":
        assert body["text"]["format"] == form
    else:
        assert "JSON object" in body["system"][-1]["text"]
        assert "response_format" in losses


async def test_a_schema_that_openai_cannot_enforce_goes_on_as_one_that_is_not_enforced() -> None:
    """Anthropic holds models to schemas with optional members, OpenAI does not."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}, "additionalProperties": False}
    body = {**MESSAGES, "model": "m", "output_config": {"format": {"type": "json_schema", "schema": schema}}}
    for upstream in ("chat", "responses"):
        async with before(upstream, Reply(text="{}")) as (house, _):
            _, _, headers = await house.post("/v1/messages", body)
            form = asked(upstream, house.upstream.requests[0].json)
        assert headers["x-trivium-loss"] == "1; output_config.format"
        assert (form["schema"], form["strict"]) == (schema, False)
