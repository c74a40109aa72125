"""Requests that pass as bytes, freed of our envelopes.

A conversation that began with an upstream of another API holds reasoning in envelopes. When it goes on with an upstream
of the client's own API, nobody there can open them, and a vendor refuses what looks like a seal and is none. They are
looked for with one byte search; only a request that has some is read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.wire.body import Members
from trivium.wire.draft import CONVERSATION
from trivium.wire.envelope import MARK
from trivium.wire.fields import decoded
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.losses import Losses
from trivium.wire.unthinking import thinks_by_budget, without_thinking

_SEARCHED = b'"' + MARK.encode()
_RARE = MARK.encode()[0]
"""A single byte is found ten times as fast as several, and as a number faster still: `in` takes bytes for one first,
and an exception for its answer. Few bodies have it."""
_WHY = "reasoning of an upstream with another API: only its origin takes it back"
_UNTHOUGHT = "the last turn with calls came without thinking that this model would take back"
_raws = msgspec.json.Decoder(list[msgspec.Raw])


def without_envelopes(api: Api, body: bytes, members: Members, losses: Losses) -> dict[str, bytes]:
    """The members to put in place of those that hold envelopes, as JSON; none as a rule. Raises InvalidJson."""
    if _RARE not in body or _SEARCHED not in body:
        return {}
    name = CONVERSATION[api]
    before = decoded(members.get(name, b"null"), name)
    if type(before) is not list:
        return {}
    after = _CLEANERS[api](before, losses)
    if after == before:
        return {}
    # What holds no envelope stays the bytes it is.
    raw = dict(zip(map(id, before), _raws.decode(members[name]), strict=True))
    changes = {name: msgspec.json.encode([raw.get(id(entry), entry) for entry in after])}
    if api is Api.MESSAGES and thinks_by_budget(members) and not _chain_is_thought(after):
        changes |= without_thinking(members, _UNTHOUGHT, losses)
    return changes


def _is_ours(sealed: Any) -> bool:
    return text(sealed).startswith(MARK)


def _chat(messages: list[Any], losses: Losses) -> list[Any]:
    return [_without(message, "reasoning_details", f"messages[{n}]", losses) for n, message in enumerate(messages)]


def _messages(messages: list[Any], losses: Losses) -> list[Any]:
    cleaned = [_without(message, "content", f"messages[{n}]", losses) for n, message in enumerate(messages)]
    return [after for before, after in zip(messages, cleaned, strict=True) if after is before or "content" in after]


def _without(message: Any, name: str, at: str, losses: Losses) -> Any:
    """The message without the entries of one of its lists that hold envelopes, and without a list of nothing else."""
    entries = sequence(mapping(message).get(name))
    kept = []
    for place, entry in enumerate(entries):
        said = mapping(entry)
        if _is_ours(said.get("signature")) or _is_ours(said.get("data")):
            losses.add(f"{at}.{name}[{place}]", _WHY)
        else:
            kept.append(entry)
    if len(kept) == len(entries):
        return message
    return {**message, name: kept} if kept else {key: said for key, said in message.items() if key != name}


def _responses(items: list[Any], losses: Losses) -> list[Any]:
    kept = []
    for place, item in enumerate(items):
        if _is_ours(mapping(item).get("encrypted_content")):
            losses.add(f"input[{place}]", _WHY)
        else:
            kept.append(item)
    return kept


_CLEANERS: dict[Api, Callable[[list[Any], Losses], list[Any]]] = {
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.MESSAGES: _messages,
}


def _chain_is_thought(messages: list[Any]) -> bool:
    """Whether the chain of calls that the conversation ends with began with thinking (as in `messages/settings`)."""
    first: dict[str, Any] | None = None
    for message in map(mapping, reversed(messages)):
        kinds = [mapping(block).get("type") for block in sequence(message.get("content"))]
        if message.get("role") == "assistant" and "tool_use" in kinds:
            first = message
        elif message.get("role") == "assistant" or (first and set(kinds) != {"tool_result"}):
            break
    lead = mapping((sequence(mapping(first).get("content")) or [None])[0])
    return first is None or lead.get("type") in ("thinking", "redacted_thinking")
