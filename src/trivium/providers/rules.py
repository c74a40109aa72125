"""What is done to a request on its way to a provider: named rules, each a row of data (behaviour page, section 8).

A row says whom the rule concerns: rows of the provider table, patterns of the upstream's model ids, the client's API
and the upstream's, the members of the body without which there is nothing to do. What is done is in
`pipeline/rules.py`, by the same name; which rows concern a call, in `matching.py`. docs/adaptations.md has the table
for people.
"""

from __future__ import annotations

from typing import TypeVar

from trivium.canon.api import KINDS, Api, Kind
from trivium.providers.members import AT_MISTRAL, BY_EFFORT, SAMPLING, UNKNOWN
from trivium.providers.rule import Rule
from trivium.providers.traits import (
    CLAUDE,
    EFFORTLESS,
    MISTRAL,
    MOONSHOT,
    QWEN,
    SIGNING,
    THOUGHTFUL,
    UNSAMPLED,
)

T = TypeVar("T")
CHAT, RESPONSES, MESSAGES = Api.CHAT, Api.RESPONSES, Api.MESSAGES
_EVERY: frozenset[Kind] = frozenset(KINDS)
"""Embeddings and the like too."""
_OPENAI_APIS: frozenset[Kind] = frozenset((CHAT, RESPONSES))

XAI = r"^(x-ai|xai)/|(^|/)grok-"
OPENAI = r"^openai/(?!gpt-oss)|^(gpt-(?!oss)|chatgpt-|o\d)"
GEMINI = r"gemini"
HAIKU = r"claude.*haiku"
_CLAUDES_OWN = frozenset(("anthropic", "anthropic-compatible", "bedrock", "bedrock-messages", "vertex"))
_CLAUDES_KINDS = _CLAUDES_OWN | {"openrouter", "vercel"}
_MISTRALS = frozenset(("mistral", "codestral"))
_OPENAIS = frozenset(("openai", "azure", "azure-deployments"))


def _of(*names: T) -> frozenset[T]:
    return frozenset(names)


