"""The price data, held against the package that it comes from: the same model, the same cost, at any time."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices import data as package
from hypothesis import given, settings
from hypothesis import strategies as st

from support_prices import data, dataset, quote
from trivium.canon.usage import Usage
from trivium.metering.cost import cost
from trivium.metering.dataset import MADE, Dataset, Found
from trivium.money import to_nano

VENDORS = ["anthropic", "openai", "google", "openrouter", "mistral", "x-ai", "groq", "deepseek"]
USAGES = [
    Usage(input_uncached=1_234, cache_read=56_789, cache_write_5m=1_001, output=4_321, reasoning=777, image_output=0),
    Usage(input_uncached=199_999, cache_write_1h=12_345, cache_write_other=7, output=99, image_output=90),
    Usage(input_uncached=300_001, cache_read=3, output=1, image_output=0, server_tools={"web_search": 3}),
]
MOMENTS = [
    datetime(2024, 6, 1, 12, tzinfo=UTC),
    datetime(2025, 8, 15, 0, 30, tzinfo=UTC),
    datetime(2026, 8, 16, 23, 59, 59, 999_000, tzinfo=UTC),
    datetime(2026, 10, 15, 6, 0, tzinfo=UTC),
    datetime(2027, 3, 1, 16, 30, tzinfo=UTC),
]
CONTEXTS: dict[str | None, list[dict[str, str]]] = {
    None: [{}],
    "batch": [{"processing": "batch"}],
    "flex": [{"service_tier": "flex"}],
    "priority": [{"service_tier": "priority"}],
    "fast": [{"service_tier": "fast"}, {"speed": "fast"}],
}
MEASURED = ("_mtok", "requests_kcount", "web_searches_kcount", "storage_searches_kcount")


def milliseconds(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def theirs(provider: str, model: str, usage: Usage, moment: datetime, context: dict[str, str]) -> Decimal:
    """What the package says, in USD."""
    said: dict[str, Any] = {
        "input_tokens": usage.input,
        "cache_read_tokens": usage.cache_read,
        "cache_write_tokens": usage.cache_write,
        "cache_write_1h_tokens": usage.cache_write_1h,
        "output_tokens": usage.output,
        "output_reasoning_tokens": usage.reasoning,
        # No model makes both, and to us they are one.
        "output_video_tokens" if "omni" in model else "output_image_tokens": usage.image_output,
        "input_audio_tokens": usage.audio_input,
        "web_searches": usage.server_tools.get("web_search", 0),
    }
    priced = genai_prices.calc_price(
        genai_prices.Usage(**said),
        model,
        provider_id=provider,
        genai_request_timestamp=moment,
        price_context=context or None,
    )
    return priced.total_price


def found(provider: str, model: str) -> Found:
    one = dataset().find(provider, model)
    assert one is not None
    return one


def ours(one: Found, usage: Usage, moment: datetime, tier: str | None = None) -> int | None:
    priced = one.at(milliseconds(moment)).price
    return None if priced is None else cost(usage, quote(priced), tier).nano


def is_measured(model: Any) -> bool:
    prices = model.prices if isinstance(model.prices, list) else [model]
    told = [key for one in prices for key in vars(getattr(one, "prices", one))]
    return not told or any(key.endswith(MEASURED) for key in told)


MODELS = [(provider.id, model) for provider in package.providers if provider.id in VENDORS for model in provider.models]


def texts(clause: Any) -> list[str]:
    """Texts of a clause, which a name that satisfies it may be."""
    (argument,) = vars(clause).values()
    return [argument] if isinstance(argument, str) else [text for part in argument for text in texts(part)]


def named(vendor: str) -> list[str]:
    """For every model in units of ours a name that the package knows it by: not all ids are one."""
    (provider,) = (one for one in package.providers if one.id == vendor)
    names = []
    for model in provider.models:
        known = [name for name in (model.id, *texts(model.match)) if provider.find_model(name) is model]
        names += known[:1] if is_measured(model) else []
    assert len(names) > 0.9 * len([model for model in provider.models if is_measured(model)])
    return names


@pytest.mark.parametrize("vendor", VENDORS)
def test_every_model_costs_to_the_nanodollar_what_the_package_says(vendor: str) -> None:
    for name in named(vendor):
        one = found(vendor, name)
        for moment in MOMENTS:
            for usage in USAGES:
                assert ours(one, usage, moment) == to_nano(theirs(vendor, name, usage, moment, {})), (name, moment)


@pytest.mark.parametrize("vendor", [vendor for vendor in VENDORS if vendor != "openrouter"])
def test_every_service_tier_costs_what_the_package_says(vendor: str) -> None:
    tried = 0
    for name in named(vendor):
        one = found(vendor, name)
        for tier in {tier for tier, _, _ in one.tiers}:
            for moment in MOMENTS[2:]:
                for usage in USAGES:
                    expected = {
                        to_nano(theirs(vendor, name, usage, moment, context))
                        for context in CONTEXTS[tier]
                    }  # fmt: skip
                    standard = to_nano(theirs(vendor, name, usage, moment, {}))
                    assert ours(one, usage, moment, tier) in expected, (name, tier, moment)
                    assert expected <= {standard, ours(one, usage, moment, tier)}, (name, tier, moment)
                    tried += 1
    assert tried or vendor == "deepseek"


def test_audio_costs_what_the_package_says() -> None:
    usage = Usage(input_uncached=1000, output=50, audio_input=400)
    tried = [
        (provider, model.id)
        for provider, model in MODELS
        if "input_audio_mtok" in str(vars(model.prices) if not isinstance(model.prices, list) else "")
    ]
    assert len(tried) > 5
    for provider, name in tried:
        expected = to_nano(theirs(provider, name, usage, MOMENTS[3], {}))
        assert ours(found(provider, name), usage, MOMENTS[3]) == expected, name


def test_what_is_paid_for_in_units_that_no_usage_counts_has_no_price_rather_than_none_to_pay() -> None:
    silent = [(provider, model.id) for provider, model in MODELS if not is_measured(model)]
    assert ("openai", "whisper-1") in silent
    assert {ours(found(provider, name), USAGES[0], MOMENTS[3]) for provider, name in silent} == {None}


NAMES = [
    ("anthropic", "claude-opus-5-20260724"),
    ("anthropic", "CLAUDE-Opus-5"),
    ("openai", "gpt-5.2-20251211"),
    ("openai", "gpt-5.2-2025-12-11"),
    ("openai", "gpt-5.2-20251399"),
    ("openai", "ft:gpt-4o-mini:acme"),
    ("azure", "gpt-4o"),
    ("azure", "claude-opus-5"),
    ("google", "claude-sonnet-4-5@20250929"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("openrouter", "deepseek/deepseek-r1:free"),
    ("deepseek", "nonsense"),
    ("groq", ""),
]


@pytest.mark.parametrize(("provider", "name"), NAMES)
def test_a_name_means_the_model_that_the_package_takes_it_for(provider: str, name: str) -> None:
    theirs = next(one for one in package.providers if one.id == provider).find_model(
        name, all_providers=package.providers
    )
    one = dataset().find(provider, name)
    assert (one.id if one else None) == (theirs.id if theirs else None)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MODELS), st.text("abcdeghilmnoprstu0123456789-./:@", max_size=12))
def test_so_does_any_name(of: Any, more: str) -> None:
    provider, model = of
    for name in (model.id + more, more):
        theirs = next(one for one in package.providers if one.id == provider).find_model(
            name, all_providers=package.providers
        )
        one = dataset().find(provider, name)
        assert (one.id if one else None) == (theirs.id if theirs else None)


@pytest.mark.parametrize(
    ("url", "provider"),
    [
        ("https://api.anthropic.com/v1", "anthropic"),
        ("https://api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://api.groq.com/openai/v1", "groq"),
        ("https://generativelanguage.googleapis.com/v1beta/openai", "google"),
        ("https://acme.openai.azure.com/openai/v1", "azure"),
        ("https://api.x.ai/v1", "x-ai"),
        ("http://127.0.0.1:8080/v1", None),
        ("https://evil.example/https://api.openai.com", None),
        ("", None),
    ],
)
def test_a_provider_is_known_by_its_address(url: str, provider: str | None) -> None:
    assert dataset().at_address(url) == provider


DAY = timedelta(days=1)


class TestChanges:
    """A price says from when until when it is the same."""

    @pytest.mark.parametrize(
        ("provider", "name"),
        [("deepseek", "deepseek-chat"), ("deepseek", "deepseek-v4-pro"), ("google", "gemini-3.6-flash"),
         ("anthropic", "claude-opus-5"), ("openai", "gpt-4o")],
    )  # fmt: skip
    def test_it_is_so_up_to_the_millisecond(self, provider: str, name: str) -> None:
        one = found(provider, name)
        moment = milliseconds(datetime(2026, 8, 1, tzinfo=UTC))
        for _ in range(40):
            dated = one.at(moment)
            assert dated.since_ms <= moment < dated.until_ms
            last = min(dated.until_ms - 1, moment + 400 * 86_400_000)
            assert one.at(last).price == dated.price
            if dated.until_ms > 2**60:
                return
            assert one.at(dated.until_ms).since_ms == dated.until_ms
            moment = dated.until_ms

    def test_a_price_of_the_night_begins_and_ends_every_day(self) -> None:
        one = found("deepseek", "deepseek-chat")
        evening = datetime(2026, 1, 1, 16, 30, tzinfo=UTC)
        night, noon = one.at(milliseconds(evening)), one.at(milliseconds(evening) - 1)
        assert (night.price != noon.price, night.since_ms) == (True, milliseconds(evening))
        assert night.until_ms == milliseconds(datetime(2026, 1, 2, 0, 30, tzinfo=UTC))
        assert one.at(milliseconds(evening + DAY)).price == night.price

    @pytest.mark.parametrize("moment", [-(2**50), -1, 0, 2**50])
    def test_a_clock_that_jumped_far_gets_a_price_too(self, moment: int) -> None:
        assert found("deepseek", "deepseek-v4-pro").at(moment).price


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"package":3,"made":2,"providers":[]}',
        b'{"package":"3","providers":[]}',
        b"\xff",
        b"null",
    ],
)
def test_what_is_no_price_data_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        Dataset(content)


@pytest.mark.parametrize(
    "damage",
    [
        {"match": ["sounds_like", "x"]}, {"match": []}, {"match": ["regex", "("]}, {"match": "x"}, {"prices": []},
        {"prices": 3}, {"prices": [[None, {"input": 3}]]}, {"prices": [["soon", {}]]}, {"tiers": [["batch"]]},
    ],
)  # fmt: skip
def test_so_is_data_that_would_fail_when_it_is_looked_up(damage: dict[str, Any]) -> None:
    model = {
        "id": "m",
        "match": ["equals", "m"],
        "context": None,
        "prices": [[None, {"input": [[-1, 5]]}]],
        "tiers": [],
    }
    provider = {"id": "p", "api": "x", "fallbacks": [], "models": [model]}
    good = {"package": "1", "made": MADE, "providers": [provider]}
    assert Dataset(json.dumps(good).encode()).find("p", "m")
    bad: list[dict[str, Any]] = [{**provider, "models": [{**model, **damage}]}, {**provider, "api": "("}]
    for one in bad:
        with pytest.raises(ValueError):
            Dataset(json.dumps({**good, "providers": [one]}).encode())


def test_the_child_process_prints_what_is_looked_up_here_and_the_package_stays_there() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "trivium.metering.extract"], capture_output=True, check=True, timeout=60
    )
    assert printed.stdout == data()
    assert len(printed.stdout) < 2**20
    looking_up = (
        "import sys, trivium.metering.book as b; sys.exit('genai_prices' in sys.modules or 'pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", looking_up], check=False, timeout=60).returncode == 0


def test_nothing_of_the_package_is_passed_over_in_silence() -> None:
    """A new kind of clause, constraint or variant must be seen by who updates the package."""
    kinds = {next(iter(one.when)) for _, model in MODELS for one in model.price_variants or ()}
    assert kinds <= {"processing", "service_tier", "speed", "route", "search_type"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert data()
