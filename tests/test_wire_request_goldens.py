"""Whole requests in one piece: a rich conversation in each client's API, as unknown upstreams and the vendors' own
models get it through the other two.

`goldens/requests/API.json` is what the client says, `API-to-API-WHERE.json` what becomes of it, and what is lost. To
write the latter anew, and read the difference: `TRIVIUM_GOLDENS=write pytest tests/test_wire_request_goldens.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_requests import PARSE, C, M, R, without
from support_vendors import faults
from trivium.canon.api import Api
from trivium.canon.parts import Seal
from trivium.providers.traits import traits_of
from trivium.wire.body import members
from trivium.wire.chat.render import render as chat
from trivium.wire.destination import Destination, Wanted
from trivium.wire.envelope import close, origin_tag
from trivium.wire.losses import Losses
from trivium.wire.messages.render import render as messages
from trivium.wire.repair import repaired
from trivium.wire.request import Rendered
from trivium.wire.responses.render import render as responses
from trivium.wire.toolnames import ToolNames
from trivium.wire.translate import Translation

GOLDENS = Path(__file__).parent / "goldens" / "requests"
WRITE = os.environ.get("TRIVIUM_GOLDENS") == "write"
UPSTREAMS = {
    C: {"unknown": ("openai-compatible", "some-model"), "gpt-5.1": ("openai", "gpt-5.1")},
    R: {"unknown": ("openai-compatible", "some-model"), "gpt-5.1": ("openai", "gpt-5.1")},
    M: {
        "unknown": ("openai-compatible", "some-model"),
        "claude-sonnet-4-5": ("anthropic", "claude-sonnet-4-5"),
        "claude-opus-4-7": ("anthropic", "claude-opus-4-7"),
    },
}
SEALS = {
    C: Seal("detail", '{"format":"made-up-v1","signature":"c2lnbmVk","type":"reasoning.text"}'),
    R: Seal("encrypted", "ZW5jcnlwdGVk"),
    M: Seal("signature", "c2lnbmVk"),
}
"""What the upstream gave beside its reasoning, and gets back."""
REASONING = "Two cities, two calls."
PLACE = "SEALED BY THE UPSTREAM"
BEYOND = ("reasoning_details", "top_k")
"""What some Chat upstreams take beyond their API."""
WAYS = [
    pytest.param(source, to, where, id=f"{source.short}-to-{to.short}-{where}")
    for source in Api
    for to in Api
    if source is not to
    for where in UPSTREAMS[to]
]


def asked(source: Api, to: Api, where: str) -> bytes:
    """What the client sends, with our envelope for the upstream in it."""
    envelope = close(SEALS[to], origin_tag(*route(to, where)), REASONING)
    return (GOLDENS / f"{source.short}.json").read_text().replace(PLACE, json.dumps(envelope)[1:-1]).encode()


def route(to: Api, where: str) -> tuple[str, Api, str]:
    provider, model = UPSTREAMS[to][where]
    return provider, to, model


def translated(source: Api, to: Api, where: str) -> Rendered:
    provider, _, model = route(to, where)
    origin = origin_tag(*route(to, where))
    destination = Destination(api=to, model=model, traits=traits_of(provider, to, model), origin=origin)
    return Translation(source, destination, id="id", created=0).request(members(asked(source, to, where)))


def told(rendered: Rendered) -> Any:
    losses = [f"{loss.field}: {loss.why}" for loss in rendered.losses]
    return {"losses": losses, "body": json.loads(rendered.body)}


@pytest.mark.parametrize(("source", "to", "where"), WAYS)
def test_a_rich_request_as_an_upstream_gets_it(source: Api, to: Api, where: str) -> None:
    found = told(translated(source, to, where))
    path = GOLDENS / f"{source.short}-to-{to.short}-{where}.json"
    if WRITE:
        path.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text())
    assert faults(to, without(found["body"], BEYOND)) == []


@pytest.mark.parametrize(("source", "to", "where"), WAYS)
def test_the_same_again_is_the_same_bytes(source: Api, to: Api, where: str) -> None:
    """Or no prompt would ever be in a cache."""
    assert translated(source, to, where) == translated(source, to, where)


@pytest.mark.parametrize(("source", "to", "where"), WAYS)
def test_what_the_client_sent_is_not_edited(source: Api, to: Api, where: str) -> None:
    provider, _, model = route(to, where)
    found = members(asked(source, to, where))
    before = {name: bytes(raw) for name, raw in found.items()}
    destination = Destination(api=to, model=model, traits=traits_of(provider, to, model))
    first = Translation(source, destination, id="id", created=0).request(found)
    assert {name: bytes(raw) for name, raw in found.items()} == before
    assert Translation(source, destination, id="id", created=0).request(found) == first


def test_a_request_read_once_can_be_rendered_twice() -> None:
    """Values of the canon are left as they are, and what is in them, too."""
    for source in Api:
        read = PARSE[source](members((GOLDENS / f"{source.short}.json").read_bytes()), Losses())
        read = msgspec.structs.replace(read, turns=repaired(read.turns, Losses()))
        before = msgspec.json.encode(read)
        for api, render in ((C, chat), (R, responses), (M, messages)):
            wanted = [Wanted(Destination(api=api, model="m"), ToolNames(api), Losses()) for _ in range(2)]
            first, second = (msgspec.json.encode(render(read, one)) for one in wanted)
            assert first == second
            assert msgspec.json.encode(read) == before
