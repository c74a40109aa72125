"""A route as a value: which operation a method and a path mean, and where its arguments stand in a request.

A path's `{name}` is the argument of that name. Of the others, those of GET and DELETE are in the query, those of other
methods in the body's JSON object; `content` names the one argument that a body is as a whole, `if_match` the one that
stands in `If-Match`. `cursor` in a query is the operation's `after`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import msgspec

from trivium.operations.table import ListArguments, Op

PREFIX = "/admin/v1"
IDEMPOTENCY_KEY = "idempotency_key"
"""The argument that comes from the header of this name."""
_NAME = re.compile(r"\{([a-z_]+)\}")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    path: str
    """Behind `PREFIX`."""
    operation: str
    does: str
    """In a line, for readers of the API's description."""
    status: int = 200
    content: str | None = None
    if_match: str | None = None
    versioned: bool = False
    """The answer has a `version`, which is its ETag."""
    fixed: Mapping[str, Any] = {}
    """Arguments that the route itself says."""


class Route(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A row with its operation."""

    row: Row
    op: Op

    @cached_property
    def in_path(self) -> tuple[str, ...]:
        return tuple(_NAME.findall(self.row.path))

    @cached_property
    def others(self) -> dict[str, msgspec.structs.FieldInfo]:
        """The arguments that stand in the query or in the body."""
        elsewhere = {*self.in_path, *self.row.fixed, self.row.content, self.row.if_match, IDEMPOTENCY_KEY}
        fields = msgspec.structs.fields(self.op.arguments)
        return {field.name: field for field in fields if field.name not in elsewhere}

    @cached_property
    def takes_key(self) -> bool:
        """The operation keeps to idempotency keys itself."""
        return any(field.name == IDEMPOTENCY_KEY for field in msgspec.structs.fields(self.op.arguments))

    @cached_property
    def has_body(self) -> bool:
        """Whether a body's members are arguments, or the whole of it one."""
        return self.row.content is not None or (self.row.method not in ("GET", "DELETE") and bool(self.others))

    @cached_property
    def in_query(self) -> dict[str, msgspec.structs.FieldInfo]:
        """By the names that they have there."""
        if self.row.method not in ("GET", "DELETE"):
            return {}
        return {"cursor" if self.is_list and name == "after" else name: field for name, field in self.others.items()}

    @cached_property
    def is_list(self) -> bool:
        return issubclass(self.op.arguments, ListArguments)

    @cached_property
    def pattern(self) -> tuple[str | None, ...]:
        """The path's parts; None is any."""
        return tuple(None if part.startswith("{") else part for part in self.row.path.split("/")[1:])
