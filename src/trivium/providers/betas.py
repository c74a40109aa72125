"""Which of Anthropic's betas a provider knows: those of the header `anthropic-beta`.

Anthropic's own API and gateways to it are sent all that a client names, for new ones come every month. The clouds
answer 400 to one that they do not know; what they know is from the table that LiteLLM keeps for the same purpose
(github.com/BerriAI/litellm, `litellm/anthropic_beta_headers_config.json`), read in November 2026.
"""

from __future__ import annotations

import re

from trivium.providers.traits import NEWEST_CLAUDE

_TOOL_SEARCH = {"advanced-tool-use-2025-11-20": "tool-search-tool-2025-10-19"}
"""The clouds have a part of it, under a name of its own."""
_CLOUDS = (
    "compact-2026-01-12",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "thinking-binding-controls-2026-08-01",
    "thinking-display-updates-2026-08-18",
    "tool-search-tool-2025-10-19",
)
_BEDROCK = _TOOL_SEARCH | {
    name: name for name in (*_CLOUDS, "effort-2025-11-24", "fine-grained-tool-streaming-2025-05-14")
}
_KNOWN: dict[str, dict[str, str]] = {
    "bedrock": _BEDROCK,
    "bedrock-messages": _BEDROCK,
    "vertex": _TOOL_SEARCH
    | {name: name for name in (*_CLOUDS, "interleaved-thinking-2025-05-14", "web-search-2025-03-05")},
}
"""By row; a row that is not here is sent everything."""
_GENERAL = frozenset({"effort-2025-11-24", "fine-grained-tool-streaming-2025-05-14"})
"""What they ask for needs no beta any more. InvokeModel refuses them for Opus 4.7 and later with 'invalid beta flag'
(github.com/vercel/ai/pull/14542, github.com/anthropics/claude-code/issues/49370); Bedrock's other door takes them."""

FOR_CHAT = ("fine-grained-tool-streaming-2025-05-14",)
"""Asked for Chat clients, whose API has no word for them (vendors page, "Requests")."""
FOR_CHAT_AT_VERCEL = (*FOR_CHAT, "context-1m-2025-08-07")
HEADER = b"anthropic-beta"
HEADERS = {"openrouter": b"x-anthropic-beta"}
"""Where a gateway's Chat API takes them, if not in Anthropic's own header."""


def known(row: str, model: str, betas: tuple[str, ...]) -> tuple[str, ...]:
    """Of these betas those that the provider knows, by its names for them, each once. Nothing is remembered: what a
    client names may be as long as a head."""
    table = _KNOWN.get(row)
    if table is None:
        return tuple(dict.fromkeys(betas))
    refused = _GENERAL if row == "bedrock" and re.search(NEWEST_CLAUDE, model) else ()
    return tuple({table[beta]: None for beta in betas if beta in table and beta not in refused})


def named(header: bytes) -> tuple[str, ...]:
    """The betas that a header names."""
    return tuple(name for part in header.decode("latin-1").split(",") if (name := part.strip()))
