"""Plays all features in all directions through one gateway to one scripted upstream.

The gateway knows the upstream under several names, one for each kind of provider and API, so that what it takes for
granted of them shows. A cell is named by the model it asks for, by which its requests are found again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec

from conformance.answers import assembled
from conformance.feature import APIS, DONE, C, Feature, M, R
from conformance.replay import goes_on
from gateway import Running, running
from trivium.canon.api import Api
from trivium.mock import Error, Match, Recorded, Reply, Rule, Script, ScriptedUpstream

Json = dict[str, Any]
Direction = tuple[Api, Api]
"""The client's API and the upstream's."""

DIRECTIONS: tuple[Direction, ...] = tuple((client, upstream) for client in APIS for upstream in APIS)
_GPT, _GPT_5 = ("openai", "gpt-4.1"), ("openai", "gpt-5.1")
_ROUTED = ("openrouter", "anthropic/claude-sonnet-4.5")
UPSTREAMS: Mapping[str, Mapping[Api, tuple[str, str]]] = {
    "owners": {C: _GPT, R: _GPT, M: ("anthropic", "claude-sonnet-4-5")},
    "thinkers": {C: _GPT_5, R: _GPT_5, M: ("anthropic", "claude-opus-4-6")},
    "older": {C: _GPT, R: _GPT, M: ("anthropic", "claude-3-7-sonnet-latest")},
    "openrouter": {C: _ROUTED, R: _ROUTED, M: _ROUTED},
    "strangers": {
        C: ("openai-compatible", "llama-3.1-8b"),
        R: ("openai-compatible", "llama-3.1-8b"),
        M: ("anthropic-compatible", "llama-3.1-8b"),
    },
}
"""Who answers: the type of the provider, which decides what it is thought to take, and the model."""

SIMPLEST: Mapping[Api, Json] = {
    C: {"messages": [{"role": "user", "content": "hi"}]},
    R: {"input": [{"role": "user", "content": "hi"}]},
    M: {"max_tokens": 50_000, "messages": [{"role": "user", "content": "hi"}]},
}
_PATHS = {C: "/v1/chat/completions", R: "/v1/responses", M: "/v1/messages"}
_COUNT_PATHS = {R: "/v1/responses/input_tokens", M: "/v1/messages/count_tokens"}
_PINGS = {C: ": keep-alive\n", R: ": keep-alive\n", M: "event: ping\n"}
_SILENCE = 0.1
"""Seconds after which the gateway says that it is still there."""
_AT_ONCE = 12


class Told(NamedTuple):
    """What a client sent and got."""

    sent: bytes
    status: int
    raw: bytes
    body: Json
    """The answer as a whole one; what HTTP said besides is its `http`."""
    id: str
    """The gateway's, of the request."""


class Seen(NamedTuple):
    """One request of a client, and all that is known of it afterwards."""

    told: Told
    upstream: Recorded | None
    """None: nothing reached it."""
    losses: list[tuple[str, str]]


class _Client:
    """Asks the gateway, as a client of any API."""

    def __init__(self, house: Running, session: aiohttp.ClientSession) -> None:
        self._house = house
        self._session = session

    async def ask(self, api: Api, path: str, body: Json) -> Told:
        sent = msgspec.json.encode(body)
        headers = {"authorization": f"Bearer {self._house.key}", "content-type": "application/json"}
        async with self._session.post(self._house.url + path, data=sent, headers=headers) as response:
            raw = await response.read()
            text = raw.decode()
            streamed = response.content_type == "text/event-stream"
            whole = assembled(api, text) if streamed else _parsed(raw)
            http = {"status": response.status, "streamed": streamed, "pinged": _PINGS[api] in text}
            named = {name.lower(): value for name, value in response.headers.items()}
            return Told(sent, response.status, raw, {**whole, "http": http | named}, named["x-trivium-request-id"])


def _parsed(raw: bytes) -> Json:
    try:
        said: Json = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return {"text": raw.decode()}
    return said


def directions(feature: Feature) -> Iterator[Direction]:
    """Those in which both sides have words for it."""
    for client, upstream in DIRECTIONS:
        if has_words(feature.asks, client) and has_words(feature.reply, upstream):
            yield client, upstream


def has_words(said: Any, api: Api) -> bool:
    return not isinstance(said, Mapping) or not said or api in said


Cell = tuple[int, Direction, str]
"""A feature by its place, a direction, a way."""


