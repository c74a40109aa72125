"""Settings of what is done to requests on their way to a provider (docs/adaptations.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trivium.patterns import matching

_Line = Annotated[str, matching(r"^[ -~]+\Z", "printable characters of ASCII", shortest=1, longest=500)]
"""Printable ASCII, as headers take it."""


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[identity]`: what providers are told of who calls, and of the gateway."""

    send: bool | None = None
    """Whether they are told a hash of the user and of the task. Default: on where `[billing] mode` is `credits`."""
    salt: Annotated[str, msgspec.Meta(min_length=8)] | None = None
    """What the hashes are made with; a secret. By default derived from the store's own, and as lasting as that."""
    referer: _Line | None = None
    """`HTTP-Referer` of calls to OpenRouter; by default the client's own."""
    title: _Line | None = None
    """`X-Title`, likewise."""


class AdaptSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[adapt]`: rules that an operator may switch."""

    repair_tools: bool = False
    """Whether calls and results of tools are put in order where the client's API is the upstream's."""
    cache_marks: bool = True
    """Whether Chat clients' requests for Anthropic's models get marks of what to cache."""
    cache_conversations: bool = False
    """Whether Messages requests get the one mark with which Anthropic's API finds the place to cache up to itself."""
    preferred_vendors: bool = False
    """Whether gateways are told which vendor to prefer for a model, where the client says nothing."""
