"""Every row of the table of providers, as an operator configures it, with what such a provider was recorded to answer:
clients of all three APIs read the same answer, and the record has its tokens.

Where there is no public recording the answer is composed after the vendor's documentation (`support_providers`), and a
test says where that is. What the project's own recordings say was read off by eye (`support_recordings`), so that these
hold the decoders as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

import pytest

from gateway import CALLS, Running, running
from support_answers import called, spoken, thought
from support_providers import DOCUMENTED, RECORDED, RECORDINGS, Played, plays
from support_recordings import FIM, FOLDER, KEPT, Facts
from support_sdks import recorded as tokens
from support_solo import FIM as GAPS
from support_solo import gap
from trivium.canon.api import Api
from trivium.canon.fold import Answer, fold
from trivium.mock import Match, Reply, Rule
from trivium.operations.wire import read_capture
from trivium.providers.rows import ROWS
from trivium.wire.codec import decode_answer, decode_stream
from trivium.wire.errors import is_native
from trivium.wire.overlong import overlong

SETTINGS = {
    "vertex": "project = 'my-project'",
    "azure-deployments": "api_version = '2024-10-21'",
}
KEYLESS = {name for name, row in ROWS.items() if row.key_env is None}
PATHS = {Api.CHAT: "/chat/completions", Api.RESPONSES: "/responses", Api.MESSAGES: "/messages"}
WHERE = {
    "bedrock": ("/model/{model}/invoke", "/model/{model}/invoke-with-response-stream"),
    "vertex": tuple(
        "/projects/my-project/locations/global/publishers/anthropic/models/{model}:" + verb
        for verb in ("rawPredict", "streamRawPredict")
    ),
    "azure-deployments": ("/deployments/{model}/chat/completions",) * 2,
}
"""Paths of rows that have their own, whole and streamed."""


@contextlib.asynccontextmanager
async def configured(kind: str, played: list[Played]) -> AsyncIterator[Running]:
    """The gateway with the row as the provider `p`, whose server answers each model with its recording."""
    rules = [Rule(one.reply(), Match(path=_pattern(kind, one))) for one in played] if kind in WHERE else []
    rules += [Rule(one.reply(), Match(path="*", model=one.model)) for one in played if kind not in WHERE]
    rules.append(Rule(Reply(status=400), Match(path="*/generation")))
    key = "" if kind in KEYLESS else "key = 'sk-of-the-house'\n"
    price = '[models."p/*"]\nprice = { input = 1, output = 2, cache_read = 0.1 }\n'
    apis = {one.api.short for one in played}
    told = f"type = '{kind}'\n{key}{SETTINGS.get(kind, '')}\napis = {sorted(apis)}"
    async with running(*rules, name="p", settings=price, provider=told) as house:
        yield house


def _pattern(kind: str, one: Played) -> str:
    return f"*{WHERE[kind][one.stream].replace('{model}', one.model)}"


async def record_of(house: Running, headers: dict[str, str]) -> dict[str, Any]:
    """Of the call; it may come late, where the provider was asked for its own record first."""
    async with asyncio.timeout(30):
        while True:
            for record in await house.records():
                if record["id"] == headers["x-trivium-request-id"]:
                    return record
            await asyncio.sleep(0.02)


def answer_of(api: Api, said: Any, *, stream: bool) -> Answer:
    """What a client reads."""
    if stream:
        return fold(decode_stream(api, said.encode()))
    return fold(decode_answer(api, json.dumps(said).encode()))


def calls(model: str, *, stream: bool) -> list[tuple[Api, str, dict[str, Any]]]:
    told = {"stream_options": {"include_usage": True}}
    return [
        (api, path, {**body, "model": f"p/{model}", "stream": stream, **(told if stream and api is Api.CHAT else {})})
        for api, (path, body) in zip((Api.CHAT, Api.RESPONSES, Api.MESSAGES), CALLS, strict=True)
    ]


@pytest.mark.parametrize("kind", ROWS)
async def test_clients_of_all_apis_read_what_the_provider_says(kind: str) -> None:
    played = plays(kind)
    for api in {one.api for one in played}:
        good = [one for one in played if one.api is api and one.status < 300]
        async with configured(kind, good) as house:
            for one in good:
                expected = read_capture(one.data, one.api, one.counted_as or kind)
                if one.facts is not None:
                    says(one.facts, expected)
                for client, path, body in calls(one.model, stream=one.stream):
                    status, said, headers = await house.post(path, body)
                    record = await record_of(house, headers)
                    agree(expected, status, said, client, one, record, kind)
                    if one.facts is not None:
                        charged(one.facts, record)
                        if client is one.api:
                            assert answer_of(client, said, stream=one.stream).id == one.facts.id


def says(facts: Facts, answer: Answer) -> None:
    usage = answer.usage
    assert usage is not None
    assert (answer.id, answer.native_finish) == (facts.id, facts.finish)
    assert_begins(answer.text, facts.text)
    assert_begins(answer.reasoning, facts.thought)
    assert called(answer) == ([facts.call] if facts.call else [])
    assert (usage.input, usage.cache_read, usage.output) == (facts.input, facts.cached, facts.output)


def assert_begins(said: str, told: str) -> None:
    """`told` is all of it, or its beginning."""
    assert said.startswith(told[:-3]) if told.endswith("...") else said == told


def charged(facts: Facts, record: dict[str, Any]) -> None:
    """The record has the same figures, at the price of `configured`."""
    assert (record["native_finish_reason"], record["reasoning_tokens"]) == (facts.finish, facts.reasoning)
    assert record["cost_nano"] == 1000 * (facts.input - facts.cached) + 100 * facts.cached + 2000 * facts.output


def agree(
    expected: Answer, status: int, said: Any, client: Api, one: Played, record: dict[str, Any], kind: str
) -> None:
    where = (kind, one.name, client)
    if expected.error is not None:
        assert record["outcome"] != "success", where
        return
    assert status == 200, (where, said)
    found = answer_of(client, said, stream=one.stream)
    assert (spoken(found), thought(found), called(found)) == (
        spoken(expected, client=client), thought(expected), called(expected)
    ), where  # fmt: skip
    usage = expected.usage
    if usage is None:
        return
    assert tokens(record) == (usage.input, usage.cache_read, usage.output), where
    is_told = ROWS[kind].reports_cost and usage.reported_cost is not None
    assert record["cost_source"] == ("reported" if is_told else "computed"), where
    assert (record["provider"], record["outcome"]) == ("p", "success"), where


@pytest.mark.parametrize("kind", ROWS)
async def test_its_errors_reach_clients_in_their_own_shape(kind: str) -> None:
    bad = [one for one in plays(kind) if one.status >= 400]
    for api in {one.api for one in bad}:
        some = [one for one in bad if one.api is api]
        async with configured(kind, some) as house:
            for one in some:
                told = read_capture(one.data, one.api, kind).error
                for client, path, body in calls(one.model, stream=one.stream):
                    status, said, _ = await house.post(path, body)
                    assert is_native(client, json.dumps(said).encode()), (kind, one.name, client)
                    record = (await house.records())[0]
                    bad_key = ROWS[kind].bad_key
                    if one.status in (401, 402, 403) or (bad_key and re.search(bad_key, one.data)):
                        # The house's own credential is its operator's business.
                        assert (status, record["upstream_status"]) == (503, one.status)
                        assert "sk-of-the-house" not in json.dumps(said)
                    elif one.status == 500 and ROWS[kind].bad_request and re.search(ROWS[kind].bad_request, one.data):
                        assert (status, record["upstream_status"]) == (400, 500)
                    else:
                        assert status == one.status
                        if client is one.api and is_native(client, one.data):
                            assert said == json.loads(one.data)
                        # One that is too long is told in numbers, in the words that agents look for.
                        elif told is not None and overlong(told, one.status) is None:
                            assert told.message in said["error"]["message"]


@pytest.mark.parametrize("kind", [kind for kind in ROWS if kind not in KEYLESS])
async def test_it_is_called_at_its_path_with_its_credential(kind: str) -> None:
    one = next(one for one in plays(kind) if one.status < 300)
    async with configured(kind, [one]) as house:
        path, body = next((path, body) for api, path, body in calls(one.model, stream=one.stream) if api is one.api)
        await house.post(path, body)
        (asked,) = house.upstream.requests
    headers = {name.lower(): value for name, value in asked.headers}
    auth = {
        "bearer": ("authorization", "Bearer sk-of-the-house"),
        "api-key": ("api-key", "sk-of-the-house"),
        "x-api-key": ("x-api-key", "sk-of-the-house"),
    }[ROWS[kind].doors[0].auth]
    assert headers[auth[0]] == auth[1]
    assert sum(name in headers for name in ("authorization", "api-key", "x-api-key")) == 1
    called_at = unquote(asked.path)
    if kind in WHERE:
        assert fnmatchcase(called_at, _pattern(kind, one))
    else:
        assert called_at == "/v1" + PATHS[one.api]
        assert json.loads(asked.body)["model"] == one.model


@pytest.mark.parametrize("kind", ["mistral", "codestral"])
async def test_what_fills_in_the_middle_reads_and_is_charged_as_recorded(kind: str) -> None:
    facts, provider = FIM.facts, f"type = '{kind}'\nkey = 'sk-of-the-house'\nmodels = ['codestral-2501']"
    assert facts is not None
    price = '[models."p/*"]\nprice = { input = 1, output = 2, cache_read = 0.1 }\n'
    async with running(Reply(file=str(FIM.path)), name="p", settings=price, provider=provider) as house:
        status, said, _ = await house.post(GAPS, gap("mistralai/codestral-2501"))
        record = await house.record()
        (asked,) = house.upstream.requests
    assert (status, said, asked.path) == (200, json.loads(FIM.path.read_bytes()), "/v1/fim/completions")
    assert_begins(said["choices"][0]["message"]["content"], facts.text)
    assert (record["input_uncached_tokens"], record["output_tokens"]) == (facts.input, facts.output)
    charged(facts, record)


async def test_an_error_that_minimax_says_under_200_is_one() -> None:
    said = {"id": "1", "choices": None, "usage": {"total_tokens": 0}, "base_resp": {"status_code": 1002}}
    refused = Played(name="refused", api=Api.CHAT, data=json.dumps(said).encode())
    async with configured("minimax", [refused]) as house:
        for client, path, body in calls(refused.model, stream=False):
            status, told, _ = await house.post(path, body)
            record = (await house.records())[0]
            if client is Api.CHAT:
                assert (status, told) == (200, said)  # untouched, as all that a client's own API says
            else:
                assert (status, is_native(client, json.dumps(told).encode())) == (429, True)
            assert (record["outcome"], record["cost_nano"]) == ("failed", 0)


def test_every_row_has_an_answer_to_be_tried_with() -> None:
    for kind in ROWS:
        assert kind in DOCUMENTED or kind in RECORDED or plays(kind)


def test_a_row_whose_answers_are_all_composed_is_one_of_which_no_recording_is_public() -> None:
    if not RECORDINGS.exists():
        pytest.skip("no recordings at ../shared/wire")
    assert [kind for kind in ROWS if not any(one.recorded for one in plays(kind))] == list(DOCUMENTED)


def test_each_recording_has_its_source_beside_it() -> None:
    told = (FOLDER / "README.md").read_text()
    kept = [path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*") if path.name != "README.md"]
    assert sorted(kept) == sorted(re.findall(r"^\| `([^`]+)` \|", told, re.MULTILINE))
    assert {one.file for some in KEPT.values() for one in some} | {FIM.file} == set(kept)
