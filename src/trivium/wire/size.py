"""How big a request is, from its bytes, for any of the APIs and before anybody has counted.

Texts are passed over undecoded; of the conversation only its shape becomes objects, and of its media the few bytes that
say what they are. What is counted as a medium therefore stands where the API has media: a text that looks like one is
a text, and so is what lies in the arguments of a call. A conversation that cannot be read is all text.

The most that a text can come to goes by its letters: each kind weighs what the least thrifty of the known tokenizers
makes of it (`bench/trust/bound.py` holds the weights against real counts). Of long texts every n-th byte is weighed.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from trivium.canon.api import Api, Kind, Solo
from trivium.canon.size import DOCUMENT, FILM, IMAGE, SOUND, Medium, Size
from trivium.wire.again import Again
from trivium.wire.body import Members, begins, count
from trivium.wire.crowd import has_more
from trivium.wire.lenient import parse
from trivium.wire.messages.usage import tier_of
from trivium.wire.request import Request

_ABSENT = msgspec.Raw(b"null")
_NOTHING = memoryview(b"")
_ALWAYS_READ = 1024 * 1024
_MOST_OBJECTS = 100_000
"""In longer lists that are looked through; as many take 0.1 s, for which everybody waits."""
_LONGEST_WORD = 200


class _Part(msgspec.Struct, gc=False):
    """A message, an item, or a part of one: they nest, and differ in what they call their media."""

    type: str | int | None = None
    content: _Content = None
    output: _Content = None
    cache_control: msgspec.Raw = _ABSENT
    source: msgspec.Raw = _ABSENT
    image_url: msgspec.Raw = _ABSENT
    video_url: msgspec.Raw = _ABSENT
    input_audio: msgspec.Raw = _ABSENT
    audio: msgspec.Raw = _ABSENT
    file: msgspec.Raw = _ABSENT
    file_data: msgspec.Raw = _ABSENT
    signature: msgspec.Raw = _ABSENT
    encrypted_content: msgspec.Raw = _ABSENT


_Content = list[_Part | str | int | float | None] | _Part | str | int | float | None


class _Held(msgspec.Struct):
    """What holds a medium: links, ids and base64."""

    type: str | None = None
    media_type: str | None = None
    url: msgspec.Raw = _ABSENT
    data: msgspec.Raw = _ABSENT
    file_data: msgspec.Raw = _ABSENT
    content: _Content = None


class _Limits(msgspec.Struct):
    max_uses: int | None = None


class _Tool(msgspec.Struct, gc=False):
    type: str | int | None = None
    max_uses: int | float | str | None = None
    quality: msgspec.Raw = _ABSENT
    parameters: msgspec.Raw = _ABSENT
    cache_control: msgspec.Raw = _ABSENT


_MEDIA: dict[object, tuple[Medium, str]] = {
    "image_url": (IMAGE, "image_url"),
    "input_image": (IMAGE, "image_url"),
    "computer_screenshot": (IMAGE, "image_url"),
    "image": (IMAGE, "source"),
    "document": (DOCUMENT, "source"),
    "container_upload": (DOCUMENT, "source"),
    "file": (DOCUMENT, "file"),
    "input_file": (DOCUMENT, "file_data"),
    "input_audio": (SOUND, "input_audio"),
    "video_url": (FILM, "video_url"),
}
"""By the type of a part: what it is, and the member that holds it, an object or the medium itself."""
_URI = re.compile(rb'"data:([^;,"]{0,256})(?:;[^,"]{0,4096})??;base64,', re.IGNORECASE)
"""Nothing in it is without bounds: of a URI that never gets to its base64 only the beginning is looked at."""
_NO_TEXT = re.compile(rb"(?:application\\?/(?:pdf|octet-stream)|(?:image|audio|video)\\?/|\Z)", re.IGNORECASE)
"""Types of files that are media. Of others the vendors read the text, of which their base64 is a fair measure."""

_HOSTED = re.compile(
    r"(?:openrouter:)?(web_search|web_fetch|x_search|file_search|code_execution|code_interpreter|image_generation"
    r"|tool_search|advisor|mcp)(?:_|\Z)"
)
"""Tools that run at the provider's, without the dates of their versions."""
_OWN_WORDS = ("function", "custom", "namespace")
"""Tools that the client describes."""
MOST_CALLS = 10
"""Of a hosted tool without a limit. After ten rounds Anthropic pauses the turn."""
_LARGEST_LIMIT = 100
_MOST_PICTURES = 4
"""Of an answer without a limit. Hardly one is as large as a picture is taken for here, so that more fit in."""
_PICTURE = {b'"low"': 500, b'"medium"': 4_000}
_BEST_PICTURE = 16_000
"""Tokens of a picture by its quality: 200, 1,770 and 7,030 of 1024 x 1024, 12,329 of 3584 x 2048 at the best, which the
model may choose (the calculator at developers.openai.com/api/docs/guides/image-generation); previews are 100 each."""
_MOST_ANSWERS = 128
"""OpenAI's limit."""
_SWITCHES = {
    "web_search_options": (b"{", "web_search"),
    "search_parameters": (b"{", "web_search"),
    "plugins": (b'"web"', "web_search"),
}
"""Members that ask for one call of a tool: what stands in them then, and the tool."""

