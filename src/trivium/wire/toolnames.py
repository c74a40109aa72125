"""Ids and names of tools on their way between APIs.

An id from an upstream that other APIs do not take (Kimi's `functions.add:0`) reaches the client as `tvid_` and its
base64, and turns back into itself when the client sends it: no table is kept between requests. An id from a client that
the upstream would not take is cut to what it takes, and so is each mention of it.

A name that the upstream would not take is cut and told apart by a hash; a tool inside a namespace is named by both. For
the length of one request the map back is kept.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re

import msgspec

from trivium.canon.api import Api
from trivium.canon.parts import ToolKind

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")
_FOREIGN = re.compile(r"[^A-Za-z0-9_-]")
_CODED = "tvid_"
_LONGEST_ID = 64
"""OpenAI's limit."""
_MISTRALS = 9
_LONGEST_NAME = {Api.CHAT: 64, Api.RESPONSES: 64, Api.MESSAGES: 128}


def outward_id(id: str) -> str:
    """An upstream's id in letters that every API takes."""
    if _PLAIN.fullmatch(id) and not id.startswith(_CODED):
        return id
    return _CODED + base64.urlsafe_b64encode(id.encode("utf-8", "replace")).decode().rstrip("=")


def inward_id(id: str) -> str:
    """A client's id as its upstream said it."""
    if not id.startswith(_CODED):
        return id
    coded = id.removeprefix(_CODED)
    try:
        said = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
    except (binascii.Error, ValueError):
        return id
    return said if outward_id(said) == id else id


def fitting_id(id: str, api: Api) -> str:
    """The id as an upstream of the API takes it: the same for the same id."""
    if api is Api.MESSAGES:
        return plain_id(id) if len(id) <= _LONGEST_ID else _digest(id)
    return id if len(id) <= _LONGEST_ID else _shortened(id, _LONGEST_ID)


def plain_id(id: str) -> str:
    """The id as Anthropic takes it: letters, digits, `_` and `-`; another is told by its SHA-256."""
    return id if _PLAIN.fullmatch(id) else _digest(id)


def nine_letters(id: str) -> str:
    """The id as Mistral takes it: nine letters or digits."""
    if len(id) == _MISTRALS and id.isascii() and id.isalnum():
        return id
    return _digest(id)[:_MISTRALS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _shortened(text: str, longest: int) -> str:
    return f"{_FOREIGN.sub('_', text)[: longest - 9]}_{_digest(text)[:8]}"


def full_name(name: str, namespace: str | None) -> str:
    """A tool's name where there are no namespaces."""
    return name if namespace is None else f"{namespace.removesuffix('__')}__{name}"


class ToolName(msgspec.Struct, frozen=True):
    """A tool as the client named it."""

    name: str
    namespace: str | None = None
    kind: ToolKind = ToolKind.FUNCTION


class ToolNames:
    """The names of one request's tools as the upstream knows them, and the way back."""

    def __init__(self, api: Api) -> None:
        self._longest = _LONGEST_NAME[api]
        self._upstream: dict[tuple[str, str | None], str] = {}
        self._taken: set[str] = set()
        self._custom_calls: set[str] = set()
        self._messages = 0
        self.answer: str | None = None
        """The tool whose arguments are the answer's text."""
        self.originals: dict[str, ToolName] = {}
        """Upstream name -> the client's, for those that changed, or whose kind the upstream does not know."""

    def upstream(
        self, name: str, namespace: str | None = None, kind: ToolKind = ToolKind.FUNCTION, *, wrapped: bool = False
    ) -> str:
        """The name for the upstream, the same whenever asked. `wrapped`: it goes as a function though it is none."""
        known = self._upstream.get((name, namespace))
        if known is not None:
            return known
        full = full_name(name, namespace)
        chosen = full if _PLAIN.fullmatch(full) and len(full) <= self._longest else _shortened(full, self._longest)
        if chosen in self._taken:
            chosen = _shortened(f"{full}/{namespace}/{name}", self._longest)
        self._taken.add(chosen)
        self._upstream[name, namespace] = chosen
        if chosen != name or namespace is not None or wrapped:
            self.originals[chosen] = ToolName(name, namespace, kind)
        return chosen

    def plain(self, name: str) -> str:
        """The name of a schema, in the letters that names of tools have."""
        return name if _PLAIN.fullmatch(name) and len(name) <= self._longest else _shortened(name, self._longest)

    def custom_call(self, id: str) -> None:
        """A call of a free-text tool: its result is one of a kind of its own."""
        self._custom_calls.add(id)

    def is_custom_call(self, id: str) -> bool:
        return id in self._custom_calls

    def message_id(self) -> str:
        """An id for the next message of the assistant's."""
        self._messages += 1
        return f"msg_{self._messages:08}"
