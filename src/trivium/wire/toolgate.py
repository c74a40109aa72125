"""Which tools of a request a model is given, by name: lists of what it is not given, and of what alone it is.

A tool may go by several names: clients can write more than their API has room for, a tool in a namespace is named by
both where it is translated, servers read more than one form. What is excluded under any of them is excluded; included
is what the lists mean under the name by which the server will know it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.wire.lenient import mapping, text
from trivium.wire.toolnames import ToolNames, full_name

Means = Callable[[str], bool]
"""Whether a list of names means this one."""

_HOLDERS = ("function", "custom")
_LABELS = ("name", "server_label", "mcp_server_name")
_OWN = frozenset(("", "function", "custom", "namespace", "tool", "url"))
"""Types that say what a tool or a choice is, and not which one. Of all others the type is a name."""
_MCP = frozenset(("mcp", "mcp_toolset"))
_VERSION = re.compile(r"(?:_preview)?(?:_\d{4}_?\d\d_?\d\d)?\Z")
_FIXED = {"text_editor": ("str_replace_based_edit_tool", "str_replace_editor")}
"""Names that a vendor's own tools have, where these are not their type's."""
_UPSTREAM = tuple(ToolNames(api) for api in Api)


class ToolGate(msgspec.Struct, frozen=True):
    """What a model's admins want; `includes` means every name where nothing is said."""

    excludes: Means
    includes: Means

    def lets(self, tool: Any, space: str | None = None, *, translated: bool = False) -> bool:
        """Whether the model is given a tool that a request defines or chooses, in this namespace. `translated`: it goes
        in another API, where its name and its namespace's are one."""
        names, kinds = _names(tool), _kinds(tool)
        space = text(mapping(tool).get("namespace")) or space
        tried = {spelt for name in (*names, *kinds) for spelt in _spellings(name, space)}
        if self._any_excluded(tried if space is None else {*tried, space}):
            return False
        if names and text(mapping(tool).get("type")) in _MCP:
            kinds = frozenset()  # which one it is, its label says
        if kinds and not self._any_included(kinds):
            return False
        if not names and not kinds:
            return self.includes("")
        return all(
            self.includes(full_name(name, space)) or (not translated and self.includes(name)) for name in names - kinds
        )

    def lets_switch(self, *names: str) -> bool:
        """The same for a tool that no list defines, of which these are the names."""
        return not self._any_excluded(names) and self._any_included(names)

    def _any_excluded(self, names: Iterable[str]) -> bool:
        return any(map(self.excludes, names))

    def _any_included(self, names: Iterable[str]) -> bool:
        return any(map(self.includes, names))


def _names(tool: Any) -> frozenset[str]:
    """What a client calls it: a function or free-text tool, in whichever form, or the label of an MCP server."""
    if isinstance(tool, str):
        return frozenset((tool,))
    said = mapping(tool)
    holders = (said, *(mapping(said.get(holder)) for holder in (*_HOLDERS, text(said.get("type")))))
    return frozenset(name for holder in holders for label in _LABELS if (name := text(holder.get(label))))


def _kinds(tool: Any) -> frozenset[str]:
    """What the vendor calls a tool of its own: its type, with the date of its version and without."""
    kind = text(mapping(tool).get("type"))
    if kind in _OWN:
        return frozenset()
    bare = _VERSION.sub("", kind.rpartition(":")[2])
    return frozenset((kind, bare, *_FIXED.get(bare, ())))


def _spellings(name: str, space: str | None) -> Iterator[str]:
    """By what name it may arrive somewhere."""
    whole = full_name(name, space)
    yield from (name, whole)
    for names in _UPSTREAM:
        yield names.plain(whole)
