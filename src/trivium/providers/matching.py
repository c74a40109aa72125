"""Which rules concern a call: by the provider's row, the upstream's model and the two APIs.

The rules that may concern a call are looked up once and kept, so that a call whom none concerns costs that look-up.
"""

from __future__ import annotations

import re
from functools import lru_cache

from trivium.canon.api import Kind
from trivium.providers.custom import PREFIX
from trivium.providers.provider import Provider
from trivium.providers.rule import NOWHERE, Rule
from trivium.providers.rules import RULES
from trivium.providers.traits import LONGEST_ID

_NAMED = frozenset(kind for rule in RULES for kind in rule.kinds | rule.but)
_CUSTOM = "custom"
"""An organization's own server."""
_GENERIC = frozenset(("openai-compatible", "anthropic-compatible"))


def row_of(provider: Provider) -> str:
    """By which rules know a provider: its row, or where that is for anybody, its name, if that is known."""
    if provider.kind not in _GENERIC:
        return provider.kind
    if provider.name.startswith(PREFIX):
        return _CUSTOM
    return provider.name if provider.name in _NAMED and provider.name != _CUSTOM else provider.kind


def is_like(model: str, pattern: str) -> bool:
    """Whether a pattern means an upstream's model."""
    return _is_like(model[:LONGEST_ID].lower(), pattern)


@lru_cache(4096)
def _is_like(model: str, pattern: str) -> bool:
    return re.search(pattern, model) is not None


def rules_of(
    row: str, model: str, client: Kind, api: Kind, off: frozenset[str] = NOWHERE, *, translated: bool
) -> tuple[Rule, ...]:
    """The rules that may concern a request for a model, in their order, but for those of settings that are off."""
    return _rules_of(row, model[:LONGEST_ID].lower(), client, api, off, translated)


@lru_cache(4096)
def _rules_of(  # noqa: PLR0917
    row: str, model: str, client: Kind, api: Kind, off: frozenset[str], translated: bool
) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in RULES
        if (not rule.kinds or row in rule.kinds)
        and row not in rule.but
        and rule.setting not in off
        and client in rule.clients
        and api in rule.apis
        and not (translated and rule.way == "same")
        and (not rule.models or re.search(rule.models, model))
    )
