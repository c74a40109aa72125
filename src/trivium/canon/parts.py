"""What turns and answers are made of: frozen parts, the same in a conversation that is sent and in an answer that came.

`at` is where the client said it, a JSON path in the client's own words; empty for what a model said. `cache` is the
lifetime of a prompt-cache mark behind the part (`5m`, `1h`), or None for no mark.
"""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class Url(msgspec.Struct, frozen=True):
    url: str


class Data(msgspec.Struct, frozen=True):
    media_type: str
    base64: str


Source = Url | Data


class Citation(msgspec.Struct, frozen=True):
    """A page that a text relies on, and the letters of the text that do; None: all of it."""

    url: str
    title: str | None = None
    start: int | None = None
    end: int | None = None


class Text(msgspec.Struct, frozen=True):
    text: str
    at: str = ""
    cache: str | None = None
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[Any, ...] = ()
    apart: bool = False
    """Of what a model said: it does not go on with the text before it."""


class Image(msgspec.Struct, frozen=True):
    source: Source
    at: str = ""
    cache: str | None = None
    detail: str | None = None


class Document(msgspec.Struct, frozen=True):
    """A file to be read, a PDF as a rule; plain text is a `Text`."""

    source: Source
    at: str = ""
    cache: str | None = None
    title: str | None = None


class Audio(msgspec.Struct, frozen=True):
    format: str
    base64: str
    at: str = ""


class Refusal(msgspec.Struct, frozen=True):
    text: str
    at: str = ""


class Seal(msgspec.Struct, frozen=True):
    """What a provider put beside its reasoning so that it can be sent back: opaque, and of use to nobody else."""

    form: str
    """Which of an API's members held it (`wire/envelope`)."""
    data: str = ""
    origin: str | None = None
    """What an envelope says of provider, API and model that made it; None where there was no envelope."""
    text: str = ""
    """A digest of the text that came beside the envelope."""


class Reasoning(msgspec.Struct, frozen=True):
    text: str
    at: str = ""
    seal: Seal | None = None


class ToolKind(enum.StrEnum):
    FUNCTION = "function"
    """Arguments are JSON by a schema."""
    CUSTOM = "custom"
    """Arguments are free text, perhaps by a grammar."""


class ToolCall(msgspec.Struct, frozen=True):
    id: str
    name: str
    arguments: str
    """The arguments' JSON text (free text for a custom tool), as the model wrote it: it may be empty or cut short."""
    kind: ToolKind = ToolKind.FUNCTION
    namespace: str | None = None
    at: str = ""
    cache: str | None = None


class ToolResult(msgspec.Struct, frozen=True):
    id: str
    """The call's."""
    content: tuple[Text | Image | Document, ...]
    is_error: bool = False
    at: str = ""
    cache: str | None = None


Part = Text | Image | Document | Audio | Refusal | Reasoning | ToolCall | ToolResult
AnswerPart = Text | Refusal | Reasoning | ToolCall
