"""What records keep of prompts: their beginnings where this is switched on, and never those of organizations; and of
tools: their names, where that is switched on."""

from __future__ import annotations

import gc
import json
from typing import Any

import aiohttp
import pytest

from gateway import MESSAGES, Running
from support_classifier import member_of_acme
from support_money import METER, OPENROUTER, beginning, settled_one, shop, stalling
from trivium.canon.api import Api
from trivium.mock import Match, Reply, Rule, Usage
from trivium.pipeline.words import Words, columns
from trivium.settings import RecordSettings
from trivium.wire.request import Request, parse

HI = Reply(text="Hi", usage=Usage(input=25, output=20))
ON = f"[records]\nprompts = true\n{METER}"
SYSTEM = "Be kind. " * 30
SAID: dict[str, Any] = {**MESSAGES, "system": SYSTEM, "messages": [{"role": "user", "content": "steal keys"}]}
TOOLS = f"[records]\ntools = true\n{METER}"
CALLING: dict[str, Any] = {
    **MESSAGES,
    "tools": [{"name": "read", "input_schema": {"type": "object"}}],
    "messages": [
        {"role": "user", "content": "read it"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "done"}]},
        {"role": "user", "content": "go on"},
    ],
}
NAMED = ['["function:read"]'] * 2
NAMES = ("prompt_prefix", "system_prompt_prefix", "system_prompt_length")


async def kept(house: Running, body: dict[str, Any] = SAID, status: int = 200) -> list[Any]:
    """The columns of the newest record."""
    assert (await house.post("/v1/messages", body))[0] == status
    record = (await house.records())[0]
    return [record[name] for name in NAMES]


async def kept_tools(house: Running, body: dict[str, Any]) -> list[Any]:
    assert (await house.post("/v1/messages", body))[0] == 200
    record = next(record for record in await house.records() if record["key_id"])
    return [record[name] for name in ("tools_available", "tools_used")]


def request_of(body: dict[str, Any]) -> Request:
    return parse(Api.CHAT, json.dumps(body).encode())


@pytest.mark.parametrize("stream", [False, True])
async def test_by_default_nothing_is_kept(stream: bool) -> None:
    async with shop(HI, settings=METER) as house:
        assert await kept(house, {**SAID, "stream": stream}) == [None, None, None]


@pytest.mark.parametrize("stream", [False, True])
async def test_switched_on_the_beginnings_are(stream: bool) -> None:
    async with shop(HI, settings=ON) as house:
        assert await kept(house, {**SAID, "stream": stream}) == ["steal keys", SYSTEM[:100], 270]
        assert await kept(house, {**MESSAGES, "messages": [], "stream": stream}) == ["", None, None]


async def test_of_an_organization_only_the_length() -> None:
    async with shop(HI, settings=ON) as house:
        await member_of_acme(house)
        assert await kept(house) == [None, None, 270]


async def test_refused_calls_keep_theirs_too_but_not_those_of_strangers() -> None:
    async with shop(HI, settings=ON) as house:
        assert await kept(house, {**SAID, "model": "a/b/c", "thread": "t"}, 400) == ["steal keys", SYSTEM[:100], 270]
        assert (await house.post("/v1/messages", SAID, key=None))[0] == 401
        (record,) = [record for record in await house.records() if record["key_id"] is None]
        assert [record[name] for name in NAMES] == [None, None, None]


async def test_whoever_is_forgotten_leaves_no_prompts() -> None:
    async with shop(HI, settings=ON) as house:
        await kept(house)
        key = (await house.record())["key_id"]
        await house.gateway.operations.perform("retention.erase", {"key": key, "apply": True})
        record = await house.record()
        assert [record[name] for name in NAMES] == [None, None, 270]


