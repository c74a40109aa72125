"""Chat usage: where the providers write what."""

from decimal import Decimal
from typing import Any

import pytest

from trivium.canon.conventions import DEFAULT, VERCEL
from trivium.canon.usage import Conventions, Usage
from trivium.wire.chat.usage import ChatUsage


def read(usage: Any, metadata: Any = None, conventions: Conventions = DEFAULT, tier: Any = None) -> Usage | None:
    return ChatUsage(conventions).read(usage, metadata, tier)


def test_openais_details() -> None:
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10, "audio_tokens": 5, "image_tokens": 6},
        "completion_tokens_details": {
            "reasoning_tokens": 30,
            "audio_tokens": 7,
            "accepted_prediction_tokens": 3,
            "rejected_prediction_tokens": 4,
        },
    }
    assert read(usage, tier="flex") == Usage(
        input_uncached=70,
        cache_read=20,
        cache_write_other=10,
        output=50,
        reasoning=30,
        audio_input=5,
        audio_output=7,
        image_input=6,
        prediction_accepted=3,
        prediction_rejected=4,
        service_tier="flex",
    )


@pytest.mark.parametrize(
    "cached",
    [
        {"prompt_tokens_details": {"cached_tokens": 6}},
        {"prompt_cache_hit_tokens": 6, "prompt_cache_miss_tokens": 4},
        {"cached_tokens": 6},
        {"prompt_tokens_details": None, "cached_tokens": 6},
        {"cache_read_input_tokens": 6, "cache_creation_input_tokens": 0},
    ],
)
def test_cached_tokens_wherever_they_are_told(cached: dict[str, Any]) -> None:
    assert read({"prompt_tokens": 10, "completion_tokens": 1, **cached}) == Usage(
        input_uncached=4, cache_read=6, output=1
    )


def test_vercels_cache_writes_and_costs() -> None:
    usage = {
        "prompt_tokens": 10,
        "cache_creation_input_tokens": 4,
        "cost": Decimal("0.1"),
        "market_cost": Decimal("0.2"),
    }
    assert read({**usage, "is_byok": False}) == Usage(
        input_uncached=6,
        cache_write_other=4,
        reported_cost=Decimal("0.1"),
        market_cost=Decimal("0.2"),
        is_byok=False,
    )


def test_vercel_names_the_vendor_beside_the_usage() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 50, "completion_tokens_details": {"reasoning_tokens": 40}}
    google = {"google": {"usageMetadata": {}}, "gateway": {"cost": "0.5"}}
    found = read(usage, google, VERCEL)
    assert found
    assert (found.output, found.reported_cost) == (90, Decimal("0.5"))
    found = read(usage, {"anthropic": {}}, VERCEL)
    assert found
    assert found.output == 50


def test_the_vendor_may_be_named_after_the_usage() -> None:
    figures = ChatUsage(VERCEL)
    figures.read({"prompt_tokens": 1, "completion_tokens": 5, "completion_tokens_details": {"reasoning_tokens": 4}})
    found = figures.read(None, {"google": {}})
    assert found
    assert found.output == 9