_ONLINE = ":online"
"""OpenRouter's suffix for a model that searches the web first."""

_CONVERSATION: dict[Kind, tuple[str, ...]] = {
    Api.CHAT: ("messages",),
    Api.RESPONSES: ("input",),
    Api.MESSAGES: ("system", "messages"),
}
"""Where media may stand."""

_UNIT = 6
"""Weights are sixths of a token."""
_LETTERS: tuple[tuple[range | bytes, int], ...] = (
    (range(0x20), 0),  # outside of strings
    (range(0x20, 0x80), 6),  # signs
    (b" ", 4),
    (b"\\", 3),
    (b"0123456789", 8),
    (range(ord("A"), ord("Z") + 1), 8),
    (range(ord("a"), ord("z") + 1), 2),
    (range(0x80, 0xC0), 5),  # the further bytes of a letter
    (range(0xC0, 0xE0), 6),  # the first of two: Latin with accents, Greek, Cyrillic, Hebrew, Arabic
    (range(0xE0, 0xE2), 8),  # of three: India, Thailand, Georgia, Ethiopia and their neighbours
    (range(0xE2, 0xEA), 3),  # signs and arrows, Chinese and Japanese
    (range(0xEA, 0xEE), 7),  # Korean
    (range(0xEE, 0x100), 3),  # forms, emoji
)
"""What a byte weighs; a later line takes precedence. The cheapest weights under which none of 6,000 requests of
`bench/trust/bound.py` exceeded the bound with any of six tokenizers (docs/holds.md)."""
_BY_BYTE = {byte: weight for letters, weight in _LETTERS for byte in letters}
_WEIGHTS = bytes([(1 << _BY_BYTE[byte]) - 1 for byte in range(256)])
"""By byte: as many bits as it weighs sixths, so that one count of bits adds them all up."""
_WEIGHED = 2048
"""Bytes of a text that are weighed one by one; of a longer one about as many."""
_STEPS = (7, 13, 31, 61, 127, 251, 509, 1021, 2039, 4093, 8191, 16381)
"""Primes, lest every sample fall on the same place of what repeats itself: letters of three bytes, rows of a table."""
_DOUBT = 20
"""What a sample is off by at the most, as a part of the whole."""

_parts = msgspec.json.Decoder(list[_Part | str | int | float | None])
_held = msgspec.json.Decoder(_Held)
_tools = msgspec.json.Decoder(list[_Tool])
_limits = msgspec.json.Decoder(_Limits)


class _Found:
    """What a walk through a request has found."""

    def __init__(self) -> None:
        self.usual = self.most = self.images = self.sound = self.sealed = self.vendor_tools = 0
        self.payloads: list[memoryview] = []
        """JSON strings of base64, in their order."""
        self.marked_1h = False

    def mark(self, raw: msgspec.Raw) -> None:
        said = bytes(raw)
        self.marked_1h |= b'"1h"' in said or b"\\u" in said  # which could spell it

    def add(self, medium: Medium, payload: memoryview = _NOTHING) -> None:
        """One medium; no payload: its bytes lie elsewhere."""
        if payload:
            self.payloads.append(payload)
        self.usual += medium.tokens(len(payload))
        most = medium.most_tokens(len(payload))
        self.most += most
        self.images += medium is IMAGE
        self.sound += most if medium is SOUND else 0


