"""What the price data lacks, as tables of ours: service tiers by factor, prices of sound and of drawn pictures, names
of vendors, limits of answers.

A factor applies only while the data itself has no price for the tier, be it that it never has or that it begins with
the day on which somebody verified it. Tests hold each factor against the data where the data has one. A row names its
source; a date is the day from which the source says it holds, and a row without one needs none, for the answer itself
tells which tier it was.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any

import msgspec

from trivium.canon.usage import DRAWN
from trivium.clock import DAY_MS
from trivium.metering.dataset import FOREVER, Dated, Found
from trivium.metering.prices import TOKEN_RATES, TOOL, Curve, Limits, Sheet, assembled, flat, sheet_of

_PER_THOUSAND, _PER_MILLION = 10**12, 10**9
"""USD per thousand, and per million, as a rate."""


def day(text: str) -> int:
    """A date's midnight UTC in milliseconds since the epoch."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


class Factor(msgspec.Struct, frozen=True):
    """A service tier's part of the standard token rates; calls of tools cost what they always do."""

    provider: str
    """Of the data."""
    tier: str
    models: re.Pattern[str]
    """Ids of the data, whole."""
    factor: Fraction
    source: str
    since_ms: int = -FOREVER
    cached: bool = True
    """Cache reads too; where not, they cost what they always do."""
    long: bool = True
    """Long contexts too; where not, the tier has one price for every length."""
    of: str | None = None
    """The tier that it is a part of, where not of the standard price; models without that tier have none of these."""


def _factor(provider: str, tier: str, models: str, factor: str, source: str, **rest: Any) -> Factor:
    return Factor(provider, tier, re.compile(models), Fraction(factor), source, **rest)


_OPENAI = "developers.openai.com/api/docs/pricing"
_OPENAI_PRIORITY = "openai.com/api-priority-processing"
_GOOGLE = "ai.google.dev/gemini-api/docs/pricing"
_ANTHROPIC_US = "platform.claude.com/docs/en/manage-claude/data-residency"
_LOCATED = "claude-(opus|sonnet|haiku)-4-[6-8]|claude-[a-z]+-[5-9].*"
"""Models that can be kept to a place: Claude Opus 4.6 and all later ones."""
FACTORS = (
    _factor("anthropic", "us", _LOCATED, "11/10", _ANTHROPIC_US),
    _factor("anthropic", "us_fast", _LOCATED, "11/10", _ANTHROPIC_US, of="fast"),
    _factor("anthropic", "batch", ".*", "1/2", "anthropic.com/news/message-batches-api", since_ms=day("2024-10-08")),
    _factor(
        "openai", "batch", "gpt-([5-9]|image).*", "1/2", f"{_OPENAI}?latest-pricing=batch", since_ms=day("2024-04-15")
    ),
    _factor(
        "openai",
        "batch",
        "(?!gpt-3.5-turbo-1106).*",
        "1/2",
        f"{_OPENAI}?latest-pricing=batch",
        since_ms=day("2024-04-15"),
        cached=False,
    ),
    _factor(
        "openai", "flex", "o3|o4-mini|gpt-[56].*", "1/2", f"{_OPENAI}?latest-pricing=flex", since_ms=day("2025-04-17")
    ),
    *(
        _factor("openai", tier, models, factor, _OPENAI_PRIORITY)
        for tier in ("priority", "fast")
        for models, factor in (
            ("gpt-4o-mini", "5/3"),
            ("gpt-4o", "17/10"),
            ("gpt-4o-2024-05-13|gpt-4.1|gpt-4.1-mini|o3", "7/4"),
            ("gpt-5-mini", "9/5"),
            ("o4-mini", "20/11"),
            ("gpt-4.1-nano|gpt-5|gpt-5.[12]|gpt-5.3-codex|gpt-5.4-mini|gpt-5.6-.*|gpt-6.*", "2"),
        )
    ),
    *(
        _factor("openai", tier, models, factor, _OPENAI_PRIORITY, long=False)
        for tier in ("priority", "fast")
        for models, factor in (("gpt-5.4", "2"), ("gpt-5.5", "5/2"))
    ),
    _factor("google", "batch", "gemini-(2|3-|3.1-pro).*", "1/2", _GOOGLE, since_ms=day("2025-07-07"), cached=False),
    _factor("google", "batch", "gemini-[3-9].*", "1/2", _GOOGLE, since_ms=day("2025-07-07")),
    _factor("mistral", "batch", ".*", "1/2", "docs.mistral.ai/capabilities/batch"),
    _factor("groq", "batch", ".*", "1/2", "console.groq.com/docs/batch", cached=False),
    _factor("x-ai", "batch", "grok-4\\.(3|20).*", "4/5", "docs.x.ai/developers/pricing#batch-api-pricing"),
)

