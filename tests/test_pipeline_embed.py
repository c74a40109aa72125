"""Embeddings through the gateway: what goes on, what comes back, and what it costs."""

from __future__ import annotations

import base64
import struct
from typing import Any

import aiohttp
import pytest

from gateway import CALLS as CONVERSATIONS
from gateway import running
from support_money import customer, settled_one, shop
from support_people import People
from support_prices import dataset
from support_solo import CREDITS, EMBEDDINGS, INPUT, PRICES, SOLO, texts
from test_pipeline_handle import message_of
from test_pipeline_own import people
from trivium.metering.book import PriceBook
from trivium.mock import Error, Reply, Usage
from trivium.server.routes import PREFIXES

VECTOR = [0.5, -0.25, 2.0**-20]


def packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


@pytest.mark.parametrize("prefix", PREFIXES)
async def test_a_request_goes_on_as_it_came_under_every_prefix(prefix: str) -> None:
    async with running(Reply(vectors=[VECTOR, VECTOR], usage=Usage(input=5)), provider=SOLO) as house:
        body = b'{ "model":"up/e-1", "input": ["a",  "b"], "dimensions": 3, "user": "u" }'
        status, answer, _ = await house.post(f"{prefix}/embeddings", body)
        (asked,) = house.upstream.requests
        record = await house.record()
    assert (status, [entry["embedding"] for entry in answer["data"]]) == (200, [VECTOR, VECTOR])
    assert (asked.path, asked.body) == ("/v1/embeddings", body.replace(b"up/e-1", b"e-1"))
    assert (record["api"], record["upstream_api"], record["outcome"]) == ("embeddings", "embeddings", "success")
    assert (record["input_uncached_tokens"], record["output_tokens"], record["usage_known"]) == (5, 0, 1)
    assert (record["requested_model"], record["upstream_model"], record["answer_model"]) == ("up/e-1", "e-1", "e-1")


@pytest.mark.parametrize(("asked", "shown"), [(None, VECTOR), ("float", VECTOR), ("base64", packed(VECTOR))])
@pytest.mark.parametrize("written", ["float", "base64"])
async def test_vectors_come_as_they_were_asked_for_however_the_upstream_writes_them(
    asked: str | None, shown: Any, written: Any
) -> None:
    async with running(Reply(vectors=[VECTOR], encoding=written), provider=SOLO) as house:
        body = texts() if asked is None else texts(encoding_format=asked)
        status, answer, headers = await house.post(EMBEDDINGS, body)
    assert (status, answer["data"][0]["embedding"]) == (200, shown)
    assert int(headers["content-length"]) > 0


async def test_a_long_answer_is_converted_too() -> None:
    vectors = [[n / 2**20] * 1536 for n in range(64)]
    async with running(Reply(vectors=vectors, encoding="base64"), provider=SOLO) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts(*["a"] * 64))
        record = await house.record()
    assert (status, [entry["embedding"] for entry in answer["data"]]) == (200, vectors)
    assert (record["flags"], record["usage_known"]) == ("", 1)


async def test_an_answer_too_long_to_be_read_passes_as_it_is_or_not_at_all() -> None:
    # 33 MiB: nothing of it is kept, and what nobody keeps nobody can convert.
    body = '{"object":"list","data":[{"embedding":[0' + ",0.25" * 7_000_000 + "]}]}"
    async with running(Reply(body=body), settings=PRICES, provider=SOLO) as house:
        headers = {"authorization": f"Bearer {house.key}"}
        sizes = []
        for encoding in ("float", "base64"):
            async with (
                aiohttp.ClientSession() as session,
                session.post(
                    house.url + EMBEDDINGS, json=texts("a " * 400, encoding_format=encoding), headers=headers
                ) as response,
            ):
                sizes.append((response.status, len(await response.read()) == len(body)))
        refused, passed = await house.records()
        assert house.gateway.deps.in_flight.bytes == 0
    assert sizes == [(200, True), (502, False)]
    assert (passed["flags"], passed["output_tokens"], passed["cost_source"]) == ("unmetered estimated", 0, "estimated")
    assert 100 * INPUT < passed["cost_nano"] < 1_000 * INPUT
    assert (refused["outcome"], refused["error_code"]) == ("failed", "upstream_invalid_response")


