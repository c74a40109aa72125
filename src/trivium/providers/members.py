"""Which members of a request in OpenAI's APIs the vendors' own servers know, where that is not what all of them do.

Clients write for the gateway that they had in mind, and a call may go elsewhere: to a fallback, or with an own key.
What a server does not know it refuses ("property 'prompt_cache_key' is unsupported", "Cannot find field").
"""

from __future__ import annotations

from typing import Any

from trivium.canon.api import RESPONSES, Kind

USER, SAFETY, CACHE_KEY = "user", "safety_identifier", "prompt_cache_key"
_ALL = frozenset((USER, SAFETY, CACHE_KEY))
_NONE: frozenset[str] = frozenset()
_USER = frozenset((USER,))
_MOONSHOT = frozenset((SAFETY, CACHE_KEY))
_TOLD: dict[str, frozenset[str]] = {
    "azure": _USER,
    "azure-deployments": _USER,
    "bedrock-openai": _NONE,
    "cerebras": _USER,
    "deepseek": _NONE,
    "fireworks": frozenset((USER, CACHE_KEY)),
    "google": _NONE,
    "groq": _USER,
    "inception": _NONE,
    "kimi-coding": frozenset((CACHE_KEY,)),
    "local": _NONE,
    "minimax": _NONE,
    "moonshot": _MOONSHOT,
    "qwen": _NONE,
    "together": _NONE,
    "xai": _USER,
    "zai": _NONE,
    "alibaba-coding": _NONE,
    "byteplus-coding": _NONE,
    "zai-coding": _NONE,
}
"""In which members a row is told who calls. Those that are not here know all three, or pass over what they do not know.

Azure takes `prompt_cache_key` of OpenAI's models alone (zed-industries/zed#52000, vectorize-io/hindsight#3518). The
SDKs of Groq and Cerebras have `user`; the key of a cache Groq refuses (zed-industries/zed#36215), Google too
(leookun/cursor-byok#112), whose page of OpenAI's API has none of the three. Of the others what their pages name."""
_ALSO: dict[tuple[str, Kind], frozenset[str]] = {("xai", RESPONSES): frozenset((USER, CACHE_KEY))}
"""xAI's Chat has the header `x-grok-conv-id` instead (docs.x.ai; lobehub/lobehub#17489)."""


def told_in(row: str, api: Kind) -> frozenset[str]:
    """The members in which a provider is told who calls."""
    return _ALSO.get((row, api)) or _TOLD.get(row, _ALL)


_GATEWAYS = frozenset(("include_reasoning", "plugins", "session_id", "top_a", "transforms", "usage"))
"""OpenRouter's alone (openrouter.ai/docs/api-reference/parameters)."""
_SERVERS = frozenset(("min_p", "repetition_penalty", "top_k"))
"""How servers of open models sample, in words that OpenAI has not."""
_OPENAIS = frozenset((SAFETY, CACHE_KEY, "prompt_cache_retention", "verbosity"))
"""New ones of OpenAI's."""
UNKNOWN: dict[str, frozenset[str]] = {
    "openai": _GATEWAYS | _SERVERS,
    "azure": _GATEWAYS | _SERVERS,
    "azure-deployments": _GATEWAYS | _SERVERS | _OPENAIS,
    "bedrock-openai": _GATEWAYS | _SERVERS,
    "cerebras": _GATEWAYS | _SERVERS | {"verbosity"},
    "deepseek": _GATEWAYS | _SERVERS,
    "google": _GATEWAYS | _SERVERS | _OPENAIS | _USER,
    "groq": (_GATEWAYS | _SERVERS | _OPENAIS) - {"include_reasoning"},
    "inception": _GATEWAYS | _SERVERS,
    "xai": _GATEWAYS | _SERVERS,
    "minimax": _GATEWAYS,
    "moonshot": _GATEWAYS,
    "qwen": _GATEWAYS,
    "zai": _GATEWAYS,
    "alibaba-coding": _GATEWAYS,
    "byteplus-coding": _GATEWAYS,
    "kimi-coding": _GATEWAYS,
    "zai-coding": _GATEWAYS,
}
"""By row, what does not go there. Mistral's has a rule of its own."""
AT_MISTRAL = frozenset((*_GATEWAYS, *_SERVERS, *_OPENAIS, *_USER, "provider", "reasoning", "reasoning_effort"))
BY_EFFORT = frozenset(UNKNOWN) - {"moonshot", "kimi-coding"}
"""Rows that are asked to reason by `reasoning_effort`, and know no object `reasoning` in Chat."""
SAMPLING: dict[str, Any] = {
    "temperature": 1,
    "top_p": 1,
    "top_k": None,
    "presence_penalty": 0,
    "frequency_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "top_logprobs": 0,
}
"""How to sample, each with what is usual: whoever says that has said nothing."""
