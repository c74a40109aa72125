"""Asking providers for their models, and bearing what they answer."""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trivium.canon.api import Api
from trivium.clock import SystemClock
from trivium.errors import UpstreamUnreachable
from trivium.metering.listing import listed_limits
from trivium.metering.sheet import read_price
from trivium.operations.discover import ask
from trivium.operations.lists import Lists, ModelLists, Refresh
from trivium.operations.table import OPERATOR
from trivium.providers.provider import Provider
from trivium.routing.catalog import ModelEntry, catalog
from trivium.server.models import anthropic_list
from trivium.store.lists import ListFiles
from trivium.upstream.client import Headers, UpstreamRequest, UpstreamResponse


class Answer:
    """A response in two pieces."""

    def __init__(self, body: bytes, status: int = 200) -> None:
        self.status = status
        self.headers: Headers = []
        self.closed = False
        self._pieces: Iterator[bytes] = iter((body[:7], body[7:], b""))

    async def read(self) -> bytes:
        return next(filter(None, self._pieces), b"")

    def close(self) -> None:
        self.closed = True


class Vendors:
    """A client whose upstreams answer by host: bytes, a status, or an error."""

    def __init__(self, **answers: bytes | int | Exception) -> None:
        self._answers = answers
        self.asked: list[UpstreamRequest] = []
        self.given: list[Answer] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        answer = self._answers[request.url.split("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        self.given.append(Answer(listing({"id": "m"}), answer) if isinstance(answer, int) else Answer(answer))
        return self.given[-1]

    async def close(self) -> None:
        pass


def vendor(name: str, **fields: Any) -> Provider:
    return Provider(name=name, base_url=f"http://{name}/v1", apis=frozenset(Api), **fields)


def listing(*entries: Any) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


async def discover(client: Vendors, providers: Iterable[Provider]) -> Lists:
    """What a first look brings."""

    async def learned() -> None:
        pass

    with tempfile.TemporaryDirectory() as folder:
        lists = ModelLists(client, ListFiles(Path(folder) / "lists"), SystemClock(), learned)
        lists.commit(await lists.plan(providers), 3600)
        await lists.table["catalog.refresh"].act(Refresh(), OPERATOR)
        return lists.known


async def told(body: bytes) -> Lists:
    return await discover(Vendors(a=body), [vendor("a")])


async def test_those_without_configured_models_are_asked_with_their_credential() -> None:
    client = Vendors(a=listing({"id": "m"}), c=listing({"id": "n"}))
    key = (b"x-api-key", b"sk-1")
    configured, inside = vendor("b", models=("x",)), vendor("local", embedded=True)
    paged = vendor("c", headers=(key,), list_path="/models?limit=1000")
    found = await discover(client, [vendor("a"), configured, inside, paged, vendor("d", list_path=None)])
    assert {name: [entry.id for entry in entries] for name, entries in found.items()} == {"a": ["m"], "c": ["n"]}
    assert [(asked.method, asked.url) for asked in client.asked] == [
        ("GET", "http://a/v1/models"),
        ("GET", "http://c/v1/models?limit=1000"),
    ]
    assert key in client.asked[1].headers
    assert key not in client.asked[0].headers
    assert all(answer.closed for answer in client.given)


async def test_both_shapes_of_a_list_are_read() -> None:
    openai = {"id": "gpt-x", "object": "model", "created": 1700000000, "owned_by": "somebody"}
    anthropic = {"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": "2026-01-01T00:00:00Z"}
    assert (await told(listing(openai, anthropic)))["a"] == (
        ModelEntry("gpt-x", "a", 1700000000, None),
        ModelEntry("claude-x", "a", 1767225600, "Claude X"),
    )


@pytest.mark.parametrize(
    "answer",
    [
        UpstreamUnreachable("gone"),
        401,
        404,
        500,
        b"",
        b"<html>",
        b"[]",
        b"null",
        b'{"data":{}}',
        b'{"data":null}',
        b'{"error":"no"}',
        b'{"data":[{"id":"m"}',
        b'{"data":[{"id":"\xff"}]}',
    ],
)
async def test_one_that_does_not_answer_in_good_order_is_left_out_and_the_others_are_not(
    answer: bytes | int | Exception,
) -> None:
    client = Vendors(a=answer, b=listing({"id": "m"}))
    assert list(await discover(client, [vendor("a"), vendor("b")])) == ["b"]
    assert all(response.closed for response in client.given)


async def test_an_array_of_models_is_a_list_too() -> None:
    assert [entry.id for entry in (await told(b'[{"id":"a"},{"id":"b"}]'))["a"]] == ["a", "b"]


async def test_ids_are_told_as_calls_name_them() -> None:
    client = Vendors(a=listing({"id": "models/gemini-x"}, {"id": "other"}))
    found = await discover(client, [vendor("a", list_prefix="models/", query="api-version=1")])
    assert [entry.id for entry in found["a"]] == ["gemini-x", "other"]
    assert client.asked[0].url == "http://a/v1/models?api-version=1"


async def test_what_a_list_tells_of_prices_and_limits_is_read() -> None:
    openrouter = {
        "id": "x/y",
        "pricing": {"prompt": "0.000003", "completion": "0.000015"},
        "context_length": 1000,
        "top_provider": {"max_completion_tokens": 64},
    }
    anthropic = {"id": "claude-x", "max_input_tokens": 2000, "max_tokens": 128}
    first, second = (await told(listing(openrouter, anthropic)))["a"]
    assert first == ModelEntry(
        "x/y", "a", price=read_price({"input": 3, "output": 15}), context=1000, output_limit=64
    )  # fmt: skip
    assert second == ModelEntry("claude-x", "a", context=2000, output_limit=128)


@pytest.mark.parametrize(
    "odd",
    [
        {"pricing": {"prompt": "-1", "completion": "-1"}}, {"pricing": {"prompt": "NaN", "completion": "1"}},
        {"pricing": [1]}, {"pricing": {"prompt": {"a": [1]}}}, {"context_length": "many"}, {"top_provider": 3},
        {"context_length": -1, "max_tokens": 10**40},
    ],
)  # fmt: skip
async def test_hostile_prices_and_limits_are_none(odd: dict[str, Any]) -> None:
    assert (await told(listing({"id": "m", **odd})))["a"] == (ModelEntry("m", "a"),)


async def test_of_a_server_that_a_user_named_little_is_read_and_few_models_are_kept() -> None:
    many = listing(*({"id": f"m{n}"} for n in range(1_500)))
    short = await discover(Vendors(a=many, b=many), [vendor("a", guarded=True), vendor("b")])
    assert {name: len(entries) for name, entries in short.items()} == {"a": 1_000, "b": 1_500}
    long = listing({"id": "m", "description": "x" * 1_100_000}, {"id": "n"})
    assert list(await discover(Vendors(a=long, b=long), [vendor("a", guarded=True), vendor("b")])) == ["b"]


async def test_no_more_is_read_of_a_list_without_end() -> None:
    class Endless(Answer):
        given = 0

        async def read(self) -> bytes:
            self.given += 65_536
            return b" " * 65_536

    class Client(Vendors):
        async def send(self, request: UpstreamRequest) -> UpstreamResponse:
            self.given.append(Endless(b""))
            return self.given[-1]

    client = Client()
    assert await discover(client, [vendor("a"), vendor("b", guarded=True)]) == {}
    house, users = sorted((answer.given for answer in client.given if isinstance(answer, Endless)), reverse=True)
    assert 8_000_000 < house < 9_000_000
    assert 1_000_000 < users < 1_200_000
    assert all(answer.closed for answer in client.given)


async def test_a_list_is_read_off_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    def noted(entry: dict[str, Any]) -> Any:
        threads.append(threading.current_thread())
        return listed_limits(entry)

    monkeypatch.setattr("trivium.operations.discover.listed_limits", noted)
    assert await told(listing({"id": "m"})) == {"a": (ModelEntry("m", "a"),)}
    assert threads
    assert threading.main_thread() not in threads


async def test_an_entry_of_excessive_length_is_passed_over() -> None:
    assert (await told(listing({"id": "m", "description": "x" * 70_000}, {"id": "n"})))["a"] == (ModelEntry("n", "a"),)


async def test_a_provider_without_models_has_told_so() -> None:
    assert await told(listing()) == {"a": ()}


async def test_entries_that_are_none_are_passed_over() -> None:
    odd: tuple[Any, ...] = (None, 3, "m", [], {}, {"id": ""}, {"id": None}, {"name": "x"})
    body = listing(*odd, {"id": "m", "created": "yesterday", "name": 3})
    assert (await told(body))["a"] == (ModelEntry("m", "a", 0, None),)


@pytest.mark.parametrize(
    "odd",
    [
        r'{"id":"odd","description":"cut \ud83d"}',
        '{"id":"odd","description":"\x01"}',
        '{"id":"odd","n":NaN}',
        '{"id":"odd","n":1e400}',
        f'{{"id":"odd","n":{"9" * 5_000}}}',
        '{"id":"odd","description":"\udcff"}',
    ],
)
async def test_a_model_that_is_oddly_written_costs_no_other_one_or_its_price(odd: str) -> None:
    good = '{"id":"m","pricing":{"prompt":"0.000001","completion":0.000002}}'
    body = f'{{"data":[{good},{odd}]}}'.encode("utf-8", "surrogateescape")
    assert (await told(body))["a"][0] == ModelEntry("m", "a", price=read_price({"input": 1, "output": 2}))


async def test_what_cannot_be_read_of_a_list_is_said(caplog: pytest.LogCaptureFixture) -> None:
    found = await told(b'{"data":[{"id":"m"},{"id":"odd","n":1e400},{"id":"odd","n":-1e400}]}')
    assert [entry.id for entry in found["a"]] == ["m"]
    assert "a: 2 models of its list cannot be read, the first is number 2: Number out of range" in caplog.text


async def test_nesting_without_end_is_no_list() -> None:
    client = Vendors(a=b'{"data":' + b"[" * 100_000, b=listing({"id": "m"}))
    found: Lists = {}
    with contextlib.suppress(RecursionError):
        found = await discover(client, [vendor("a"), vendor("b")])
    assert list(found) == ["b"]


@pytest.mark.parametrize("created", [1_700_000_000_000, 10**30, -(10**15), True])
async def test_a_creation_date_that_is_none_spoils_no_list(created: int) -> None:
    found = await told(listing({"id": "m", "created": created}))
    assert found["a"][0].created in (0, 1_700_000_000)
    where = catalog([vendor("a")], {}, found)
    entries = [entry for entry, _ in where.entries()]
    models = [{"id": entry.id, "created": entry.created, "top_provider": {}} for entry in entries]
    assert json.loads(anthropic_list(models, entries, b""))["data"][0]["created_at"]


async def test_what_a_model_takes_and_knows_is_kept_where_it_is_told() -> None:
    told_by_openrouter = {
        "architecture": {"input_modalities": ["text", "image", 7], "output_modalities": ["text"]},
        "supported_parameters": ["tools", "x" * 300, "reasoning"],
    }
    odd = {"architecture": ["text"], "supported_parameters": {"tools": True}}
    many = {"supported_parameters": ["a"] * 101}
    rich, plain, strange, long = (
        await told(listing({"id": "m", **told_by_openrouter}, {"id": "n"}, {"id": "o", **odd}, {"id": "p", **many}))
    )["a"]
    assert (rich.takes, rich.gives, rich.parameters) == (("text", "image"), ("text",), ("tools", "reasoning"))
    for entry in (plain, strange, long):
        assert (entry.takes, entry.gives, entry.parameters) == ((), (), None)


@pytest.mark.parametrize("id", [{"a": 1}, 7, "x" * 100_000, "m\n\x1b[31m", " m"])
async def test_an_id_that_is_no_name_is_passed_over(id: Any) -> None:
    assert (await told(listing({"id": id}, {"id": "m"})))["a"] == (ModelEntry("m", "a"),)


async def test_a_list_that_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dripping(Answer):
        async def read(self) -> bytes:
            await asyncio.sleep(0.001)
            return b" "

    class Client(Vendors):
        async def send(self, request: UpstreamRequest) -> UpstreamResponse:
            self.given.append(Dripping(b""))
            return self.given[-1]

    monkeypatch.setattr("trivium.operations.discover._PATIENCE", 0.05)
    client = Client()
    async with asyncio.timeout(30):
        with pytest.raises(ValueError, match="takes longer than"):
            await ask(client, vendor("a"))
    assert client.given[0].closed


async def test_a_silent_provider_does_not_keep_the_others_waiting() -> None:
    all_asked = asyncio.Event()

    class Waiting(Vendors):
        async def send(self, request: UpstreamRequest) -> UpstreamResponse:
            answer = await super().send(request)
            if len(self.asked) == 2:
                all_asked.set()
            await all_asked.wait()
            return answer

    async with asyncio.timeout(30):
        found = await discover(Waiting(a=listing({"id": "m"}), b=500), [vendor("a"), vendor("b")])
    assert list(found) == ["a"]


async def test_vercels_tags_tell_what_a_model_takes_and_can() -> None:
    vercel = {
        "id": "openai/gpt-x", "object": "model", "created": 1_755_815_280, "owned_by": "openai", "name": "GPT-X",
        "context_window": 400_000, "max_tokens": 128_000, "type": "language",
        "tags": ["file-input", "implicit-caching", "reasoning", "tool-use", "vision"],
        "pricing": {"input": "0.00000125", "output": "0.00001", "input_cache_read": "0.000000125"},
    }  # fmt: skip
    plain = {"id": "p", "type": "language", "tags": ["implicit-caching"], "modalities": {"input": ["text", "audio"]}}
    picture = {"id": "i", "type": "image", "tags": ["vision"]}
    rich, some, drawn = (await told(listing(vercel, plain, picture)))["a"]
    assert rich == ModelEntry(
        "openai/gpt-x", "a", created=1_755_815_280, display_name="GPT-X",
        price=read_price({"input": "1.25", "output": 10, "cache_read": "0.125"}), context=400_000,
        output_limit=128_000, takes=("text", "image", "file"), parameters=("tools", "reasoning"),
    )  # fmt: skip
    assert (some.takes, some.parameters) == (("text", "audio"), None)
    assert (drawn.takes, drawn.parameters) == ((), None)


async def test_anthropics_capabilities_tell_what_a_model_takes() -> None:
    can = {"image_input": {"supported": True}, "pdf_input": {"supported": False}, "thinking": [1]}
    sees, odd = (await told(listing({"id": "c", "capabilities": can}, {"id": "d", "capabilities": ["x"]})))["a"]
    assert (sees.takes, odd.takes) == (("text", "image"), ())


@pytest.mark.parametrize(
    "date", ["2026-02-30T00:00:00Z", "yesterday", "2026-01-01", "0001-01-01T00:00:00+14:00", 7, "9" * 60]
)
async def test_a_date_that_is_none_spoils_no_list(date: Any) -> None:
    assert (await told(listing({"id": "m", "created_at": date})))["a"] == (ModelEntry("m", "a"),)


RECORDED = Path(__file__).parents[2] / "shared" / "wire" / "recordings" / "models"


@pytest.mark.skipif(not RECORDED.exists(), reason="needs the recordings of lists of models, which are kept elsewhere")
@pytest.mark.parametrize("vendor_name", ["openrouter", "anthropic"])
async def test_recorded_lists_are_read_with_what_they_tell(vendor_name: str) -> None:
    for file in sorted((RECORDED / vendor_name).glob("*/response.json")):
        said = json.loads(file.read_bytes())["data"]
        found = (await told(file.read_bytes()))["a"]
        assert [entry.id for entry in found] == [entry["id"] for entry in said]
        for entry in found:
            assert entry.created > 1_600_000_000
            assert entry.display_name
            assert entry.context
            assert entry.output_limit
            assert "text" in entry.takes
            assert (entry.price is not None) == (vendor_name == "openrouter")
            assert (entry.parameters is not None) == (vendor_name == "openrouter")
