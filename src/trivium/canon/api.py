"""The APIs of the house, by the names that records, gates and metrics use."""

from __future__ import annotations

import enum
from typing import TypeAlias


class Api(enum.StrEnum):
    """An API for conversations: each can be translated into the others. The value is the name in records; `short` is
    the name on command lines and in configuration."""

    CHAT = "chat_completions"
    RESPONSES = "responses"
    MESSAGES = "messages"

    short: str
    shape: Api
    """The API whose errors, streams and rate-limit headers it has."""

    def __init__(self, name: str) -> None:
        self.short = "chat" if name == "chat_completions" else name
        self.shape = self

    @classmethod
    def parse(cls, name: str) -> Api:
        """`chat`, `responses`, `messages` or a record name. Raises ValueError for any other."""
        return cls.CHAT if name == "chat" else cls(name)


class Solo(enum.StrEnum):
    """An API that stands alone: no other says the same, so that nothing is translated into it or from it, and an
    upstream serves it as it is or not at all. What it shares with others has the shape of Chat Completions."""

    EMBEDDINGS = "embeddings"
    FIM = "fim"
    """Fill-in-the-middle; its answers are those of Chat Completions."""

    short: str
    shape: Api

    def __init__(self, name: str) -> None:
        self.short = name
        self.shape = Api.CHAT


Kind: TypeAlias = Api | Solo

CHAT, RESPONSES, MESSAGES = Api
EMBEDDINGS, FIM = Solo
"""Members by names of their own, for what every call asks: Python 3.11 looks for `Api.CHAT` in its metaclass first, and
takes ten times as long as for a global."""

KINDS: tuple[Kind, ...] = (*Api, *Solo)
_SOLO = {api.value: api for api in Solo}


def kind_of(name: str) -> Kind:
    """As `Api.parse`, of every kind. Raises ValueError."""
    return _SOLO.get(name) or Api.parse(name)
