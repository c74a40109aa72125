"""What the servers behind models take: a table of provider rows and patterns of model ids.

The rules of a row are laid over each other from the first to the last that fits. Facts about Claude are from
Anthropic's migration guides (sampling and budgets are gone from Opus 4.7 on; adaptive thinking came with 4.6, where
prefill went; structured outputs came with Sonnet 4.5 and Opus 4.1), facts about GPT from OpenAI's pages on reasoning
models and from the words with which they refuse an effort.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import msgspec

from trivium.canon.api import Api
from trivium.canon.traits import Traits

_ANY = ""
CLAUDE = r"claude"
_CLAUDE_3 = r"claude-3-(opus|sonnet|haiku)|claude-2|claude-instant"
_CLAUDE_35 = r"claude-3[-.]5"
_CLAUDE_OPUS_4 = r"claude-(opus-4(-0|-1|[-@]2025\d*|$)|4(\.[01])?-opus)"
_SINCE_5 = r"claude-[a-z]+-([5-9]|[1-9]\d)(?!\d)"
"""The number behind the family; in `claude-3-5-sonnet` it stands before it. Gateways write `4.6` for `4-6`."""
_SCHEMAS = rf"claude-(opus-4[-.][1-9]|(sonnet|haiku)-4[-.][5-9])(?!\d)|claude-4\.[5-9]|{_SINCE_5}"
_ADAPTIVE = rf"claude-(opus|sonnet|haiku)-4[-.][6-9](?!\d)|claude-4\.[6-9]|{_SINCE_5}"
NEWEST_CLAUDE = rf"claude-(opus|sonnet|haiku)-4[-.][7-9](?!\d)|claude-4\.[7-9]|{_SINCE_5}"
_OLD = (
    r"claude-3|claude-(opus|sonnet|haiku)-4([-.][0-5](?!\d)|[-@]20\d\d|$)|claude-4(\.[0-5](?!\d))?-(opus|sonnet|haiku)"
)
_OPUS_45 = r"claude-(opus-4[-.]5(?!\d)|4\.5-opus)"
"""Models to 4.5 know no `adaptive` thinking, and but for Opus 4.5 no effort; since 4.7 budgets are refused (measured in
lidge-jun/opencodex#65; code.claude.com/docs/en/env-vars, `CLAUDE_CODE_ALWAYS_ENABLE_EFFORT`)."""
_SYSTEM_TURNS = r"claude-(opus|sonnet|haiku)-(5-[5-9]|[6-9])(?!\d)"
"""They take system messages behind a user's turn. Claude Code 2.1.332 sends such to Opus 4.8 too, which takes them, and
to every model whose name it does not know: the rule `system-turns`."""
_SINCE_55 = r"claude-(opus|sonnet)-(5[-.][5-9]|[6-9]|[1-9]\d)(?!\d)"
_ALWAYS_THINKS = rf"claude-(fable|mythos)-|{_SINCE_55}"
_UNFORCED = rf"claude-(fable|mythos)-(5[-.][1-9]|[6-9]|[1-9]\d)(?!\d)|{_SINCE_55}"
"""Since Fable 5 and Opus 5.5 thinking cannot be turned off ('"thinking.type.disabled" is not supported for this
model'), since Fable 5.1 and Opus 5.5 no call be forced ('tool_choice: type "tool" and "any" are not supported for this
model'): Anthropic's pages "What's new" of Fable 5.1, Opus 5.5 and Sonnet 5.5. Haiku 5.5 takes both."""
_REASONS = r"^(o\d|gpt-[5-9])"
UNSAMPLED = rf"^(?!.*-chat)(o\d|gpt-[5-9])|{NEWEST_CLAUDE}"
"""Models that refuse to be told how to sample. OpenAI's take it from 5.1 on as long as they do not reason."""
_SINCE_51 = r"^gpt-(5\.[1-9]|[6-9])"
_SINCE_52 = r"^gpt-(5\.1-codex-max|5\.[2-9]|[6-9])"
SIGNING = r"gemini-([3-9]|[a-z-]+-latest)"
"""Gemini 3 and later sign their calls, and refuse those without (ai.google.dev/gemini-api/docs/thought-signatures).
Names without a number mean the newest."""
MISTRAL = r"(?i)(mis|minis|magis|codes|devs|mix|pix)tral"
QWEN = r"^qwen|/qw(en|q)|^qwq"
MOONSHOT = r"^moonshot(ai)?/|(^|/)(kimi|moonshot)-"
EFFORTLESS = r"grok-(2(?!\d)|3(?!-mini)|4(-0709|-fast|[-.]1-fast|\.20(?!-multi-agent))|code|build|composer)"
"""Models of xAI that refuse to be told how hard to reason ("does not support parameter reasoningEffort":
NousResearch/hermes-agent#23435, router-for-me/CLIProxyAPI#3968). By the latter `grok-4` takes it, being 4.3 by now."""
THOUGHTFUL = r"deepseek-(v[4-9]|reasoner|flash)|kimi-(k2-thinking|k2[.p][5-9]|k[3-9]|for-coding)"
"""While they think, they refuse calls of tools that come back without their reasoning: "The `reasoning_content` in the
thinking mode must be passed back to the API", "thinking is enabled but reasoning_content is missing in assistant tool
call message" (api-docs.deepseek.com/guides/thinking_mode, platform.kimi.ai/docs/guide/use-kimi-k2-thinking-model)."""
KIMI_TOGGLED = r"kimi-k2\.[56](?!\d)"
"""Moonshot's own word for whether these reason is `thinking {type}` (platform.kimi.ai/docs/api/models-overview)."""
_CODEX = r"^gpt-5(\.1)?-codex(?!-max)"
_CODEX_MAX = r"^gpt-5\.1-codex-max"
_NOT_IN_CHAT = r"codex|deep-research|^(o\d|gpt-[5-9][\d.]*)-pro|^computer-use"
"""developers.openai.com/api/docs/models: "This model is only supported in v1/responses" (arbs-io/vscode-openai#358)."""
_TOOLS_IN_RESPONSES = r"^(?!.*-chat)gpt-(5\.[4-9]|[6-9])"
""""Function tools with reasoning_effort are not supported for gpt-5.4 in /v1/chat/completions", since 5.5 where no
effort is said, too (openai/openai-openapi#541, BerriAI/litellm#34569, bolna-ai/bolna#1019)."""
_PRO_SINCE_52 = r"^gpt-5\.[2-9]\d*-pro"

LONGEST_ID = 200
"""Clients write what they like: a longer id is neither searched to its end nor kept."""
_OPEN = re.compile(r"(?i)deepseek|kimi|glm|minimax|mimo|qwen|gpt-oss")
"""Models that anybody may serve; their reasoning is plain text, whoever does."""

_Rules = tuple[tuple[str, dict[str, Any]], ...]

_THINKERS: _Rules = ((_ALWAYS_THINKS, {"thinking_off": False}), (_UNFORCED, {"forced_calls": False}))
_ANTHROPIC: _Rules = (
    (_ANY, {"max_tokens": 64_000, "efforts": ("low", "medium", "high", "max"), "plain_schemas": True}),
    (_CLAUDE_3, {"max_tokens": 4096, "thinking": None}),
    (_CLAUDE_35, {"max_tokens": 8192, "thinking": None}),
    (_CLAUDE_OPUS_4, {"max_tokens": 32_000}),
    (_OLD, {"refused": ("adaptive", "effort")}),
    (_OPUS_45, {"refused": ("adaptive",)}),
    (_SCHEMAS, {"schemas": True, "strict_tools": True, "one_of_temperature_and_top_p": True}),
    (_ADAPTIVE, {"thinking": "adaptive", "prefill": False}),
    (_SYSTEM_TURNS, {"system_turns": True}),
    *_THINKERS,
    (
        NEWEST_CLAUDE,
        {
            "sampling": False,
            "thinking_shown": False,
            "refused": ("enabled",),
            "efforts": ("low", "medium", "high", "xhigh", "max"),
        },
    ),
)
_OPENAI: _Rules = (
    (
        _ANY,
        {
            "max_completion_tokens": True,
            "system_anywhere": True,
            "developer": True,
            "custom_tools": True,
            "top_k": False,
            "stop_limit": 4,
            "plain_schemas": True,
            "cache_key": True,
            "cache_retention": True,
            "tiers": True,
            "reasoning": None,
        },
    ),
    (
        _REASONS,
        {
            "reasoning": "effort",
            "efforts": ("minimal", "low", "medium", "high"),
            "encrypted_reasoning": True,
            "sampling": False,
            "verbosity": True,
        },
    ),
    (_NOT_IN_CHAT, {"chat": False}),
    (_TOOLS_IN_RESPONSES, {"chat_tools": False}),
    (r"^o\d", {"efforts": ("low", "medium", "high"), "verbosity": False, "custom_tools": False}),
    (r"^(o[34]|gpt-[5-9])", {"stop_limit": 0}),
    (_SINCE_51, {"efforts": ("none", "low", "medium", "high")}),
    (_SINCE_52, {"efforts": ("none", "low", "medium", "high", "xhigh")}),
    (r"^gpt-5\.[6-9]", {"efforts": ("none", "low", "medium", "high", "xhigh", "max")}),
    (r"^gpt-[6-9]", {"efforts": ("low", "medium", "high", "xhigh", "max")}),
    (_CODEX, {"efforts": ("low", "medium", "high")}),
    (_CODEX_MAX, {"efforts": ("low", "medium", "high", "xhigh")}),
    (r"^gpt-5-pro", {"efforts": ("high",)}),
    (_PRO_SINCE_52, {"efforts": ("medium", "high", "xhigh")}),
    (r"^gpt-[5-9].*-chat", {"reasoning": None, "encrypted_reasoning": False}),
)
_GATEWAY: _Rules = (
    (
        _ANY,
        {
            "system_anywhere": True,
            "developer": True,
            "cache_key": True,
            "cache_retention": True,
            "verbosity": True,
            "reasoning": "object",
            "encrypted_reasoning": True,
            "efforts": ("none", "minimal", "low", "medium", "high", "xhigh"),
            "item_ids": True,
            "schemas": True,
        },
    ),
    (CLAUDE, {"cache_marks": True, "effort_is_verbosity": True}),
    (_ADAPTIVE, {"thinking": "adaptive"}),
    *_THINKERS,
)
_OTHERS: _Rules = (
    (_ADAPTIVE, {"thinking": "adaptive"}),
    *_THINKERS,
    (SIGNING, {"unsigned_call": "skip_thought_signature_validator"}),
    (MISTRAL, {"nine_letter_ids": True}),
)
"""Of rows that are not below: what works everywhere, and what models need wherever they are."""
_GROQ: _Rules = (
    *_OTHERS,
    (_ANY, {"top_k": False, "efforts": (), "reasoning_member": None}),
    (r"gpt-oss|qwen3", {"reasoning_member": "reasoning"}),
    (r"gpt-oss", {"efforts": ("low", "medium", "high")}),
    (r"qwen3", {"efforts": ("none", "default")}),
)
"""Members that it does not know are refused. Efforts by model: console.groq.com/docs/reasoning, earendil-works/pi#1745;
`reasoning_content`: janhq/jan#8136; `reasoning`, where the model has none: vercel/ai#8057."""
_CEREBRAS: _Rules = (*_OTHERS, (_ANY, {"top_k": False, "reasoning_member": "reasoning"}))
"""Members that it does not know are refused, `reasoning_content` among them (Kilo-Org/kilocode#10375); `reasoning` it
takes whatever the model is (QwenLM/qwen-code#11045, inference-docs.cerebras.ai/api-reference/chat-completions)."""
_AT_MISTRAL: _Rules = (
    *_OTHERS,
    (_ANY, {"top_k": False, "reasoning_member": None}),
    (r"magistral", {"reasoning_member": "thinking"}),
)
"""Members that it does not know are refused, `reasoning_content` among them (charmbracelet/crush#1590). Magistral tells
its reasoning as a part of the content (docs.mistral.ai/capabilities/reasoning), and gets it back so."""
_XAI: _Rules = (
    *_OTHERS,
    (_ANY, {"top_k": False}),
    (r"grok-(3-mini|code|[4-9])(?!.*non-reasoning)", {"encrypted_reasoning": True}),
    (r"grok-3-mini", {"efforts": ("low", "high")}),
    (r"grok-4\.3", {"efforts": ("none", "low", "medium", "high")}),
    (EFFORTLESS, {"efforts": ()}),
)
"""docs.x.ai, "Reasoning"; its API of Chat has no `top_k`. Without its own reasoning Grok stops to reason after some
rounds of tools (measured in duolahypercho/codex-router#888)."""
_SWITCHED: _Rules = (
    *_OTHERS,
    (r"deepseek-(v4|flash)|glm-(4\.[5-7]|5(\.[12])?)(?![\d.])", {"unthinking": ("thinking", {"type": "disabled"})}),
    (r"deepseek-(v4|flash)", {"efforts": ("minimal", "low", "medium", "high", "xhigh", "max")}),
)
"""api-docs.deepseek.com/guides/thinking_mode: all steps are taken, and made three there;
docs.z.ai/guides/capabilities/thinking-mode. GLM 5.3 always thinks."""
_ALIBABA: _Rules = (*_OTHERS, (r"^(?!.*(thinking|qwq|qvq|-r1))", {"unthinking": ("enable_thinking", False)}))
"""Models of whichever vendor that may think or not; of Qwen's open ones that do by default, a whole answer is refused
unless they are told not to (alibabacloud.com/help/en/model-studio/deep-thinking, langchain4j/langchain4j#3974)."""
_GOOGLE: _Rules = (*_OTHERS, (r"gemini-2\.5-flash", {"efforts": ("none", "low", "medium", "high")}))
"""ai.google.dev/gemini-api/docs/openai: "Reasoning cannot be turned off for Gemini 2.5 Pro or 3 models"."""
_FIREWORKS: _Rules = (*_OTHERS, (_ANY, {"cache_key": True}))
"""It is known to take the key of a prompt's cache, as the next one is (`providers/members.py`)."""
_KIMI: _Rules = (
    *_OTHERS,
    (_ANY, {"cache_key": True}),
    (r"kimi-(?!k3)", {"reasoning": "object", "efforts": ()}),
)
"""Asked to reason or not; K3 is told how hard (java.agentscope.io, "Kimi")."""
_DATED: _Rules = (
    *_OPENAI,
    (
        _ANY,
        {"custom_tools": False, "cache_key": False, "cache_retention": False, "tiers": False, "verbosity": False},
    ),
)
"""Azure's dated APIs refuse what they do not know yet."""
_EVERYWHERE: _Rules = ((MISTRAL, {"answer_between": True}),)
"""Of all rows. Mistral's models are as strict behind gateways (zed-industries/zed#37021) and at Azure
(danny-avila/LibreChat#12429)."""
_RULES: dict[str, _Rules] = {
    "alibaba-coding": _ALIBABA,
    "anthropic": _ANTHROPIC,
    "anthropic-compatible": _ANTHROPIC[1:],
    "azure": _OPENAI,
    "azure-deployments": _DATED,
    "bedrock": _ANTHROPIC,
    "bedrock-messages": _ANTHROPIC,
    "cerebras": _CEREBRAS,
    "codestral": _AT_MISTRAL,
    "deepseek": _SWITCHED,
    "fireworks": _FIREWORKS,
    "google": _GOOGLE,
    "groq": _GROQ,
    "kimi-coding": _KIMI,
    "mistral": _AT_MISTRAL,
    "moonshot": _KIMI,
    "openai": _OPENAI,
    "openrouter": _GATEWAY,
    "qwen": _ALIBABA,
    "vercel": _GATEWAY,
    "vertex": _ANTHROPIC,
    "xai": _XAI,
    "zai": _SWITCHED,
    "zai-coding": _SWITCHED,
}


def family_of(model: str) -> str | None:
    """The open models that a model is one of, wherever it is served; None if it is none."""
    found = _OPEN.search(model[:LONGEST_ID])
    return found[0].lower() if found else None


def traits_of(kind: str, api: Api, model: str) -> Traits:
    """The traits of a model behind a provider of this row, in one of its APIs."""
    return _traits_of(kind, api, model[:LONGEST_ID])


@lru_cache(4096)
def _traits_of(kind: str, api: Api, model: str) -> Traits:
    said: dict[str, Any] = {}
    for pattern, changes in (*_EVERYWHERE, *_RULES.get(kind, _OTHERS)):
        if re.search(pattern, model):
            said |= changes
    if api is not Api.CHAT and said.get("reasoning") == "object":
        said["reasoning"] = "effort"
    if api is Api.CHAT and not said.get("chat_tools", True):  # `max` came with 5.6, in Responses (litellm-docs#1173)
        said["efforts"] = tuple(effort for effort in said["efforts"] if effort != "max")
    return msgspec.structs.replace(Traits(), **said)
