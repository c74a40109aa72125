"""What answers cost, worked out by hand: usage as providers sent it, prices as their public pages have them.

Nothing here is taken from the code. Rates are USD per million tokens (of calls of tools: per thousand) from the pages
named at each example, as they were on its day; the sums were done on paper and are written down. Usage objects marked
`recorded` are those of public recordings, the others are made up to show a rule.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

from support_prices import dataset, price, quote, vendor
from trivium.canon.api import Api
from trivium.canon.conventions import conventions_for
from trivium.canon.fold import Answer, fold
from trivium.canon.size import Size
from trivium.metering.book import PriceBook
from trivium.metering.bound import usual_input
from trivium.metering.charge import Charge, Delivery, Payer, charge
from trivium.wire.codec import decode_answer

ANTHROPIC = "claude.com/pricing"
OPENAI = "developers.openai.com/api/docs/pricing"
GOOGLE = "ai.google.dev/gemini-api/docs/pricing"
XAI = "docs.x.ai/developers/models"
GROQ = "groq.com/pricing"
AWS = "aws.amazon.com/bedrock/pricing"
AZURE = "azure.microsoft.com/pricing/details/cognitive-services/openai-service"
DEEPSEEK = "api-docs.deepseek.com/quick_start/pricing"


class Example(NamedTuple):
    what: str
    page: str
    provider: str
    api: Api
    model: str
    day: str
    said: dict[str, Any]
    """The usage object."""
    lines: tuple[tuple[int, str], ...]
    """(how many, at which rate)."""
    usd: str
    """Their sum, by hand."""
    tools: tuple[tuple[int, str], ...] = ()


EXAMPLES = (
    Example(
        "recorded: a prompt is written to the cache for five minutes, at 1.25 times the input",
        ANTHROPIC, "anthropic", Api.MESSAGES, "claude-sonnet-4-5-20250929", "2026-01-15",
        {"cache_creation": {"ephemeral_1h_input_tokens": 0, "ephemeral_5m_input_tokens": 1069},
         "cache_creation_input_tokens": 1069, "cache_read_input_tokens": 0, "input_tokens": 7, "output_tokens": 60,
         "service_tier": "standard"},
        ((7, "3"), (1069, "3.75"), (60, "15")),
        "0.00492975",
    ),
    Example(
        "some of it for an hour, at twice the input; the split is of the same tokens",
        ANTHROPIC, "anthropic", Api.MESSAGES, "claude-sonnet-4-20250514", "2026-01-15",
        {"cache_creation": {"ephemeral_1h_input_tokens": 2000, "ephemeral_5m_input_tokens": 1000},
         "cache_creation_input_tokens": 3000, "cache_read_input_tokens": 0, "input_tokens": 10, "output_tokens": 5},
        ((10, "3"), (1000, "3.75"), (2000, "6"), (5, "15")),
        "0.015855",
    ),
    Example(
        "recorded: nothing but input and output",
        ANTHROPIC, "anthropic", Api.MESSAGES, "claude-haiku-4-5-20251001", "2026-01-15",
        {"input_tokens": 656, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 74},
        ((656, "1"), (74, "5")),
        "0.001026",
    ),
    Example(
        "recorded: a search of the web is paid by itself; the pages that it found are input",
        ANTHROPIC, "anthropic", Api.MESSAGES, "claude-opus-4-1-20250805", "2026-01-15",
        {"input_tokens": 10423, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 341,
         "server_tool_use": {"web_search_requests": 1}},
        ((10423, "15"), (341, "75")),
        "0.19192",
        tools=((1, "10"),),
    ),
    Example(
        "a long context makes all of the request dearer, not only what lies beyond 200,000",
        ANTHROPIC, "anthropic", Api.MESSAGES, "claude-sonnet-4-5-20250929", "2026-01-15",
        {"input_tokens": 150_000, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 100_000,
         "output_tokens": 1_000},
        ((150_000, "6"), (100_000, "0.6"), (1_000, "22.5")),
        "0.9825",
    ),
    Example(
        "recorded: 18,131 tokens are written to the cache ...",
        AWS, "bedrock", Api.MESSAGES, "claude-3-5-haiku-20241022", "2026-01-15",
        {"input_tokens": 4, "cache_creation_input_tokens": 18131, "cache_read_input_tokens": 0, "output_tokens": 50},
        ((4, "0.8"), (18131, "1"), (50, "4")),
        "0.0183342",
    ),
    Example(
        "recorded: ... and read from there by the next request, which pays a tenth for them",
        AWS, "bedrock", Api.MESSAGES, "claude-3-5-haiku-20241022", "2026-01-15",
        {"input_tokens": 4, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 18131, "output_tokens": 50},
        ((4, "0.8"), (18131, "0.08"), (50, "4")),
        "0.00165368",
    ),
    Example(
        "recorded: reasoning is part of the output already",
        OPENAI, "openai", Api.CHAT, "gpt-5-2025-08-07", "2026-01-15",
        {"prompt_tokens": 232, "completion_tokens": 96, "total_tokens": 328,
         "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
         "completion_tokens_details": {"reasoning_tokens": 64, "audio_tokens": 0}},
        ((232, "1.25"), (96, "10")),
        "0.00125",
    ),
    Example(
        "recorded: what the cache gave is part of the input, and comes off it",
        OPENAI, "openai", Api.RESPONSES, "gpt-5.3-codex", "2026-04-15",
        {"input_tokens": 7243, "input_tokens_details": {"cached_tokens": 3072}, "output_tokens": 423,
         "output_tokens_details": {"reasoning_tokens": 58}, "total_tokens": 7666},
        ((4171, "1.75"), (3072, "0.175"), (423, "14")),
        "0.01375885",
    ),
    Example(
        "recorded: a long thought",
        OPENAI, "openai", Api.CHAT, "o3-mini-2025-01-31", "2026-01-15",
        {"completion_tokens": 2320, "prompt_tokens": 577, "total_tokens": 2897,
         "completion_tokens_details": {"reasoning_tokens": 1792}, "prompt_tokens_details": {"cached_tokens": 0}},
        ((577, "1.1"), (2320, "4.4")),
        "0.0108427",
    ),
    Example(
        "sound is part of both counts, and has a price of its own",
        OPENAI, "openai", Api.CHAT, "gpt-audio", "2026-01-15",
        {"prompt_tokens": 120, "completion_tokens": 60, "total_tokens": 180,
         "prompt_tokens_details": {"audio_tokens": 100}, "completion_tokens_details": {"audio_tokens": 40}},
        ((20, "2.5"), (100, "32"), (20, "10"), (40, "64")),
        "0.00601",
    ),
    Example(
        "the flexible tier costs half",
        OPENAI, "openai", Api.CHAT, "o4-mini-2025-04-16", "2026-01-15",
        {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500, "service_tier": "flex"},
        ((1000, "0.55"), (500, "2.2")),
        "0.00165",
    ),
    Example(
        "the priority tier costs 1.7 times as much",
        OPENAI, "openai", Api.RESPONSES, "gpt-4o-2024-08-06", "2026-01-15",
        {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100, "service_tier": "priority"},
        ((1000, "4.25"), (100, "17")),
        "0.00595",
    ),
    Example(
        "recorded: the same model at another house",
        AZURE, "azure", Api.CHAT, "gpt-5-mini-2025-08-07", "2026-01-15",
        {"completion_tokens": 645, "prompt_tokens": 176, "total_tokens": 821,
         "completion_tokens_details": {"reasoning_tokens": 576}, "prompt_tokens_details": {"cached_tokens": 0}},
        ((176, "0.25"), (645, "2")),
        "0.001334",
    ),
    Example(
        "recorded: hidden thinking shows only in the total, 109 - 35 are output",
        GOOGLE, "google", Api.CHAT, "gemini-2.5-pro-preview-05-06", "2026-01-15",
        {"completion_tokens": 12, "prompt_tokens": 35, "total_tokens": 109},
        ((35, "1.25"), (74, "10")),
        "0.00078375",
    ),
    Example(
        "a long context at Google's",
        GOOGLE, "google", Api.CHAT, "gemini-2.5-pro", "2026-01-15",
        {"completion_tokens": 2_000, "prompt_tokens": 300_000, "total_tokens": 302_000},
        ((300_000, "2.5"), (2_000, "15")),
        "0.78",
    ),
    Example(
        "recorded: half the price for what the cache gave",
        GROQ, "groq", Api.CHAT, "openai/gpt-oss-120b", "2026-01-15",
        {"completion_tokens": 96, "prompt_tokens": 336, "total_tokens": 432,
         "completion_tokens_details": {"reasoning_tokens": 59}, "prompt_tokens_details": {"cached_tokens": 256}},
        ((80, "0.15"), (256, "0.075"), (96, "0.6")),
        "0.0000888",
    ),
    Example(
        "recorded: DeepSeek's own names for the cache, beside OpenAI's; by day, for it was cheaper by night",
        DEEPSEEK, "deepseek", Api.CHAT, "deepseek-reasoner", "2025-08-01T06:00",
        {"prompt_tokens": 339, "completion_tokens": 92, "total_tokens": 431,
         "prompt_tokens_details": {"cached_tokens": 320}, "completion_tokens_details": {"reasoning_tokens": 48},
         "prompt_cache_hit_tokens": 320, "prompt_cache_miss_tokens": 19},
        ((19, "0.55"), (320, "0.14"), (92, "2.19")),
        "0.00025673",
    ),
)  # fmt: skip

XAI_RECORDED = (
    # (usage, lines at the page's rates, their sum by hand, which is also what xAI said)
    (
        "grok-code-fast-1",
        {"prompt_tokens": 470, "completion_tokens": 68, "total_tokens": 723,
         "prompt_tokens_details": {"cached_tokens": 192}, "completion_tokens_details": {"reasoning_tokens": 185},
         "cost_in_usd_ticks": 4389400},
        ((278, "0.2"), (192, "0.02"), (253, "1.5")),
        "0.00043894",
    ),
    (
        "grok-4-fast-reasoning",
        {"prompt_tokens": 468, "completion_tokens": 402, "total_tokens": 870,
         "prompt_tokens_details": {"cached_tokens": 305}, "completion_tokens_details": {"reasoning_tokens": 0},
         "cost_in_usd_ticks": 2488500},
        ((163, "0.2"), (305, "0.05"), (402, "0.5")),
        "0.00024885",
    ),
)  # fmt: skip
"""`completion_tokens` are without the reasoning here: 68 + 185 = 253."""


def answered(api: Api, said: dict[str, Any], provider: str) -> Answer:
    bodies: dict[Api, dict[str, Any]] = {
        Api.CHAT: {"choices": [{"index": 0, "message": {"content": "Yes."}, "finish_reason": "stop"}]},
        Api.RESPONSES: {"object": "response", "status": "completed", "output": []},
        Api.MESSAGES: {"type": "message", "content": [{"type": "text", "text": "Yes."}], "stop_reason": "end_turn"},
    }
    body = json.dumps({**bodies[api], "usage": said})
    return fold(decode_answer(api, body.encode(), conventions_for(provider)))


def charged(
    api: Api, said: dict[str, Any], provider: str, model: str, day: str = "2026-01-15", *, payer: Payer = Payer.HOUSE
) -> Charge:
    moment = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
    book = PriceBook(dataset()).quote(vendor(provider), model, None, moment)
    delivery = Delivery(input_tokens=1, content_bytes=4, output_most=1000, complete=True)
    return charge(answered(api, said, provider).usage, delivery, book, payer)


def by_hand(lines: tuple[tuple[int, str], ...], unit: int = 10**6) -> Decimal:
    return sum((count * Decimal(rate) for count, rate in lines), Decimal(0)) / unit


def nano(usd: str) -> int:
    """Nothing is rounded: the examples come out even."""
    whole, _, part = usd.partition(".")
    return int(whole + part.ljust(9, "0"))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: f"{example.model}: {example.what}")
def test_an_answer_costs_what_the_vendors_page_says(example: Example) -> None:
    assert by_hand(example.lines) + by_hand(example.tools, 1000) == Decimal(example.usd)
    found = charged(example.api, example.said, example.provider, example.model, example.day)
    assert (found.nano, found.source) == (nano(example.usd), "computed")


@pytest.mark.parametrize(("model", "said", "lines", "usd"), XAI_RECORDED)
def test_what_xai_says_that_it_charged_is_what_its_page_makes_of_the_tokens(
    model: str, said: dict[str, Any], lines: tuple[tuple[int, str], ...], usd: str
) -> None:
    assert by_hand(lines) == Decimal(usd)
    found = charged(Api.CHAT, said, "xai", model)
    assert (found.nano, found.source) == (nano(usd), "reported")
    silent = charged(Api.CHAT, {**said, "cost_in_usd_ticks": None}, "xai", model)
    assert (silent.nano, silent.source) == (nano(usd), "computed")


FIRST = {"prompt_tokens": 1000, "completion_tokens": 200, "prompt_tokens_details": {"cached_tokens": 600}}
RUNNING = {"prompt_tokens": 1000, "completion_tokens": 90}
BEGUN = {"input_tokens": 25, "output_tokens": 1}


@pytest.mark.parametrize(
    ("api", "said", "delivered", "complete", "most", "usd", "source"),
    [
        (Api.CHAT, FIRST, 900, True, 4096, "0.00438", "computed"),
        (Api.CHAT, None, 900, False, 4096, "0.00675", "estimated"),
        (Api.CHAT, None, 0, False, 4096, "0", None),
        (Api.CHAT, None, 900, False, 100, "0.0045", "estimated"),
        (Api.CHAT, RUNNING, 900, False, 4096, "0.00675", "estimated"),
        (Api.CHAT, None, 36, False, 4096, "0.00315", "estimated"),
        (Api.RESPONSES, None, 90, False, 4096, "0.003375", "estimated"),
        (Api.MESSAGES, BEGUN, 360, False, 4096, "0.001575", "estimated"),
        (Api.MESSAGES, BEGUN, 0, False, 4096, "0.00009", "computed"),
        (Api.MESSAGES, BEGUN, 2, False, 4096, "0.00009", "computed"),
    ],
)
def test_the_charging_page_says_what_is_charged_for_an_answer_that_broke_off(
    api: Api, said: dict[str, Any] | None, delivered: int, complete: bool, most: int, usd: str, source: str | None
) -> None:
    """The request has 3,600 bytes."""
    book = quote(price("3", "15", cache_read="0.3", cache_write_5m="3.75", cache_write_1h="6"))
    input_tokens = usual_input(Size(text_bytes=3600, text_tokens_most=3600))
    delivery = Delivery(input_tokens=input_tokens, content_bytes=delivered, output_most=most, complete=complete)
    usage = answered(api, said, "up").usage if said is not None else None
    found = charge(usage, delivery, book, Payer.HOUSE)
    assert (found.nano, found.source) == (nano(usd), source)
    assert ("estimated" in found.flags) == (source == "estimated")


def test_openrouters_cost_includes_the_vendors_bill() -> None:
    said = {"prompt_tokens": 97, "completion_tokens": 15, "cost": 0.00018634567849, "is_byok": False,
            "cost_details": {"upstream_inference_cost": 0.00018634567849}}  # fmt: skip
    found = charged(Api.CHAT, said, "openrouter", "anthropic/claude-haiku-4.5")
    # 186,345.67849 nanodollars, rounded once
    assert (found.nano, found.market_nano, found.source) == (186_346, 186_346, "reported")


def test_a_markup_is_rounded_together_with_what_it_is_on() -> None:
    said = {"prompt_tokens": 97, "completion_tokens": 15, "cost": 0.00018634567849, "is_byok": False}
    delivery = Delivery(input_tokens=1, content_bytes=4, output_most=1000, complete=True)
    found = charge(answered(Api.CHAT, said, "openrouter").usage, delivery, quote(price(), 50_000), Payer.HOUSE)
    # 186,345.67849 * 1.05 = 195,662.9624145
    assert (found.nano, found.market_nano) == (195_663, 186_346)


def test_under_byok_openrouters_cost_is_its_fee_and_the_vendors_bill_comes_from_the_vendor() -> None:
    said = {"prompt_tokens": 97, "completion_tokens": 15, "cost": 0.0004, "is_byok": True,
            "cost_details": {"upstream_inference_cost": 0.008}}  # fmt: skip
    found = charged(Api.CHAT, said, "openrouter", "anthropic/claude-haiku-4.5")
    assert (found.nano, found.market_nano, found.source) == (400_000, 8_400_000, "reported")


def test_vercel_may_tell_only_what_the_call_is_worth() -> None:
    gateway = {"gateway": {"marketCost": "0.000375", "generationId": "gen_1"}}
    said = {"input_tokens": 10, "output_tokens": 20}
    body = {"type": "message", "content": [], "stop_reason": "end_turn", "usage": said, "provider_metadata": gateway}
    usage = fold(decode_answer(Api.MESSAGES, json.dumps(body).encode())).usage
    delivery = Delivery(input_tokens=1, content_bytes=0, output_most=1000, complete=True)
    found = charge(usage, delivery, None, Payer.HOUSE)
    assert (found.nano, found.market_nano, found.source) == (375_000, 375_000, "reported")


@pytest.mark.parametrize("payer", [Payer.BYOK, Payer.FREE, Payer.PROMOTION])
def test_whoever_pays_otherwise_is_charged_nothing_and_still_sees_what_it_was_worth(payer: Payer) -> None:
    example = EXAMPLES[0]
    found = charged(example.api, example.said, example.provider, example.model, example.day, payer=payer)
    assert (found.nano, found.market_nano) == (0, nano(example.usd))
