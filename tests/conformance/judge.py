"""What became of a feature in a direction, from what was seen. Nothing here is expected of the gateway but to tell the
truth: what did not arrive must be a loss, and what arrived is held against the vendors' rules."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from conformance.answers import Json
from conformance.feature import DONE, C, Feature, M, R, misses
from conformance.run import Cell, Direction, Seen, has_words, model_of
from support_vendors import faults
from trivium.canon.api import Api

BYTES, YES, LOSSY, IMPOSSIBLE, WRONG = "bytes", "yes", "lossy", "impossible", "wrong"
NO_WORDS_ASKING = "the client's API has no words for it"
NO_WORDS_ANSWERING = "the upstream's API has no words for it"
_ROUTINE: Mapping[Api, Any] = {
    C: {"choices": [{"message": {"content": DONE}, "finish_reason": "stop"}]},
    R: {"output": [{"type": "message", "content": [{"type": "output_text", "text": DONE}]}], "status": "completed"},
    M: {"content": [{"type": "text", "text": DONE}], "stop_reason": "end_turn"},
}
_REFUSED = ("not_translatable", "unsupported_field")
"""Codes of requests that cannot be said otherwise, or that ask for a memory."""
_JUDGED = ("owners", "thinkers", "older")
"""Upstreams that are the vendors whose rules we know."""


class Outcome(msgspec.Struct, frozen=True):
    verdict: str
    notes: tuple[str, ...] = ()


def outcome(feature: Feature, place: int, direction: Direction, seen: Mapping[Cell, list[Seen]]) -> Outcome:
    """Of a cell of the table: the answer must come to the same whether it is whole or a stream."""
    client, upstream = direction
    if not has_words(feature.asks, client):
        return Outcome(IMPOSSIBLE, (NO_WORDS_ASKING,))
    if not has_words(feature.reply, upstream):
        return Outcome(IMPOSSIBLE, (NO_WORDS_ANSWERING,))
    ways = [_judged(feature, (place, direction, way), seen[place, direction, way]) for way in feature.ways]
    verdicts = {way.verdict for way in ways}
    notes = tuple(dict.fromkeys(note for way in ways for note in way.notes))
    if len(verdicts) > 1 and IMPOSSIBLE in verdicts:
        return Outcome(WRONG, ("refused as a whole answer or as a stream, and not as the other", *notes))
    return Outcome(next(verdict for verdict in (WRONG, IMPOSSIBLE, LOSSY, YES, BYTES) if verdict in verdicts), notes)


def _judged(feature: Feature, cell: Cell, seen: list[Seen]) -> Outcome:
    client, upstream = cell[1]
    first = seen[0]
    if first.told.status == 400 and first.upstream is None:
        error = first.told.body.get("error", {})
        if error.get("code") in _REFUSED:
            return Outcome(IMPOSSIBLE, (_anonymous(error["message"], feature, cell),))
    if client is upstream and all(_is_untouched(one, feature, cell) for one in seen):
        return Outcome(BYTES)
    wrong = list(_faults(feature, cell, seen))
    if wrong:
        return Outcome(WRONG, tuple(_anonymous(fault, feature, cell) for fault in wrong))
    losses = [_anonymous(f"`{_plain(field)}`: {why}", feature, cell) for one in seen for field, why in one.losses]
    return Outcome(LOSSY, tuple(dict.fromkeys(losses))) if losses else Outcome(YES)


def _is_untouched(seen: Seen, feature: Feature, cell: Cell) -> bool:
    """The same bytes there, but for the model's name, and as many bytes back."""
    if seen.upstream is None or seen.losses or not _came_back(seen):
        return False
    ours, theirs = (msgspec.json.encode(model_of(feature, cell, full=full)) for full in (True, False))
    return seen.upstream.body == seen.told.sent.replace(ours, theirs)


def _faults(feature: Feature, cell: Cell, seen: list[Seen]) -> Iterator[str]:
    """What is not as it should be."""
    client, upstream = cell[1]
    told = feature.told.get(upstream, feature.asks.get(upstream, None if feature.asks else {}))
    heard = _ROUTINE if feature.heard is None else feature.heard
    lost = any(one.losses for one in seen)
    if not (client is upstream and all(_came_back(one) for one in seen)):
        yield from _in_answer(heard.get(client), seen[0], lost=lost)
    if seen[0].upstream is None:
        if told != {}:
            yield "nothing reached the upstream"
        return
    if client is upstream and _is_as_asked(feature.asks.get(client), seen[0]):
        told = feature.asks[client]
    yield from _in_request(told, seen[0], lost=lost)
    if feature.returned is not None:
        if len(seen) == 1 or seen[1].upstream is None:
            yield f"the conversation did not go on: {seen[-1].told.body}"
            return
        yield from _in_request(feature.returned.get(upstream), seen[1], lost=lost)
    for one in seen:
        if one.upstream is not None and _is_judged(feature, cell[1]):
            yield from (f"the vendor would refuse {fault}" for fault in faults(upstream, one.upstream.json))


def _came_back(seen: Seen) -> bool:
    """An answer that passed: as many bytes as the upstream sent."""
    return seen.upstream is not None and seen.upstream.sent_bytes == len(seen.told.raw)


def _is_as_asked(asked: Any, seen: Seen) -> bool:
    """What the client asks is what arrived, in the upstream's own API: rules have changed other places, if any."""
    return asked is not None and seen.upstream is not None and not list(misses(asked, seen.upstream.json))


def _is_judged(feature: Feature, direction: Direction) -> bool:
    client, upstream = direction
    foreign = feature.openrouters and upstream is C
    return client is not upstream and feature.upstreams in _JUDGED and not foreign and not feature.counts


def _in_answer(pattern: Any, seen: Seen, *, lost: bool) -> Iterator[str]:
    if pattern is None:
        if not lost:
            yield f"the client heard nothing of it, and no loss was told: {_short(seen.told.body)}"
        return
    expected = pattern.get("http", {}).get("status", 200) if isinstance(pattern, dict) else 200
    if seen.told.status != expected:
        yield f"the client got status {seen.told.status}: {_short(seen.told.body)}"
        return
    yield from (f"the client heard {miss}" for miss in misses(pattern, seen.told.body))


def _in_request(pattern: Any, seen: Seen, *, lost: bool) -> Iterator[str]:
    assert seen.upstream is not None
    if pattern is None:
        if not lost:
            yield f"the upstream was told nothing of it, and no loss was told: {_short(seen.upstream.json)}"
        return
    yield from (f"the upstream was told {miss}" for miss in misses(pattern, seen.upstream.json))
    asked = sum(_count(why) for field, why in seen.losses if not field.startswith("answer."))
    named = seen.told.body["http"].get("x-trivium-loss", "0;").partition(";")[0]
    if seen.told.status == 200 and int(named) != asked:
        yield f"the header names {named} losses, the record {asked}"


def _count(why: str) -> int:
    """How many losses are told as one."""
    more = re.search(r"\(and (\d+) more like it\)$", why)
    return 1 + int(more[1]) if more else 1


def _plain(field: str) -> str:
    """Without places in lists."""
    return re.sub(r"\[\d+\]", "[]", field)


def _anonymous(note: str, feature: Feature, cell: Cell) -> str:
    """Without the name of the model, which is the cell's own."""
    return note.replace(f"`{model_of(feature, cell, full=False)}`", "this model").replace("\n", " ")


def _short(said: Json) -> str:
    return msgspec.json.encode({name: value for name, value in said.items() if name != "http"}).decode()[:1500]
