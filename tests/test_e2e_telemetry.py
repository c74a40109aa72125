"""What leaves a gateway that tells everything it may, and what it costs one that tells nothing."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CALLS, CHAT, Running, running
from support_telemetry import (
    DASHBOARD,
    Collector,
    attributes,
    board_expressions,
    board_targets,
    collector,
    scraped,
)
from support_wait import until
from trivium import config
from trivium.errors import ConfigError
from trivium.mock import Error, Match, Reply, Rule, Usage
from trivium.server import telemetry as server_telemetry
from trivium.server.deps import Gateway
from trivium.telemetry import instruments, logs
from trivium.telemetry.instruments import Instrument
from trivium.telemetry.redaction import REDACTION

pytest.importorskip("opentelemetry.sdk", reason="needs the extra otel")

HOUSE_KEY = "house/canary+7f3a9c1e=="
TEAM = "events-canary-55aa"
ALL = """
[telemetry.prometheus]
listen = "127.0.0.1:0"
[telemetry.events]
url = "{url}/events"
headers = {{ x-team-token = "events-canary-55aa" }}
interval = 0.02
omit = []
[telemetry.otel]
endpoint = "{url}"
headers = {{ authorization = "Bearer events-canary-55aa" }}
interval = 0.05
[log]
level = "debug"
requests = true
[records]
prompts = true
"""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(params=["text", "json"])
def log(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What stands on standard error."""
    root = logging.getLogger()
    before = root.handlers[:], root.level
    said = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", said)
        logs.set_up("debug", request.param)
    yield said
    root.handlers[:], level = before
    root.setLevel(level)
    REDACTION.hide(())


async def metrics(house: Running) -> str:
    listener = house.gateway.telemetry.listener
    assert listener is not None
    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{listener.port}/metrics") as answer:
        return await answer.text()


async def events(house: Running, collecting: Collector, number: int) -> list[dict[str, Any]]:
    await until(lambda: len(collecting.events) >= number)
    return collecting.events


def echoing(key: str) -> list[Rule]:
    """A provider that tells everybody how it was called."""
    said = f"Incorrect API key provided: {key}"
    return [
        Rule(Reply(status=401, error=Error(message=said)), Match(model="refusing")),
        Rule(Reply(status=500, error=Error(message=said, type=key)), Match(model="failing")),
        Rule(Reply(error=Error(message=said)), Match(model="inband")),
        Rule(Reply(text=said, headers={"x-request-id": key}), Match(model="echoing")),
        Rule(Reply(text="Hi", usage=Usage(input=7, output=3))),
    ]


async def test_no_key_leaves_by_the_back_door(log: io.StringIO) -> None:
    provider = f'{ALL_APIS}\nkey = "{HOUSE_KEY}"\nmodels = ["m", "refusing", "failing", "inband", "echoing"]'
    async with collector() as collecting:
        settings = ALL.format(url=collecting.url)
        async with running(*echoing(HOUSE_KEY), settings=settings, provider=provider) as house:
            wrong, mine = "tv-" + "Wr0ng" * 8, house.key
            for path, body in CALLS:
                for model in ("m", "refusing", "failing", "inband", "echoing"):
                    await house.post(path, {**body, "model": model, "stream": True})
                for key in (mine, wrong):
                    odd = {"user-agent": f"{key}/1", "x-trivium-session": key, "x-trivium-task": f"Bearer {key}"}
                    odd |= {"tracestate": f"key={key}", "traceparent": key, "x-trivium-mode": f"api_key={key}"}
                    await house.post(f"{path}?key={key}", {**body, "model": key}, headers=odd)
                    await house.post(path, {**body, "model": f"up/{key}"}, headers=odd)
                    await house.post(path, {**body, "model": "m", "metadata": {"user_id": key}}, headers=odd)
                await house.post(path, body, key=wrong)
                await house.post(f"/nowhere/{mine}", body)
            logging.getLogger("trivium.x").error("what if %s", {"authorization": f"Bearer {HOUSE_KEY}"})
            told = await events(house, collecting, 3 * 12)
            text = await metrics(house)
        logged = log.getvalue()
        places = {"log": logged, "metrics": text, "collector": collecting.everything.decode("utf-8", "replace")}
    assert len(collecting.spans) > 3 * 12
    assert "refuses this gateway's account" in logged
    assert "trivium.request" in logged
    assert any("Incorrect API key provided: ***" in str(one.get("error_message")) for one in told)
    for place, said in places.items():
        for secret in (HOUSE_KEY, TEAM, mine, wrong, json.dumps(HOUSE_KEY)[1:-1]):
            assert secret not in said, place


