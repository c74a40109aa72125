"""A call's record: each figure of a usage stands in its own column, as it does where a provider's record is read."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from gateway import ALL_APIS, CHAT, running
from support_money import APIS, BODIES, METER, OPENROUTER, PATHS, VERCEL, settled_one, shop, streamed, usage, whole
from trivium.canon.api import Api
from trivium.canon.events import FinishReason
from trivium.canon.fold import Answer
from trivium.canon.usage import Usage
from trivium.metering.charge import Charge, Payer
from trivium.metering.prices import Price, Quote, Rates
from trivium.metering.record import told_by
from trivium.mock import Generation, Reply, Rule, Script
from trivium.pipeline.call import Call, by_name
from trivium.pipeline.recorded import record_of
from trivium.pipeline.settle import Run
from trivium.policy.caller import Caller, Organization
from trivium.wire.request import Request

USAGE = Usage(
    input_uncached=1, cache_read=2, cache_write_5m=3, cache_write_1h=4, cache_write_other=5, output=6, reasoning=7,
    audio_input=8, audio_output=9, image_input=10, server_tools={"web_search": 11}, service_tier="flex",
    reported_cost=Decimal("0.12"), market_cost=Decimal("0.13"), is_byok=True,
)  # fmt: skip


async def test_each_figure_has_its_column() -> None:
    async with running() as house:
        deps = house.gateway.now.deps
        headers = by_name([(b"user-agent", b"curl/8.5")])
        call = Call(id="req_1", api="chat_completions", headers=headers, client_ip=None, time_ms=1, started_ns=0)  # type: ignore[arg-type]
        run = Run(call, deps)
        run.answer = Answer(usage=USAGE, ended=True)
        columns = msgspec.structs.asdict(record_of(run))
    assert {name: columns[name] for name in told_by(USAGE)} == told_by(USAGE)
    assert (columns["usage_known"], columns["client_app"]) == (True, "curl/8.5")


async def test_each_column_has_its_own_value() -> None:
    """They are given by their places: two that changed these would be each other's."""
    async with running() as house:
        deps = house.gateway.now.deps
        target = deps.catalog.resolve("mock-1")
        headers = by_name([(b"user-agent", b"curl/8.5")])
        call = Call(id="req_1", api=Api.CHAT, headers=headers, client_ip="192.0.2.1", time_ms=101, started_ns=0)
        run = Run(call, deps)
        organization = Organization(id="org_1", name="One")
        run.key = Caller(id="key_1", user_id="usr_1", project_id="prj_1", organization=organization)
        run.request = Request(
            api=Api.CHAT, body=b"", members={}, model="asked", stream=True, max_tokens=102, wants_usage=True
        )
        run.target, run.upstream_api = target, Api.MESSAGES
        run.status, run.upstream_status, run.payer, run.account_id = 200, 201, Payer.HOUSE, "acct_1"
        run.queue_us, run.ttfb_us, run.first_token_us, run.total_us = 103, 104, 105, 106
        run.request_bytes, run.response_bytes, run.content_bytes, run.hold_nano = 107, 108, 109, 110
        run.flags, run.rules = ["flagged"], ("ruled",)
        run.answer = Answer(
            id="chatcmpl_1",
            model="answered",
            finish=FinishReason.STOP,
            native_finish="end_turn",
            usage=USAGE,
            ended=True,
        )
        run._charge = Charge(nano=111, market_nano=112, source="computed", usage=USAGE)
        run.quote = Quote(
            price=Price(rates=Rates()), version="pr_1", source="list", provider="mock", model="mock-1", markup_ppm=113
        )
        columns = msgspec.structs.asdict(record_of(run))
    said = {name: value for name, value in columns.items() if value not in (None, "", False)}
    usage = told_by(USAGE)
    assert said == {name: value for name, value in usage.items() if value} | {
        "id": "req_1", "time_ms": 101, "api": "chat_completions", "operation": "generate", "outcome": "success",
        "status": 200, "key_id": "key_1", "requested_model": "asked", "provider": target.provider.name,
        "upstream_api": "messages", "upstream_model": target.model, "answer_model": "answered", "upstream_status": 201,
        "upstream_id": "chatcmpl_1", "stream": True, "finish_reason": "stop", "native_finish_reason": "end_turn",
        "usage_known": True, "flags": "flagged", "max_tokens": 102, "queue_us": 103, "ttfb_us": 104,
        "first_token_us": 105, "total_us": 106, "request_bytes": 107, "response_bytes": 108, "client_app": "curl/8.5",
        "client_ip": "192.0.2.1", "requests": 1, "account_id": "acct_1", "user_id": "usr_1", "project_id": "prj_1",
        "payer": "house", "cost_nano": 111, "market_cost_nano": 112, "cost_source": "computed",
        "price_version": "pr_1", "markup_ppm": 113, "hold_nano": 110, "content_bytes": 109, "rules": "ruled",
        "organization_id": "org_1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [(Reply(text="Hi"), "success"), (Reply(text="Hi", abort="reset", abort_after_events=2), "failed")],
)
async def test_what_a_client_says_of_itself_stands_behind_the_rest(reply: Reply, outcome: str) -> None:
    asked = {**CHAT, "stream": True}
    async with running(reply) as house:
        assert (await house.post("/v1/chat/completions", asked, headers={"x-trivium-task": "t-1"}))[0] == 200
        record = await house.record()
    assert (record["outcome"], record["status"], record["task_id"]) == (outcome, 200, "t-1")


