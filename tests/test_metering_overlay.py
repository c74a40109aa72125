"""What we add to the price data, held against the data where that has the same."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from genai_prices import data as package

from support_prices import dataset, vendor
from trivium.canon.usage import Usage
from trivium.clock import HOUR_MS
from trivium.metering.book import PriceBook
from trivium.metering.cost import cost, receipt
from trivium.metering.dataset import Found
from trivium.metering.overlay import FACTORS, day, limits_of, output_limit, overlaid, scaled
from trivium.metering.prices import Limits, Price, Quote, sheet_of
from trivium.money import nano_text

VERIFIED = day("2026-11-01")
"""By then the data has verified tiers of its own."""
ROUNDED = {
    ("openai", "gpt-5.4", "batch"),  # 0.13 for half of 0.25
    ("openai", "gpt-5.4", "flex"),
    ("openai", "o4-mini", "flex"),  # 0.138 for half of 0.275
    ("openai", "gpt-image-1", "batch"),
    ("openai", "gpt-image-1.5", "batch"),
    ("openai", "gpt-5.5-pro", "batch"),  # has no long contexts
    ("openai", "gpt-5.5-pro", "flex"),
    ("google", "gemini-3.5-flash-lite", "batch"),  # two thirds of a cache read
}
"""Where the data is not the plain factor, which then applies only before the data begins."""


def found(provider: str, model: str) -> Found:
    one = dataset().find(provider, model)
    assert one is not None
    return one


def price(provider: str, model: str, moment: str) -> Price:
    one = found(provider, model)
    made = overlaid(one, one.at(day(moment)), day(moment)).price
    assert made is not None
    return made


def test_each_factor_is_that_of_the_data_where_the_data_has_one() -> None:
    agreed: Counter[tuple[str, str]] = Counter()
    for provider, name in [(one.id, model.id) for one in package.providers for model in one.models]:
        one = dataset().find(provider, name)
        if one is None or one.provider != provider or (known := one.at(VERIFIED).price) is None:
            continue
        first = {
            row.tier: row for row in reversed(FACTORS) if row.provider == provider and row.models.fullmatch(one.id)
        }
        for tier, row in first.items():
            if tier in known.tiers and (provider, one.id, tier) not in ROUNDED:
                standard = sheet_of(known)
                assert {**standard, **scaled(standard, row)} == sheet_of(known.tiers[tier]), (provider, name, tier)
                agreed[provider, tier] += 1
    told = {(row.provider, row.tier) for row in FACTORS}
    assert told - set(agreed) == {("anthropic", "us"), ("anthropic", "us_fast")}, "of which the data has none"


@pytest.mark.parametrize(
    ("provider", "model", "tier", "moment", "input", "output"),
    [
        ("anthropic", "claude-3-5-sonnet", "batch", "2024-10-08", "1.5", "7.5"),
        ("anthropic", "claude-sonnet-4-6", "us", "2026-11-20", "3.3", "16.5"),
        ("anthropic", "claude-opus-5-5", "us", "2026-11-20", "4.4", "22"),
        ("anthropic", "claude-opus-5-5", "us_fast", "2026-11-20", "8.8", "44"),
        ("anthropic", "claude-opus-4-1", "batch", "2025-09-01", "7.5", "37.5"),
        ("anthropic", "claude-sonnet-4-6", "batch", "2026-02-20", "1.5", "7.5"),
        ("openai", "gpt-4o", "batch", "2025-01-01", "1.25", "5"),
        ("openai", "gpt-5", "flex", "2025-09-01", "0.625", "5"),
        ("openai", "gpt-5", "priority", "2025-09-01", "2.5", "20"),
        ("openai", "o3", "priority", "2025-04-16", "17.5", "70"),  # a day before there was flex
        ("openai", "o4-mini", "priority", "2025-09-01", "2", "8"),
        ("google", "gemini-2.5-pro", "batch", "2025-08-01", "0.625", "5"),
        ("mistral", "mistral-large-2512", "batch", "2026-01-01", "0.25", "0.75"),
        ("groq", "openai/gpt-oss-120b", "batch", "2026-01-01", "0.075", "0.3"),
    ],
)
def test_a_tier_has_its_price_before_somebody_verified_it(
    provider: str, model: str, tier: str, moment: str, input: str, output: str
) -> None:
    rates = price(provider, model, moment).tiers[tier].rates
    assert (rates.input, rates.output) == (float(input) * 10**9, float(output) * 10**9)


@pytest.mark.parametrize(
    ("address", "model", "input", "cache_read"),
    [
        ("https://aiplatform.googleapis.com/v1/projects/p/locations/global/publishers/anthropic/models",
         "claude-opus-5-5", "4", "0.2"),
        ("https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models",
         "claude-opus-5-5", "4.4", "0.22"),
        ("https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/publishers/anthropic/models",
         "claude-sonnet-4-5", "3.3", "0.33"),
        ("https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5/publishers/anthropic/models",
         "claude-4-sonnet", "3", "0.3"),
    ],
)  # fmt: skip
def test_claude_costs_a_tenth_more_in_vertexs_regions(address: str, model: str, input: str, cache_read: str) -> None:
    """Whatever another provider of this name, as one that is paid with a caller's own key, was quoted before."""
    book, moment = PriceBook(dataset()), day("2026-11-20")
    book.quote(vendor("vertex", "https://{host}/v1/projects/p/locations/{region}"), model, None, moment)
    quote = book.quote(vendor("vertex", address), model, None, moment)
    assert quote is not None
    rates = quote.price.rates
    assert (nano_text(rates.input), rates.cache_read and nano_text(rates.cache_read)) == (input, cache_read)


