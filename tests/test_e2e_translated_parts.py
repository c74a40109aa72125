"""What a conversation holds beside text, and how it reaches an upstream of another API: images, documents, reasoning
with its seals, instructions in the middle."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from gateway import Running
from support_translated import ACROSS, APIS, OTHERS, PATHS, TALKS, before, heard
from trivium.mock import Match, Reply, Rule, ToolCall

PNG, PDF = (base64.b64encode(said).decode() for said in (b"\x89PNG\r\n\x1a\n~", b"%PDF-1.7\xff~"))
WEB = "https://example.org/a.png"
IMAGES: dict[str, list[Any]] = {
    "chat": [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "image_url", "image_url": {"url": WEB}},
    ],
    "responses": [
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
        {"type": "input_image", "image_url": WEB, "detail": "auto"},
    ],
    "messages": [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "source": {"type": "url", "url": WEB}},
    ],
}
"""By API: an image as data, and one on the web."""
FILE = f"data:application/pdf;base64,{PDF}"
PDFS: dict[str, Any] = {
    "chat": {"type": "file", "file": {"filename": "a.pdf", "file_data": FILE}},
    "responses": {"type": "input_file", "filename": "a.pdf", "file_data": FILE},
    "messages": {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
        "title": "a.pdf",
    },
}
WORDS: dict[str, Any] = {
    "chat": {"type": "text", "text": "Read."},
    "responses": {"type": "input_text", "text": "Read."},
    "messages": {"type": "text", "text": "Read."},
}
TURNS = {"chat": "messages", "responses": "input", "messages": "messages"}


@pytest.mark.parametrize("upstream", APIS)
async def test_images_and_documents_arrive_as_the_upstream_writes_them(upstream: str) -> None:
    async with before(upstream, Reply(text="Seen.")) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on)
            talk.said = [{"role": "user", "content": [*IMAGES[client], PDFS[client], WORDS[client]]}]
            assert (await talk.ask()).text == "Seen."
            (turn,) = house.upstream.requests[-1].json[TURNS[upstream]]
            arrived = _plain(turn["content"])
            assert (client, arrived) == (client, _plain([*IMAGES[upstream], PDFS[upstream], WORDS[upstream]]))
            assert (await house.records())[0]["losses"] is None


def _plain(content: list[Any]) -> list[Any]:
    """`auto` is what a detail means where it is left out."""
    said = json.loads(json.dumps(content).replace(', "detail": "auto"', ""))
    return list(said)


@pytest.mark.parametrize(("client", "field"), [("chat", "file"), ("responses", "file_id"), ("messages", "source")])
async def test_files_that_lie_with_another_provider_are_refused_by_name(client: str, field: str) -> None:
    elsewhere: dict[str, Any] = {
        "chat": {"type": "file", "file": {"file_id": "file-1"}},
        "responses": {"type": "input_file", "file_id": "file-1"},
        "messages": {"type": "document", "source": {"type": "file", "file_id": "file-1"}},
    }
    upstream = "responses" if client == "messages" else "messages"
    async with before(upstream) as (house, on):
        talk = TALKS[client](on)
        talk.said = [{"role": "user", "content": [elsewhere[client]]}]
        with pytest.raises(Exception, match="lies with another provider") as caught:
            await talk.ask()
        assert house.upstream.requests == []
    raised: Any = caught.value
    assert raised.status_code == 400
    assert field in str(raised)


# Reasoning.

SEAL = 'c2ln+/=="\\ é'
"""Opaque to everybody: every byte of it has to come back."""
THOUGHT = "First,\n\nthen \u2028 grüße."
CALL = ToolCall("weather", {"city": "Köln"})
SEALED = Reply(reasoning=THOUGHT, signature=SEAL, redacted="cmVk+/==", text="Let me see.", tool_calls=[CALL])
THINKING = (Rule(SEALED, Match(turn=1)), Reply(text="Sunny."))
RETURNED: dict[str, list[Any]] = {
    "chat": [
        {"type": "reasoning.text", "text": THOUGHT, "signature": SEAL, "format": "anthropic-claude-v1", "index": 0},
        {"type": "reasoning.encrypted", "data": "cmVk+/==", "format": "anthropic-claude-v1", "index": 1},
    ],
    "responses": [
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": THOUGHT}],
            "encrypted_content": SEAL,
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "cmVk+/=="},
    ],
    "messages": [
        {"type": "thinking", "thinking": THOUGHT, "signature": SEAL},
        {"type": "redacted_thinking", "data": "cmVk+/=="},
    ],
}
"""By the upstream's API: what it is to get back of SEALED, in its own words."""


