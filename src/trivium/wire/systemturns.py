"""System messages in mid-conversation, in a Messages request for a server that takes none there.

Claude Code sends them to every model whose name it does not know, and goes back to text of the user's only where it is
refused as Anthropic refuses it; templates of local models fail on them with a 500 (ollama/ollama#17774). Tools that
they bring or take away are told as if it had been so from the beginning.
"""

from __future__ import annotations

from typing import Any

from trivium.wire.draft import Draft
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.messages.toolchanges import in_effect

FORM = "<system>\n%s\n</system>"
MOVED = "instructions in mid-conversation, given as marked text of the user's"


def without_system_turns(draft: Draft) -> None:
    """They become marked text of the neighbouring user's turn, as in translations. Raises InvalidJson."""
    if b'"system"' not in draft.raw("messages"):
        return
    roles = draft.roles()
    if "system" not in roles:
        return
    tools = in_effect(draft.entries("tools"), draft.entries("messages"), _name, lambda definition, _: definition)
    draft.put_entries("tools", tools)
    told: list[Any] = []
    joins = False
    for place, (role, message) in enumerate(zip(roles, draft.entries("messages"), strict=True)):
        is_system = role == "system"
        if is_system:
            draft.losses.add(f"messages[{place}].content", MOVED)
        said = {"role": "user", "content": _marked(message)} if is_system else message
        if is_system and not said["content"]:
            continue
        if told and mapping(told[-1]).get("role") == mapping(said).get("role") == "user" and (is_system or joins):
            said = _joined(told.pop(), said)
        told.append(said)
        joins = is_system
    draft.put_entries("messages", told)


def _name(tool: Any) -> str:
    return text(mapping(tool).get("name"))


def _blocks(message: Any) -> list[Any]:
    content = mapping(message).get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else sequence(content)


def _marked(message: Any) -> list[Any]:
    texts = (block for block in _blocks(message) if isinstance(mapping(block).get("text"), str))
    return [{**block, "text": FORM % block["text"]} for block in texts]


def _joined(one: Any, other: Any) -> dict[str, Any]:
    """Results of tools stand first in a turn."""
    content = [*_blocks(one), *_blocks(other)]
    return {**one, "content": sorted(content, key=lambda block: mapping(block).get("type") != "tool_result")}