@pytest.mark.parametrize(
    ("model", "dimensions", "words"),
    [
        ("up/text-embedding-3-small", 1537, "makes vectors of up to 1536; `dimensions` says 1537"),
        ("up/text-embedding-ada-002", 512, "makes vectors of 1536 numbers alone; `dimensions` says 512"),
        ("up/e-1", 0, "must be a positive whole number"),
    ],
)
async def test_dimensions_that_the_model_has_not_are_a_400(model: str, dimensions: int, words: str) -> None:
    async with running(provider=SOLO) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts(model=model, dimensions=dimensions))
        assert house.upstream.requests == []
        record = await house.record()
    assert (status, answer["error"]["param"], answer["error"]["code"]) == (400, "dimensions", "invalid_field")
    assert words in answer["error"]["message"]
    assert (record["outcome"], record["cost_nano"]) == ("refused", 0)


async def test_dimensions_that_it_has_go_on() -> None:
    async with running(provider=SOLO) as house:
        for model, dimensions in (("up/text-embedding-3-small", 256), ("up/text-embedding-ada-002", 1536), ("m", 7)):
            status, answer, _ = await house.post(EMBEDDINGS, texts(model=model, dimensions=dimensions))
            assert (status, len(answer["data"][0]["embedding"])) == (200, dimensions)


async def test_mistral_is_asked_in_its_own_words() -> None:
    async with running(provider='models = ["codestral-embed"]', name="mistral") as house:
        body = texts("a", model="codestral-embed", dimensions=3, user="u")
        status, _, headers = await house.post(EMBEDDINGS, body)
        (asked,) = house.upstream.requests
        strict, answer, _ = await house.post(EMBEDDINGS, body, headers={"x-trivium-strict": "1"})
    assert (status, headers["x-trivium-loss"]) == (200, "1; user")
    assert asked.json == {"model": "codestral-embed", "input": ["a"], "output_dimension": 3}
    assert (strict, answer["error"]["code"], answer["error"]["param"]) == (400, "lossy_request", "user")


async def test_who_does_not_embed_says_so_and_nothing_else_stands_in() -> None:
    async with running() as house:
        status, answer, headers = await house.post(EMBEDDINGS, texts(model="m"))
        assert house.upstream.requests == []
    assert (status, answer["error"]["code"]) == (400, "api_not_served")
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize(("path", "body"), CONVERSATIONS)
async def test_who_embeds_alone_does_not_converse(path: str, body: dict[str, Any]) -> None:
    async with running(provider='apis = ["embeddings"]\nmodels = ["m"]') as house:
        status, answer, _ = await house.post(path, body)
        assert house.upstream.requests == []
    assert (status, "does not serve the API" in message_of(path, answer)) == (400, True)


async def test_the_charge_is_that_of_the_tokens_told() -> None:
    async with shop(Reply(usage=Usage(input=1000)), settings=CREDITS, provider=SOLO) as house:
        acme = await customer(house)
        assert (await house.post(EMBEDDINGS, texts("a" * 4000)))[0] == 200
        record = await settled_one(house)
        assert (await acme.balance()) == ("0.998", "0")
    assert (record["cost_nano"], record["cost_source"]) == (1000 * INPUT, "computed")
    assert record["hold_nano"] >= record["cost_nano"]
    assert record["hold_nano"] < 4_000 * INPUT  # nothing is put aside for an output


async def test_without_figures_it_is_an_estimate_of_the_input_alone() -> None:
    async with shop(Reply(no_usage=True, vectors=[[0.5] * 5000]), settings=CREDITS, provider=SOLO) as house:
        await customer(house)
        assert (await house.post(EMBEDDINGS, texts("word " * 800)))[0] == 200
        record = await settled_one(house)
    assert (record["cost_source"], record["flags"], record["output_tokens"]) == ("estimated", "estimated", 0)
    assert 500 * INPUT < record["cost_nano"] < 2_000 * INPUT