async def test_a_call_whose_cost_is_looked_up_when_it_is_over_keeps_them() -> None:
    said = Reply(text="Hi", usage=Usage(input=25, output=20), generation="gen-1")
    async with shop(
        Rule(Reply(status=403), Match(path="*/generation")), said, settings=ON, provider=OPENROUTER
    ) as house:
        assert (await house.post("/v1/messages", SAID))[0] == 200
        record = await settled_one(house)
    assert [record[name] for name in (*NAMES, "flags")] == ["steal keys", SYSTEM[:100], 270, "generation_not_found"]


def test_a_request_is_let_go_of_once_it_has_been_read() -> None:
    words = Words(parse(Api.CHAT, b'{"model":"m","messages":[{"role":"user","content":"hi"}]}'), tools=False)
    assert words.read().user == "hi"
    assert not [held for held in gc.get_referents(words) if isinstance(held, Request)]
    assert columns(words, RecordSettings(prompts=True), of_organization=False)["prompt_prefix"] == "hi"


class TestTools:
    @pytest.mark.parametrize("stream", [False, True])
    async def test_by_default_none_are_kept(self, stream: bool) -> None:
        async with shop(HI, settings=ON) as house:
            assert await kept_tools(house, {**CALLING, "stream": stream}) == [None, None]

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("prompts", ["false", "true"])
    async def test_switched_on_those_that_are_there_are(self, stream: bool, prompts: str) -> None:
        settings = f"[records]\ntools = true\nprompts = {prompts}\n{METER}"
        async with shop(HI, settings=settings) as house:
            assert await kept_tools(house, {**CALLING, "stream": stream}) == NAMED
            record = await house.record()
            assert record["prompt_prefix"] == ("go on" if prompts == "true" else None)
            assert await kept_tools(house, {**MESSAGES, "stream": stream}) == [None, None]

    @pytest.mark.parametrize("stream", [False, True])
    async def test_beside_rules_that_have_read_the_prompts(self, stream: bool) -> None:
        settings = f"[records]\ntools = true\nprompts = true\n[abuse.rules]\nbad_prompts = ['x-x']\n{METER}"
        async with shop(HI, settings=settings) as house:
            assert await kept_tools(house, {**CALLING, "stream": stream}) == NAMED
            assert (await house.record())["prompt_prefix"] == "go on"

    async def test_of_an_organization_too_and_of_strangers_not(self) -> None:
        async with shop(HI, settings=TOOLS) as house:
            assert (await house.post("/v1/messages", CALLING, key=None))[0] == 401
            await member_of_acme(house)
            assert await kept_tools(house, CALLING) == NAMED
            (stranger,) = [record for record in await house.records() if record["key_id"] is None]
            assert stranger["tools_available"] is None

    def test_each_name_stands_there_once_up_to_a_hundred_and_none_is_long(self) -> None:
        names = [*("x" * 100 + str(n) for n in range(3)), *(f"f{n}" for n in range(150))]
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        words = Words(request_of({"model": "m", "messages": [], "tools": tools}), tools=True)
        assert words.read().user is None
        told = columns(words, RecordSettings(tools=True), of_organization=False)
        available = json.loads(told["tools_available"])
        assert available == [f"function:{'x' * 64}", *(f"function:f{n}" for n in range(99))]
        assert told["tools_used"] is None
        assert not [held for held in gc.get_referents(words) if isinstance(held, Request)]


@pytest.mark.parametrize(
    ("settings", "said", "column", "read"),
    [(ON, SAID, "prompt_prefix", "steal keys"), (TOOLS, CALLING, "tools_used", NAMED[1])],
    ids=["prompts", "tools"],
)
async def test_a_stream_that_goes_on_does_not_hold_its_question(
    settings: str, said: dict[str, Any], column: str, read: str
) -> None:
    begun = stalling(beginning("messages", "Hi"))
    async with shop(begun, settings=settings) as house:
        gc.collect()
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                f"{house.url}/v1/messages", json={**said, "stream": True}, headers={"x-api-key": house.key}
            ) as heard,
        ):
            await heard.content.readany()
            assert not [held for held in gc.get_objects() if isinstance(held, Request) and held.body]
        assert (await settled_one(house))[column] == read
