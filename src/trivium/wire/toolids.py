"""Ids of calls as a vendor takes them, in requests that pass without a translation: the same in a call and its result.

Ids are looked for where results name them; the conversation is read only if one has to change. The model never shows
them again, so that nothing of the answer has to be turned back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from trivium.canon.api import Api, Kind
from trivium.wire.draft import CONVERSATION, Draft
from trivium.wire.lenient import mapping, sequence, text

Fit = Callable[[str], str]
_NAMED: dict[Kind, bytes] = {Api.CHAT: b'tool_call_id"', Api.RESPONSES: b'call_id"', Api.MESSAGES: b'tool_use_id"'}
"""The end of the name under which results, and in Responses calls too, have the id."""
_ID = re.compile(rb'\s*:\s*"((?:[^"\\]|\\.)*)"')
_ITEMS = frozenset(("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"))


def fit_ids(draft: Draft, fit: Fit) -> None:
    """Raises InvalidJson."""
    name = CONVERSATION[draft.api]
    if not _has_others(draft.raw(name), _NAMED[draft.api], fit):
        return
    change = _CHANGES[draft.api]
    draft.put_entries(name, [change(entry, fit) for entry in draft.entries(name)])


def _has_others(raw: bytes, named: bytes, fit: Fit) -> bool:
    """Whether an id does not fit; one that is written with escapes may not."""
    at = raw.find(named)
    while at >= 0:
        found = _ID.match(raw, at + len(named))
        if found is not None and (said := found[1].decode("utf-8", "replace")) and ("\\" in said or fit(said) != said):
            return True
        at = raw.find(named, at + len(named))
    return False


def _replaced(said: dict[str, Any], name: str, fit: Fit) -> dict[str, Any]:
    id = text(said.get(name))
    return {**said, name: fit(id)} if id and fit(id) != id else said


def _chat(message: Any, fit: Fit) -> Any:
    said = mapping(message)
    if said.get("role") == "tool":
        return _replaced(said, "tool_call_id", fit)
    calls = sequence(said.get("tool_calls"))
    told = [_replaced(call, "id", fit) if isinstance(call, dict) else call for call in calls]
    return {**said, "tool_calls": told} if told != calls else message


def _messages(message: Any, fit: Fit) -> Any:
    blocks = sequence(mapping(message).get("content"))
    told = [_block(block, fit) for block in blocks]
    return {**message, "content": told} if told != blocks else message


def _block(block: Any, fit: Fit) -> Any:
    name = {"tool_use": "id", "tool_result": "tool_use_id"}.get(text(mapping(block).get("type")))
    return block if name is None else _replaced(block, name, fit)


def _responses(item: Any, fit: Fit) -> Any:
    return _replaced(item, "call_id", fit) if text(mapping(item).get("type")) in _ITEMS else item


_CHANGES: dict[Kind, Callable[[Any, Fit], Any]] = {
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.MESSAGES: _messages,
}
