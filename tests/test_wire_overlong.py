"""A request that is too long, in the words of each vendor, and in ours."""

from __future__ import annotations

import re

import pytest

from trivium.canon.api import Api
from trivium.canon.events import Fault
from trivium.wire.fault import fault_of_body, fault_of_text
from trivium.wire.overlong import CODE, Overlong, overlong, told

SAID: list[tuple[str, Overlong]] = [
    # Anthropic
    ("prompt is too long: 213462 tokens > 200000 maximum", Overlong(213_462, 200_000)),
    ("Prompt is too long", Overlong()),
    (
        "input length and `max_tokens` exceed context limit: 199000 + 8000 > 200000, decrease input length or "
        "`max_tokens` and try again",
        Overlong(199_000, 200_000, 8000),
    ),
    # OpenAI, DeepSeek, vLLM
    (
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 8545 tokens. Please "
        "reduce the length of the messages.",
        Overlong(8545, 8192),
    ),
    (
        "This model's maximum context length is 131072 tokens. However, you requested 150000 tokens (146000 in the "
        "messages, 4000 in the completion). Please reduce the length of the messages or completion.",
        Overlong(146_000, 131_072, 4000),
    ),
    (
        "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 "
        "tokens and your request has 12000 input tokens (32000 > 32768 - 12000).",
        Overlong(12_000, 32_768, 32_000),
    ),
    (
        "This model's maximum context length is 32768 tokens. However, you requested 32000 output tokens and your "
        "prompt contains at least 769 input tokens, for a total of at least 32769 tokens.",
        Overlong(769, 32_768, 32_000),
    ),
    # SGLang; text-generation-inference, Together
    (
        "Requested token count exceeds the model's maximum context length of 4096 tokens. You requested a total of "
        "7000 tokens: 3000 tokens from the input messages and 4000 tokens for the completion. Please reduce the "
        "number of tokens in the input messages or the completion to fit within the limit.",
        Overlong(3000, 4096, 4000),
    ),
    (
        "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8193. Given: 8000 `inputs` tokens and "
        "4000 `max_new_tokens`",
        Overlong(8000, 8193, 4000),
    ),
    ("This model's maximum context length is 128000 tokens", Overlong(None, 128_000)),
    ("Your input exceeds the context window of this model. Please adjust your input and try again.", Overlong()),
    (
        "The decoder prompt (length 140000) is longer than the maximum model length of 131072. Make sure that "
        "`max_model_len` is no smaller than the number of text tokens.",
        Overlong(140_000, 131_072),
    ),
    # OpenRouter
    (
        "This endpoint's maximum context length is 200000 tokens. However, you requested about 2500021 tokens (2500021 "
        "of text input). Please reduce the length of either one.",
        Overlong(2_500_021, 200_000),
    ),
    (
        "This endpoint's maximum context length is 200000 tokens. However, you requested about 209573 tokens "
        "(180000 of text input, 8240 of tool input, 21333 in the output). Please reduce the length of either one.",
        Overlong(188_240, 200_000, 21_333),
    ),
    # xAI
    (
        "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
        Overlong(537_812, 131_072),
    ),
    # Google
    (
        "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575).",
        Overlong(1_196_265, 1_048_575),
    ),
    ("The input token count exceeds the maximum number of tokens allowed 1048576.", Overlong(None, 1_048_576)),
    # Mistral
    (
        "Prompt contains 65673 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
        Overlong(65_673, 32_768),
    ),
    # llama.cpp, Ollama, LM Studio
    (
        "request (9412 tokens) exceeds the available context size (8192 tokens), try increasing it",
        Overlong(9412, 8192),
    ),
    ("the request exceeds the available context size, try increasing it", Overlong()),
    ("prompt too long; exceeded max context length by 12 tokens", Overlong()),
    (
        "Trying to keep the first 10136 tokens when context the overflows. However, the model is loaded with context "
        "length of only 7866 tokens, which is not enough. Try to load the model with a larger context length",
        Overlong(10_136, 7866),
    ),
    ("The number of tokens to keep from the initial prompt is greater than the context length", Overlong()),
    # Bedrock
    ("Input is too long for requested model.", Overlong()),
    # GitHub Copilot, Kimi, MiniMax, Qwen, z.ai, Groq, proxies
    ("prompt token count of 74490 exceeds the limit of 72000", Overlong(74_490, 72_000)),
    ("Your request exceeded model token limit: 262144 (requested: 300000)", Overlong(300_000, 262_144)),
    ("invalid params, context window exceeds limit (2013)", Overlong()),
    ("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 98304]", Overlong(None, 98_304)),
    ("Prompt exceeds max length", Overlong()),
    ("Please reduce the length of the messages or completion.", Overlong()),
    ("Input exceeds the maximum allowed input length of 32,768 tokens", Overlong(None, 32_768)),
    ("litellm.ContextWindowExceededError: exceeds model's maximum context length of 4,096", Overlong(None, 4096)),
]


