"""Tools that come and go in mid-conversation: `tool_addition` and `tool_removal`, and those of a range that was summed
up (`tool_changes` of a `compaction`).

Anthropic's SDK tells its tools so, whole, where they change while a conversation goes on (beta `inline-tools`). Other
APIs know one list of tools, which then is the one at the conversation's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from trivium.wire.lenient import mapping, sequence, text

T = TypeVar("T")
_ADDITION, _REMOVAL = "tool_addition", "tool_removal"


def in_effect(
    tools: Iterable[T],
    messages: list[Any],
    name_of: Callable[[T], str],
    read: Callable[[dict[str, Any], str], T | None],
) -> list[T]:
    """Those of the request and those of its conversation, as they are in its end. Raises what `read` does."""
    told, gone = [*tools], set[str]()
    for at, change in _changes(messages):
        said = mapping(change.get("tool"))
        name = text(said.get("name"))
        if definition := mapping(said.get("definition")):
            tool = read(definition, f"{at}.tool.definition")
            if tool is not None:
                name = name_of(tool)
                told = [*(one for one in told if name_of(one) != name), tool]
        (gone.add if change["type"] == _REMOVAL else gone.discard)(name)
    return [tool for tool in told if name_of(tool) not in gone]


def _changes(messages: list[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for place, message in enumerate(map(mapping, messages)):
        for number, block in enumerate(map(mapping, sequence(message.get("content")))):
            kind, at = block.get("type"), f"messages[{place}].content[{number}]"
            if kind in (_ADDITION, _REMOVAL):
                yield at, block
            elif kind == "compaction":
                for part, change in enumerate(map(mapping, sequence(block.get("tool_changes")))):
                    if change.get("type") in (_ADDITION, _REMOVAL):
                        yield f"{at}.tool_changes[{part}]", change