_REGIONAL = (
    (
        re.compile(r"/locations/(?!global\b|\{)"),
        _factor(
            "google",
            "",
            "claude-(opus|sonnet|haiku)-4-[5-8]|claude-[a-z]+-[5-9].*",
            "11/10",
            "cloud.google.com/vertex-ai/generative-ai/pricing#claude-models; "
            "platform.claude.com/docs/en/about-claude/pricing",
        ),
    ),
    (
        re.compile(r"//[a-z]+\.api\.openai\.com\b"),
        _factor(
            "openai", "", "gpt-(5\\.[4-9]|[6-9]).*", "11/10", "developers.openai.com/api/docs/guides/data-residency"
        ),
    ),
)
"""By the address: Vertex AI's places other than `global`, for Claude 4.5 and later (where a caller's own key says the
region, nothing is known yet), and OpenAI's hosts of a region, for models since March 5, 2026. Bedrock's the data knows.
"""

_SEARCH_FEES = (
    (re.compile("gpt-4o(-mini)?-search-preview.*"), flat(25 * _PER_THOUSAND)),
    (re.compile("gpt-5-search-api.*"), flat(10 * _PER_THOUSAND)),
)
"""Of OpenAI's models in Chat Completions that search the web before each answer, of which no usage tells: what the
search costs by its list of tools (developers.openai.com/api/docs/pricing#built-in-tools). By the names asked for."""

_SOUND: dict[str, Sheet] = {
    model: {"audio_input": flat(input * _PER_MILLION), "audio_output": flat(output * _PER_MILLION)}
    for model, input, output in (("gpt-4o-audio-preview", 40, 80), ("gpt-4o-mini-audio-preview", 10, 20))
}
"""What sound costs of OpenAI's models of which the data knows the price of text alone, by its ids
(developers.openai.com/api/docs/models/gpt-4o-audio-preview, .../gpt-4o-mini-audio-preview)."""

_PICTURES: Sheet = {
    f"{TOOL}{DRAWN}{tokens}": flat(usd * _PER_MILLION)
    for tokens, usd in (("input", 5), ("image_input", 8), ("output", 30))
}
"""What the tool `image_generation` of Responses costs by its tokens, for it is a model of its own: the price of GPT
Image 2 and 2.5 (developers.openai.com/api/docs/models/gpt-image-2). No other can be named (`wire/onemodel.py`)."""

_SATURDAY = 5
_PEAKED = re.compile("deepseek-(flash|v4-.*)")
_WEEKENDS_MS = day("2026-08-23")
"""DeepSeek's hours of peak are those of Monday to Friday (api-docs.deepseek.com/quick_start/pricing), since that
Sunday; the data has them every day. China's public holidays, which have none either, are told from year to year."""