def service_tier(api: Kind, members: Members) -> str | None:
    """The service tier that a request asks for, by the names of `metering/prices.TIERS` where it has one."""
    if api is Api.MESSAGES and ("speed" in members or "inference_geo" in members):
        told = (_word(members.get(name, _ABSENT)) for name in ("speed", "inference_geo"))
        if tier := tier_of(*told):
            return tier
    return _word(members["service_tier"]) if "service_tier" in members else None


def measure(request: Request) -> Size:
    """The size of a request. Whatever it holds, this does not fail."""
    api, members, found = request.api, request.members, _Found()
    for name in _CONVERSATION.get(api, ()):
        if name in members:
            _walk(_read(members[name]), found)
    if "cache_control" in members:
        found.mark(members["cache_control"])
    hosted, drawn = _hosted(members, found)
    if api is Api.RESPONSES and bytes(members.get("prompt", b"null")) != b"null":
        found.add(DOCUMENT)  # a prompt that lies with the provider
    if "container" in members:
        found.vendor_tools += _skills(bytes(members["container"]))
    if request.model.endswith(_ONLINE):
        hosted.setdefault("web_search", 1)
    text = _without(request.body, found.payloads) if found.payloads else request.body
    return Size(
        text_bytes=len(text),
        text_tokens_most=most_tokens(text),
        media_tokens=found.usual,
        media_tokens_most=found.most,
        images=found.images,
        sound_tokens_most=found.sound,
        sealed_bytes=found.sealed,
        vendor_tools=found.vendor_tools,
        answers=_answers(api, members),
        speaks="modalities" in members and b'"audio"' in bytes(members["modalities"]),
        server_tools=hosted,
        drawn=drawn,
        cache_1h=found.marked_1h,
        service_tier=service_tier(api, members),
        compacts=api is Api.MESSAGES and _compacts(members),
    )


def _answers(api: Kind, members: Members) -> int:
    """How many are asked for. Vectors are none that has tokens."""
    if api is Api.CHAT:
        return min(max(count(members, "n") or 1, 1), _MOST_ANSWERS)
    return 0 if api is Solo.EMBEDDINGS else 1


