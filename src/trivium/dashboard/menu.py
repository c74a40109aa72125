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
        if offered(one, asking, here):
            found[one.group].append((one.path, one.title))
    for document in DOCUMENTS:
        if here.kind in document.spaces and asking.arguments(document.shows, here) is not None:
            found["House" if here.kind == "house" else "People"].append((document.path, document.title))
    for question in QUESTIONS:
        if here.kind in question.spaces and asking.arguments(question.operation, here) is not None:
            found[question.group].append((question.path, question.title))
    if any(asking.arguments(panel.operation, here) is not None for panel in PANELS):
        found["House"].append(("health", "Health"))
    return [(name, links) for name, links in found.items() if links]


def may(asking: Visitor, here: Space, action: Action) -> bool:
    """Whether an action is offered to a visitor in a space."""
    return here.kind in action.spaces and asking.arguments(action.operation, here) is not None


def fits(action: Action, row: Mapping[str, Any], whose: Mapping[str, Any] | None = None) -> bool:
    """Whether an action can be done to a row: what it takes must be there, and be of whom the visitor may do it to
    (`whose`); what has been done is not done again."""
    if any(row.get(member) is None for member in action.takes.values()):
        return False
    if any(row.get(member) != value for member, value in action.only.items()):
        return False
    if any(row[action.takes[name]] != of for name, of in (whose or {}).items() if name in action.takes):
        return False
    blocked, waits = row.get("blocked_ms") is not None, row.get("accepted_ms") is None
    done = {"block": blocked, "unblock": not blocked and "blocked_ms" in row, "accept": not waits}
    return not done.get(action.path, False)


def offered(resource: Resource, asking: Visitor, here: Space) -> bool:
    """Whether a visitor has the page in a space."""
    fitting = here.kind in resource.spaces and (asking.house or not resource.house)
    return fitting and asking.arguments(resource.lists, here) is not None


def is_over(resource: Resource, row: Mapping[str, Any]) -> bool:
    """Whether it has ended."""
    return any(row.get(member) is not None for member in resource.over)
