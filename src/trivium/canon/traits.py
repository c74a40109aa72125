"""What the server behind a model takes beyond, or short of, the API as its owner documents it. The pipeline hands the
value from the provider's row to the renderer. The default is a server nobody knows: it gets what most of them take.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    # Chat Completions.
    chat: bool = True
    """The model answers in this API; some of OpenAI's do in Responses alone."""
    chat_tools: bool = True
    """It takes tools here while it reasons; since GPT-5.4 OpenAI's do in Responses alone."""
    max_completion_tokens: bool = False
    """The limit is called so; else `max_tokens`, which OpenAI's reasoning models refuse."""
    reasoning: Literal["effort", "object"] | None = "effort"
    """How reasoning is asked for: `reasoning_effort`, OpenRouter's `reasoning` object, or not at all."""
    efforts: tuple[str, ...] = ("low", "medium", "high")
    """The steps it knows; others become the nearest. None: how much it reasons cannot be chosen."""
    unthinking: tuple[str, Any] | None = None
    """What turns reasoning off where that is no effort: a member and its value."""
    reasoning_member: Literal["reasoning_content", "reasoning", "thinking"] | None = "reasoning_content"
    """Where a message of the assistant's has its plain reasoning: in a member of this name, or in a part of its content
    of the type `thinking` (Mistral). None: nowhere."""
    system_anywhere: bool = False
    """System messages may stand in the middle. Templates of local models (Qwen's) fail on that."""
    developer: bool = False
    """There is a `developer` role."""
    cache_marks: bool = False
    """`cache_control` on parts, OpenRouter's way."""
    custom_tools: bool = False
    """Free-text tools, in Chat. In Responses they are part of the API."""
    unsigned_call: str | None = None
    """What stands for the seal of a turn's first call that has none; Gemini 3 refuses such calls without it."""
    plain_schemas: bool = False
    """A function's schema must be one object, and no choice among several."""
    nine_letter_ids: bool = False
    """Ids of calls must be nine letters or digits (Mistral)."""
    answer_between: bool = False
    """Between results of tools and what the user says next an answer of the assistant's must stand (Mistral)."""
    top_k: bool = True
    stop_limit: int | None = None
    """How many stop sequences it takes."""
    cache_key: bool = False
    """`prompt_cache_key`."""
    cache_retention: bool = False
    """`prompt_cache_retention`."""
    verbosity: bool = False
    effort_is_verbosity: bool = False
    """How hard it works is asked for as `verbosity` (OpenRouter's word for Claude's effort), in Responses too."""
    tiers: bool = False
    """It knows service tiers."""

    # Responses.
    encrypted_reasoning: bool = False
    """It can be asked for `reasoning.encrypted_content`; OpenAI's models that do not reason refuse that."""
    item_ids: bool = False
    """Assistant messages of the input need an id and a status (OpenRouter)."""
    sampling: bool = True
    """Temperature and the like are taken; reasoning models of OpenAI and the newest of Anthropic refuse them."""

    # Messages.
    max_tokens: int = 32_000
    """What is asked for where the client set no limit, which the API demands."""
    thinking: Literal["adaptive", "budget"] | None = "budget"
    """How thinking is asked for; None: the model does not think."""
    refused: tuple[str, ...] = ()
    """What it refuses of the ways to ask for thinking: `adaptive`, `enabled` (by a budget), an `effort`."""
    thinking_shown: bool = True
    """Thinking is told unless asked otherwise; else it must be asked for (`display`)."""
    thinking_off: bool = True
    """Thinking can be turned off; the newest models of Anthropic refuse that."""
    forced_calls: bool = True
    """A call of a tool can be forced; models that always think refuse that."""
    schemas: bool = False
    """`output_config.format` is known."""
    strict_tools: bool = False
    one_of_temperature_and_top_p: bool = False
    system_turns: bool = False
    """`role: system` may stand among the messages, behind a user's turn."""
    prefill: bool = True
    """The conversation may end with the assistant's turn, which the answer continues."""
