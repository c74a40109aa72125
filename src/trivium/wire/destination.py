"""Where a translated request goes, and what its renderers have in common."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable

import msgspec

from trivium.canon.api import Api
from trivium.canon.parts import Data, Document, Part, Reasoning, Text, ToolCall, ToolKind
from trivium.canon.request import INSTRUCTING, Request, Turn
from trivium.canon.traits import Traits
from trivium.errors import FieldInvalid, Untranslatable
from trivium.wire.draft import CONVERSATION
from trivium.wire.envelope import fits, is_empty
from trivium.wire.losses import Losses
from trivium.wire.schemas import FREE_TEXT
from trivium.wire.toolnames import ToolNames, fitting_id, nine_letters

FOREIGN_REASONING = "reasoning sealed by another provider or model, or by nobody: only its origin takes it back"
NO_REASONING = "this model takes no reasoning back"
_FAILED = "The tool failed: "


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """The upstream, for the renderer of its API."""

    api: Api
    model: str
    traits: Traits = Traits()
    origin: str = ""
    """Its secret name (`envelope.origin_tag`)."""
    kin: str = ""
    """That of all servers of its family, which take each other's reasoning where nobody has sealed it; if there are."""
    called: str = ""
    """What callers know the model by, if it is one of the house: nothing else is told of where it leads."""

    @property
    def origins(self) -> tuple[str, ...]:
        """The names that envelopes for it have."""
        return (self.origin, self.kin) if self.kin else (self.origin,)


class Wanted(msgspec.Struct, frozen=True):
    """What a renderer works with beside the request: where it goes, the names of its tools, and what is lost."""

    to: Destination
    names: ToolNames
    losses: Losses

    def id(self, id: str) -> str:
        """The id of a call as the upstream takes it, the same whenever asked."""
        return nine_letters(id) if self.to.traits.nine_letter_ids else fitting_id(id, self.to.api)

    def takes(self, part: Reasoning) -> bool:
        """Whether the upstream may get this reasoning back; if not it is lost."""
        if is_empty(part.seal, part.text):
            return False
        if any(fits(part.seal, origin, self.to.api) for origin in self.to.origins):
            return True
        self.losses.add(part.at, FOREIGN_REASONING)
        return False

    def lose(self, request: Request, **members: object) -> None:
        """Losses of members of the request, by the canon's names, that are set."""
        for name, value in members.items():
            if value is not None:
                self.losses.add(path(request, name), f"{_TITLES[self.to.api]} has no such setting")

    def lose_logprobs(self, request: Request) -> None:
        """Chat asks for probabilities by one member and for how many by another, Responses by either."""
        if request.logprobs is None:
            return
        most = ["top_logprobs"] if request.logprobs else []
        for name in most or ["include"] if request.api is Api.RESPONSES else ["logprobs", *most]:
            self.losses.add(name, f"{_TITLES[self.to.api]} has no such setting")


_TITLES = {Api.CHAT: "this upstream's Chat Completions", Api.RESPONSES: "Responses", Api.MESSAGES: "Messages"}

_PATHS: dict[Api, dict[str, str]] = {
    Api.CHAT: {
        "user": "user",
        "thinking": "reasoning_effort",
        "format": "response_format",
        "cache_key": "prompt_cache_key",
        "cache_retention": "prompt_cache_retention",
    },
    Api.RESPONSES: {
        "max_tokens": "max_output_tokens",
        "verbosity": "text.verbosity",
        "thinking": "reasoning",
        "format": "text.format",
        "cache_key": "prompt_cache_key",
        "cache_retention": "prompt_cache_retention",
    },
    Api.MESSAGES: {
        "stop": "stop_sequences",
        "user": "metadata.user_id",
        "format": "output_config.format",
        "parallel_tool_calls": "tool_choice.disable_parallel_tool_use",
    },
}


def path(request: Request, name: str) -> str:
    """A member of the canon in the words of the client's API."""
    return _PATHS[request.api].get(name, name)


def limit_of(request: Request, wanted: Wanted) -> int | None:
    """The limit of tokens; upstreams take no less than one."""
    if request.max_tokens == 0:
        wanted.losses.add(path(request, "max_tokens"), "an answer of no tokens cannot be asked for; of one instead")
        return 1
    return request.max_tokens


def leading(turns: tuple[Turn, ...]) -> tuple[list[Text], tuple[Turn, ...]]:
    """The instructions that stand before everything else, and the rest."""
    count = 0
    while count < len(turns) and turns[count].role in INSTRUCTING:
        count += 1
    return texts(part for turn in turns[:count] for part in turn.parts), turns[count:]


def texts(parts: Iterable[Part]) -> list[Text]:
    """The texts among the parts: instructions consist of nothing else."""
    return [part for part in parts if isinstance(part, Text)]


def joined(parts: Iterable[Text]) -> str:
    return "\n\n".join(part.text for part in parts)


def failed(text: str) -> str:
    """A tool's error where the API has no field for it."""
    return text if text.startswith(_FAILED) else _FAILED + text


def user_hash(user: str) -> str:
    """A user's name for another vendor than the client meant: the same for the same user, and not the name."""
    return hashlib.sha256(user.encode("utf-8", "replace")).hexdigest()


def arguments_of(call: ToolCall) -> str:
    """The arguments of a call where all tools are functions."""
    if call.kind is ToolKind.CUSTOM:
        return msgspec.json.encode({FREE_TEXT: call.arguments}).decode()
    return call.arguments or "{}"


def plain_text(document: Document) -> str | None:
    """The text of a file that is one; None for other files."""
    source = document.source
    if not isinstance(source, Data) or not source.media_type.startswith("text/"):
        return None
    try:
        said = base64.b64decode(source.base64).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return None
    return f"<document>\n{document.title or ''}\n{said}\n</document>"


def nothing_said(request: Request) -> FieldInvalid:
    name = CONVERSATION[request.api]
    return FieldInvalid(f"`{name}` must not be empty, nor hold nothing but blanks.", param=name)


def no_words(at: str, what: str, to: Destination) -> Untranslatable:
    """For what would make the question another if it were left out."""
    whom = f"`{to.called}`" if to.called else f"`{to.model}` through {_TITLES[to.api]}"
    return Untranslatable(f"`{at}`: {what} cannot be said to {whom}.", param=at)
