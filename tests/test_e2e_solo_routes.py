"""APIs that stand alone where a model has several routes, and what `explain` says of them."""

from __future__ import annotations

from typing import Any

from gateway import running
from support_solo import EMBEDDINGS, FIM, gap, texts
from trivium.mock import Error, Match, Reply, Rule, Usage

SERVED = '\napis = ["chat", "embeddings", "fim"]'
ROUTES = f"""
[providers.talks]
base_url = "{{upstream}}/v1"
[providers.a]
base_url = "{{upstream}}/v1"{SERVED}
[providers.b]
base_url = "{{upstream}}/v1"{SERVED}
[models."a/*"]
price = {{ input = "1", output = "0" }}
[models."b/*"]
price = {{ input = "2", output = "0" }}
[catalog.models.vectors]
routes = [{{ to = "talks/none" }}, {{ to = "a/one" }}, {{ to = "b/two" }}]
[catalog.models."mistralai/codestral"]
routes = [{{ to = "talks/none" }}, {{ to = "b/filler" }}]
[catalog.models.talk]
routes = [{{ to = "talks/none" }}, {{ to = "a/one", apis = ["chat"] }}]
"""
FAILING = Rule(Reply(status=503, error=Error()), Match(model="one"))
GOOD = Rule(Reply(usage=Usage(input=100)), Match(model="two"))


async def test_only_routes_that_serve_it_are_tried_and_the_next_one_where_one_fails() -> None:
    async with running(FAILING, GOOD, settings=ROUTES) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts(model="vectors"))
        assert [asked.json["model"] for asked in house.upstream.requests] == ["one", "two"]
        record = await house.record()
    assert (status, answer["model"]) == (200, "two")
    assert (record["provider"], record["cost_nano"], record["outcome"]) == ("b", 100 * 2000, "success")


async def test_a_model_none_of_whose_routes_serves_it_is_refused() -> None:
    async with running(settings=ROUTES) as house:
        status, answer, _ = await house.post(EMBEDDINGS, texts(model="talk"))
        assert house.upstream.requests == []
    assert (status, answer["error"]["code"]) == (400, "api_not_served")


async def test_a_catalogues_model_fills_in_by_the_route_that_does() -> None:
    async with running(Reply(text="x"), settings=ROUTES) as house:
        assert (await house.post(FIM, gap("mistralai/codestral")))[0] == 200
        (asked,) = house.upstream.requests
    assert (asked.path, asked.json["model"]) == ("/v1/fim/completions", "filler")


async def test_an_answer_of_the_second_route_is_replayed_as_it_was() -> None:
    async with running(FAILING, GOOD, settings=ROUTES) as house:
        headers = {"idempotency-key": "k"}
        first, again = [await house.post(EMBEDDINGS, texts(model="vectors"), headers=headers) for _ in range(2)]
        assert first[1] == again[1]
        assert again[2]["x-trivium-replayed"] == "true"
        assert len(house.upstream.requests) == 2


async def test_explain_knows_them() -> None:
    async with running(settings=ROUTES) as house:
        bodies: list[tuple[str, dict[str, Any], str]] = [
            ("embeddings", texts(model="vectors"), "a/one"),
            ("fim", gap("mistralai/codestral"), "b/filler"),
        ]
        for api, body, route in bodies:
            status, told, _ = await house.post(f"/v1/explain?api={api}", body)
            assert (status, told["api"], told["routes"][0]["route"]) == (200, api, route)
            assert told["routes"][0]["api"] == api
        assert house.upstream.requests == []


async def test_a_fallback_that_does_not_serve_it_is_told_as_one_that_cannot_be_taken() -> None:
    body = texts(model="b/two", trivium_fallbacks=["talks/none"])
    async with running(GOOD, settings=ROUTES) as house:
        _, told, _ = await house.post("/v1/explain?api=embeddings", body)
        assert (await house.post(EMBEDDINGS, body))[0] == 200
    assert ([one["route"] for one in told["routes"]], "error" in told) == (["b/two"], False)
    (refused,) = told["refused"]
    assert (refused["route"], "does not serve the API `embeddings`" in refused["why"]) == ("talks/none", True)
