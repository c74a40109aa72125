"""The prompts and tools of a call, read at most once, and only where something asks for them: records that keep them,
rules and classifiers that look for abuse."""

from __future__ import annotations

from typing import Any

from trivium.metering.record import json_of
from trivium.settings import RecordSettings
from trivium.wire.prompts import Prompts, offered_tools, prompts, used_tools
from trivium.wire.request import Request

_PREFIX = 100
"""Letters (code points) of a prompt that a record keeps (behaviour page, section 9)."""
_MOST_TOOLS = 100
_LONGEST_TOOL = 64
"""Letters of a tool's kind, and of its name."""


class Words:
    """Holds the request until it has been read."""

    def __init__(self, request: Request, *, tools: bool) -> None:
        """`tools`: these are asked for too, behind the prompts."""
        self._request: Request | None = request
        self._asks_tools = tools
        self._read: Prompts | None = None

    def read(self) -> Prompts:
        if self._read is None:
            assert self._request is not None
            self._read = prompts(self._request)
            if not self._asks_tools:
                self._request = None
        return self._read

    def tools(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Those that are offered and those that were used. Once."""
        assert self._request is not None
        found, self._request = (offered_tools(self._request), used_tools(self._request)), None
        return found


def columns(words: Words, kept: RecordSettings, *, of_organization: bool) -> dict[str, Any]:
    """What a record keeps of them."""
    told = _of_prompts(words, of_organization=of_organization) if kept.prompts else {}
    if kept.tools:
        offered, used = words.tools()
        told |= {"tools_available": _names(offered), "tools_used": _names(used)}
    return told


def _names(tools: tuple[str, ...]) -> str | None:
    """JSON; each name once."""
    cut = (tool.partition(":") for tool in tools)
    names = dict.fromkeys(f"{kind[:_LONGEST_TOOL]}:{name[:_LONGEST_TOOL]}" for kind, _, name in cut)
    return json_of(list(names)[:_MOST_TOOLS])


def _of_prompts(words: Words, *, of_organization: bool) -> dict[str, Any]:
    """Of an organization's only the length."""
    told = words.read()
    length = None if told.system is None else len(told.system)
    if of_organization or not told.read:
        return {"system_prompt_length": length}
    return {
        "prompt_prefix": (told.user or "")[:_PREFIX],
        "system_prompt_prefix": None if told.system is None else told.system[:_PREFIX],
        "system_prompt_length": length,
    }
