"""Calls and results put in order in requests that pass without a translation (`repair.py` does it for those that go
through one, where more can be said).

In each turn of the assistant the first of several calls with one id counts. A result that is missing is made up, before
the others; results without a call, and second ones, go. In Chat and Messages results come right behind their calls, and
what else was said in between behind them. The same id may come again in another turn. What is in order stays the bytes
it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from trivium.canon.api import Api, Kind
from trivium.wire.draft import CONVERSATION, Draft
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.losses import Losses
from trivium.wire.repair import INTERRUPTED, MISSING, REPEATED

_ORPHAN = "the result of a call that is not there"
_SECOND = "a second result of the same call"
_MARKS: dict[Kind, tuple[bytes, bytes]] = {
    Api.CHAT: (b'"tool_calls"', b'"tool_call_id"'),
    Api.RESPONSES: (b'_call"', b'_call_output"'),
    Api.MESSAGES: (b'"tool_use"', b'"tool_result"'),
}
"""Without these there is nothing to put in order."""


def repair_turns(draft: Draft) -> None:
    """Raises InvalidJson."""
    name, raw = CONVERSATION[draft.api], draft.raw(CONVERSATION[draft.api])
    if any(mark in raw for mark in _MARKS[draft.api]):
        draft.put_entries(name, _REPAIRS[draft.api](draft.entries(name), draft.losses))


class _Turn:
    """The calls of the assistant's turn, and which of them have been answered."""

    def __init__(self, losses: Losses) -> None:
        self.calls: dict[str, str] = {}
        """Ids, each with the call's place."""
        self.answered: set[str] = set()
        self._losses = losses

    def calls_again(self, id: str, at: str) -> bool:
        """Whether this call comes a second time. One without an id is nobody's to judge."""
        if id and id in self.calls:
            self._losses.add(at, REPEATED)
            return True
        if id:
            self.calls[id] = at
        return False

    def takes(self, id: str, at: str) -> bool:
        """Whether this result belongs here."""
        if not id:
            return True
        if id not in self.calls or id in self.answered:
            self._losses.add(at, _SECOND if id in self.answered else _ORPHAN)
            return False
        self.answered.add(id)
        return True

    def missing(self) -> list[str]:
        """Ids of the calls that nobody answered."""
        found = [id for id in self.calls if id not in self.answered]
        for id in found:
            self._losses.add(self.calls[id], MISSING)
        return found


# Chat Completions: a result is a message of its own.

_Spoken = tuple[Any, _Turn, list[Any]]
"""A message of the assistant's, its calls, and the results behind it."""


def _chat(messages: list[Any], losses: Losses) -> list[Any]:
    """Of messages of the assistant's that follow each other each keeps its results behind itself."""
    out: list[Any] = []
    spoken, behind = list[_Spoken](), list[Any]()
    before: _Spoken = None, _Turn(losses), []
    waiting, heard = dict[str, list[_Spoken]](), False
    """Messages by the ids of their calls that have no result yet, and whether any call has one."""

    def end() -> None:
        for message, turn, found in spoken:
            out.append(message)
            out.extend({"role": "tool", "tool_call_id": id, "content": INTERRUPTED} for id in turn.missing())
            out.extend(found)
        out.extend(behind)
        spoken.clear()
        behind.clear()
        waiting.clear()

    for place, message in enumerate(messages):
        said, at = mapping(message), f"messages[{place}]"
        role, id = said.get("role"), text(said.get("tool_call_id"))
        if role == "assistant":
            if behind or heard:
                end()
                heard = False
            turn = _Turn(losses)
            spoken.append((_without_repeats(message, "tool_calls", turn, at), turn, []))
            for called in turn.calls:
                waiting.setdefault(called, []).append(spoken[-1])
        elif role != "tool" or not id:
            behind.append(message)
        else:
            _, turn, found = waiting[id].pop() if waiting.get(id) else (spoken or [before])[-1]
            if turn.takes(id, at):
                found.append(message)
                heard = True
    end()
    return out


def _without_repeats(message: Any, name: str, turn: _Turn, at: str) -> Any:
    """The assistant's message without calls that come twice; those that stay are the turn's."""
    entries = sequence(mapping(message).get(name))
    kept = []
    for place, entry in enumerate(entries):
        said = mapping(entry)
        is_call = name == "tool_calls" or said.get("type") == "tool_use"
        if not (is_call and turn.calls_again(text(said.get("id")), f"{at}.{name}[{place}]")):
            kept.append(entry)
    return message if len(kept) == len(entries) else {**message, name: kept}


# Messages: results are blocks of what the user says.


