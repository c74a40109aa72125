"""A request asks one model, the one that it names: nobody has looked at whether the caller may have another one, what
it costs, or who pays for it. What brings others in is left out, and told as lost.

Members that name them, and tools and plugins that an upstream runs by calling a model: OpenRouter's ("Server tools" and
"Plugins" at openrouter.ai/docs; its `image_generation` calls `openai/gpt-5-image` where it names none), Anthropic's
advisor ("Advisor tool" at platform.claude.com/docs), OpenAI's `image_generation` where it names a model. Tools that the
client itself runs are never touched.

Where nobody pays (callers without a key, models that a pattern has made free), tools go as well that a provider runs
and has paid beside the tokens: a search of the web costs the house money behind a free model, too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

import msgspec

from trivium.errors import FieldUnsupported, InvalidJson
from trivium.wire import items
from trivium.wire.again import Again
from trivium.wire.body import Members, members
from trivium.wire.crowd import is_crowded
from trivium.wire.losses import Losses

OTHER_MODELS = frozenset(("models", "fallbacks", "route", "compound_custom"))
"""OpenRouter's list and its older word for one of its own choice, Anthropic's list, and what Groq's systems are made
of (`compound_custom.models`)."""
ENDINGS = ("_model", "_models")
"""Of members for a model beside the one that answers, as Together's `safety_model`, LM Studio's `draft_model`."""
_LISTS = {"tools": "type", "plugins": "id"}
"""Lists of what an upstream may run, and the member that says what an item is."""
_CLIENTS = (b"null", b'"function"', b'"custom"')
"""Types of tools that the client describes, in which any word may stand."""
_NAMESPACE = b'"namespace"'
"""Several of those under a name, and no namespaces among them."""
_BY_NATURE = re.compile(
    rb'"(?:(?:[a-z]+:)?(?:fusion|advisor|subagent|[a-z-]*router)(?:_[^"]*)?|[a-z]+:image_generation)"'
)
"""What calls other models also where it names none."""
_ESCAPE = b"\\"
"""In a type it may hide one of those, and no honest client writes any."""
_NAMES_ONE = re.compile(rb'models?"\s*:|\\u00[4-7]', re.IGNORECASE)
"""A member that names some (`model`, `analysis_models`), or an escape that may spell one."""
_PAID = re.compile(
    rb'"(?:[a-z]+:.*|(?:web_search|web_fetch|x_search|file_search|code_execution|code_interpreter|image_generation)(?:_.*)?)"'
)
"""Tools that run at the provider's, with the dates of their versions, and all of a gateway's own."""
SWITCHES = frozenset(("web_search_options", "search_parameters", "plugins"))
"""Members that switch one on, without a tool."""
_LOOKED_AT = frozenset((*OTHER_MODELS, *_LISTS, items.NAME))
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"')
_LONGEST_CHOICE = 64 * 1024
_OF_TOOLS = ("tool_choice", "parallel_tool_calls")
"""Nobody takes these where no tools are."""
_WHY = "a request is answered by the model that it names, or not at all"
_NOBODY_PAYS = "nobody would pay for what the provider runs"


_T = TypeVar("_T")
_Test = Callable[[bytes, msgspec.Raw], bool]
"""Whether an item goes, by what it is and all of it."""


class _Item(msgspec.Struct, gc=False):
    type: msgspec.Raw = msgspec.Raw(b"null")
    id: msgspec.Raw = msgspec.Raw(b"null")
    name: msgspec.Raw = msgspec.Raw(b"null")
    tools: msgspec.Raw = msgspec.Raw(b"null")


class _Clients(msgspec.Struct, gc=False):
    """A tool that the client runs; what is none is no value of this type."""

    type: Literal["function", "custom"] | None = None


_clients = msgspec.json.Decoder(list[_Clients])
_items = msgspec.json.Decoder(list[_Item | list[msgspec.Raw] | str | int | float | bool | None])
_raw_items = msgspec.json.Decoder(list[msgspec.Raw])


def of_one_model(found: Members, losses: Losses, *, in_items: bool = True) -> Members:
    """The members without any that bring in another model; the same where there are none. `in_items`: items of the
    conversation may bring tools along. Raises InvalidJson, FieldUnsupported."""
    if found.keys().isdisjoint(_LOOKED_AT) and ENDINGS[0] not in ",".join(found):
        return found
    names = [name for name in found if name in OTHER_MODELS or name.endswith(ENDINGS)]
    return _left(found, names, _asks_another, losses, _WHY, in_items=in_items)


def of_no_cost(found: Members, losses: Losses) -> Members:
    """The members without what a provider runs for money. Raises InvalidJson, FieldUnsupported."""
    return _left(found, SWITCHES & found.keys(), _is_paid, losses, _NOBODY_PAYS)


def _left(
    found: Members, names: Iterable[str], test: _Test, losses: Losses, why: str, *, in_items: bool = True
) -> Members:
    """The members without these, and without the items of lists that do not pass."""
    changed: dict[str, msgspec.Raw | None] = dict.fromkeys(names)
    for name in changed:
        losses.add(name, why)
    for name, said_by in _LISTS.items():
        raw = bytes(found.get(name, b"")) if name not in changed else b""
        if raw.startswith(b"[") and (gone := _gone(raw, name, said_by, test)):
            for place in gone:
                losses.add(f"{name}[{place}]", why)
            left = [item for place, item in enumerate(_raw_items.decode(raw)) if place not in gone]
            changed[name] = msgspec.Raw(msgspec.json.encode(left)) if left else None
            if name == "tools":
                changed |= _choice_without(found, gone, losses, any_left=bool(left))
    said = found.get(items.NAME) if in_items else None
    if said is not None and (kept_items := _items_without(said, test, losses, why)) is not None:
        changed[items.NAME] = kept_items
    if not changed:
        return found
    kept = {name: changed.get(name, raw) for name, raw in found.items()}
    return {name: raw for name, raw in kept.items() if raw is not None}


def _items_without(said: msgspec.Raw, test: _Test, losses: Losses, why: str) -> msgspec.Raw | None:
    """The conversation without such tools in its items; None: it has none."""
    brought = [(place, bytes(item.tools)) for place, item in enumerate(items.read(said)) if item is not None]
    brought = [(place, tools) for place, tools in brought if tools.startswith(b"[")]
    if not brought:
        return None
    changed: dict[int, msgspec.Raw] = {}
    whole = _raw_items.decode(said)
    for place, tools in brought:
        at = f"{items.NAME}[{place}].tools"
        if gone := _gone(tools, at, "type", test):
            for inner in gone:
                losses.add(f"{at}[{inner}]", why)
            left = [tool for inner, tool in enumerate(_raw_items.decode(tools)) if inner not in gone]
            changed[place] = msgspec.Raw(msgspec.json.encode({**members(bytes(whole[place])), "tools": left}))
    if not changed:
        return None
    return msgspec.Raw(msgspec.json.encode([changed.get(place, item) for place, item in enumerate(whole)]))


def _decoded(decoder: msgspec.json.Decoder[list[_T]], raw: bytes, name: str) -> list[_T]:
    try:
        return decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidJson(f"The field `{name}` is not valid JSON: {error}.", param=name) from None


def _gone(raw: bytes, name: str, said_by: str, test: _Test, *, inner: bool = False) -> dict[int, tuple[bytes, bytes]]:
    """The places of the items that go, with what each is, and its name. `inner`: in a namespace."""
    if is_crowded(raw, b","):
        raise FieldUnsupported(f"`{name}` has too many items to look through.", param=name)
    if said_by == "type" and _are_clients(raw):
        return {}
    items = _decoded(_items, raw, name)
    kinds = [bytes(getattr(item, said_by, b"null")) for item in items]
    if all(kind in _CLIENTS for kind in kinds):
        return {}
    whole = _decoded(_raw_items, raw, name)
    return {
        place: (kind, bytes(getattr(items[place], "name", b"null")))
        for place, kind in enumerate(kinds)
        if kind not in _CLIENTS
        and (
            _holds_any(bytes(getattr(items[place], "tools", b"")), test, inner=inner)
            if kind == _NAMESPACE
            else _ESCAPE in kind or test(kind, whole[place])
        )
    }


def _all_clients(tools: bytes) -> bool:
    """Whether all of them are run by the client. False for what cannot be read, too."""
    try:
        _clients.decode(tools)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


_are_clients = Again(_all_clients)


def _holds_any(tools: bytes, test: _Test, *, inner: bool) -> bool:
    """Whether there is anything in a namespace that goes."""
    return inner or (tools.startswith(b"[") and bool(_gone(tools, "tools", "type", test, inner=True)))


def _asks_another(kind: bytes, whole: msgspec.Raw) -> bool:
    return bool(_BY_NATURE.fullmatch(kind) or _NAMES_ONE.search(whole))


def _is_paid(kind: bytes, _: msgspec.Raw) -> bool:
    return _PAID.fullmatch(kind) is not None


def _choice_without(
    found: Members, gone: dict[int, tuple[bytes, bytes]], losses: Losses, *, any_left: bool
) -> dict[str, msgspec.Raw | None]:
    """What no longer has a meaning: a choice of tools that are gone. Raises FieldUnsupported."""
    if not any_left:
        lost = [name for name in _OF_TOOLS if name in found]
    else:
        choice = bytes(found.get("tool_choice", b""))
        if len(choice) > _LONGEST_CHOICE:
            raise FieldUnsupported("`tool_choice` is too long.", param="tool_choice")
        named = {word for words in gone.values() for word in words}
        lost = [] if named.isdisjoint(_STRING.findall(choice)) else ["tool_choice"]
    for name in lost:
        losses.add(name, "the tool that is asked for is not there")
    return dict.fromkeys(lost)