async def test_a_reported_cost_is_charged() -> None:
    provider = f"{SOLO}\nreports_cost = true"
    reply = Reply(usage=Usage(input=1000), cost=0.000123)
    async with shop(reply, settings=CREDITS, provider=provider) as house:
        await customer(house)
        await house.post(EMBEDDINGS, texts())
        record = await settled_one(house)
    assert (record["cost_nano"], record["cost_source"]) == (123_000, "reported")


async def test_who_has_too_little_is_told_so_and_nobody_is_called() -> None:
    async with shop(settings=CREDITS, provider=SOLO) as house:
        await customer(house, usd="0.0001")
        status, answer, _ = await house.post(EMBEDDINGS, texts("a" * 40_000))
        assert house.upstream.requests == []
    assert (status, answer["error"]["code"]) == (402, "insufficient_credits")
    assert "Send less `input` at once" in answer["error"]["message"]


async def test_the_price_of_a_known_model_is_in_the_book() -> None:
    provider = 'type = "openai"\nkey = "sk"\nmodels = ["text-embedding-3-small"]'
    settings = '[models."other/*"]\nfree = true\n[billing]\nmode = "credits"\n'
    async with shop(Reply(usage=Usage(input=1_000_000)), settings=settings, provider=provider, name="openai") as house:
        house.gateway.deps.prices = PriceBook(dataset())
        await customer(house)
        await house.post(EMBEDDINGS, texts(model="text-embedding-3-small"))
        record = await settled_one(house)
    # openai.com/api/pricing: 0.02 USD a million
    assert (record["cost_nano"], record["cost_source"]) == (20_000_000, "computed")


async def test_gates_and_scopes_know_the_kind() -> None:
    async with running(provider=SOLO) as house:
        staff = People(house)
        scoped = await staff.key(scopes={"apis": ["embeddings"]})
        chats = await staff.key(scopes={"apis": ["chat_completions"]})
        assert (await house.post(EMBEDDINGS, texts(), key=scoped))[0] == 200
        status, answer, _ = await house.post(EMBEDDINGS, texts(), key=chats)
        assert (status, answer["error"]["code"]) == (403, "api_not_available")
        await staff.settings(apis={"embeddings": {"open_to": "admins"}})
        assert (await house.post(EMBEDDINGS, texts(), key=scoped))[0] == 403


async def test_limits_count_it_and_the_headers_say_so() -> None:
    async with running(Reply(usage=Usage(input=7)), provider=SOLO) as house:
        key = await People(house).key(limits={"requests_per_minute": 2, "input_tokens_per_minute": 10_000})
        _, _, headers = await house.post(EMBEDDINGS, texts(), key=key)
        assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("2", "1")
        assert headers["x-ratelimit-limit-tokens"] == "10000"
        statuses = [(await house.post(EMBEDDINGS, texts(), key=key))[0] for _ in range(2)]
    assert statuses == [200, 429]


async def test_an_organizations_list_holds() -> None:
    async with running(provider=SOLO) as house:
        staff = People(house)
        await staff.organization("acme", policy={"models_allow": ["up/m"]})
        key = await staff.key(organization="acme", user="acme-member")
        status, answer, _ = await house.post(EMBEDDINGS, texts(), key=key)
    assert (status, answer["error"]["code"]) == (403, "model_not_allowed")


async def test_free_models_embed_for_callers_without_a_key_under_the_houses_name() -> None:
    settings = f'{PRICES}[free]\nanonymous = true\n[free.models."house/e"]\nroute = "up/e-1"\n'
    async with running(Reply(usage=Usage(input=7)), settings=settings, provider=SOLO) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts(model="house/e"), key=None)
        assert (await house.post(EMBEDDINGS, texts(model="up/e-1"), key=None))[0] == 401
        _, record = await house.records()
    assert (status, answer["model"]) == (200, "house/e")
    assert (record["payer"], record["cost_nano"], record["market_cost_nano"]) == ("free", 0, 7 * INPUT)