@pytest.mark.parametrize(("client", "upstream"), ACROSS)
async def test_sealed_reasoning_returns_to_its_origin_as_it_came_and_goes_nowhere_else(
    client: str, upstream: str
) -> None:
    async with before(upstream, *THINKING) as (house, on):
        talk = TALKS[client](on, tools=["weather"])
        first = await talk.ask()
        talk.hand_in(dict.fromkeys(first.calls, "sun"))
        await talk.ask()
        talk.add("And now?")
        talk.options["model"] = "another"
        await talk.ask()
        talk.options["model"] = "m"
        talk.add("And then?")
        await talk.ask()
        returned = [_sealed(request.json) for request in house.upstream.requests]
        losses = [json.loads(record["losses"] or "[]") for record in await house.records()]
    assert first.reasoning == ("" if client == upstream else THOUGHT)
    assert returned == [[], RETURNED[upstream], [], RETURNED[upstream]]
    lost = [[field for field, why in said if why.startswith("reasoning sealed by another")] for said in losses]
    assert [bool(fields) for fields in reversed(lost)] == [False, False, True, False]


def _sealed(body: dict[str, Any]) -> list[Any]:
    """What of reasoning is in a request, wherever its API has it."""
    if "input" in body:
        return [item for item in body["input"] if item["type"] == "reasoning"]
    found: list[Any] = []
    for message in body["messages"]:
        found += message.get("reasoning_details", [])
        blocks = message["content"] if isinstance(message["content"], list) else []
        found += [block for block in blocks if block["type"] in ("thinking", "redacted_thinking")]
    return found


@pytest.mark.parametrize("upstream", APIS)
async def test_whole_answers_carry_the_same_seals(upstream: str) -> None:
    """Without a stream, and sent back in the client's own JSON."""
    async with before(upstream, *THINKING) as (house, _):
        for client in OTHERS[upstream]:
            status, headers = await _two_turns(house, client)
            assert (client, status, headers.get("x-trivium-loss")) == (client, 200, None)
            assert (client, _sealed(house.upstream.requests[-1].json)) == (client, RETURNED[upstream])


