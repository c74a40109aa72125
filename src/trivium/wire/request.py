"""What the gateway reads of a request, for all three APIs, and the request as the same API's upstream gets it.

Unknown members survive: they are never decoded. Members that ask for state which a stateless gateway does not keep are
refused (behaviour page, section 2, check 10).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import msgspec

from trivium.canon.api import CHAT, EMBEDDINGS, FIM, KINDS, MESSAGES, RESPONSES, Api, Kind, Solo
from trivium.errors import FieldInvalid, FieldUnsupported, ModelMissing, Unavailable
from trivium.wire import body as json_body
from trivium.wire import items
from trivium.wire.losses import Loss, Losses
from trivium.wire.onemodel import ENDINGS, OTHER_MODELS, SWITCHES, of_no_cost, of_one_model
from trivium.wire.solo import AN_HOUR, check_fields
from trivium.wire.unsealed import without_envelopes, without_seals

OURS = "trivium_fallbacks"
_USAGE = "include_usage"
MOST_FALLBACKS = 10
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
_Names = Annotated[tuple[_Name, ...], msgspec.Meta(max_length=MOST_FALLBACKS)]


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A parsed request. `model` is as the client wrote it, without blanks around it."""

    api: Kind
    body: bytes
    members: json_body.Members
    model: str
    stream: bool
    max_tokens: int | None
    wants_usage: bool
    """The client asked for the usage chunk of a Chat stream; always true for the other APIs."""
    fallbacks: tuple[str, ...] = ()
    """Models of ours that may answer where this one cannot: the member `trivium_fallbacks`, which goes no further."""
    items: items.Known = items.UNKNOWN
    """Of a Responses conversation."""


class Rendered(msgspec.Struct, frozen=True):
    """The bytes for the upstream, and what they no longer say."""

    body: bytes
    losses: tuple[Loss, ...] = ()


def parse(api: Kind, body: bytes) -> Request:
    """Raises InvalidJson, FieldInvalid, FieldUnsupported, ModelMissing."""
    found = json_body.members(body)
    model = (json_body.text(found, "model") or "").strip()
    if not model:
        raise ModelMissing("The field `model` is required: name the model that should answer.", param="model")
    stream = api is not EMBEDDINGS and json_body.flag(found, "stream")
    fallbacks: tuple[str, ...] = ()
    if OURS in found:
        fallbacks = _names(bytes(found.pop(OURS)))
        body = msgspec.json.encode(found)
    return Request(
        api=api,
        body=body,
        members=found,
        model=model,
        stream=stream,
        max_tokens=_limit(api, found),
        wants_usage=not (api is CHAT and stream) or _asks_for_usage(found),
        fallbacks=fallbacks,
        items=items.known(found.get(items.NAME)) if api is RESPONSES else items.UNKNOWN,
    )


def _names(raw: bytes) -> tuple[str, ...]:
    """Raises FieldInvalid."""
    try:
        names = (name.strip() for name in msgspec.json.decode(raw, type=_Names))
        return tuple(dict.fromkeys(filter(None, names)))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise FieldInvalid(f"`{OURS}` must be a list of up to {MOST_FALLBACKS} names of models.", param=OURS) from None


def _limit(api: Kind, found: json_body.Members) -> int | None:
    """The most tokens that an answer may have by the request: the largest, where two are named, for servers differ in
    which one they read. One that cannot be read, or says that there is none, is no limit whatever the other says.
    Raises FieldUnsupported where nobody could say how many answers are asked for."""
    if api is CHAT and "n" in found and json_body.count(found, "n") is None and json_body.is_said(found, "n"):
        raise FieldUnsupported("`n` must be a whole number.", param="n")
    limits = []
    for name in MAX_TOKENS[api]:
        if name in found and json_body.is_said(found, name):
            limits.append(json_body.count(found, name) or 0)
    return max(limits) if limits and all(limits) else None


