"""`[auto]`: models that are chosen anew for each request (docs/auto-models.md), and those that a house has by itself.

An auto model is a list of choices. The first whose conditions a request fulfils is taken, and the last one where there
is none. A choice names models in the order of preference, as patterns: which of them a house has, nobody here knows.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from trivium.patterns import Tokens

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class AutoChoice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[auto."ID".choices]]`: what a request gets. A condition that is left out always holds."""

    models: Annotated[tuple[_Name, ...], msgspec.Meta(min_length=1, max_length=100)]
    """As requests name them, or with `*` and `?`: then of `PROVIDER/MODEL` and of the provider's own id, the newest
    first. The first that exists and that the caller may use is taken."""
    price: Literal["free", "paid"] | None = None
    """Only models that cost their callers nothing, or only such that cost something."""
    modes: tuple[_Name, ...] = ()
    """The condition that the client works in one of these modes."""
    image: bool | None = None
    """The condition that there is an image in the request, or that there is none."""
    balance: bool | None = None
    """The condition that whoever pays has credits left, or has none. Where balances are not kept, everybody with a key
    has."""
    headers: dict[str, str] = {}
    """The condition that the client sent these headers, with such values; `*` and `?` as wildcards, capitals or not."""
    reasoning: bool | None = None
    """Whether the model is asked to reason; None: it is not told."""
    effort: Effort | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    """How long answers should be."""


class AutoSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[auto."ID"]`."""

    enabled: bool = True
    name: str | None = None
    """For lists that people read."""
    aliases: tuple[_Name, ...] = ()
    """Further names by which it is asked for. They are not listed."""
    default_mode: _Name = "build"
    """Of clients that name none."""
    context: Tokens = 1_000_000
    """As lists tell it: the models behind it differ."""
    output_limit: Tokens = 64_000
    choices: tuple[AutoChoice, ...] = ()


_THINKING_MODES = ("plan", "architect", "orchestrator", "ask", "debug")
_OPUS = ("*claude-opus-*", "*claude-sonnet-*")
_SONNET = ("*claude-sonnet-*",)
_SMALL = ("*gemini-*-flash-lite", "*gpt-*-nano", "*gpt-*-mini", "*claude-haiku-*", "*mistral-small-*")
_KIMI, _MINIMAX = ("*kimi-k*",), ("*minimax-m*",)
_FREE = AutoChoice(models=("*",), price="free")

AUTO_MODELS: dict[str, AutoSettings] = {
    "auto/frontier": AutoSettings(
        name="Auto: Frontier",
        aliases=("kilo-auto/frontier", "kilo/auto"),
        choices=(
            AutoChoice(modes=_THINKING_MODES, models=_OPUS, reasoning=True, effort="high"),
            AutoChoice(modes=("general",), models=_OPUS, reasoning=True, effort="medium"),
            AutoChoice(modes=("build", "explore"), models=_SONNET, reasoning=True, effort="medium"),
            AutoChoice(models=_SONNET, reasoning=True, effort="low"),
        ),
    ),
    "auto/balanced": AutoSettings(
        name="Auto: Balanced",
        aliases=("kilo-auto/balanced",),
        choices=(
            AutoChoice(image=True, models=_KIMI, reasoning=True),
            AutoChoice(modes=_THINKING_MODES, models=_KIMI, reasoning=True),
            AutoChoice(models=_MINIMAX),
        ),
    ),
    "auto/free": AutoSettings(name="Auto: Free", aliases=("kilo-auto/free",), choices=(_FREE,)),
    "auto/small": AutoSettings(
        name="Auto: Small",
        aliases=("kilo-auto/small",),
        choices=(AutoChoice(balance=True, models=_SMALL, price="paid"), _FREE),
    ),
}
"""What there is unless the configuration says otherwise (vendors page, "Auto models")."""


class AutoTable(msgspec.Struct, frozen=True):
    """`[auto]`: `enabled`, and tables by the ids of auto models; one of the house's own is replaced as a whole, or
    switched off."""

    enabled: bool = True
    models: dict[str, AutoSettings] = msgspec.field(default_factory=lambda: AUTO_MODELS)