@pytest.mark.parametrize(
    ("trusted", "told"), [("127.0.0.1", ("203.0.113.9", "DE", "t13d_a")), ("10.0.0.1", ("127.0.0.1", None, None))]
)
async def test_where_a_client_is_is_what_a_trusted_proxy_says(trusted: str, told: tuple[str | None, ...]) -> None:
    headers = {"x-forwarded-for": "203.0.113.9", "cf-ipcountry": "DE", "cf-ja4": "t13d_a"}
    async with running(Reply(text="Hi"), settings=f'[server]\ntrusted_proxies = ["{trusted}"]\n') as house:
        assert (await house.post("/v1/chat/completions", CHAT, headers=headers))[0] == 200
        record = await house.record()
        story = await house.gateway.operations.perform("requests.story", {"request": record["id"]})
    names = ("client_ip", "client_country", "tls_fingerprint")
    assert tuple(record[name] for name in names) == tuple(story["who"][name] for name in names) == told


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_whom_a_gateway_asked_has_a_column(api: str, stream: bool) -> None:
    gateway = {"cost": "0.001", "routing": {"resolvedProvider": "vertex", "finalProvider": "google"}}
    said = ("Hi", usage(api, 25, 20), gateway)
    reply = Reply(sse=streamed(api, *said)) if stream else Reply(body=whole(api, *said))
    async with shop(reply, provider=VERCEL) as house:
        assert (await house.post(PATHS[api], {**BODIES[api], "stream": stream}))[0] == 200
        record = await settled_one(house)
        told = await house.gateway.operations.perform("requests.story", {"request": record["id"]})
    assert (record["provider"], record["inference_provider"]) == ("up", "google")
    assert told["asked"]["inference_provider"] == "google"


async def test_it_may_stand_in_the_providers_own_record_alone() -> None:
    told = Generation(id="gen-1", record={"total_cost": 0.001, "provider_name": "Acme"})
    script = Script(
        [Rule(Reply(body=whole("chat", "Hi", usage("chat", 25, 20)) | {"id": "gen-1"}))], generations=[told]
    )
    async with shop(script=script, settings=METER, provider=OPENROUTER) as house:
        assert (await house.post("/v1/chat/completions", CHAT))[0] == 200
        assert (await settled_one(house))["inference_provider"] == "Acme"


async def test_what_a_provider_refused_is_counted_under_a_model_that_is_known_to_be_there() -> None:
    listed = f'{ALL_APIS}\nmodels = ["m", "*"]'
    async with running(Reply(status=429), provider=listed) as house:
        for model in ("m", "made-up"):
            assert (await house.post("/v1/chat/completions", {**CHAT, "model": f"up/{model}"}))[0] == 429
        await house.records()
        query = {"model": "up/m", "since_ms": 0}
        found = await house.gateway.operations.perform("requests.search", query)
        usage = await house.gateway.operations.perform("usage", {"by": ["model"], "since_ms": 0})
    assert [row["upstream_model"] for row in found["items"]] == ["m"]
    assert {row["model"]: row["requests"] for row in usage} == {None: 1, "up/m": 1}
