"""Where Anthropic's prompt cache should end: marks for requests of clients whose API has none.

Three places: the instructions, the last thing that the user or a tool said, and the last one before the last answer,
up to which the request before this one was cached. Requests with a mark of their own are left alone.
"""

from __future__ import annotations

from typing import Any

from trivium.canon.api import Api
from trivium.wire.cachemarks import DEFAULT, marked
from trivium.wire.draft import Draft

MARK = b'"cache_control"'
"""In a text the quotes would be escaped."""
_INSTRUCTING = ("system", "developer")
_ASKING = ("user", "tool")


def mark_places(draft: Draft) -> None:
    """Raises InvalidJson."""
    if any(MARK in draft.raw(name) for name in ("messages", "system", "tools", "cache_control")):
        return
    if draft.api is Api.MESSAGES and (said := draft.value("system")) and (told := _marked(said)) is not said:
        draft.set("system", told)
    draft.amend("messages", sorted(_places(draft.roles())), _with_mark)


def mark_conversation(draft: Draft) -> None:
    """One mark for all: the API finds the place by itself. Only for what will be said again. Raises InvalidJson."""
    if any(MARK in draft.raw(name) for name in ("messages", "system", "tools")) or "cache_control" in draft:
        return
    if len(draft.roles()) > 1:
        draft.set("cache_control", {"type": "ephemeral"})


def _places(roles: list[str | None]) -> set[int]:
    leading = next((place for place, role in enumerate(roles) if role not in _INSTRUCTING), len(roles))
    answers = [place for place, role in enumerate(roles) if role == "assistant"]
    asking = [place for place, role in enumerate(roles) if role in _ASKING]
    before = [place for place in asking if answers and place < answers[-1]]
    return {*([leading - 1] if leading else []), *asking[-1:], *before[-1:]}


def _with_mark(message: Any) -> Any:
    content = message.get("content")
    told = _marked(content)
    return message if told is content else {**message, "content": told}


def _marked(content: Any) -> Any:
    """A text as one marked part, a list with its last part marked; the same object where there is nothing to mark."""
    if isinstance(content, str):
        return [marked({"type": "text", "text": content}, DEFAULT)] if content else content
    if not isinstance(content, list) or not content or not isinstance(content[-1], dict):
        return content
    last = content[-1]
    empty = last.get("type") == "text" and not last.get("text")
    return content if empty else [*content[:-1], marked(last, DEFAULT)]