def most_tokens(text: bytes) -> int:
    """The most tokens that JSON text comes to, by its letters. Never more than one a byte: that is where tokenizers end
    up with what they do not know."""
    if len(text) <= _WEIGHED:
        return min(_weight(text) // _UNIT + 1, len(text))
    step = next((step for step in _STEPS if len(text) <= _WEIGHED * step), _STEPS[-1])
    weight = _weight(text[::step]) * step
    return min((weight + weight // _DOUBT) // _UNIT, len(text))


def _weight(text: bytes) -> int:
    return int.from_bytes(text.translate(_WEIGHTS), "little").bit_count()


def _read(raw: msgspec.Raw) -> list[Any]:
    """The parts of a list; none of what is no list, holds too many, or has a shape that nobody knows."""
    if begins(raw) != b"[" or _is_crowded(raw):
        return []
    try:
        return _parts.decode(raw)
    except (ValueError, RecursionError):
        pass  # a text that is no UTF-8, as a rule
    try:
        return _parts.decode(msgspec.json.encode(parse(bytes(raw))))
    except (ValueError, RecursionError):
        return []


def _is_crowded(data: bytes | msgspec.Raw) -> bool:
    return len(data) > _ALWAYS_READ and has_more(data, b"{", _MOST_OBJECTS)


def _walk(parts: list[Any], found: _Found) -> None:
    for part in parts:
        if type(part) is not _Part:
            continue
        if part.cache_control is not _ABSENT:
            found.mark(part.cache_control)
        if part.audio is not _ABSENT and bytes(part.audio) != b"null":
            found.add(SOUND)
        if part.signature is not _ABSENT or part.encrypted_content is not _ABSENT:
            found.sealed += max(len(part.signature), len(part.encrypted_content))
        if known := _MEDIA.get(part.type):
            _take_medium(part, *known, found)
        inner = part.content if part.output is None else part.output
        if type(inner) is list:
            _walk(inner, found)
        elif type(inner) is _Part:
            _walk([inner], found)


def _take_medium(part: _Part, medium: Medium, member: str, found: _Found) -> None:
    held = _holder(part, member)
    if held.type == "text" or isinstance(held.content, list):
        _walk(held.content if isinstance(held.content, list) else [], found)
        return
    for raw, is_base64 in ((held.url, False), (held.data, True), (held.file_data, True)):
        payload = memoryview(raw)
        uri = _URI.match(payload)
        if uri or (is_base64 and begins(raw) == b'"'):
            kind = uri[1] if uri else (held.media_type or "").encode()
            if _NO_TEXT.match(kind):
                found.add(medium, payload)
            return
    found.add(medium)


def _holder(part: _Part, member: str) -> _Held:
    raw: msgspec.Raw = getattr(part, member)
    if begins(raw) != b"{":
        return _Held(file_data=raw) if member == "file_data" else _Held(url=raw)
    try:
        return _held.decode(raw)
    except (ValueError, RecursionError):
        return _Held()


def _without(body: bytes, payloads: list[memoryview]) -> bytes:
    """The body without these strings. From the first on that does not stand there as it was read, all stays."""
    pieces, done = [], 0
    for payload in payloads:
        head, at = bytes(payload[:64]), done
        while (at := body.find(head, at)) >= 0 and not body.startswith(payload, at):
            at += 1
        if at < 0:
            break
        pieces.append(body[done:at])
        done = at + len(payload)
    return b"".join((*pieces, body[done:]))


def _hosted(members: Members, found: _Found) -> tuple[dict[str, int], int]:
    """The tools that run at the provider's, each with the most calls it may make; and the most tokens of pictures."""
    drawn = 0
    called = {tool: 1 for name, (mark, tool) in _SWITCHES.items() if name in members and mark in bytes(members[name])}
    if bytes(members.get("mcp_servers", b"[]")).startswith(b"[{"):
        called["mcp"] = MOST_CALLS
    for tool in _tools_of(bytes(members.get("tools", b"[]"))):
        if tool.cache_control is not _ABSENT:
            found.mark(tool.cache_control)
        found.vendor_tools += type(tool.type) is str and tool.type not in _OWN_WORDS
        if type(tool.type) is str and (named := _HOSTED.match(tool.type)):
            draws = named[1] == "image_generation"
            most = _most_calls(tool, count(members, "max_tool_calls"), _MOST_PICTURES if draws else MOST_CALLS)
            called[named[1]] = called.get(named[1], 0) + most
            drawn += draws * most * _PICTURE.get(bytes(tool.quality), _BEST_PICTURE)
    return called, drawn


def _compacts(members: Members) -> bool:
    """Whether Messages lets the vendor sum the conversation up."""
    edits = bytes(members.get("context_management", _ABSENT))
    return b"compact" in edits or b"\\u" in edits or bytes(members.get("compaction", _ABSENT)) != b"null"


def _skills(container: bytes) -> int:
    if b"\\u" in container:  # names can be spelt so
        try:
            container = msgspec.json.encode(parse(container))
        except ValueError:
            return 0
    return container.count(b'"skill_id"')


def _read_tools(data: bytes) -> list[_Tool]:
    try:
        return [] if _is_crowded(data) else _tools.decode(data)
    except (ValueError, RecursionError):
        return []


_tools_of = Again(_read_tools)


def _most_calls(tool: _Tool, limit: int | None, otherwise: int) -> int:
    try:
        inner = _limits.decode(tool.parameters).max_uses  # as OpenRouter has it
    except (ValueError, RecursionError):
        inner = None
    said = [most for most in (tool.max_uses, inner, limit) if type(most) is int and most >= 0]
    return min(*said, _LARGEST_LIMIT) if said else otherwise


def _word(raw: msgspec.Raw) -> str | None:
    """A short string; None for anything else."""
    try:
        return msgspec.json.decode(raw, type=str) if len(raw) <= _LONGEST_WORD else None
    except ValueError:
        return None
