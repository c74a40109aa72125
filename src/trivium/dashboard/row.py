"""What a row of `table.py` is: a page that lists what an operation lists, and what can be done about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from trivium.dashboard.visitor import Kind

EVERYWHERE: tuple[Kind, ...] = ("house", "me", "organization")


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """Something that can be done to one of a list, or (`Resource.make`) that adds one to it."""

    path: str
    label: str
    operation: str
    takes: Mapping[str, str] = {}
    """Arguments by the member of the row that they are."""
    many: str = ""
    """The one of these that is a list."""
    asks: tuple[str, ...] | None = ()
    """Arguments that a form asks for; None: all that are not taken from elsewhere."""
    edits: bool = False
    """The form shows what there is, and sends what was changed."""
    warns: str = ""
    """What to think of before it is done."""
    shows: str = ""
    """The member of the result that is seen this once."""
    links: str = ""
    """Where that leads if it is put behind."""
    leads: str = ""
    """The member of the result that is an address elsewhere, where it goes on."""
    help: Mapping[str, str] = {}
    fixed: Mapping[str, Any] = {}
    only: Mapping[str, Any] = {}
    """What a row must be for it, by member."""
    tells: bool = False
    """What it answers with is shown."""
    spaces: tuple[Kind, ...] = EVERYWHERE
    """Where it is offered, to whom it is allowed there."""
    asks_in: Mapping[str, tuple[Kind, ...]] = {}
    """Of what it asks for, that which makes sense in some spaces alone."""


def action(path: str, label: str, operation: str, **more: Any) -> Action:
    return Action(path=path, label=label, operation=operation, **more)


NUMBER = "seq"


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    title: str
    one: str
    """A single of it, in words."""
    group: str
    about: str
    spaces: tuple[Kind, ...]
    lists: str
    """The operation."""
    columns: tuple[str, ...]
    id: str = "id"
    """The member by which one is told from others; where it is `NUMBER`, the newest come first."""
    link: str = ""
    """Where the first column leads: `{member}` is the row's."""
    over: tuple[str, ...] = ()
    """Members that say that it has ended: nothing can be done about it."""
    make: Action | None = None
    also: tuple[Action, ...] = ()
    """What else is done to the list as a whole."""
    does: tuple[Action, ...] = ()
    filters: tuple[str, ...] = ()
    """Arguments of the list that can be asked for."""
    filters_in: Mapping[str, tuple[Kind, ...]] = {}
    """Of these, those that make sense in some spaces alone."""
    word: str = ""
    """The lone member that rows have which are mere words."""
    house: bool = False
    """For the house alone; others find it elsewhere."""
    compares: tuple[str, str] | None = None
    """Two members of a row, what was and what is: how they differ becomes its member `change`."""