VENDORS = {
    "google-ai-studio": "google",
    "google-vertex": "google",
    "vertex": "google",
    "codestral": "mistral",
    "mistralai": "mistral",
    "moonshot": "moonshotai",
    "xai": "x-ai",
    "z-ai": "zai",
    "bedrock": "aws",
    "bedrock-messages": "aws",
    "bedrock-openai": "aws",
    "azure-deployments": "azure",
    "amazon-bedrock": "aws",
}
"""Other names of the data's providers: of OpenRouter's and Vercel's vendors, and as people call them."""


GATEWAYS = frozenset({"openrouter", "vercel"})
"""Kinds of providers that serve vendors' models under `vendor/model`."""


def overlaid(found: Found, dated: Dated, time_ms: int, base_url: str = "", model: str = "") -> Dated:
    """The price at a moment and an address, with what sound costs, and searches of which nobody tells, and the tiers
    that our factors add. `model` is the name asked for."""
    dated = _at_weekend(found, time_ms) or dated
    price = dated.price
    if price is None:
        return dated
    fees = _fees(found, model, price.rates.tools)
    sound = _SOUND.get(found.id, {}) if found.provider == "openai" else {}
    standard: Sheet = {**sound, **_placed(sheet_of(price), found, base_url), **fees}
    tiers: dict[str, Sheet] = {
        name: {**_placed(sheet_of(tier), found, base_url), **fees} for name, tier in price.tiers.items()
    }
    since, until = dated.since_ms, dated.until_ms
    for row in FACTORS:
        if row.provider != found.provider or not row.models.fullmatch(found.id) or row.tier in tiers:
            continue
        if row.of is not None and row.of not in tiers:
            continue
        if row.since_ms > time_ms:
            until = min(until, row.since_ms)
            continue
        since = max(since, row.since_ms)
        tiers[row.tier] = scaled(standard if row.of is None else tiers[row.of], row)
    return Dated(assembled(standard, tiers), since, until)


def _at_weekend(found: Found, time_ms: int) -> Dated | None:
    """The price without the hours of the day that are dearer, on days that have none."""
    days = time_ms // DAY_MS
    weekday = (days + 3) % 7  # the epoch began on a Thursday
    peaked = found.provider == "deepseek" and _PEAKED.fullmatch(found.id)
    if not peaked or weekday < _SATURDAY or time_ms < _WEEKENDS_MS:
        return None
    prices = tuple(one for one in found.prices if not isinstance(one[0], tuple))
    even = msgspec.structs.replace(found, prices=prices).at(time_ms)
    saturday = (days - weekday + _SATURDAY) * DAY_MS
    return Dated(even.price, max(even.since_ms, saturday, _WEEKENDS_MS), min(even.until_ms, saturday + 2 * DAY_MS))


def _placed(sheet: Sheet, found: Found, base_url: str) -> Sheet:
    """What it costs where the address leads."""
    for region, row in _REGIONAL:
        if row.provider == found.provider and region.search(base_url) and row.models.fullmatch(found.id):
            return {**sheet, **scaled(sheet, row)}
    return sheet


def _fees(found: Found, model: str, tools: Mapping[str, int]) -> Sheet:
    """Of OpenAI's models, pictures also at Azure; those with a tool have all tools of Responses."""
    pictures = _PICTURES if tools and found.provider in ("openai", "azure") else {}
    fees = (fee for models, fee in _SEARCH_FEES if found.provider == "openai" and models.fullmatch(model))
    return {**pictures, **({"request": fee} if (fee := next(fees, None)) else {})}


def scaled(standard: Sheet, row: Factor) -> Sheet:
    """The token rates of a tier that costs a part of the standard ones."""
    names = [name for name in standard if name in TOKEN_RATES and (row.cached or name != "cache_read")]
    return {name: _times(standard[name], row) for name in names}


def _times(curve: Curve, row: Factor) -> Curve:
    return tuple((over, round(rate * row.factor)) for over, rate in (curve if row.long else curve[:1]))


