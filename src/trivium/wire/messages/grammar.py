"""To which schemas Anthropic holds a model, and to how many in one request; what is beyond is refused altogether.

Objects are closed, and references lead to an end within the schema; there are 20 strict tools at most, and in all
schemas together 24 properties that need not be there and 16 of several types (its page on structured outputs, "JSON
Schema limitations"; camel-ai/camel#4171, BerriAI/litellm#35811, egonSchiele/agency-lang#487).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivium.wire.lenient import mapping, sequence
from trivium.wire.schemas import children

OPEN = "this model is held to no schema that is open or leads back into itself"
MANY = "more than this model can be held to in one request"
_MOST_TOOLS, _MOST_OPTIONAL, _MOST_UNIONS = 20, 24, 16
_ROOT = "#"


class Grammar:
    """The schemas of one request that the model is held to."""

    def __init__(self) -> None:
        self._tools = 0
        self._optional = 0
        self._unions = 0

    def refuses(self, schema: Any, *, tool: bool = False) -> str | None:
        """Why the model cannot be held to the schema, too; None: from now on it is. `tool`: it is that of one.

        The schema is the client's: an object that is not open is closed later.
        """
        try:
            within = list(_within(schema))
            if any(_is_open(one) for one in within) or not _ends(schema):
                return OPEN
        except RecursionError:
            return OPEN
        tools = self._tools + tool
        optional = self._optional + sum(map(_optional, within))
        unions = self._unions + sum(map(_is_union, within))
        if tools > _MOST_TOOLS or optional > _MOST_OPTIONAL or unions > _MOST_UNIONS:
            return MANY
        self._tools, self._optional, self._unions = tools, optional, unions
        return None


def _within(schema: Any) -> Iterator[dict[str, Any]]:
    """The schema and all those inside it."""
    if type(schema) is dict:
        yield schema
        for child in children(schema):
            yield from _within(child)


def _is_open(schema: dict[str, Any]) -> bool:
    """A map, in whatever words: closed, it would be empty for ever."""
    otherwise = _is_object(schema) and "properties" not in schema
    return "patternProperties" in schema or schema.get("additionalProperties", otherwise) is not False


def _is_object(schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    return "object" in kind if type(kind) is list else kind == "object"


def _is_union(schema: dict[str, Any]) -> bool:
    return type(schema.get("type")) is list or "anyOf" in schema or "oneOf" in schema


def _optional(schema: dict[str, Any]) -> int:
    required = [name for name in sequence(schema.get("required")) if type(name) is str]
    return len(mapping(schema.get("properties")).keys() - required)


def _ends(schema: Any) -> bool:
    """Whether all references lead somewhere within the schema, and none back to where it stands."""
    done: set[str] = set()

    def ends(node: Any, way: frozenset[str]) -> bool:
        if type(node) is not dict:
            return True
        place = node.get("$ref")
        if type(place) is str and place not in done:
            target = _at(schema, place)
            if place in way or target is None or not ends(target, way | {place}):
                return False
            done.add(place)
        return all(ends(child, way) for child in children(node))

    return ends(schema, frozenset({_ROOT}))


def _at(schema: Any, place: str) -> Any:
    """What a JSON pointer points to; None where that is nowhere in this schema."""
    root, *names = place.split("/")
    found = schema if root == _ROOT else None
    for name in names:
        found = mapping(found).get(name.replace("~1", "/").replace("~0", "~"))
    return found
