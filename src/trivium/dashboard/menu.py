"""Which pages a visitor has in a space: those whose operations the visitor may perform there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivium.dashboard.documents import DOCUMENTS, PANELS, QUESTIONS
from trivium.dashboard.row import Action, Resource
from trivium.dashboard.table import RESOURCES
from trivium.dashboard.visitor import Space, Visitor

Links = list[tuple[str, str]]
_GROUPS = ("", "Use", "Models", "Money", "People", "Alerts", "House")
_CALLED: Mapping[tuple[str, str], str] = {("House", "organization"): "Organization", ("People", "me"): "You"}
"""Groups that have another name in a kind of space."""
_MADE = (
    ("usage", "Usage", "usage.report"),
    ("requests", "Requests", "requests.search"),
    ("free", "Free use", "free.use"),
)
"""Pages of their own, by the operation that they begin with."""
_ORDER = {
    path: at
    for at, path in enumerate(
        (
            *("keys", "upstream-keys", "models", "playground"),
            *("catalogue", "explain", "prices", "price-history", "price-changes"),
            *("accounts", "entries", "budgets", "payments", "auto-top-up", "stray-payments"),
            *("members", "projects", "organizations", "users", "invitations", "blocked-domains", "sessions"),
            *("alerts", "channels", "notices", "baseline"),
            *("health", "policy", "settings", "admins", "changes"),
        )
    )
}
"""In which pages stand within their groups."""


def menu(asking: Visitor, here: Space) -> list[tuple[str, Links]]:
    """Groups of paths behind the space's and titles."""
    found: dict[str, Links] = {name: [] for name in _GROUPS}
    found[""] = [("", "Home")]
    found[""] += [(path, title) for path, title, operation in _MADE if asking.may(operation, here)]
    if asking.may("keys.create", here):
        found["Use"].append(("playground", "Playground"))
    for one in RESOURCES:
        if offered(one, asking, here):
            found[one.group].append((one.path, one.title))
    for document in DOCUMENTS:
        if here.kind in document.spaces and asking.may(document.shows, here):
            found[document.group].append((document.path, document.title))
    for question in QUESTIONS:
        if here.kind in question.spaces and asking.may(question.operation, here):
            found[question.group].append((question.path, question.title))
    if any(asking.may(panel.operation, here) for panel in PANELS):
        found["House"].append(("health", "Health"))
    ordered = {name: sorted(links, key=lambda link: _ORDER.get(link[0], -1)) for name, links in found.items()}
    return [(_CALLED.get((name, here.kind), name), links) for name, links in ordered.items() if links]


def may(asking: Visitor, here: Space, action: Action) -> bool:
    """Whether an action is offered to a visitor in a space."""
    return here.kind in action.spaces and asking.may(action.operation, here)


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
    return fitting and asking.may(resource.lists, here)


def is_over(resource: Resource, row: Mapping[str, Any]) -> bool:
    """Whether it has ended."""
    return any(row.get(member) is not None for member in resource.over)