RULES: tuple[Rule, ...] = (
    # Whom gateways ask.
    Rule(
        name="provider-preferences",
        what="the organization's policy over the client's `provider`, as OpenRouter takes it",
        kinds=_of("openrouter"),
        clients=_EVERY,
        apis=_EVERY,
        counts=True,
    ),
    Rule(
        name="vercel-preferences",
        what="the same as `providerOptions.gateway`; `provider` goes",
        kinds=_of("vercel"),
        clients=_EVERY,
        apis=_EVERY,
        counts=True,
    ),
    Rule(
        name="no-preferences",
        what="`provider` goes: nobody behind it could be chosen",
        but=_of("openrouter", "vercel"),
        members=_of("provider"),
        clients=_EVERY,
        apis=_EVERY,
        counts=True,
    ),
    Rule(
        name="nothing-stored",
        what="`store` is false where the organization denies the collection or the retention of data",
        apis=_OPENAI_APIS,
        way="same",
        setting="private",
    ),
    Rule(
        name="vercel-effort",
        what="`verbosity`, in Responses `text.verbosity`, becomes `providerOptions.anthropic.effort`",
        kinds=_of("vercel"),
        models=CLAUDE,
        apis=_OPENAI_APIS,
        members=_of("verbosity", "text"),
    ),
    # Who calls.
    Rule(
        name="identity",
        what="`safety_identifier` and `user` are our hash of the user, `prompt_cache_key` of the task if there is "
        "none, as far as the provider knows these",
        apis=_OPENAI_APIS,
        but=_of("local", "mistral", "codestral", "custom"),
        setting="identity",
    ),
    Rule(
        name="messages-identity",
        what="`metadata.user_id` is our hash of the user; for OpenRouter `user` too, and `session_id` of the task",
        apis=_of(MESSAGES),
        but=_of("local", "custom"),
        setting="identity",
    ),
    Rule(
        name="messages-user",
        what="`user` and `session_id` go: Messages has no such members",
        apis=_of(MESSAGES),
        but=_of("openrouter"),
        members=_of("user", "session_id"),
        counts=True,
    ),
    # What is said.
    Rule(
        name="system-turns",
        what="instructions in mid-conversation become marked text of the user's: only Claude takes them there",
        but=_of("openrouter", "vercel"),
        models=rf"^(?!.*{CLAUDE})",
        clients=_of(MESSAGES),
        apis=_of(MESSAGES),
        way="same",
        counts=True,
    ),
    Rule(
        name="tool-repair",
        what="each call answered once, right behind its turn; orphans and repeats go",
        way="same",
        setting="repair_tools",
        counts=True,
    ),
    Rule(
        name="reasoning-copies",
        what="reasoning that opencode sends a second time goes",
        clients=_of(CHAT),
        apis=_of(CHAT),
        way="same",
        agent=b"opencode",
    ),
    Rule(
        name="reasoning-member",
        what="the assistant's reasoning stands where the provider takes it, or goes",
        kinds=_MISTRALS | {"groq", "cerebras", "deepseek", "moonshot", "kimi-coding"},
        clients=_of(CHAT),
        apis=_of(CHAT),
        way="same",
    ),
    Rule(
        name="unthought-calls",
        what="where tools were called, the assistant's messages without reasoning have a blank for it",
        models=THOUGHTFUL,
        apis=_of(CHAT, MESSAGES),
    ),
    Rule(
        name="response-items",
        what="the assistant's messages get `type` and `status` where they lack them",
        but=_of("openai"),
        apis=_of(RESPONSES),
        way="same",
        counts=True,
    ),
    Rule(
        name="claude-tool-ids",
        what="ids of calls that Anthropic would refuse become their SHA-256",
        models=CLAUDE,
        way="same",
        counts=True,
    ),
    Rule(
        name="mistral-tool-ids",
        what="ids of calls that are not nine letters or digits become the first nine of their SHA-256",
        models=MISTRAL,
        apis=_of(CHAT),
        way="same",
    ),
    Rule(
        name="unsigned-calls",
        what="the first call of a turn that has no signature of Google's gets the word that stands for one",
        but=_of("openrouter", "vercel"),
        models=SIGNING,
        clients=_of(CHAT),
        apis=_of(CHAT),
        way="same",
    ),
    Rule(
        name="mistral-answers",
        what="between results of tools and what the user says next an answer stands: `OK`",
        models=MISTRAL,
        clients=_of(CHAT),
        apis=_of(CHAT),
        way="same",
    ),
    Rule(
        name="cache-marks",
        what="marks of what to cache: system, last user or tool, the one before the last answer",
        kinds=_CLAUDES_KINDS,
        models=CLAUDE,
        clients=_of(CHAT),
        apis=_of(CHAT, MESSAGES),
        setting="cache_marks",
    ),
    Rule(
        name="conversation-cache",
        what="`cache_control` for the whole of a conversation that has no mark",
        kinds=_of("anthropic", "openrouter", "vercel"),
        models=CLAUDE,
        clients=_of(MESSAGES),
        apis=_of(MESSAGES),
        way="same",
        setting="cache_conversations",
    ),
    # Tools and settings.
    Rule(
        name="must-complete",
        what="`tool_choice` is `required` where a tool `attempt_completion` ends the task",
        models=f"{XAI}|{OPENAI}|{GEMINI}|{MOONSHOT}|{HAIKU}",
        members=_of("tools"),
    ),
    Rule(
        name="gemini-line-ranges",
        what="`line_ranges` of the tool `read_file` may be null or a list",
        kinds=_of("vercel"),
        models=GEMINI,
        apis=_of(CHAT),
        members=_of("tools"),
    ),
    Rule(
        name="reasoning-effort",
        what="OpenRouter's `reasoning` becomes `reasoning_effort`, or `thinking` where that turns it off",
        kinds=BY_EFFORT,
        clients=_of(CHAT),
        apis=_of(CHAT),
        members=_of("reasoning"),
        way="same",
    ),
    Rule(
        name="moonshot",
        what="`temperature` goes, `reasoning` says no more than whether; Moonshot itself hears that as `thinking` too",
        models=MOONSHOT,
        members=_of("temperature", "reasoning", "reasoning_effort"),
    ),
    Rule(
        name="embedded-stops",
        what="the embedded model stops before the next question of its own, besides where the client says",
        kinds=_of("local"),
        apis=_of(CHAT, MESSAGES),
        members=_of("stop", "stop_sequences"),
    ),
    Rule(
        name="qwen-limit",
        what="an answer of 32,768 tokens at the most",
        but=_of("local"),
        models=QWEN,
        members=_of("max_tokens", "max_completion_tokens", "max_output_tokens"),
    ),
    Rule(
        name="mistral-models",
        what="`temperature` is 0.2 where nothing is said, `strict` goes from tools",
        models=MISTRAL,
        apis=_OPENAI_APIS,
    ),
    Rule(
        name="mistral-affinity",
        what="header `x-affinity`: the key of the prompt's cache",
        kinds=_MISTRALS,
        apis=_of(CHAT),
    ),
    Rule(
        name="mistral-members",
        what="members go that Mistral's own API refuses, or get its names: `max_tokens`, `random_seed`",
        kinds=_MISTRALS,
        apis=_of(CHAT),
        members=AT_MISTRAL | {"max_completion_tokens", "seed"},
    ),
    Rule(
        name="xai-effort",
        what="the effort goes: how much these models reason cannot be chosen",
        kinds=_of("xai"),
        models=EFFORTLESS,
        apis=_OPENAI_APIS,
        members=_of("reasoning_effort", "reasoning"),
        way="same",
    ),
    Rule(
        name="groq-effort",
        what="the effort is `none` or `default` for Qwen, and goes for others",
        kinds=_of("groq"),
        models=r"^(?!.*gpt-oss)",
        apis=_OPENAI_APIS,
        members=_of("reasoning_effort", "reasoning"),
        way="same",
    ),
    Rule(
        name="unknown-members",
        what="members go that this vendor's own API does not know, such as those that only OpenRouter does",
        kinds=frozenset(UNKNOWN),
        apis=_OPENAI_APIS,
        members=frozenset().union(*UNKNOWN.values()),
    ),
    Rule(
        name="claude-thinking",
        what="thinking is asked for as the model takes it: by a budget, an effort or not at all",
        kinds=_CLAUDES_OWN,
        models=CLAUDE,
        clients=_of(MESSAGES),
        apis=_of(MESSAGES),
        members=_of("thinking", "output_config"),
        way="same",
        counts=True,
    ),
    Rule(
        name="no-sampling",
        what="`temperature`, `top_p` and the like go: the model is not told how to sample",
        kinds=_OPENAIS | _CLAUDES_OWN,
        models=UNSAMPLED,
        members=frozenset(SAMPLING),
        way="same",
    ),
    Rule(
        name="completion-limit",
        what="`max_tokens` becomes `max_completion_tokens`",
        kinds=_OPENAIS,
        models=UNSAMPLED,
        clients=_of(CHAT),
        apis=_of(CHAT),
        members=_of("max_tokens"),
        way="same",
    ),
    # Headers.
    Rule(
        name="xai-conversation",
        what="headers `x-grok-conv-id` (the key of the prompt's cache, or a new id) and `x-grok-req-id`",
        models=XAI,
        apis=_OPENAI_APIS,
    ),
    Rule(
        name="claude-betas",
        what="betas of Anthropic's that Chat clients get without asking",
        kinds=_CLAUDES_KINDS - {"anthropic-compatible"},
        models=CLAUDE,
        clients=_of(CHAT),
        apis=_of(CHAT, MESSAGES),
    ),
    Rule(
        name="betas",
        what="of `anthropic-beta` what the provider knows",
        header=b"anthropic-beta",
        clients=_of(MESSAGES),
        apis=_of(MESSAGES),
        way="same",
        counts=True,
    ),
    Rule(
        name="app-names",
        what="headers `HTTP-Referer` and `X-Title`: which program calls",
        kinds=_of("openrouter"),
    ),
    Rule(
        name="no-stream-options",
        what="`stream_options` goes",
        apis=_of(CHAT),
        members=_of("stream_options"),
        setting="no_stream_usage",
    ),
    # Last, since it judges what the others made.
    Rule(
        name="known-keys",
        what="keys go that Anthropic's Messages API does not know, at every depth;"
        " what is too much or too deep to be looked through is refused",
        apis=_of(MESSAGES),
        way="same",
        setting="strict",
        counts=True,
    ),
)
"""In the order in which they are applied."""
