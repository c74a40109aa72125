"""Which pages a visitor has in a space: those whose operations the visitor may perform there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivium.dashboard.documents import DOCUMENTS, PANELS, QUESTIONS
from trivium.dashboard.row import Action, Resource
from trivium.dashboard.table import RESOURCES
from trivium.dashboard.visitor import Space, Visitor

Links = list[tuple[str, str]]
_GROUPS = ("", "Use", "Money", "People", "House")
_MADE = (
    ("usage", "Usage", "usage.report"),
    ("requests", "Requests", "requests.search"),
    ("free", "Free use", "free.use"),
    ("playground", "Playground", "keys.create"),
)
"""Pages of their own, by the operation that they begin with."""


def menu(asking: Visitor, here: Space) -> list[tuple[str, Links]]:
    """Groups of paths behind the space's and titles."""
    found: dict[str, Links] = {name: [] for name in _GROUPS}
    found[""] = [("", "Home")]
    found[""] += [(path, title) for path, title, operation in _MADE if asking.arguments(operation, here) is not None]
    for one in RESOURCES:
        if here.kind in one.spaces and asking.arguments(one.lists, here) is not None:
            found[one.group].append((one.path, one.title))
    for document in DOCUMENTS:
        if here.kind in document.spaces and asking.arguments(document.shows, here) is not None:
            found["House" if here.kind == "house" else "People"].append((document.path, document.title))
    for question in QUESTIONS:
        if here.kind in question.spaces and asking.arguments(question.operation, here) is not None:
            found["House"].append((question.path, question.title))
    if any(asking.arguments(panel.operation, here) is not None for panel in PANELS):
        found["House"].append(("health", "Health"))
    return [(name, links) for name, links in found.items() if links]


def fits(action: Action, row: Mapping[str, Any]) -> bool:
    """Whether an action can be done to a row: what it takes must be there, and what has been done is not done again."""
    if any(row.get(member) is None for member in action.takes.values()):
        return False
    if any(row.get(member) != value for member, value in action.only.items()):
        return False
    blocked = row.get("blocked_ms") is not None
    return {"block": not blocked, "unblock": blocked or "blocked_ms" not in row}.get(action.path, True)


def is_over(resource: Resource, row: Mapping[str, Any]) -> bool:
    """Whether it has ended."""
    return any(row.get(member) is not None for member in resource.over)
