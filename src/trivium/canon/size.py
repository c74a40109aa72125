"""How big a request is before anybody has counted its tokens, and what content weighs.

The figures are the one set by which everybody guesses. Text goes by its bytes, at what the tokenizers of all vendors
make of English, code and JSON. Media go by what vendors charge for them: their bytes say little about tokens. A `usual`
figure is what most are near, a `most` figure what hardly any exceeds. `docs/holds.md` says where they come from.
"""

from __future__ import annotations

import msgspec

from trivium.canon.events import Event, ReasoningDelta, RefusalDelta, TextDelta, ToolCallDelta
from trivium.canon.fold import Answer
from trivium.canon.parts import ToolCall

BYTES_PER_TOKEN = 3.6
"""Of text and code, JSON around it included."""


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """What one kind of medium costs: by its base64 where it comes along, else as a link."""

    least: int = 0
    """Tokens of the smallest."""
    bytes_per_token: int = 0
    """Of base64; 0: they say nothing."""
    linked: int
    most: int
    """Of the smallest at the most."""
    most_bytes_per_token: int = 0
    most_linked: int

    def tokens(self, base64_bytes: int) -> int:
        """What is usual. 0 bytes: it is a link."""
        return _tokens(base64_bytes, self.least, self.bytes_per_token, self.linked)

    def most_tokens(self, base64_bytes: int) -> int:
        """What hardly any exceeds."""
        return _tokens(base64_bytes, self.most, self.most_bytes_per_token, self.most_linked)


def _tokens(size: int, least: int, per_token: int, linked: int) -> int:
    if not size:
        return linked
    return max(least, size // per_token) if per_token else least


IMAGE = Medium(least=1_600, linked=1_600, most=15_000, most_linked=15_000)
"""Anthropic's older models scale to 1,600 at the most, the newer to 4,800; OpenAI's newest make 14,400 of a photograph
of 12 megapixels, Google's 1,100 of any."""
DOCUMENT = Medium(
    least=3_000, bytes_per_token=20, linked=3_000, most=10_000, most_bytes_per_token=4, most_linked=250_000
)
"""A page of a PDF is 1,500 to 3,000 at Anthropic's, where a model with 200,000 tokens takes 100 pages."""
SOUND = Medium(bytes_per_token=400, linked=500, most=100, most_bytes_per_token=80, most_linked=5_000)
"""10 tokens a second at OpenAI's, 32 at Google's. A link is to an answer of the conversation itself."""
FILM = Medium(
    least=3_000, bytes_per_token=400, linked=30_000, most=10_000, most_bytes_per_token=80, most_linked=1_000_000
)
"""300 tokens a second at Google's; a million is an hour."""


class Size(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the bytes of a request say about its tokens."""

    text_bytes: int
    """The body without the base64 of its media."""
    text_tokens_most: int
    """Tokens that the letters of this text may come to at the most."""
    media_tokens: int = 0
    media_tokens_most: int = 0
    images: int = 0
    """How many of the media are images: there are models that count more for each."""
    sound_tokens_most: int = 0
    """Those of them that are sound, which has a price of its own."""
    sealed_bytes: int = 0
    """Of the text: sealed reasoning, which is mostly not read again, and never as long as its seal."""
    vendor_tools: int = 0
    """Tools that the vendor defines, so that their words are not in the body."""
    answers: int = 1
    """How many were asked for (Chat's `n`); 0 where the answer has no tokens."""
    speaks: bool = False
    """The answer was asked for as sound."""
    server_tools: dict[str, int] = {}
    """Tools that the provider runs, by the names of `Usage.server_tools`: the most calls."""
    drawn: int = 0
    """Tokens that pictures which the tool `image_generation` draws may come to."""
    cache_1h: bool = False
    """Something was marked to be written to the prompt cache for an hour."""
    service_tier: str | None = None
    compacts: bool = False
    """The vendor may sum up a long conversation first, which reads it once more."""


def utf8(said: str) -> int:
    """The length of a text in UTF-8."""
    return len(said) if said.isascii() else len(said.encode("utf-8", "surrogatepass"))


def content_of(event: Event) -> int:
    """The bytes of content in an event: UTF-8 of text, reasoning, refusals and the arguments of tool calls."""
    match event:
        case TextDelta(said) | ReasoningDelta(said) | RefusalDelta(said) | ToolCallDelta(_, said):
            return utf8(said)
    return 0


def content_bytes(answer: Answer) -> int:
    """The bytes of content in a whole answer, by the same measure."""
    return sum([utf8(part.arguments if isinstance(part, ToolCall) else part.text) for part in answer.parts])