def test_a_factor_holds_from_its_day_on_and_the_price_says_until_when_it_is_the_same() -> None:
    one = found("anthropic", "claude-3-5-sonnet")
    eve = day("2024-10-08") - 1
    before = overlaid(one, one.at(eve), eve)
    assert before.price is not None
    assert ("batch" in before.price.tiers, before.until_ms) == (False, eve + 1)
    after = overlaid(one, one.at(eve + 1), eve + 1)
    assert after.price is not None
    assert ("batch" in after.price.tiers, after.since_ms) == (True, eve + 1)


@pytest.mark.parametrize(
    ("address", "model", "input", "priority"),
    [
        ("https://eu.api.openai.com/v1", "gpt-5.5", 5.5, 13.75),
        ("https://us.api.openai.com/v1", "gpt-5.4-mini", 0.825, 1.65),
        ("https://eu.api.openai.com/v1", "gpt-5.1", 1.25, 2.5),
        ("https://api.openai.com/v1", "gpt-5.5", 5, 12.5),
        ("https://eu-api.example/v1", "gpt-5.5", 5, 12.5),
    ],
)
def test_openais_models_since_gpt_5_4_cost_a_tenth_more_at_the_host_of_a_region(
    address: str, model: str, input: float, priority: float
) -> None:
    one = found("openai", model)
    made = overlaid(one, one.at(VERIFIED), VERIFIED, address, model).price
    assert made is not None
    assert [made.rates.input, made.tiers["priority"].rates.input] == [input * 10**9, priority * 10**9]
    assert made.rates.tools["web_search"] == 10 * 10**12


@pytest.mark.parametrize(
    ("monday", "peak"),
    [
        ("2026-11-23", {f"{weekday} {hour}" for weekday in range(5) for hour in (1, 2, 3, 6, 7, 8, 9)}),
        ("2026-08-17", {f"{weekday} {hour}" for weekday in range(6) for hour in (1, 2, 3, 6, 7, 8, 9)}),
    ],
)
def test_deepseeks_weekends_have_no_hours_of_peak(monday: str, peak: set[str]) -> None:
    """By a book that keeps what it has looked up, back and forth; the week of August 17 was the first one."""
    book, began = PriceBook(dataset()), day(monday)
    dear = set()
    for hour in (*range(168), *reversed(range(168))):
        quote = book.quote(vendor("deepseek"), "deepseek-v4-pro", None, began + hour * HOUR_MS)
        assert quote is not None
        assert quote.price.rates.output in (1_980_000_000, 3_960_000_000)
        if quote.price.rates.output == 3_960_000_000:
            dear.add(f"{hour // 24} {hour % 24}")
    assert dear == peak


def test_calls_of_tools_cost_in_a_tier_what_they_always_do() -> None:
    made = price("anthropic", "claude-3-7-sonnet-latest", "2025-09-01")
    assert made.tiers["batch"].rates.tools == made.rates.tools != {}


@pytest.mark.parametrize(
    ("model", "usd"),
    [("gpt-4o-search-preview", "0.025"), ("gpt-4o-mini-search-preview", "0.025"), ("gpt-5-search-api", "0.01")],
)
def test_a_model_that_searches_before_each_answer_costs_a_search_each_time(model: str, usd: str) -> None:
    one = found("openai", model)
    made = overlaid(one, one.at(VERIFIED), VERIFIED, model=model).price
    assert made is not None
    told = cost(
        Usage(input_uncached=1_000, output=100), Quote(price=made, version="", source="", provider="", model="")
    )
    assert ("request", usd) in [(row.what, row.usd) for row in receipt(told)]
    assert made.tiers == {} or made.tiers["batch"].rates.request == made.rates.request