@pytest.mark.parametrize(("message", "found"), SAID, ids=[message[:40] for message, _ in SAID])
def test_every_vendors_words_are_known_with_the_numbers_in_them(message: str, found: Overlong) -> None:
    for status in (None, 200, 400, 413, 422, 500):
        assert overlong(Fault("invalid_request_error", message), status) == found


def test_a_code_alone_is_enough() -> None:
    assert overlong(Fault("invalid_request_error", "No.", CODE)) == Overlong()
    assert overlong(Fault("exceed_context_size_error", "No.")) == Overlong()


def test_what_a_gateway_passes_on_from_behind_is_known_too() -> None:
    raw = (
        '{"type":"error","error":{"type":"invalid_request_error","message":"prompt is too long: 9 tokens > 8 maximum"}}'
    )
    body = {"error": {"code": 400, "message": "Provider returned error", "metadata": {"raw": raw}}}
    assert overlong(fault_of_body(body), 400) == Overlong(9, 8)
    assert overlong(fault_of_text(b"<html>Input is too long for requested model</html>"), 400) == Overlong()


@pytest.mark.parametrize(
    "message",
    [
        "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
        "max_tokens: 128001 > 64000, which is the maximum allowed number of output tokens for claude-opus-4-5",
        "Invalid value for `context_length`.",
        "messages: too long a list",
        "tool names must be at most 64 characters long",
        "",
    ],
)
def test_other_errors_are_others(message: str) -> None:
    assert overlong(Fault("invalid_request_error", message), 400) is None


@pytest.mark.parametrize("status", [401, 402, 403, 404, 429])
def test_statuses_that_are_about_something_else(status: int) -> None:
    said = "Request too large on tokens per min (TPM): please reduce the length of the messages"
    assert overlong(Fault("rate_limit_error", said), status) is None


def test_a_long_message_is_not_searched_to_its_end() -> None:
    assert overlong(Fault("x", "maximum context length is 8 tokens " * 100_000)) == Overlong(None, 8)
    assert overlong(Fault("x", "9" * 1_000_000)) is None


CLAUDE_CODE = re.compile(r"prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*(\d+)", re.IGNORECASE)
OPENCODE = re.compile(r"maximum context length is \d+ tokens|exceeds the context window|prompt is too long")


def test_numbers_are_told_so_that_people_and_agents_read_them() -> None:
    words = {api: told(api, "x", Overlong(213_462, 200_000)) for api in Api}
    for message in words.values():
        assert "This request has 213,462 tokens; `x` takes 200,000. Shorten the conversation" in message
        assert OPENCODE.search(message)
    found = CLAUDE_CODE.search(words[Api.MESSAGES])
    assert found is not None
    assert found.groups() == ("213462", "200000")
    assert words[Api.CHAT].startswith("This model's maximum context length is 200000 tokens.")


CLAUDE_CODE_ANSWER = re.compile(r"input length and `max_tokens` exceed context limit: (\d+) \+ (\d+) > (\d+)")


def test_a_request_that_would_fit_is_not_told_to_be_too_long_where_its_answer_is() -> None:
    words = {api: told(api, "x", Overlong(12_000, 32_768, 32_000)) for api in Api}
    for message in words.values():
        assert "This request has 12,000 tokens, and its answer may have 32,000; `x` takes 32,768 for both." in message
        assert "prompt is too long" not in message
    found = CLAUDE_CODE_ANSWER.search(words[Api.MESSAGES])
    assert found is not None
    assert found.groups() == ("12000", "32000", "32768")
    assert "(`max_completion_tokens`)" in words[Api.CHAT]
    assert "(`max_output_tokens`)" in words[Api.RESPONSES]


def test_a_request_that_would_not_fit_is_too_long_whatever_its_answer() -> None:
    words = told(Api.MESSAGES, "x", Overlong(146_000, 131_072, 4000))
    assert words.startswith("prompt is too long: 146000 tokens > 131072 maximum.")


@pytest.mark.parametrize("api", list(Api))
def test_what_is_not_known_is_not_made_up(api: Api) -> None:
    assert "about 213,000 tokens; `x`" in told(api, "x", Overlong(213_000, 200_000), about=True)
    nothing = told(api, "x", Overlong())
    assert "This request is too long for `x`." in nothing
    assert OPENCODE.search(nothing)
    assert "`x` takes 200,000 tokens, and this request has more." in told(api, "x", Overlong(None, 200_000))
    # An estimate below the limit is wrong, for the vendor has counted.
    assert "has more" in told(api, "x", Overlong(150_000, 200_000), about=True)
    assert "of about 9,000 tokens, is too long" in told(api, "x", Overlong(9000), about=True)