async def test_a_collector_sees_a_request_from_the_clients_span_to_the_providers() -> None:
    async with collector() as collecting:
        settings = f'[telemetry.otel]\nendpoint = "{collecting.url}"\npropagate = ["up"]\nsample = 0.0'
        async with running(Reply(text="Hi", usage=Usage(input=7, output=3)), settings=settings) as house:
            client = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01", "tracestate": "a=1"}
            for path, body in CALLS:
                await house.post(path, body, headers=client)
            await house.post("/v1/chat/completions", CHAT)
            seen = [dict(request.headers) for request in house.upstream.requests]
        spans = {span.span_id.hex(): span for span in collecting.spans}
    assert len(spans) == 6
    assert {span.trace_id.hex() for span in spans.values()} == {TRACE}
    for headers in seen[:3]:
        version, trace, parent, flags = headers["traceparent"].split("-")
        assert (version, trace, flags, headers["tracestate"]) == ("00", TRACE, "01", "a=1")
        server = spans[spans[parent].parent_span_id.hex()]
        assert spans[parent].name == "chat m"
        assert server.parent_span_id.hex() == "00f067aa0ba902b7"
        assert attributes(spans[parent].attributes)["gen_ai.usage.output_tokens"] == 3
    assert seen[3]["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "propagate", ["", '[telemetry.otel]\nendpoint = "http://127.0.0.1:9"\npropagate = ["other"]\n']
)
async def test_providers_are_told_of_no_trace_unless_that_is_said_of_them(propagate: str) -> None:
    settings = f'{propagate}[providers.other]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["n"]\n'
    async with running(Reply(text="Hi"), settings=settings) as house:
        await house.post("/v1/chat/completions", CHAT, headers={"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"})
        (request,) = house.upstream.requests
    assert "traceparent" not in dict(request.headers)


async def test_whoever_wants_nothing_pays_nothing() -> None:
    off = "[telemetry.prometheus]\nenabled = false"
    async with running(Reply(text="Hi"), settings=off) as house:
        deps = house.gateway.deps
        assert (deps.ended, deps.propagation) == (None, None)
        assert house.gateway.telemetry._tasks == []
        assert (await house.post("/v1/chat/completions", CHAT))[0] == 200


async def test_a_service_that_is_away_is_no_callers_business(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_telemetry, "_LAST_WORD", 0.1)
    away = ALL.format(url="http://127.0.0.1:1").partition("[log]")[0]
    async with running(Reply(text="Hi"), settings=away) as house:
        for _ in range(5):
            assert (await house.post("/v1/chat/completions", CHAT))[0] == 200
        loop = asyncio.get_running_loop()
        began = loop.time()
    assert loop.time() - began < 9


async def test_refusals_by_the_thousand_are_counted_and_not_told_one_by_one() -> None:
    async with collector() as collecting:
        settings = (
            '[telemetry.prometheus]\nlisten = "127.0.0.1:0"\n'
            f'[telemetry.events]\nurl = "{collecting.url}/events"\nbatch = 50'
        )
        async with running(Reply(text="Hi"), settings=settings) as house:
            for _ in range(120):
                await house.post("/v1/chat/completions", CHAT, key=None)
            await collecting.until("/events", 1)
        told = collecting.events
    assert sum(event["requests"] for event in told) == 120
    assert 101 <= len(told) <= 105  # one for those that were only counted, or one each time that somebody asks


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ('telemetry.events.url = "ftp://x"', "telemetry.events.url"),
        ('[telemetry.events]\nurl = "http://user:pass@x/"', "telemetry.events.url"),
        ('[telemetry.events]\nurl = "http://x:70000/"', "telemetry.events.url: Port out of range"),
        ('[telemetry.otel]\nendpoint = "http://[x/"', "telemetry.otel.endpoint"),
        ("[telemetry.events]\nbatch = 1", "missing required field url"),
        ('[telemetry.events]\nurl = "http://x/"\nomit = ["prompt"]', "telemetry.events.omit: records have no 'prompt'"),
        ('[telemetry.events]\nurl = "http://x/"\nheaders = { a = "env:NOT_SET" }', "NOT_SET is not set"),
        ('[telemetry.events]\nurl = "http://x/"\nheaders = { "a b" = "c" }', "expected a header of printable ASCII"),
        ('[telemetry.events]\nurl = "http://x/"\nheaders = { X-A = "b", x-a = "c" }', "expected each header once"),
        ('[telemetry.otel]\npropagate = ["nobody"]', "telemetry.otel.propagate: no provider 'nobody'"),
        ("[telemetry.otel]\nsample = 2", "telemetry.otel.sample"),
        ('[telemetry.prometheus]\nlisten = "9464"', "telemetry.prometheus.listen"),
        ("[telemetry]\nmodels = 3", "expected one of max_models"),
        ('[log]\nformat = "xml"', "log.format"),
    ],
)
async def test_wrong_settings_stop_the_start_and_say_where(settings: str, complaint: str, tmp_path: Path) -> None:
    text = f"{settings}\n" if settings.startswith("telemetry.") else f"{settings}\n[local]\nenabled = false\n"
    with pytest.raises(ConfigError) as raised:
        Gateway(config.parse(text), tmp_path, {})
    assert complaint in str(raised.value)


