"""Paths, methods and model lists as clients find them."""

from __future__ import annotations

import gc

import aiohttp
import pytest

from gateway import CALLS, CHAT, MESSAGES, running
from trivium.mock import Model, Script
from trivium.server.cycle import Cycle
from trivium.server.routes import PREFIXES


async def get(url: str, method: str = "GET", headers: dict[str, str] | None = None) -> tuple[int, object, str | None]:
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=headers) as response:
        content = await response.json() if method != "HEAD" and response.content_length else None
        return response.status, content, response.headers.get("allow")


@pytest.mark.parametrize("prefix", ["", *PREFIXES, "//v1", "/v1/"])
async def test_every_prefix_serves_every_api(prefix: str) -> None:
    async with running() as house:
        for path, body in CALLS:
            assert (await house.post(path.replace("/v1", prefix), body))[0] == 200
        assert (await get(house.url + prefix + "/models", headers={"x-api-key": house.key}))[0] == 200


async def test_a_slash_at_the_end_is_one_too_many() -> None:
    async with running() as house:
        assert (await house.post("/v1/chat/completions/", CHAT))[0] == 200
        assert (await get(house.url + "/v1/models/", headers={"x-api-key": house.key}))[0] == 200
        assert (await get(house.url + "/v1/files/", headers={"x-api-key": house.key}))[0] == 404
        assert (await get(house.url + "//healthz"))[0] == 404


async def test_probes_answer_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as house:
        assert (await get(house.url + "/", "HEAD"))[0] == 200
        assert (await get(house.url + "/healthz"))[:2] == (200, {"status": "ok"})
        assert (await get(house.url + "/readyz"))[:2] == (200, {"status": "ok"})
        house.gateway.store.ledger.writer.failing = "connection to 10.0.0.9 failed"
        for _ in range(2):
            assert (await get(house.url + "/readyz"))[:2] == (503, {"status": "store_unavailable"})
        async with aiohttp.ClientSession() as session, session.get(house.url + "/readyz") as response:
            assert response.headers["retry-after"] == "1"
        logged = [line for line in caplog.messages if "10.0.0.9" in line]
        assert logged == ["the store is not ready: connection to 10.0.0.9 failed"]


async def test_models_come_in_the_callers_shape_and_need_a_key() -> None:
    script = Script(models=[Model("a"), Model("b", name="Model B")])
    async with running(script=script, settings='[aliases]\nquick = "a"') as house:
        assert (await get(house.url + "/v1/models"))[0] == 401
        await house.gateway.operations.perform("catalog.refresh", {})
        auth = {"authorization": f"Bearer {house.key}"}
        _, openai, _ = await get(house.url + "/v1/models", headers=auth)
        _, anthropic, _ = await get(house.url + "/v1/models", headers={**auth, "anthropic-version": "2023-06-01"})
        _, one, _ = await get(house.url + "/v1/models/up/a", headers=auth)
        unknown, error, _ = await get(house.url + "/v1/models/zzz", headers={**auth, "anthropic-version": "1"})
    assert isinstance(openai, dict)
    assert isinstance(anthropic, dict)
    assert [model["id"] for model in openai["data"]] == ["quick", "a", "b"]
    assert {model["object"] for model in openai["data"]} == {"model"}
    assert [model["type"] for model in anthropic["data"]] == ["model"] * 3
    assert (anthropic["first_id"], anthropic["last_id"], anthropic["has_more"]) == ("quick", "b", False)
    assert isinstance(one, dict)
    assert one["id"] == "up/a"
    assert (unknown, isinstance(error, dict) and error["type"]) == (404, "error")


@pytest.mark.parametrize(
    ("method", "path", "status", "allow", "recorded"),
    [
        ("GET", "/v1/chat/completions", 405, "POST", ["method_not_allowed"]),
        ("DELETE", "/v1/messages", 405, "POST", ["method_not_allowed"]),
        ("DELETE", "/v1/models", 405, "GET, HEAD", []),
        ("POST", "/healthz", 405, "GET, HEAD", []),
        ("GET", "/v1/responses/resp_1", 404, None, ["path_not_found"]),
        ("POST", "/v1/completions", 404, None, ["path_not_found"]),
        ("POST", "/v1/messages/batches", 404, None, ["path_not_found"]),
        ("GET", "/api/openrouter/v1/files/f", 404, None, ["path_not_found"]),
        ("GET", "/nowhere", 404, None, []),
    ],
)
async def test_wrong_paths_and_methods_are_said_in_shape_and_have_a_record_where_an_api_was_meant(
    method: str, path: str, status: int, allow: str | None, recorded: list[str]
) -> None:
    async with running() as house:
        got, error, allowed = await get(house.url + path, method)
        records = await house.records()
    assert (got, allowed) == (status, allow)
    assert isinstance(error, dict)
    assert error["error"]["message"]
    assert ("type" in error) == ("messages" in path)
    assert [one["error_code"] for one in records] == recorded
    assert {(one["outcome"], one["status"]) for one in records} <= {("refused", status)}


async def test_a_key_works_from_its_creation_and_ends_with_its_revocation() -> None:
    async with running() as house:
        made = await house.gateway.operations.perform("keys.create", {"name": "laptop"})
        assert (await house.post("/v1/chat/completions", CHAT, key=made["key"]))[0] == 200
        await house.gateway.operations.perform("keys.revoke", {"key": "laptop"})
        assert (await house.post("/v1/chat/completions", CHAT, key=made["key"]))[0] == 401
        found = (await house.gateway.operations.perform("keys.list", {}))["items"]
        assert {key["name"]: key["revoked_ms"] is None for key in found} == {"test": True, "laptop": False}


async def test_a_flood_without_a_key_leaves_few_records_and_exact_counts() -> None:
    async with running() as house:
        async with aiohttp.ClientSession() as session:
            for _ in range(130):
                async with session.post(house.url + "/v1/messages", json=MESSAGES) as response:
                    assert response.status == 401
        records = await house.records()
        (row,) = await house.gateway.operations.perform("usage", {"by": ["outcome"]})
    assert len(records) == 101
    assert (row["requests"], row["refused"]) == (130, 130)


async def test_a_request_that_is_over_is_freed_without_the_garbage_collector() -> None:
    async with running() as house, aiohttp.ClientSession() as session:
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                async with session.get(house.url + "/healthz") as response:
                    await response.read()
            left = sum(type(one) is Cycle for one in gc.get_objects())
        finally:
            gc.enable()
    assert left == 1  # the connection's newest