async def play(features: list[Feature]) -> dict[Cell, list[Seen]]:
    """What was seen in each cell where there is something to be asked: a request, and the one that goes on from it."""
    async with ScriptedUpstream(_script(features)) as upstream:
        settings = f"[server]\nstream_keep_alive = {_SILENCE}\n{_providers(upstream.url)}"
        async with running(settings=settings) as house, aiohttp.ClientSession() as session:
            client, gate = _Client(house, session), asyncio.Semaphore(_AT_ONCE)
            cells = [
                (place, direction, way)
                for place, feature in enumerate(features)
                for direction in directions(feature)
                for way in feature.ways
            ]
            asked = [_converse(client, features[cell[0]], cell, gate) for cell in cells]
            told = await asyncio.gather(*asked)
            records = {record["id"]: record for record in await house.records()}
        arrived: dict[str, list[Recorded]] = {}
        for request in upstream.requests:
            if isinstance(request.json, dict):
                arrived.setdefault(request.json["model"], []).append(request)
    return {cell: list(_seen(said, records, arrived)) for cell, said in zip(cells, told, strict=True)}


async def _converse(client: _Client, feature: Feature, cell: Cell, gate: asyncio.Semaphore) -> list[Told]:
    api, way = cell[1][0], cell[2]
    path = _COUNT_PATHS[api] if feature.counts else _PATHS[api]
    streaming: Json = {}
    if way == "stream":
        streaming = {"stream": True} | ({"stream_options": {"include_usage": True}} if api is C else {})
    body = {"model": model_of(feature, cell), **SIMPLEST[api], **feature.asks.get(api, {}), **streaming}
    async with gate:
        told = [await client.ask(api, path, body)]
        if feature.returned is not None and told[0].status == 200:
            told.append(await client.ask(api, path, goes_on(api, body, told[0].body)))
    return told


def model_of(feature: Feature, cell: Cell, *, full: bool = True) -> str:
    """The model that a cell asks for, by the name of the provider (`full`), or as the upstream knows it."""
    place, (client, upstream), way = cell
    kind, model = UPSTREAMS[feature.upstreams][upstream]
    suffix = f"{_mark(place)}{client.short}.{upstream.short}.{way}"
    return f"{_provider(kind, upstream)}/{model}{suffix}" if full else model + suffix


def _mark(place: int) -> str:
    return f"~{place}."


def _provider(kind: str, api: Api) -> str:
    return f"{kind}-{api.short}"


def _providers(url: str) -> str:
    kinds = {(kind, api) for row in UPSTREAMS.values() for api, (kind, _) in row.items()}
    return "\n".join(
        f'[providers.{_provider(kind, api)}]\ntype = "{kind}"\nbase_url = "{url}/v1"\nkey = "k"\napis = ["{api.short}"]'
        for kind, api in sorted(kinds)
    )


def _script(features: list[Feature]) -> Script:
    """Of past calls no record is kept that would have to be waited for."""
    forgetful = Rule(Reply(error=Error(message="no records here"), status=400), Match(path="*/generation"))
    return Script([forgetful, *(rule for place, feature in enumerate(features) for rule in _rules(place, feature))])


def _rules(place: int, feature: Feature) -> Iterator[Rule]:
    model = f"*{_mark(place)}*"
    if feature.returned is not None:
        yield Rule(Reply(text=DONE), Match(model=model, turn=2))
    replies = feature.reply if isinstance(feature.reply, Mapping) else dict.fromkeys(APIS, feature.reply)
    for api, reply in replies.items():
        yield Rule(reply, Match(model=model, api=_DIALECTS[api], path="*_tokens" if feature.counts else None))


_DIALECTS: dict[Api, Any] = {api: api.short for api in APIS}


def _seen(told: list[Told], records: dict[str, Json], arrived: dict[str, list[Recorded]]) -> Iterator[Seen]:
    for place, one in enumerate(told):
        record = records[one.id]
        there = arrived.get(record["upstream_model"] or "", [])[place : place + 1]
        losses = [(field, why) for field, why in msgspec.json.decode(record["losses"] or "[]")]
        if record["operation"] == "count_tokens" and "estimated" in record["flags"].split():
            losses.append(("answer.input_tokens", "an estimate, and marked as one: this upstream cannot count"))
        yield Seen(told=one, upstream=there[0] if there else None, losses=losses)