async def _two_turns(house: Running, client: str) -> tuple[int, dict[str, str]]:
    """A question, and the answer sent back with the result of its call: status and headers of the latter."""
    path, key, said = PATHS[client], TURNS[client], [{"role": "user", "content": "Weather?"}]
    body = {"model": "m", "tools": [TALKS[client].tool("weather")], "max_tokens": 4000, key: said}
    if client == "responses":
        del body["max_tokens"]
    _, answer, _ = await house.post(path, body)
    if client == "chat":
        message = answer["choices"][0]["message"]
        turns = [message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "sun"}]
    elif client == "responses":
        call = answer["output"][-1]["call_id"]
        turns = [*answer["output"], {"type": "function_call_output", "call_id": call, "output": "sun"}]
    else:
        result = {"type": "tool_result", "tool_use_id": answer["content"][-1]["id"], "content": "sun"}
        turns = [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
    status, _, headers = await house.post(path, {**body, key: [*said, *turns]})
    return status, headers


@pytest.mark.parametrize("client", ["chat", "responses", "messages"])
async def test_reasoning_whose_text_was_changed_is_not_sent_back(client: str) -> None:
    """A signature belongs to its text: Anthropic refuses it beside another."""
    upstream = "responses" if client == "messages" else "messages"
    async with before(upstream, *THINKING) as (house, on):
        talk = TALKS[client](on, tools=["weather"])
        first = await talk.ask()
        talk.said = json.loads(json.dumps(talk.said).replace("First,", "Second,"))
        talk.hand_in(dict.fromkeys(first.calls, "sun"))
        await talk.ask()
        returned = _sealed(house.upstream.requests[1].json)
        losses = (await house.records())[0]["losses"]
    assert returned == RETURNED[upstream][1:]
    assert "reasoning sealed by another provider or model" in losses


@pytest.mark.parametrize("client", ["responses", "messages"])
async def test_plain_reasoning_of_a_chat_server_returns_as_plain_reasoning(client: str) -> None:
    """DeepSeek and others seal nothing; they want `reasoning_content` back beside the calls."""
    plain = msgspec.structs.replace(SEALED, signature=None, redacted=None)
    async with before("chat", Rule(plain, Match(turn=1)), Reply(text="Sunny.")) as (house, on):
        talk = TALKS[client](on, tools=["weather"])
        first = await talk.ask()
        talk.hand_in(dict.fromkeys(first.calls, "sun"))
        await talk.ask()
        (message,) = [said for said in house.upstream.requests[1].json["messages"] if said["role"] == "assistant"]
    assert first.reasoning == THOUGHT
    assert message["reasoning_content"] == THOUGHT
    assert "reasoning_details" not in message


UNREAD = {"thinking": {"type": "enabled", "budget_tokens": 2000, "display": "omitted"}, "max_tokens": 9000}


@pytest.mark.parametrize(
    ("client", "options"),
    [("responses", {}), ("messages", {}), ("messages", UNREAD)],
    ids=["responses", "read", "unread"],
)
async def test_so_it_does_to_another_server_of_the_model(client: str, options: dict[str, Any]) -> None:
    plain = msgspec.structs.replace(SEALED, signature=None, redacted=None)
    async with before("chat", Rule(plain, Match(turn=1)), Reply(text="Sunny.")) as (house, on):
        talk = TALKS[client](on, tools=["weather"], model="deepseek-v4-pro", **options)
        first = await talk.ask()
        talk.hand_in(dict.fromkeys(first.calls, "sun"))
        for model in ("deepseek-ai/DeepSeek-V4-Pro", "glm-5.1", "another"):
            talk.options["model"] = model
            await talk.ask()
            talk.said.pop()
        returned = [request.json["messages"][1].get("reasoning_content") for request in house.upstream.requests[1:]]
        losses = [record["losses"] for record in reversed(await house.records())]
    assert returned == [THOUGHT, None, None]
    assert [losses[1] is None, *["reasoning sealed by another" in str(lost) for lost in losses[2:]]] == [True] * 3


@pytest.mark.parametrize("client", ["responses", "messages"])
async def test_googles_seal_of_a_call_returns_beside_its_call(client: str) -> None:
    """Gemini refuses a call that comes back without the signature it gave it."""
    calls = [ToolCall("weather", {"city": "Köln"}, thought_signature=SEAL), CALL]
    rules = (Rule(Reply(tool_calls=calls), Match(turn=1)), Reply(text="Sunny."))
    async with before("chat", *rules, judged=False) as (house, on):
        talk = TALKS[client](on, tools=["weather"])
        first = await talk.ask()
        talk.hand_in(dict.fromkeys(first.calls, "sun"))
        for model in ("m", "another"):
            talk.options["model"] = model
            await talk.ask()
            talk.said.pop()
        returned = [request.json["messages"][1]["tool_calls"] for request in house.upstream.requests[1:]]
        losses = json.loads((await house.records())[0]["losses"])
    seals = [[call.get("extra_content") for call in said] for said in returned]
    assert seals == [[{"google": {"thought_signature": SEAL}}, None], [None, None]]
    assert [why.startswith("reasoning sealed by another") for _, why in losses] == [True]


async def test_thinking_is_turned_off_for_a_call_whose_turn_lost_its_thinking() -> None:
    """Anthropic refuses a turn with calls that does not begin with thinking while thinking is on."""
    asked: dict[str, Any] = {"reasoning": {"effort": "low"}}
    async with before("messages", *THINKING) as (house, on):
        talk = TALKS["responses"](on, tools=["weather"], **asked)
        first = await talk.ask()
        talk.hand_in(dict.fromkeys(first.calls, "sun"))
        await talk.ask()
        talk.said.pop()
        talk.options["model"] = "another"
        await talk.ask()
        settings = [request.json.get("thinking") for request in house.upstream.requests]
        losses = json.loads((await house.records())[0]["losses"])
    assert [bool(said) for said in settings] == [True, True, False]
    assert "reasoning" in [field for field, _ in losses]


# Instructions.


MIDDLE = [("assistant", "Aye."), ("user", "Weather now?")]
HEARD = {
    "responses": [("system", "Be brief."), ("user", "Weather?"), MIDDLE[0], ("system", "Like a pirate."), MIDDLE[1]],
    "messages": [
        ("system", "Be brief."),
        ("user", "Weather?"),
        MIDDLE[0],
        ("user", "<system>\nLike a pirate.\n</system>"),
        MIDDLE[1],
    ],
    # Templates of local models fail on a system message in the middle.
    "chat": [("system", "Be brief.\n\nLike a pirate."), ("user", "Weather?"), *MIDDLE],
}


@pytest.mark.parametrize("upstream", APIS)
async def test_instructions_in_the_middle_of_a_conversation_are_heard(upstream: str) -> None:
    async with before(upstream, Reply(text="Aye.")) as (house, on):
        for client in OTHERS[upstream]:
            talk = TALKS[client](on)
            if client == "messages":
                talk.options["system"] = "Be brief."
            else:
                talk.said.insert(0, {"role": "developer", "content": "Be brief."})
            await talk.ask()
            talk.add("Like a pirate.", role="system")
            talk.add("Weather now?")
            await talk.ask()
            losses = (await house.records())[0]["losses"] or ""
            assert (client, heard(house, upstream)) == (client, HEARD[upstream])
            assert ("mid-conversation" in losses) == (upstream != "responses")


async def test_openai_hears_instructions_where_they_were_said() -> None:
    openai = 'type = "openai"\nkey = "sk-house"\napis = ["chat"]'
    async with before("chat", Reply(text="Aye."), provider=openai) as (house, on):
        talk = TALKS["messages"](on, model="gpt-5.5")
        talk.add("Speak like a pirate.", role="system")
        await talk.ask()
        roles = [message["role"] for message in house.upstream.requests[0].json["messages"]]
        losses = json.loads((await house.record())["losses"] or "[]")
    assert roles == ["user", "system"]
    assert [field for field, _ in losses if not field.startswith("answer.")] == []
