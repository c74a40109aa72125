"""The prompts of a call, read at most once, and only where something asks for them: records that keep their beginnings,
rules and classifiers that look for abuse."""

from __future__ import annotations

from typing import Any

from trivium.wire.prompts import Prompts, prompts
from trivium.wire.request import Request

_PREFIX = 100
"""Letters (code points) of a prompt that a record keeps (behaviour page, section 9)."""


class Words:
    """Holds the request until it has been read."""

    def __init__(self, request: Request) -> None:
        self._request: Request | None = request
        self._read: Prompts | None = None

    def read(self) -> Prompts:
        if self._read is None:
            assert self._request is not None
            self._read, self._request = prompts(self._request), None
        return self._read


def columns(words: Words, *, of_organization: bool) -> dict[str, Any]:
    """What a record keeps of them. Of an organization's prompts only the length."""
    told = words.read()
    length = None if told.system is None else len(told.system)
    if of_organization or not told.read:
        return {"system_prompt_length": length}
    return {
        "prompt_prefix": (told.user or "")[:_PREFIX],
        "system_prompt_prefix": None if told.system is None else told.system[:_PREFIX],
        "system_prompt_length": length,
    }
