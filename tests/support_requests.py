"""Requests on their way between APIs: read into the canon, rendered for an upstream, and held against the judge."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from support_vendors import faults
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.canon.request import Request
from trivium.canon.traits import Traits
from trivium.errors import RequestError
from trivium.providers.traits import traits_of
from trivium.wire.body import members
from trivium.wire.chat.request import parse as parse_chat
from trivium.wire.destination import Destination
from trivium.wire.losses import Losses
from trivium.wire.messages.request import parse as parse_messages
from trivium.wire.responses.request import parse as parse_responses
from trivium.wire.translate import Translation

C, R, M = Api.CHAT, Api.RESPONSES, Api.MESSAGES
PARSE = {C: parse_chat, R: parse_responses, M: parse_messages}
ORIGIN = "the-origin"
"""The tag of the upstream that these requests go to."""
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQK"
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"], "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"q": {"type": "string"}}}


class Sent(msgspec.Struct, frozen=True):
    body: Any
    losses: dict[str, str]
    """By field: why."""

    @property
    def lost(self) -> list[str]:
        return list(self.losses)


def data(body: Body) -> bytes:
    return json.dumps({"model": "m", **body}).encode()


def read(api: Api, body: Body) -> tuple[Request, list[str]]:
    """What the canon makes of a request, and the fields that are lost."""
    losses = Losses()
    told = PARSE[api](members(data(body)), losses)
    return told, [loss.field for loss in losses.told()]


def refused(api: Api, body: Body, error: type[RequestError]) -> str | None:
    """The field that the error of a request names."""
    with pytest.raises(error) as raised:
        read(api, body)
    assert raised.value.param
    assert f"`{raised.value.param}" in raised.value.message
    return raised.value.param


def render(source: Api, to: Api, body: Body, traits: Traits | None = None, model: str = "m") -> Sent:
    where = Destination(api=to, model=model, traits=traits or Traits(), origin=ORIGIN)
    rendered = Translation(source, where, id="id", created=0).request(members(data(body)))
    losses: dict[str, str] = {}
    for loss in rendered.losses:
        losses[loss.field] = f"{losses[loss.field]}; {loss.why}" if loss.field in losses else loss.why
    return Sent(json.loads(rendered.body), losses)


def send(
    source: Api, to: Api, body: Body, traits: Traits | None = None, *, model: str = "m", beyond: tuple[str, ...] = ()
) -> Sent:
    """The request as an upstream gets it, and the judge has nothing against it.

    `beyond` are the keys by which the upstream goes beyond the API of the vendor: the judge does not see them.
    """
    traits = traits or Traits()
    sent = render(source, to, body, traits, model)
    found = faults(to, without(sent.body, beyond), strict=not traits.item_ids, system_turns=traits.system_turns)
    assert found == []
    return sent


def vendors(source: Api, to: Api, body: Body, provider: str, model: str, *, beyond: tuple[str, ...] = ()) -> Sent:
    """For a model of a provider's row."""
    return send(source, to, body, traits_of(provider, to, model), model=model, beyond=beyond)


def without(said: Any, keys: tuple[str, ...]) -> Any:
    """A copy without these keys, at any depth."""
    if isinstance(said, dict):
        return {key: without(value, keys) for key, value in said.items() if key not in keys}
    return [without(value, keys) for value in said] if isinstance(said, list) else said


# What clients say, in each of the APIs.


def user(*content: Any) -> Body:
    return {"role": "user", "content": content[0] if isinstance(content[0], str) else list(content)}


def text(said: str, **more: Any) -> Body:
    return {"type": "text", "text": said, **more}


def chat(*messages: Body, **more: Any) -> Body:
    return {"messages": list(messages or [user("hi")]), **more}


def assistant(said: str | None = None, *calls: Body, **more: Any) -> Body:
    """Of Chat."""
    return {"role": "assistant", "content": said, **({"tool_calls": list(calls)} if calls else {}), **more}


def call(one: str = "a", name: str = "f", arguments: str = "{}", **more: Any) -> Body:
    return {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}, **more}


def gave(one: str = "a", content: Any = "r", **more: Any) -> Body:
    return {"role": "tool", "tool_call_id": one, "content": content, **more}


def function(name: str = "f", schema: Any = SCHEMA, **more: Any) -> Body:
    return {"type": "function", "function": {"name": name, "parameters": schema, **more}}


def responses(*items: Body | str, **more: Any) -> Body:
    return {"input": list(items) if items else "hi", **more}


def item(kind: str, **more: Any) -> Body:
    return {"type": kind, **more}


def flat(name: str = "f", schema: Any = SCHEMA, **more: Any) -> Body:
    """A function of Responses."""
    return {"type": "function", "name": name, "parameters": schema, **more}


def messages(*turns: Body, **more: Any) -> Body:
    return {"max_tokens": 4096, "messages": list(turns or [user("hi")]), **more}


def said(*blocks: Body) -> Body:
    """The assistant's turn of Messages."""
    return {"role": "assistant", "content": list(blocks)}


def use(one: str = "a", name: str = "f", input: Any = None, **more: Any) -> Body:
    return {"type": "tool_use", "id": one, "name": name, "input": input or {}, **more}


def result(one: str = "a", content: Any = "r", **more: Any) -> Body:
    return {"type": "tool_result", "tool_use_id": one, "content": content, **more}


def tool(name: str = "f", schema: Any = SCHEMA, **more: Any) -> Body:
    """Of Messages."""
    return {"name": name, "input_schema": schema, **more}


def mark(ttl: str | None = None) -> Body:
    return {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl else {})}}