async def test_stealth_models_do_not_embed() -> None:
    settings = f'{PRICES}[free.models."house/s"]\nroute = "up/e-1"\nstealth = true\n'
    async with running(settings=settings, provider=SOLO) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts(model="house/s"))
    assert (status, "up" in str(answer).replace("upstream", "")) == (400, False)


async def test_an_own_key_pays_where_its_vendor_embeds() -> None:
    async with people(Reply(usage=Usage(input=9)), provider=SOLO) as ann:
        await ann.bring("openai")
        status, _, _ = await ann.house.post(EMBEDDINGS, texts(model="openai/text-embedding-3-small"))
        (asked,) = ann.house.upstream.requests
        record = await ann.house.record()
    assert (status, asked.path) == (200, "/openai/v1/embeddings")
    assert str(asked.header("authorization")).startswith("Bearer sk-own")
    assert (record["payer"], record["cost_nano"], record["provider"]) == ("byok", 0, "openai")


async def test_a_vendor_that_does_not_embed_leaves_it_to_the_house() -> None:
    async with people(
        Reply(),
        settings='[security]\nallow_networks = ["127.0.0.0/8"]\nallow_http = true\n',
        provider='apis = ["embeddings"]\nmodels = ["anthropic/e"]',
    ) as ann:
        await ann.bring("anthropic")
        status, _, _ = await ann.house.post(EMBEDDINGS, texts(model="anthropic/e"))
        (asked,) = ann.house.upstream.requests
    assert (status, asked.path) == (200, "/v1/embeddings")


@pytest.mark.parametrize("status", [400, 404, 429, 500])
async def test_an_upstreams_error_in_openais_shape_passes(status: int) -> None:
    async with running(Reply(status=status, error=Error(message="No such vectors.")), provider=SOLO) as house:
        got, answer, _ = await house.post(EMBEDDINGS, texts())
        record = await house.record()
    assert (got, answer["error"]["message"]) == (status, "No such vectors.")
    assert (record["outcome"], record["cost_nano"], record["upstream_status"]) == ("failed", 0, status)


@pytest.mark.parametrize("body", ["<html>", '{"object":"list","data":[{"embedding":"!"}]}', '{"data":[1]}'])
async def test_what_is_no_answer_is_a_502(body: str) -> None:
    async with running(Reply(body=body), provider=SOLO) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts())
        record = await house.record()
    assert (status, answer["error"]["code"]) == (502, "upstream_invalid_response")
    assert record["outcome"] == "failed"


async def test_an_input_that_is_too_long_is_the_callers_to_mend() -> None:
    # As llama.cpp says it, with a status that clients would try again.
    said = "input (3002 tokens) is too large to process. increase the physical batch size (current batch size: 512)"
    reply = Reply(status=500, error=Error(message=said, type="server_error"))
    async with running(reply, provider=SOLO) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts())
        record = await house.record()
    assert (status, answer["error"]["code"]) == (400, "input_too_long")
    assert "3002 tokens" in answer["error"]["message"]
    assert (record["outcome"], record["upstream_status"], record["cost_nano"]) == ("failed", 500, 0)


async def test_an_error_inside_an_answer_is_a_failure() -> None:
    async with running(Reply(body={"error": {"message": "no", "type": "overloaded"}}), provider=SOLO) as house:
        assert (await house.post(EMBEDDINGS, texts()))[0] == 200
        record = await house.record()
    assert (record["outcome"], record["in_band_error"], record["cost_nano"]) == ("failed", 1, 0)


async def test_get_is_refused_and_the_path_is_named() -> None:
    async with running(provider=SOLO) as house:
        status, answer, _ = await house.post("/v1/nothing", {})
    assert (status, "/v1/embeddings" in answer["error"]["message"]) == (404, True)
