"""Nobody learns who answers as a stealth model, however it answers, in every API and across APIs; the operator does."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from typing import Any

import aiohttp
import pytest

from gateway import CHAT, MESSAGES, RESPONSES, Running, running
from support_sdks import clients
from support_stealth import NAME, WHOLE, replies
from support_translated import DIRECTIONS, PATHS, TALKS
from trivium.mock import Match, Reply, Rule, ToolCall, Usage

BODIES: dict[str, dict[str, Any]] = {"chat": CHAT, "responses": RESPONSES, "messages": MESSAGES}
COUNTS = {"responses": "/v1/responses/input_tokens", "messages": "/v1/messages/count_tokens"}
TOKEN = re.compile(rb"[A-Za-z0-9_+/=-]{16,}")


def cloaked(cases: dict[str, Reply]) -> tuple[str, list[Rule]]:
    """A stealth model for each case, by its number, and what its upstream does."""
    tables = [
        f'[free.models."house/{number}"]\nroute = "{NAME}/{NAME}-{number}"\nstealth = true\n'
        for number in range(len(cases))
    ]
    rules = [Rule(reply, Match(path="*", model=f"{NAME}-{number}")) for number, reply in enumerate(cases.values())]
    return "[free]\nanonymous = true\nper_ip_per_hour = 9999\n" + "".join(tables), rules


async def told(house: Running, path: str, body: dict[str, Any] | None, key: str | None = "") -> tuple[int, bytes]:
    """Status, and all that came: headers and body, as far as it came."""
    headers = {} if key is None else {"authorization": f"Bearer {house.key}"}
    method = "GET" if body is None else "POST"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, house.url + path, headers=headers, json=body) as response,
    ):
        said = bytearray(repr(response.raw_headers).encode())
        try:
            async for chunk in response.content.iter_any():
                said += chunk
        except aiohttp.ClientError:
            said += b"(cut)"
        return response.status, bytes(said)


def hides(said: bytes) -> bool:
    """Neither in the clear nor behind base64."""
    looked = [said, *map(_decoded, TOKEN.findall(said))]
    return not any(NAME.encode() in text.lower() for text in looked)


def _decoded(token: bytes) -> bytes:
    plain = token.translate(bytes.maketrans(b"+/", b"-_"), b"=")
    return base64.urlsafe_b64decode(plain[: len(plain) // 4 * 4])


@pytest.mark.parametrize(("client", "upstream"), DIRECTIONS)
async def test_whatever_the_upstream_says_its_name_reaches_nobody(client: str, upstream: str) -> None:
    cases = replies(upstream)
    settings, rules = cloaked(cases)
    async with running(*rules, settings=settings, provider=f'apis = ["{upstream}"]', name=NAME) as house:
        for number, case in enumerate(cases):
            for stream in (False, True):
                body = {**BODIES[client], "model": f"house/{number}", "stream": stream, "seed": 1, "thread_id": "x"}
                status, said = await told(house, PATHS[client], body, key=None if number % 2 else "")
                assert hides(said), (case, stream, said)
                if case in ("whole", "stream"):
                    assert status == 200, said
                    assert b"Hello" in said, said
                    assert f'"model":"house/{number}"'.encode() in said
                elif case.startswith("status"):
                    assert status in (400, 413, 429, 500, 502, 503, 504), (case, status)
                if status >= 400:
                    answer = json.loads(said[said.index(b'{"') :])
                    assert isinstance(answer["error"]["message"], str)
        records = await house.records()
    assert len(records) == 2 * len(cases)
    assert {record["provider"] for record in records} == {NAME}
    assert {record["cost_nano"] for record in records} == {0}
    assert sum(NAME in (record["error_message"] or "") for record in records) > len(cases)


async def test_the_record_has_the_truth() -> None:
    settings, rules = cloaked({"whole": Reply(body=WHOLE["chat"]())})
    provider = 'apis = ["chat"]\nreports_cost = true'
    async with running(*rules, settings=settings, provider=provider, name=NAME) as house:
        await told(house, PATHS["chat"], {**CHAT, "model": "house/0"})
        record = await house.record()
    assert (record["requested_model"], record["upstream_model"]) == ("house/0", f"{NAME}-0")
    assert (record["answer_model"], record["upstream_id"]) == (f"{NAME}/model", f"{NAME}/gen")
    assert (record["payer"], record["cost_nano"], record["reported_cost_usd"]) == ("free", 0, "0.5")


async def test_an_input_that_is_too_long_is_said_to_be_so() -> None:
    settings, rules = cloaked({"too long": replies("messages")["too long"]})
    async with running(*rules, settings=settings, provider='apis = ["messages"]', name=NAME) as house:
        status, said, _ = await house.post(PATHS["messages"], {**MESSAGES, "model": "house/0"})
    assert (status, said["error"]["code"]) == (400, "context_length_exceeded")


async def test_neither_counts_nor_lists_nor_refusals_say_it() -> None:
    settings, rules = cloaked({"whole": Reply(body=WHOLE["messages"]())})
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    refused: list[tuple[str, dict[str, Any]]] = [
        ("/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": [sound]}]}),
        ("/v1/chat/completions", {**CHAT, "seed": 1, "strict": True}),
        ("/v1/responses", {**RESPONSES, "previous_response_id": "resp_1"}),
    ]
    strict = {"x-trivium-strict": "1"}
    async with running(*rules, settings=settings, provider='apis = ["messages"]', name=NAME) as house:
        for api, path in COUNTS.items():
            status, said = await told(house, path, {**BODIES[api], "model": "house/0"})
            assert (status, hides(said)) == (200, True), said
            assert b"estimated" in said
        assert house.upstream.requests == []
        for path in ("/v1/models", "/v1/models/house/0"):
            assert hides((await told(house, path, None))[1])
        for path, body in refused:
            status, said, headers = await house.post(path, {**body, "model": "house/0"}, headers=strict)
            assert status == 400, said
            assert hides(json.dumps([said, headers]).encode()), said
            assert "Messages" not in str(said)


@pytest.mark.parametrize(("client", "upstream"), DIRECTIONS)
async def test_sealed_reasoning_returns_to_its_upstream_and_to_no_other(client: str, upstream: str) -> None:
    """Conversations with tools need it, though the client cannot read whose seal it is."""
    call = ToolCall("weather", {"city": "Rome"}, id="toolu_1")
    thought = Reply(reasoning="Look it up.", signature="c2VhbA==", tool_calls=[call], usage=Usage(input=1, output=2))
    rules = [Rule(thought, Match(turn=1)), Rule(Reply(text="Sunny."), Match(turn=2))]
    settings = '[free.models."house/a"]\nroute = "up/claude-x"\nstealth = true\n'
    settings += '[free.models."house/b"]\nroute = "up/claude-x"\nstealth = true\n'
    provider = f'apis = ["{upstream}"]'
    if upstream == "messages":
        provider = 'type = "anthropic"\nkey = "sk"\napis = ["messages"]'
    async with running(*rules, settings=settings, provider=provider) as house, clients(house.url, house.key) as on:
        talk = TALKS[client](on, tools=["weather"], model="house/a")
        told = await talk.ask()
        (id,) = told.calls
        thought_of = talk.final.choices[0].message.reasoning if client == "chat" else told.reasoning
        assert (thought_of, id.startswith("call_req_")) == ("Look it up.", True)
        assert "c2VhbA==" not in json.dumps(talk.said)
        talk.hand_in({id: "21 degrees"})
        assert (await talk.ask()).text == "Sunny."
        second = json.dumps(house.upstream.requests[-1].json)
        assert "c2VhbA==" in second
        assert "~tv1." not in second
        talk.options["model"] = "house/b"
        talk.said.pop()
        await talk.ask()
        assert "c2VhbA==" not in json.dumps(house.upstream.requests[-1].json)


async def test_a_stealth_model_answers_a_thousand_words_as_they_come() -> None:
    words = [f"word{n} " for n in range(1000)]
    settings, rules = cloaked({"long": Reply(text=words)})
    async with running(*rules, settings=settings, provider='apis = ["chat"]', name=NAME) as house:
        for path, body in ((PATHS["chat"], CHAT), (PATHS["messages"], MESSAGES)):
            _, said = await told(house, path, {**body, "model": "house/0", "stream": True})
            assert said.count(b"word") == 1000
            assert hides(said)
        assert await asyncio.wait_for(house.records(), 5)


async def test_what_nobody_sealed_does_not_tell_whose_kin_it_is() -> None:
    """Servers of an open model have one tag for that, which a client can see of a model whose name it knows."""
    settings = f'[free.models."house/ghost"]\nroute = "{NAME}/deepseek-v4-pro"\nstealth = true\n'
    settings += f'[models."{NAME}/*"]\nfree = true\n'
    said = Reply(reasoning="Hm.", text="Hi")
    async with running(said, settings=settings, provider='apis = ["chat"]', name=NAME) as house:
        tags = []
        for model in ("house/ghost", f"{NAME}/deepseek-v4-pro", f"{NAME}/deepseek-v4-flash"):
            _, answer, _ = await house.post(PATHS["messages"], {**MESSAGES, "model": model})
            tags.append(answer["content"][0]["signature"].split(".")[1])
        assert tags[1] == tags[2] != tags[0]