@pytest.mark.parametrize(
    ("model", "usd"),
    [
        ("gpt-4o-audio-preview-2025-06-03", "0.06925"),
        ("gpt-4o-mini-audio-preview", "0.017075"),
        ("gpt-audio", "0.05565"),
    ],
)
def test_sound_costs_what_openais_list_says(model: str, usd: str) -> None:
    """100 tokens of text and 900 of sound, answered in 100 and 400."""
    spoken = Usage(input_uncached=1_000, output=500, audio_input=900, audio_output=400)
    made = price("openai", model, "2026-11-01")
    told = cost(spoken, Quote(price=made, version="", source="", provider="", model=""))
    assert nano_text(told.nano) == usd


@pytest.mark.parametrize("model", ["gpt-5.1", "gpt-5.5", "gpt-4.1"])
def test_what_the_tool_of_responses_draws_costs_what_gpt_image_2_does(model: str) -> None:
    """171 tokens of text and 1,000 of pictures, drawn in 6,208."""
    tools = {"image_generation_input": 171, "image_generation_image_input": 1000, "image_generation_output": 6208}
    made, drawer = price("openai", model, "2026-11-01"), price("openai", "gpt-image-2", "2026-11-01")
    told = cost(Usage(server_tools=tools), Quote(price=made, version="", source="", provider="", model=""))
    alone = Usage(input_uncached=1171, image_input=1000, output=6208)
    assert told.nano == cost(alone, Quote(price=drawer, version="", source="", provider="", model="")).nano
    assert nano_text(told.nano) == "0.195095"


def test_whatever_hears_or_speaks_has_a_price_for_it() -> None:
    (openai,) = (one for one in package.providers if one.id == "openai")
    spoken = [
        one for model in openai.models if re.search("audio|realtime", model.id) if (one := found("openai", model.id))
    ]
    prices = [overlaid(one, one.at(VERIFIED), VERIFIED).price for one in spoken]
    assert all(made.rates.audio_input and made.rates.audio_output for made in prices if made)
    assert len(prices) >= 9


def test_cache_reads_have_their_discount_only_where_the_vendor_says_so() -> None:
    assert price("openai", "gpt-4o", "2025-09-01").tiers["batch"].rates.cache_read == 1_250_000_000
    assert price("openai", "gpt-5", "2025-09-01").tiers["batch"].rates.cache_read == 62_500_000


def test_every_row_names_its_source() -> None:
    assert all("." in row.source for row in FACTORS)


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("claude-opus-5-5", 128_000), ("claude-haiku-4-5-20251001", 64_000), ("anthropic/claude-sonnet-4.5", 64_000),
        ("claude-opus-4-1-20250805", 32_000), ("claude-sonnet-4-6", 128_000), ("claude-3-5-sonnet-latest", 8_192),
        ("claude-3-haiku", 4_096), ("claude-opus-4-5-20251101", 64_000), ("claude-opus-4.8", 128_000),
        ("gpt-6-astra", 128_000), ("gpt-5-mini", 128_000), ("gpt-4.1", 32_768), ("gpt-4o", 16_384), ("gpt-4", 8_192),
        ("gpt-3.5-turbo", 4_096), ("o4-mini", 100_000), ("openai/gpt-oss-120b", 131_072), ("ft:gpt-4o:acme", 16_384),
        ("gemini-3.8-flash", 65_536), ("gemini-2.0-flash", 8_192), ("gemini-flash-latest", 65_536),
        ("grok-4.7", 500_000), ("grok-code-fast-1", 256_000), ("mistral-large-2512", 1_048_576),
        ("magistral-small", 1_048_576), ("devstral-2512", 1_048_576), ("open-mixtral-8x22b", 1_048_576),
        ("deepseek-v4-pro", 393_216), ("deepseek-r1", 65_536), ("Qwen/Qwen3-32B", 65_536), ("kimi-k3", 1_048_576),
        ("moonshotai/kimi-k2.6", 262_144), ("z-ai/glm-5.1", 131_072), ("glm-4.5-air", 98_304),
        ("MiniMax-M3", 131_072), ("meta-llama/llama-4-maverick", 16_384), ("llama-3.3-70b-versatile", 131_072),
        ("house-model", None), ("", None), ("claude", 4_096),
    ],
)  # fmt: skip
def test_the_longest_answer_of_a_family(model: str, tokens: int | None) -> None:
    assert output_limit(model) == tokens


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("gpt-4o-mini", 48_200), ("openai/gpt-4o-mini-2024-07-18", 48_200), ("ft:GPT-4o-mini:acme", 48_200),
        ("gpt-4o-mini-transcribe", None), ("gpt-4o", None),
    ],
)  # fmt: skip
def test_an_image_is_more_tokens_for_a_model_that_counts_more_for_one(model: str, tokens: int | None) -> None:
    assert PriceBook(dataset()).limits(vendor("openai"), model).image == tokens


def test_no_answer_is_longer_than_the_context() -> None:
    assert limits_of(4_096, 8_192) == Limits(4_096, 4_096)
    assert limits_of(None, 8_192) == Limits(None, 8_192)
    assert limits_of(4_096, None) == Limits(4_096, None)