def without_body(request: Request) -> Request:
    """What is still of use once the request is on its way: a long stream need not keep its question in memory."""
    return msgspec.structs.replace(request, body=b"", members={})


def with_members(request: Request, members: json_body.Members) -> Request:
    """The request with these, written anew: a member that stood twice could say something else to the upstream than to
    us."""
    return msgspec.structs.replace(request, body=msgspec.json.encode(members), members=members)


def without_costs(request: Request, losses: Losses) -> Request:
    """For whom nobody pays: without what a provider runs for money. Raises InvalidJson, FieldUnsupported."""
    members = of_no_cost(request.members, losses)
    return request if members is request.members else with_members(request, members)


def without_reasoning(request: Request, losses: Losses) -> Request:
    """For an upstream that has refused what another has sealed. Raises InvalidJson."""
    if not isinstance(request.api, Api):
        return request
    changes = without_seals(request.api, request.members, losses)
    members = {**request.members, **{name: msgspec.Raw(said) for name, said in changes.items()}}
    return with_members(request, members) if changes else request


def check_stateless(request: Request) -> None:
    """Raises FieldUnsupported for what only a server with memory could honour, FieldInvalid for an answer longer than
    anybody gives, and what `check_fields` does of an API that stands alone."""
    _check_spelling(request)
    if isinstance(request.api, Solo):
        check_fields(request.api, request.members)
    for name in MAX_TOKENS[request.api]:
        if name in request.members and _exceeds(bytes(request.members[name])):
            raise _too_much(name)
    for name, refused in _STATEFUL[request.api].items():
        if name in request.members and refused(bytes(request.members[name])):
            raise _needs_state(name)
    if request.items.refer:
        raise _needs_state(items.NAME)
    if "preset" in request.members:
        raise FieldUnsupported(_NO_PRESETS, param="preset")
    check_name(request.model, "model")
    if _ROUTING in request.members:
        raise FieldUnsupported(f"`{_ROUTING}` is for the gateway's operator to set; leave it out.", param=_ROUTING)


def _too_much(name: str) -> FieldInvalid:
    """Of the answer's length (vendors page, "max tokens"): a 503 that no waiting helps."""
    said = f"No model answers with more than {_MOST_TOKENS:,} tokens; ask for fewer in `{name}`."
    error = FieldInvalid(said, param=name, retry_after=AN_HOUR)
    error.status, error.code = Unavailable.status, Unavailable.code
    return error


def _needs_state(name: str) -> FieldUnsupported:
    instead = _INSTEAD.get(name, "send the whole conversation instead")
    return FieldUnsupported(f"`{name}` needs state that this gateway does not keep; {instead}.", param=name)


def check_name(model: str, param: str) -> None:
    """Of a model that a client names, wherever it does. Raises FieldUnsupported for a preset."""
    if _PRESET in model.lower():
        raise FieldUnsupported(_NO_PRESETS, param=param)


def _check_spelling(request: Request) -> None:
    """Servers in Go take `Model` for `model` (its `encoding/json`), and of both the one that comes last: what was
    checked must be what they read. Raises FieldUnsupported."""
    if (names := "".join(request.members)).isascii() and names == names.lower():
        return
    for name in request.members:
        plain = name.casefold()
        if plain != name and (plain in request.members or plain in _READ[request.api] or plain.endswith(ENDINGS)):
            raise FieldUnsupported(f"`{name[:100]}` must be written `{plain[:100]}`.", param=name[:100])


def _exceeds(raw: bytes) -> bool:
    """Whether a limit of tokens is beyond all that can be served (vendors page, "Requests")."""
    if len(raw) <= _DIGITS and _EXPONENT not in raw.lower():
        return False
    try:
        return float(raw.strip(b'"')) > _MOST_TOKENS
    except ValueError:
        return False