def _messages(messages: list[Any], losses: Losses) -> list[Any]:
    out: list[Any] = []
    turn, behind = _Turn(losses), list[Any]()
    for place, message in enumerate(messages):
        if mapping(message).get("role") == "assistant":
            if behind:
                out += _answered(turn, behind)
                turn, behind = _Turn(losses), []
            out.append(_without_repeats(message, "content", turn, f"messages[{place}]"))
        else:
            told = _with_own_results(message, turn, f"messages[{place}]")
            behind += [told] if mapping(told).get("content") != [] or told is message else []
    return [*out, *_answered(turn, behind)]


def _with_own_results(message: Any, turn: _Turn, at: str) -> Any:
    blocks = sequence(mapping(message).get("content"))
    kept = []
    for place, block in enumerate(blocks):
        said = mapping(block)
        if said.get("type") != "tool_result" or turn.takes(text(said.get("tool_use_id")), f"{at}.content[{place}]"):
            kept.append(block)
    return message if len(kept) == len(blocks) else {**message, "content": kept}


def _answered(turn: _Turn, behind: list[Any]) -> list[Any]:
    """What follows a turn: results before anything else that the user says, as the API wants them."""
    made = [
        {"type": "tool_result", "tool_use_id": id, "content": INTERRUPTED, "is_error": True} for id in turn.missing()
    ]
    if not made and _begins_with_results(behind):
        return behind
    first = next((place for place, one in enumerate(behind) if mapping(one).get("role") == "user"), None)
    if first is None:
        return [{"role": "user", "content": made}, *behind]
    found, out = list[Any](), list[Any]()
    for place, one in enumerate(behind):
        blocks = _blocks(one)
        rest = [block for block in blocks if not _is_result(block)]
        found += [block for block in blocks if _is_result(block)]
        kept = {**one, "content": rest} if len(rest) != len(blocks) or place == first else one
        out += [kept] if place == first or kept is one or rest else []
    out[first] = {**out[first], "content": [*made, *found, *out[first]["content"]]}
    return out


def _begins_with_results(behind: list[Any]) -> bool:
    """Whether no result stands behind what is none."""
    seen = [_is_result(block) for one in behind for block in _blocks(one)]
    return seen == sorted(seen, reverse=True)


def _blocks(message: Any) -> list[Any]:
    """Those of a message of the user's."""
    said = mapping(message)
    content = said.get("content") if said.get("role") == "user" else None
    return [{"type": "text", "text": content}] if isinstance(content, str) and content else sequence(content)


def _is_result(block: Any) -> bool:
    """Of a call: one without an id is nobody's to judge."""
    said = mapping(block)
    return said.get("type") == "tool_result" and bool(text(said.get("tool_use_id")))


# Responses: calls and results are items, and a result may stand anywhere behind its call.

_RESULTS = {"function_call": "function_call_output", "custom_tool_call": "custom_tool_call_output"}


def _responses(items: list[Any], losses: Losses) -> list[Any]:
    turns, open_calls = list[list[tuple[int, str, str]]](), dict[str, bool]()
    dropped, calls = set[int](), set[str]()
    speaks = False
    for place, item in enumerate(items):
        said, at = mapping(item), f"input[{place}]"
        kind, id = text(said.get("type")), text(said.get("call_id"))
        if not id:
            speaks = speaks and not _is_users(said)
        elif kind in _RESULTS:
            if not speaks or not turns:
                turns.append([])
                calls = set()
            speaks = True
            if id in calls:
                losses.add(at, REPEATED)
                dropped.add(place)
            else:
                calls.add(id)
                open_calls[id] = True
                turns[-1].append((place, kind, id))
        elif kind in _RESULTS.values():
            speaks = False
            if not open_calls.get(id):
                losses.add(at, _SECOND if id in open_calls else _ORPHAN)
                dropped.add(place)
            else:
                open_calls[id] = False
    return _with_missing(items, turns, dropped, losses)


def _is_users(said: dict[str, Any]) -> bool:
    return said.get("role") in ("user", "system", "developer")


def _with_missing(
    items: list[Any], turns: list[list[tuple[int, str, str]]], dropped: set[int], losses: Losses
) -> list[Any]:
    """With a result behind each turn's last call for those of its calls that have none."""
    results: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        if place not in dropped and text(mapping(item).get("type")) in _RESULTS.values():
            results.setdefault(text(item.get("call_id")), []).append(place)
    made: dict[int, list[Any]] = {}
    for turn in reversed(turns):
        missing = list[dict[str, str]]()
        for place, kind, id in reversed(turn):
            if (found := results.get(id)) and found[-1] > place:
                found.pop()
                continue
            losses.add(f"input[{place}]", MISSING)
            missing.append({"type": _RESULTS[kind], "call_id": id, "output": INTERRUPTED})
        made[turn[-1][0]] = missing[::-1]
    out: list[Any] = []
    for place, item in enumerate(items):
        out += [] if place in dropped else [item]
        out += made.get(place, [])
    return out


_REPAIRS: dict[Kind, Callable[[list[Any], Losses], list[Any]]] = {
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.MESSAGES: _messages,
}
