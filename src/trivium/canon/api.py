"""The APIs of the house, by the names that records, gates and metrics use."""

from __future__ import annotations

import enum


class Api(enum.StrEnum):
    """An API kind. The value is the name in records; `short` is the name on command lines and in configuration."""

    CHAT = "chat_completions"
    RESPONSES = "responses"
    MESSAGES = "messages"

    @property
    def short(self) -> str:
        return "chat" if self is Api.CHAT else self.value

    @classmethod
    def parse(cls, name: str) -> Api:
        """`chat`, `responses`, `messages` or a record name. Raises ValueError for any other."""
        return cls.CHAT if name == "chat" else cls(name)
