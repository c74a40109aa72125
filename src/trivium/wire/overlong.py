"""A request that is longer than the model's context: known by each vendor's words for it, and said in words of ours
that agents know, too.

Agents make their conversation shorter where they read so: Claude Code at `prompt is too long: N tokens > M maximum`,
Codex at the code `context_length_exceeded`, opencode at either and at `maximum context length is M tokens`. Where the
request alone would fit, and only the answer that it asks for does not, a shorter conversation is no help: Claude Code
asks for a shorter answer at `input length and `max_tokens` exceed context limit: N + K > M`.
"""

from __future__ import annotations

import re

import msgspec

from trivium.canon.api import Api
from trivium.canon.events import Fault

CODE = "context_length_exceeded"
_CODES = frozenset(
    (CODE, "exceed_context_size_error", "model_context_window_exceeded", "model_max_prompt_tokens_exceeded")
)
_READ = 2000
"""Characters of a message."""
_NOT_THE_REQUEST = frozenset((401, 402, 403, 404, 429))
"""Statuses of errors that are about something else, such as tokens in a minute."""

_ASKED, _MORE, _LIMIT = r"(?P<asked>[\d,]+)", r"(?P<more>[\d,]+)", r"(?P<limit>[\d,]+)"
_WORDS = tuple(
    re.compile(words, re.IGNORECASE | re.DOTALL)
    for words in (
        # Anthropic; the second where the answer's tokens count, too.
        rf"prompt is too long(?:: {_ASKED} tokens > {_LIMIT} maximum)?",
        rf"input length and `?max_tokens`? exceed context limit: {_ASKED} \+ {_MORE} > {_LIMIT}",
        # OpenAI, Azure, DeepSeek, vLLM, OpenRouter, with the answer's tokens; without; xAI.
        rf"maximum context length is {_LIMIT} tokens.{{0,60}}?requested(?: about)? [\d,]+ tokens "
        rf"\({_ASKED} (?:in the messages|of text input)(?:, (?P<tools>[\d,]+) of tool input)?, "
        rf"{_MORE} in the (?:completion|output)\)",
        rf"maximum context length is {_LIMIT} tokens.{{0,60}}?requested {_MORE} output tokens and your prompt contains "
        rf"at least {_ASKED} input tokens",
        rf"maximum context length is {_LIMIT} tokens and your request has {_ASKED} input tokens \({_MORE} > ",
        # SGLang; text-generation-inference, Together.
        rf"maximum context length of {_LIMIT} tokens.{{0,60}}? {_ASKED} tokens from the input messages and "
        rf"{_MORE} tokens for the completion",
        rf"`?inputs`? tokens \+ `?max_new_tokens`? must be <= {_LIMIT}\. Given: {_ASKED} "
        rf"`?inputs`? tokens and {_MORE} ",
        rf"maximum context length (?:is|of) {_LIMIT} tokens?"
        rf"(?:.{{0,60}}?(?:resulted in|requested(?: about)?) {_ASKED} tokens)?",
        r"exceeds the context window",
        rf"maximum prompt length is {_LIMIT}(?: but the request contains {_ASKED})?",
        # Google.
        rf"input token count (?:\(?{_ASKED}\)? )?exceeds the maximum number of tokens allowed(?: \(?{_LIMIT})?",
        # Mistral.
        rf"prompt contains {_ASKED} tokens.{{0,60}}?too large for model with {_LIMIT} maximum context length",
        # llama.cpp; vLLM's engine; SGLang; LM Studio; Ollama.
        rf"request (?:\({_ASKED} tokens\) )?exceeds the available context size(?: \({_LIMIT} tokens\))?",
        rf"prompt \(length {_ASKED}\) is longer than the maximum model length of {_LIMIT}",
        rf"input \({_ASKED} tokens\) is longer than the model'?s context length \({_LIMIT} tokens\)",
        rf"trying to keep the first {_ASKED} tokens when .{{0,80}}?context length of only {_LIMIT} tokens",
        r"greater than the context length",
        r"prompt too long; exceeded (?:max )?context length",
        # Bedrock.
        r"input is too long for requested model",
        # GitHub Copilot; Kimi; MiniMax; Qwen; z.ai.
        rf"prompt token count of {_ASKED} exceeds the limit of {_LIMIT}",
        rf"exceeded model token limit: {_LIMIT}(?: \(requested: {_ASKED}\))?",
        r"context window exceeds limit",
        rf"range of input length should be \[1, {_LIMIT}\]",
        r"prompt exceeds max length",
        # Proxies, and whoever else.
        rf"exceeds (?:the )?(?:model'?s )?maximum (?:context|allowed input) length(?: of {_LIMIT})?",
        r"reduce the length of the (?:messages|prompt|input)",
        r"context[_ ](?:length|window|size|limit)[_ ]exceeded",
        r"exceed(?:s|ed)? (?:the )?(?:model'?s )?context (?:length|window|size|limit)",
        r"maximum context length",
    )
)


