"""Which routes there are, found by path."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from trivium.admin.row import PREFIX, Route
from trivium.admin.table import ROWS
from trivium.errors import FieldInvalid
from trivium.operations.table import Op


class Routes:
    """The rows whose operations there are."""

    def __init__(self, operations: Mapping[str, Op]) -> None:
        self.all = [Route(row=row, op=operations[row.operation]) for row in ROWS if row.operation in operations]
        self._by_length: dict[int, list[Route]] = {}
        for route in self.all:
            self._by_length.setdefault(len(route.pattern), []).append(route)

    def at(self, path: str) -> tuple[dict[str, Route], tuple[str, ...]]:
        """The routes of a path by method, and the values of the path's names. A part that a route names goes before one
        that may be anything. Raises FieldInvalid for a path that is not UTF-8."""
        if not path.startswith(PREFIX + "/"):
            return {}, ()
        parts = path.removeprefix(PREFIX).split("/")[1:]
        try:
            texts = [unquote(part, errors="strict") for part in parts]
        except UnicodeDecodeError:
            raise FieldInvalid("The path is not UTF-8 in percent-encoding.") from None
        if any("\0" in text for text in texts):
            raise FieldInvalid("The path has a NUL character in it.")
        fitting = [route for route in self._by_length.get(len(parts), ()) if _fits(route, texts)]
        if not fitting:
            return {}, ()
        best = min(fitting, key=lambda route: route.pattern.count(None)).pattern
        values = tuple(text for text, part in zip(texts, best, strict=True) if part is None)
        return {route.row.method: route for route in fitting if route.pattern == best}, values


def _fits(route: Route, texts: list[str]) -> bool:
    return all(text != "" if part is None else part == text for part, text in zip(route.pattern, texts, strict=True))
