"""Bodies of calls whose key is captured, as they are found afterwards."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import aiohttp
import pytest

from gateway import CALLS, CHAT, Running, running
from support_people import People
from test_e2e_attempts import TWO
from trivium.errors import OperationError, StoreUnavailable
from trivium.mock import Error, Match, Reply, Rule
from trivium.pipeline.capture import Capture, Captured
from trivium.server.capturing import Capturing

ON = "[capture]\nenabled = true\n"
REPLY = Reply(text="Hello there")
SECRET = "sk-proj-Abcd1234Efgh5678"


async def captured_key(house: Running, **more: Any) -> str:
    return await People(house).key(capture=True, **more)


async def bodies(house: Running, id: str | None = None) -> dict[str, Any] | None:
    """What is kept of a call, by default the last one, by part."""
    request = id or (await house.records())[0]["id"]
    try:
        told = await house.gateway.operations.perform("requests.bodies", {"request": request})
    except OperationError:
        return None
    return {**told, **{one["part"]: one for one in told["parts"]}}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_what_went_in_and_out_is_kept_as_it_was(path: str, body: dict[str, Any], stream: bool) -> None:
    asked = {**body, "stream": True} if stream else body
    async with running(REPLY, settings=ON) as house:
        key = await captured_key(house)
        status, told, _ = await house.post(path, json.dumps(asked).encode(), key=key)
        found = await bodies(house)
        assert found is not None
        assert status == found["status"] == 200
        assert found["request"]["text"] == json.dumps(asked)
        (sent,) = house.upstream.requests
        assert found["sent_as_it_came"] is (sent.body == json.dumps(asked).encode())
        if not found["sent_as_it_came"]:
            assert found["sent"]["text"].encode() == sent.body
        answer = found["answer"]
        assert (answer["text"] == told) if stream else (json.loads(answer["text"]) == told)
        assert (answer["bytes"], answer["cut"], found["ended"]) == (len(answer["text"].encode()), False, True)


async def test_a_translated_request_is_kept_as_both_sides_saw_it() -> None:
    async with running(REPLY, settings=ON, provider='apis = ["messages"]') as house:
        await house.post("/v1/chat/completions", CHAT, key=await captured_key(house))
        found = await bodies(house)
        assert found is not None
        assert json.loads(found["sent"]["text"]) == house.upstream.requests[0].json
        assert "max_tokens" in found["sent"]["text"]
        assert json.loads(found["answer"]["text"])["object"] == "chat.completion"


async def test_of_several_attempts_the_last_ones_body_is_kept() -> None:
    rules = (Rule(Reply(status=503, error=Error()), Match(model="one")), Rule(REPLY))
    async with running(*rules, settings=ON + TWO) as house:
        key = await captured_key(house)
        assert (await house.post("/v1/chat/completions", {**CHAT, "model": "pair"}, key=key))[0] == 200
        found = await bodies(house)
        assert found is not None
        assert json.loads(found["sent"]["text"])["model"] == "two"


async def test_what_a_secret_model_was_sent_is_not_kept_for_the_model_behind_it() -> None:
    """The record is of the last one, which a limit refuses before anything is sent."""
    secret = '[free.models."house/x"]\nroute = "a/one"\nstealth = true\n'
    async with running(Reply(status=503, error=Error()), settings=ON + TWO + secret) as house:
        people = People(house)
        await people.settings(limits_by_model={"b/two": {"requests_per_minute": 0}})
        key = await captured_key(house)
        asked = {**CHAT, "model": "house/x", "trivium_fallbacks": ["b/two"]}
        status, _, _ = await house.post("/v1/chat/completions", asked, key=key)
        (record,), found = await house.records(), await bodies(house)
        assert found is not None
        assert (status, len(house.upstream.requests), record["public_model"]) == (429, 1, None)
        assert [one["part"] for one in found["parts"]] == ["request", "answer"]


async def test_memory_is_held_for_what_is_kept_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Captured] = []
    keep = Capturing.keep

    def noted(capturing: Capturing, bodies: Captured) -> None:
        seen.append(bodies)
        keep(capturing, bodies)

    monkeypatch.setattr(Capturing, "keep", noted)
    rules = (Rule(Reply(status=503, error=Error()), Match(model="one")), Rule(Reply(text="Hi " * 5000)))
    async with running(*rules, settings=ON + "max_body_bytes = 1024\n" + TWO) as house:
        key = await captured_key(house)
        for body in ({**CHAT, "model": "pair"}, {**CHAT, "preset": "x"}):
            await house.post("/v1/chat/completions", body, key=key)
        await house.records()
        assert house.gateway.capturing.most == 8192
        for one in seen:
            kept = [body for body in (one.request, one.sent, one.answer) if body is not None]
            assert all(body.kept == sum(map(len, body.chunks)) <= 8192 for body in kept)
            assert one.held == sum(body.kept + 96 * len(body.chunks) for body in kept) + 2048
        assert [one.answer.bytes > 15_000 for one in seen] == [True, False]
        await house.gateway.capturing.flush()
        assert house.gateway.capturing.waiting == 0


async def test_errors_are_kept_whoever_made_them() -> None:
    async with running(Reply(status=400, error=Error(message="too blue")), settings=ON) as house:
        key = await captured_key(house)
        await house.post("/v1/chat/completions", CHAT, key=key)
        found = await bodies(house)
        assert found is not None
        assert (found["status"], "too blue" in found["answer"]["text"]) == (400, True)
        _, told, _ = await house.post("/v1/chat/completions", {**CHAT, "preset": "x"}, key=key)
        refused = await bodies(house)
        assert refused is not None
        assert (refused["status"], json.loads(refused["answer"]["text"])) == (400, told)
        assert [one["part"] for one in refused["parts"]] == ["request", "answer"]
        assert refused["sent_as_it_came"] is False


@pytest.mark.parametrize(
    ("model", "key", "code"),
    [
        ("b/two", {"budget": {"usd": "0", "period": "day"}}, "budget_exceeded"),
        ("dead/none", {}, "upstream_unreachable"),
    ],
)
async def test_what_was_never_sent_is_not_kept_as_sent(model: str, key: dict[str, Any], code: str) -> None:
    async with running(REPLY, settings=ON + TWO) as house:
        asked = {**CHAT, "model": model}
        _, told, _ = await house.post("/v1/chat/completions", asked, key=await captured_key(house, **key))
        found = await bodies(house)
        assert found is not None
        assert (told["error"]["code"], house.upstream.requests) == (code, [])
        assert ([one["part"] for one in found["parts"]], found["sent_as_it_came"]) == (["request", "answer"], False)
        await house.gateway.capturing.flush()
        assert house.gateway.capturing.waiting == 0


async def test_of_a_client_that_leaves_what_it_had_is_kept() -> None:
    reply = Reply(text=["word "] * 40, event_delay_ms=20)
    async with running(reply, settings=ON) as house, aiohttp.ClientSession() as session:
        sent = {"authorization": f"Bearer {await captured_key(house)}"}
        body = {**CHAT, "stream": True}
        async with session.post(house.url + "/v1/chat/completions", headers=sent, json=body) as response:
            await response.content.readany()
        (record,) = await house.records()
        found = await bodies(house)
        assert found is not None
        assert (record["outcome"], found["ended"]) == ("aborted", False)
        assert 0 < found["answer"]["bytes"] == record["response_bytes"]


async def test_secrets_and_media_are_not_kept_nor_any_header() -> None:
    image = "data:image/png;base64," + "iVBORw0KGgo" * 40
    part = {"type": "image_url", "image_url": {"url": image}}
    body = {**CHAT, "messages": [{"role": "user", "content": [{"type": "text", "text": f"key {SECRET}"}, part]}]}
    async with running(Reply(text=f"it is {SECRET}"), settings=ON) as house:
        key = await captured_key(house)
        for stream in (False, True):
            await house.post("/v1/chat/completions", body | {"stream": stream}, key=key, headers={"x-own": "a header"})
            found = await bodies(house)
            assert found is not None
            text = json.dumps(found)
            assert not any(one in text for one in (SECRET, "iVBORw0KGgo", key, "a header"))
            assert "key ***" in found["request"]["text"]
            assert "[base64 440 characters sha256 " in found["request"]["text"]


class TestWhere:
    async def test_a_key_that_is_not_switched_on_has_no_copy_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Capture, "__init__", None)  # it could not be
        async with running(REPLY, settings=ON) as house:
            assert (await house.post("/v1/chat/completions", CHAT))[0] == 200
            assert await bodies(house) is None

    async def test_nor_has_one_where_the_house_keeps_none(self) -> None:
        async with running(REPLY) as house:
            house.gateway.store.captures.allowed = True  # as the command line without a gateway has it
            assert (await house.post("/v1/chat/completions", CHAT, key=await captured_key(house)))[0] == 200
            assert await bodies(house) is None

    async def test_it_ends_when_it_was_said_to(self) -> None:
        async with running(REPLY, settings=ON) as house:
            key = await captured_key(house, capture_until_ms=house.gateway.store.clock.now_ms() + 10**7)
            await house.post("/v1/chat/completions", CHAT, key=key)
            assert await bodies(house) is not None
            with house.gateway.store.database.transaction() as tx:
                tx.execute("UPDATE keys SET capture_until_ms = 5")
            house.gateway.store.keys.forget()
            await house.post("/v1/chat/completions", CHAT, key=key)
            assert await bodies(house) is None

    @pytest.mark.parametrize(
        "settings", [{"forbid_capture": True}, {"policy": {"zdr": True}}, {"policy": {"data_collection": "deny"}}]
    )
    async def test_an_organization_forbids_it_for_its_keys_and_for_members_own(self, settings: dict[str, Any]) -> None:
        provider = 'apis = ["chat"]\ncollects_data = false\nretains_data = false'
        async with running(REPLY, settings=ON, provider=provider) as house:
            people = People(house)
            await people.organization("acme")
            keys = [await captured_key(house, organization="acme", user="acme-member")]
            keys.append(await captured_key(house, user="acme-member"))
            acting = {"x-trivium-organization": "acme"}
            for key in keys:
                assert (await house.post("/v1/chat/completions", CHAT, key=key, headers=acting))[0] == 200
                assert await bodies(house) is not None
            await people("orgs.settings.set", organization="acme", settings=settings)
            for key in keys:
                assert (await house.post("/v1/chat/completions", CHAT, key=key, headers=acting))[0] == 200
                assert (await house.records())[0]["organization_id"] == "acme"
                assert await bodies(house) is None

    @pytest.mark.parametrize(
        ("more", "headers"),
        [
            ({"provider": {"zdr": True}}, {}),
            ({"provider": {"data_collection": "deny"}}, {}),
            ({}, {"cache-control": "no-store"}),
        ],
    )
    async def test_a_call_forbids_it(self, more: dict[str, Any], headers: dict[str, str]) -> None:
        async with running(REPLY, settings=ON, provider='type = "openrouter"\nkey = "k"\napis = ["chat"]') as house:
            key = await captured_key(house)
            assert (await house.post("/v1/chat/completions", CHAT | more, key=key, headers=headers))[0] == 200
            assert await bodies(house) is None

    async def test_a_new_configuration_holds_at_once(self) -> None:
        async with running(REPLY, settings=ON) as house:
            key = await captured_key(house)
            source = house.gateway.settings.source
            assert source is not None
            assert source.file is not None
            source.file.write_text(source.text.replace("enabled = true", "enabled = false", 1))
            assert (await house.gateway.operations.perform("config.reload", {}))["applied"] is True
            await house.post("/v1/chat/completions", CHAT, key=key)
            assert await bodies(house) is None


class TestBounds:
    async def test_what_is_beyond_the_cap_is_cut_and_said_to_be(self) -> None:
        async with running(Reply(text="Hi " * 1000), settings=ON + "max_body_bytes = 1024\n") as house:
            key = await captured_key(house)
            long = {**CHAT, "messages": [{"role": "user", "content": "word " * 5000}], "stream": True}
            await house.post("/v1/chat/completions", long, key=key)
            (record,), found = await house.records(), await bodies(house)
            assert found is not None
            for part, size in (("request", record["request_bytes"]), ("answer", record["response_bytes"])):
                one = found[part]
                assert (one["cut"], one["kept"], one["bytes"]) == (True, len(one["text"]), size)
                assert 900 < one["kept"] <= 1024
            assert json.dumps(long).startswith(found["request"]["text"])

    async def test_media_leaves_room_for_what_comes_behind_it(self) -> None:
        async with running(REPLY, settings=ON + "max_body_bytes = 1024\n") as house:
            content = f"data:image/png;base64,{'QUJD' * 1000} and a question"
            body = {**CHAT, "messages": [{"role": "user", "content": content}]}
            await house.post("/v1/chat/completions", body, key=await captured_key(house))
            found = await bodies(house)
            assert found is not None
            assert (found["request"]["cut"], "and a question" in found["request"]["text"]) == (False, True)

    async def test_where_memory_has_no_room_bodies_are_lost_and_calls_are_not(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with running(REPLY, settings=ON) as house:
            key, capturing = await captured_key(house), house.gateway.capturing
            assert capturing.take(house.gateway.settings.capture.max_memory_bytes)
            assert (await house.post("/v1/chat/completions", CHAT, key=key))[0] == 200
            assert await bodies(house) is None
            assert (capturing.counts["lost"], capturing.counts["kept"]) == (1, 0)
            assert "bodies of 1 calls were not kept: there is no room" in caplog.text
            capturing.take(-house.gateway.settings.capture.max_memory_bytes)
            assert (await house.post("/v1/chat/completions", CHAT, key=key))[0] == 200
            assert await bodies(house) is not None
            assert capturing.waiting == 0

    async def test_where_room_ends_in_the_middle_of_an_answer_its_beginning_is_kept(self) -> None:
        async with running(Reply(text=["x" * 100] * 50), settings=ON) as house:
            key, capturing = await captured_key(house), house.gateway.capturing
            capturing.take(house.gateway.settings.capture.max_memory_bytes - 6000)
            status, _, _ = await house.post("/v1/chat/completions", {**CHAT, "stream": True}, key=key)
            found = await bodies(house)
            assert found is not None
            assert (status, found["answer"]["cut"]) == (200, True)
            assert 0 < found["answer"]["kept"] < found["answer"]["bytes"]

    @pytest.mark.parametrize("error", [StoreUnavailable("full", detail="disk full"), ValueError("odd")])
    async def test_a_store_that_takes_none_loses_them_and_nothing_else(
        self, error: Exception, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with running(REPLY, settings=ON) as house:
            key, capturing = await captured_key(house), house.gateway.capturing

            def refuse(*_: Any) -> None:
                raise error

            with monkeypatch.context() as then:
                then.setattr(house.gateway.store.captures, "put", refuse)
                for _ in range(3):
                    assert (await house.post("/v1/chat/completions", CHAT, key=key))[0] == 200
                    assert await bodies(house) is None
            assert (capturing.counts["lost"], capturing.waiting) == (3, 0)
            assert caplog.text.count("were not kept") == 1
            assert {row["outcome"] for row in await house.records()} == {"success"}
            await house.post("/v1/chat/completions", CHAT, key=key)
            assert await bodies(house) is not None

    async def test_they_are_nowhere_else(self, caplog: pytest.LogCaptureFixture) -> None:
        async with running(Reply(text="a whisper"), settings=ON + '[log]\nlevel = "debug"\n') as house:
            said = {**CHAT, "messages": [{"role": "user", "content": "a murmur"}]}
            await house.post("/v1/chat/completions", said, key=await captured_key(house))
            assert await bodies(house) is not None
            told = json.dumps(await house.records()) + caplog.text
            assert not any(word in told for word in ("whisper", "murmur"))
            with contextlib.closing(house.gateway.store.database._reader.execute("SELECT * FROM changes")) as changes:  # type: ignore[attr-defined]
                assert "murmur" not in repr(changes.fetchall())