def test_without_the_extra_its_settings_stop_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "trivium.telemetry.otel", None)
    settings = config.parse("[local]\nenabled = false\n[telemetry.otel]\nsample = 0.5")
    with pytest.raises(
        ConfigError,
        match=r"telemetry\.otel: needs the extra `otel` to be installed \(.* -m pip install 'trivium\[otel\]'\)",
    ):
        Gateway(settings, tmp_path, {})


def test_the_dashboard_shows_what_there_is_and_nothing_else() -> None:
    """Every metric that a panel asks for is exported, with the labels that it asks by."""
    known = {one.name: one for one in vars(instruments).values() if isinstance(one, Instrument)}
    asked: set[str] = set()
    for expression in board_expressions():
        names = re.findall(r"\b(?:trivium|gen_ai|process)_[a-z_]+", expression)
        assert names, expression
        for name in names:
            base = re.sub(r"_(bucket|sum|count)$", "", name) if name not in known else name
            if base.startswith("process_"):
                continue
            assert base in known, f"{name} in {expression}"
            asked.add(base)
            labels = {*known[base].labels, "le", "instance", "job"}
            used = set(re.findall(r"([a-z_]+) *(?:=~|!~|!=|=)", expression))
            used |= {
                label for by in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r", *", by) if label
            }
            assert used <= labels, f"{used - labels} in {expression}"
    assert asked >= known.keys() - {"trivium_build_info", "trivium_reasoning_tokens_total"}


async def test_what_the_dashboard_lets_choose_and_writes_beside_lines_is_there_too() -> None:
    """Labels of the choices at its top and of the legends, and the names that the process tells of itself."""
    board = json.loads(DASHBOARD.read_text())
    known = {one.name: {*one.labels, "instance", "job"} for one in vars(instruments).values() if _is_one(one)}
    chosen = [one["definition"] for one in board["templating"]["list"] if one["type"] == "query"]
    assert len(chosen) == 3
    for definition in chosen:
        found = re.fullmatch(r"label_values\((\w+)(?:\{.*\})?, (\w+)\)", definition)
        assert found, definition
        assert found[2] in known[found[1]], definition
    for target in board_targets():
        expression, legend = target["expr"], target.get("legendFormat", "")
        kept = {label for by in re.findall(r"by \(([^)]*)\)", expression) for label in re.split(r", *", by)}
        assert set(re.findall(r"\{\{ *(\w+) *\}\}", legend)) <= (kept or {"instance"}), (expression, legend)
    async with running(Reply(), settings='[telemetry.prometheus]\nlisten = "127.0.0.1:0"') as house:
        families = scraped(await metrics(house))
    asked = set(re.findall(r"\bprocess_[a-z_]+", " ".join(board_expressions())))
    assert asked
    assert asked <= {sample.name for family in families.values() for sample in family.samples}


def _is_one(value: Any) -> bool:
    return isinstance(value, Instrument)


async def test_what_is_scraped_has_what_the_page_lists() -> None:
    page = (Path(__file__).parents[1] / "docs" / "telemetry.md").read_text()
    known = [one for one in vars(instruments).values() if isinstance(one, Instrument)]
    for one in known:
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{one.name}`")]
        assert f"`{one.otel}`" in row
        assert all(f"`{label}`" in row for label in one.labels), row
    async with running(Reply(text="Hi"), settings='[telemetry.prometheus]\nlisten = "127.0.0.1:0"') as house:
        await house.post("/v1/chat/completions", CHAT)
        families = scraped(await metrics(house))
    assert {name for name in families if name.startswith(("trivium_", "gen_ai_"))} <= {
        one.name.removesuffix("_total") for one in known
    }
