"""The items of a Responses conversation, as far as something is decided by them: read once, for all who ask.

Agents send hundreds of items with each turn, and to pass over them is most of what their requests cost.
"""

from __future__ import annotations

import re

import msgspec

from trivium.errors import FieldUnsupported, InvalidJson
from trivium.wire.body import begins
from trivium.wire.crowd import is_crowded

NAME = "input"
"""The member that they stand in."""
_REFERENCE = "item_reference"
_MAY_COUNT = re.compile(
    rb'item_reference|"tools"|\\u00[4-7]|\{\s*"(?:id|type)"\s*:\s*(?:"[^"]*"|null)\s*(?:,[^{}]*)?\}'
)
"""The words, an escape that may spell them, or an object of next to nothing."""
_ABSENT = msgspec.Raw(b"null")
_Word = str | int | float | bool | list[msgspec.Raw] | dict[str, msgspec.Raw] | None


class Item(msgspec.Struct, gc=False):
    type: _Word = None
    id: msgspec.Raw = _ABSENT
    role: msgspec.Raw = _ABSENT
    content: msgspec.Raw = _ABSENT
    tools: msgspec.Raw = _ABSENT


class Known(msgspec.Struct, frozen=True):
    """What is known of the items of a request."""

    refer: bool = False
    """One stands for another that the provider keeps."""
    bring_tools: bool = True
    """One may bring tools along (openai-python: `AdditionalTools`, `tool_search_output`)."""


UNKNOWN = Known()
_NONE = Known(bring_tools=False)
_items = msgspec.json.Decoder(list[Item | list[msgspec.Raw] | str | int | float | bool | None])


def read(raw: msgspec.Raw) -> list[Item | None]:
    """The items in their order, None for what is no object; none at all of what is no list, or a crowd by whose looks
    nothing is decided. Raises InvalidJson, FieldUnsupported of another crowd."""
    if begins(raw) != b"[":
        return []
    if is_crowded(raw, b","):
        if not _MAY_COUNT.search(raw):
            return []
        raise FieldUnsupported(f"`{NAME}` has too many items to look through.", param=NAME)
    try:
        return [item if type(item) is Item else None for item in _items.decode(raw)]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The field `{NAME}` is not valid JSON: {error}.", param=NAME) from None


def known(raw: msgspec.Raw | None) -> Known:
    """Of this member. Raises InvalidJson, FieldUnsupported."""
    found = [item for item in read(raw) if item is not None] if raw is not None else []
    if not found:
        return _NONE
    return Known(
        refer=any(item.type == _REFERENCE or (item.type is None and _is_bare(item)) for item in found),
        bring_tools=any(item.tools is not _ABSENT for item in found),
    )


def _is_bare(item: Item) -> bool:
    """The type of a reference may be left out, where there is nothing but an id (openai-python,
    `ResponseInputItemParam.ItemReference`)."""
    return bytes(item.id) != b"null" and bytes(item.role) == bytes(item.content) == b"null"
