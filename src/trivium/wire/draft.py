"""A request's body while rules work on it: top-level members that stay bytes until a rule reads one.

What rules set, and what they take out, is put into the bytes in one step, and nothing else of them changes. In a list
of messages every entry that no rule touched stays the bytes it was.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

import msgspec

from trivium.canon.api import Api, Kind
from trivium.wire import body as json_body
from trivium.wire.fields import decoded
from trivium.wire.losses import Losses

CONVERSATION: dict[Kind, str] = {Api.CHAT: "messages", Api.RESPONSES: "input", Api.MESSAGES: "messages"}
"""Where each API has what was said."""
T = TypeVar("T")


class _Head(msgspec.Struct):
    role: str | None = None


_heads = msgspec.json.Decoder(list[_Head])
_raws = msgspec.json.Decoder(list[msgspec.Raw])
_NULL = msgspec.Raw(b"null")


class Draft:
    def __init__(self, api: Kind, members: json_body.Members, losses: Losses) -> None:
        self.api = api
        self.losses = losses
        self.headers: list[tuple[bytes, bytes]] = []
        """What goes beside the body."""
        self.touched = False
        """The last rule did something."""
        self._members = members
        self._changes: dict[str, bytes | None] = {}
        self._entries: dict[str, list[Any]] = {}
        self._first: dict[str, dict[int, tuple[Any, msgspec.Raw]]] = {}

    def __contains__(self, name: str) -> bool:
        return self._changes[name] is not None if name in self._changes else name in self._members

    def raw(self, name: str) -> bytes:
        """A member as it stands; that of null where it is absent."""
        if name in self._changes:
            return self._changes[name] or b"null"
        return bytes(self._members.get(name, _NULL))

    def value(self, name: str) -> Any:
        """A member decoded; None where it is absent or null. Raises InvalidJson."""
        return decoded(self.raw(name), name)

    def set(self, name: str, value: Any) -> None:
        """Nothing happens where the member says so already."""
        self.put(name, msgspec.json.encode(value))

    def put(self, name: str, raw: bytes) -> None:
        if name not in self or self.raw(name) != raw:
            self._changes[name] = raw
            self._entries.pop(name, None)
            self.touched = True

    def remove(self, name: str, why: str | None) -> None:
        """Takes a member out, if it is there; `why` makes it a loss."""
        if name not in self:
            return
        if why is not None and self.raw(name) != b"null":
            self.losses.add(name, why)
        self._changes[name] = None
        self._entries.pop(name, None)
        self.touched = True

    def header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))
        self.touched = True

    def entries(self, name: str) -> list[Any]:
        """The entries of a list; none where the member is no list. Raises InvalidJson."""
        if name not in self._entries:
            raw = self.raw(name)
            found = decoded(raw, name) if raw.startswith(b"[") else []
            raws = _raws.decode(raw) if found else []
            self._first[name] = {id(one): (one, said) for one, said in zip(found, raws, strict=True)}
            self._entries[name] = found
        return self._entries[name]

    def put_entries(self, name: str, entries: list[Any]) -> None:
        """The list anew: those of its entries that are the objects they were stay the bytes they were."""
        if len(entries) == len(self._entries[name]) and all(map(_is, entries, self._entries[name])):
            return
        first = self._first[name]
        self._changes[name] = msgspec.json.encode([first[id(one)][1] if id(one) in first else one for one in entries])
        self._entries[name] = entries
        self.touched = True

    def heads(self, name: str, decoder: msgspec.json.Decoder[list[T]]) -> list[T]:
        """Of the entries of a list what a decoder reads; none where they are not what it expects. Costs a fraction of
        `entries`."""
        try:
            return decoder.decode(self.raw(name))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return []

    def roles(self) -> list[str | None]:
        """Who says each of the `messages`."""
        return [head.role for head in self.heads("messages", _heads)]

    def amend(self, name: str, places: Collection[int], change: Callable[[Any], Any]) -> None:
        """Changes single entries of a list, as `heads` has found them: those that become other objects. Raises
        InvalidJson."""
        if not places:
            return
        raws, changed = _raws.decode(self.raw(name)), False
        for place in places:
            before = decoded(raws[place], name)
            after = change(before)
            if after is not before:
                raws[place], changed = msgspec.Raw(msgspec.json.encode(after)), True
        if changed:
            self.put(name, msgspec.json.encode(raws))

    @property
    def names(self) -> Iterable[str]:
        return self.members() if self._changes else self._members

    @property
    def changed(self) -> bool:
        return bool(self._changes)

    def members(self) -> json_body.Members:
        """All members as they stand now."""
        told = {**self._members, **{name: msgspec.Raw(raw) for name, raw in self._changes.items() if raw is not None}}
        return {name: raw for name, raw in told.items() if name in self}

    def body(self, before: bytes) -> bytes:
        """The body, which was `before`. What is taken out is provably nowhere else in it: then it is written anew."""
        if any(raw is None for raw in self._changes.values()):
            return msgspec.json.encode(self.members())
        changes = {name: raw for name, raw in self._changes.items() if raw is not None}
        return json_body.patch(before, self._members, changes)


def _is(one: Any, other: Any) -> bool:
    return one is other