class Overlong(msgspec.Struct, frozen=True):
    """How many tokens the request has, how many the model takes, and how many more the answer may have, where it is
    said to count; None: it is not said."""

    asked: int | None = None
    limit: int | None = None
    more: int | None = None


def overlong(fault: Fault, status: int | None = None) -> Overlong | None:
    """What an error says of a request that is too long; None where it is another error. `status`: the upstream's."""
    if status in _NOT_THE_REQUEST:
        return None
    said = fault.message[:_READ]
    for words in _WORDS:
        if (found := words.search(said)) is not None:
            return _numbers(found.groupdict())
    return Overlong() if fault.code in _CODES or fault.type in _CODES else None


def told(api: Api, model: str, found: Overlong, *, about: bool = False) -> str:
    """The message for a client of this API. `about`: the number of tokens asked is an estimate."""
    asked, limit, more = found.asked, found.limit, found.more
    if asked is not None and limit is not None and asked <= limit:
        if more is not None:
            return _told_of_the_answer(api, model, asked, limit, more)
        asked = None  # an estimate, and the vendor knows better
    return f"{_KEYS[api](asked, limit)} {_explained(model, asked, limit, about=about)}"


def _told_of_the_answer(api: Api, model: str, asked: int, limit: int, more: int) -> str:
    key = _openai_key(None, limit)
    if api is Api.MESSAGES:
        key = f"input length and `max_tokens` exceed context limit: {asked} + {more} > {limit}."
    has = f"This request has {asked:,} tokens, and its answer may have {more:,}; `{model}` takes {limit:,} for both."
    return f"{key} {has} Ask for a shorter answer (`{_MEMBERS[api]}`), or shorten the conversation."


_MEMBERS = {Api.CHAT: "max_completion_tokens", Api.RESPONSES: "max_output_tokens", Api.MESSAGES: "max_tokens"}


def _explained(model: str, asked: int | None, limit: int | None, *, about: bool) -> str:
    has = f"{'about ' if about else ''}{asked:,} tokens" if asked is not None else None
    if limit is None:
        said = f"This request{f', of {has},' if has else ''} is too long for `{model}`"
    elif has is None:
        said = f"`{model}` takes {limit:,} tokens, and this request has more"
    else:
        said = f"This request has {has}; `{model}` takes {limit:,}"
    return f"{said}. {_TO_DO}"


_TO_DO = "Shorten the conversation, or name a model with a longer context."


def _anthropic_key(asked: int | None, limit: int | None) -> str:
    if asked is None or limit is None:
        return "prompt is too long."
    return f"prompt is too long: {asked} tokens > {limit} maximum."


def _openai_key(_: int | None, limit: int | None) -> str:
    if limit is None:
        return "Your input exceeds the context window of this model."
    return f"This model's maximum context length is {limit} tokens."


_KEYS = {Api.CHAT: _openai_key, Api.RESPONSES: _openai_key, Api.MESSAGES: _anthropic_key}
"""The phrases that programs look for."""


def _numbers(groups: dict[str, str | None]) -> Overlong:
    numbers = {name: int(digits.replace(",", "") or 0) for name, digits in groups.items() if digits}
    asked = numbers.get("asked")
    if asked is not None:
        asked += numbers.get("tools", 0)
    return Overlong(asked, numbers.get("limit"), numbers.get("more"))