_OUTPUTS = (
    # Anthropic's list of models (`max_tokens`); docs.claude.com/en/docs/about-claude/models/overview
    (r"claude-(opus|sonnet|haiku|fable|mythos)-(4[-.][678]|[5-9]).*", 128_000),
    (r"claude-(opus|sonnet|haiku)-4[-.]5.*|claude-sonnet-4.*|claude-4-sonnet.*|claude-3[-.]7.*", 64_000),
    (r"claude-opus-4.*|claude-4-opus.*", 32_000),
    (r"claude-3[-.]5.*", 8_192),
    (r"claude.*", 4_096),
    # developers.openai.com/api/docs/models
    (r"gpt-5.*chat.*", 16_384),
    (r"gpt-5-pro.*", 272_000),
    (r"gpt-([5-9]).*", 128_000),
    (r"gpt-4\.1.*", 32_768),
    (r"gpt-4o-2024-05-13|gpt-4-turbo.*|gpt-3\.5.*", 4_096),
    (r"gpt-4o.*|gpt-4\.5.*|chatgpt-4o.*", 16_384),
    (r"gpt-4.*", 8_192),
    (r"gpt-oss.*", 131_072),
    (r"o1-mini.*", 65_536),
    (r"o1-preview.*", 32_768),
    (r"o[134].*|codex-mini.*", 100_000),
    # Google's list of models (`outputTokenLimit`)
    (r"gemini-(2\.5|[3-9]).*image.*", 65_536),
    (r"gemini-(2\.5|[3-9]).*|gemini-.*-latest", 65_536),
    (r"gemini.*", 8_192),
    (r"gemma-[4-9].*", 32_768),
    (r"gemma.*", 8_192),
    # docs.x.ai/developers/models and models.dev
    (r"grok-4\.([5-9]).*", 500_000),
    (r"grok-(4|build|code).*", 256_000),
    (r"grok.*", 131_072),
    # docs.mistral.ai/models: no limit beside the context
    (r"(open-|labs-)?((mi|mini|magi|dev|code)s|mix|pix|vox)tral.*", 1_048_576),
    # api-docs.deepseek.com/quick_start/pricing
    (r"deepseek-(flash|v4|chat|reasoner).*", 393_216),
    (r"deepseek.*", 65_536),
    # models.dev, from the vendors' own pages
    (r"qwen.*", 65_536),
    (r"kimi-k3.*", 1_048_576),
    (r"kimi.*|moonshot.*", 262_144),
    (r"glm-4\.5.*", 98_304),
    (r"glm.*|minimax.*", 131_072),
    (r"llama-4.*", 16_384),
    (r"llama.*", 131_072),
)
"""(model's name, the most tokens of an answer), the first that fits; the larger one where sources differ, for a hold is
taken by it. A name is in lower case, without the vendor before it."""
_COSTLY_IMAGES = re.compile(r"gpt-4o-mini(?!-(?:audio|realtime|transcribe|tts))")
_COSTLY_IMAGE = 48_200
"""2,833 and 5,667 for each of at most 8 tiles, so that an image costs what it does with `gpt-4o` (OpenAI, "Images and
vision")."""
_COMPILED = tuple((re.compile(pattern), most) for pattern, most in _OUTPUTS)


def output_limit(model: str) -> int | None:
    """The most tokens that a family's model answers with; None where the family is not known."""
    name = model.lower().rpartition("/")[2].removeprefix("ft:")
    return next((most for pattern, most in _COMPILED if pattern.fullmatch(name)), None)


def image_limit(model: str) -> int | None:
    """The most tokens of one image, for models that count more than others."""
    return _COSTLY_IMAGE if _COSTLY_IMAGES.match(model.lower().rpartition("/")[2].removeprefix("ft:")) else None


def limits_of(context: int | None, output: int | None, image: int | None = None) -> Limits:
    """Limits that agree: no answer is longer than the context."""
    if context is not None and output is not None:
        output = min(context, output)
    return Limits(context, output, image)
