"""A Messages request in which the gateway turns thinking off, and what cannot stay beside that."""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.wire.body import Members
from trivium.wire.fields import decoded
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.losses import Losses

_THINKING, _EDITS = "thinking", "context_management"
_OFF = b'{"type":"disabled"}'
_CLEARS = "clear_thinking_"
"""Anthropic's edit, by which Claude Code keeps all thoughts: it "requires `thinking` to be enabled or adaptive"."""


def thinks_by_budget(members: Members) -> bool:
    """Whether a turn with calls that is going on has to begin with a thought (wire notes, section 10). Raises
    InvalidJson."""
    raw = members.get(_THINKING)
    return raw is not None and mapping(decoded(raw, _THINKING)).get("type") == "enabled"


def without_thinking(members: Members, why: str, losses: Losses) -> dict[str, bytes]:
    """The members to put in place of those that ask for it, as JSON. Raises InvalidJson."""
    losses.add(_THINKING, why)
    management = mapping(decoded(members.get(_EDITS, b"null"), _EDITS))
    edits = sequence(management.get("edits"))
    kept = [edit for edit in edits if not text(mapping(edit).get("type")).startswith(_CLEARS)]
    if len(kept) == len(edits):
        return {_THINKING: _OFF}
    losses.add(f"{_EDITS}.edits", "thoughts cannot be cleared where the model does not think")
    return {_THINKING: _OFF, _EDITS: msgspec.json.encode({**management, "edits": kept} if kept else None)}


def chain_is_thought(messages: list[Any]) -> bool:
    """Whether the chain of calls that the conversation ends with began with thinking (as in `messages/settings`)."""
    first: dict[str, Any] | None = None
    for message in map(mapping, reversed(messages)):
        kinds = [text(mapping(block).get("type")) for block in sequence(message.get("content"))]
        if message.get("role") == "assistant" and "tool_use" in kinds:
            first = message
        elif message.get("role") == "assistant" or (first and set(kinds) != {"tool_result"}):
            break
    lead = mapping((sequence(mapping(first).get("content")) or [None])[0])
    return first is None or lead.get("type") in ("thinking", "redacted_thinking")