def render(request: Request, model: str, *, ask_usage: bool = True) -> Rendered:
    """The request for an upstream of the same API: `model` set, usage asked for where it may be, everything else as it
    came, save what another upstream sealed. Raises InvalidJson."""
    losses = Losses()
    members = of_one_model(request.members, losses, in_items=request.items.bring_tools)
    if members is not request.members:
        request = with_members(request, members)
    changes: dict[str, bytes] = {}
    if isinstance(request.api, Api):
        changes = without_envelopes(request.api, request.body, request.members, losses)
    if bytes(request.members["model"]) != (name := msgspec.json.encode(model)):
        changes["model"] = name
    if request.api is CHAT and request.stream and ask_usage:
        changes |= _usage_asked_for(request)
    if request.api is RESPONSES and json_body.flag(request.members, "store"):
        changes["store"] = b"false"
        losses.add("store", "the gateway keeps no answers; sent on as false")
    return Rendered(json_body.patch(request.body, request.members, changes, _READ[request.api]), losses.told())


def _asks_for_usage(found: json_body.Members) -> bool:
    options = json_body.value(found, "stream_options")
    return isinstance(options, dict) and options.get(_USAGE) is True


def _usage_asked_for(request: Request) -> dict[str, bytes]:
    """`stream_options` with include_usage true and every other option kept; nothing where it says so already, to
    whichever reader."""
    options = json_body.value(request.members, "stream_options")
    kept = options if isinstance(options, dict) else {}
    told = bytes(request.members.get("stream_options", b""))
    if kept.get(_USAGE) is True and told.lower().count(_USAGE.encode()) == 1 and b"\\" not in told:
        return {}
    others = {name: option for name, option in kept.items() if name.casefold() != _USAGE}
    return {"stream_options": msgspec.json.encode({**others, _USAGE: True})}


def _present(raw: bytes) -> bool:
    return raw != b"null"


_STATEFUL: dict[Kind, dict[str, Callable[[bytes], bool]]] = {
    CHAT: {},
    RESPONSES: {
        "previous_response_id": _present,
        "conversation": _present,
        "background": lambda raw: raw == b"true",
    },
    MESSAGES: {"thread": _present},
    EMBEDDINGS: {},
    FIM: {},
}

_INSTEAD = {
    "background": "leave it out and wait for the answer",
    items.NAME: "send items whole instead of an `item_reference`, as clients do where `store` is false: in the AI SDK "
    "`providerOptions.openai.store = false`",
}
"""What clients can do, by the member that is refused."""
_PRESET = "@preset/"
"""In a name: OpenRouter's settings under a name of their own (openrouter.ai/docs, "Presets")."""
_NO_PRESETS = "A preset is kept elsewhere, and may bring further models and tools; put into the request what it says."
_JUDGED = frozenset(
    (
        *("n", "tools", "plugins", "preset", "provider", "service_tier", "speed", "modalities", "container", "prompt"),
        *("inference_geo", "mcp_servers", "max_tool_calls", "context_management", "compaction"),
        *(*OTHER_MODELS, *SWITCHES),
    )
)
"""Further members on whose values something is decided elsewhere."""
_ROUTING = "providerOptions"
"""Vercel's member for where a request goes and whose key pays (vendors page, "Requests")."""

MAX_TOKENS: dict[Kind, tuple[str, ...]] = {
    CHAT: ("max_completion_tokens", "max_tokens"),
    RESPONSES: ("max_output_tokens",),
    MESSAGES: ("max_tokens",),
    EMBEDDINGS: (),
    FIM: ("max_tokens",),
}

_MOST_TOKENS = 99_999_999_999
_EXPONENT = ord("e")
_DIGITS = len(str(_MOST_TOKENS))

_MORE_READ: dict[Kind, tuple[str, ...]] = {
    CHAT: ("stream_options",),
    RESPONSES: ("store", items.NAME),
    EMBEDDINGS: ("input", "dimensions", "encoding_format"),
}
_READ = {
    api: frozenset(("model", "stream", *MAX_TOKENS[api], *_STATEFUL[api], *_MORE_READ.get(api, ()), *_JUDGED))
    for api in KINDS
}
"""The members on whose values the gateway decides something."""
