"""What providers' lists of models tell of prices, and what a hostile one may try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.metering.listing import listed_limits, listed_price
from trivium.metering.prices import Limits
from trivium.metering.sheet import written

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings" / "models"

OPENROUTER: dict[str, Any] = {
    "prompt": "0.000003",
    "completion": "0.000015",
    "request": "0.001",
    "image": "0.0048",
    "web_search": "0.01",
    "internal_reasoning": "0.00002",
    "input_cache_read": "0.0000003",
    "input_cache_write": "0.00000375",
    "input_cache_write_1h": "0.000006",
    "overrides": [{"min_prompt_tokens": 200000, "prompt": "0.000006", "completion": "0.0000225"}],
}
VERCEL: dict[str, Any] = {
    "input": "0.000001",
    "output": "0.000006",
    "input_cache_read": "0.0000001",
    "input_cache_write": "0.00000125",
    "web_search": "10",
    "input_tiers": [{"cost": "0.000001", "max": 272000}, {"cost": "0.000002", "min": 272000}],
}


def told(pricing: object) -> dict[str, Any] | None:
    price = listed_price(pricing)
    return written(price) if price is not None else None


def test_openrouters() -> None:
    assert told(OPENROUTER) == {
        "input": "3",
        "output": "15",
        "cache_read": "0.3",
        "cache_write_5m": "3.75",
        "cache_write_1h": "6",
        "reasoning": "20",
        "request": "1",
        "tools": {"web_search": "10"},
        "over_199999": {"input": "6", "output": "22.5"},
    }


def test_vercels() -> None:
    assert told(VERCEL) == {
        "input": "1",
        "output": "6",
        "cache_read": "0.1",
        "cache_write_5m": "1.25",
        "tools": {"web_search": "10"},
        "over_271999": {"input": "2"},
    }


def test_a_model_for_nothing_is_free_and_one_that_is_paid_otherwise_is_not() -> None:
    nothing = {"prompt": "0", "completion": "0", "request": "0", "image": "0", "discount": 0}
    assert told(nothing) == {"input": "0", "output": "0"}
    assert told({**nothing, "image": "0.03"}) is None
    assert told({**nothing, "per_second": [{"cost": "0.1"}]}) is None


@pytest.mark.parametrize(
    "odd",
    [
        {"prompt": "-1"}, {"completion": "-0.1"}, {"prompt": "NaN"}, {"prompt": "Infinity"}, {"prompt": "1e999999999"},
        {"prompt": "free"}, {"prompt": ""}, {"prompt": True}, {"prompt": None}, {"prompt": []}, {"prompt": "0.88"},
        {"prompt": float("nan")}, {"prompt": "9" * 400}, {"web_search": "1000000"}, {"request": "-1"},
        {"input_cache_read": "x"}, {"overrides": [{"min_prompt_tokens": -5, "prompt": "1e-6"}]},
        {"overrides": [{"min_prompt_tokens": "many", "prompt": "1e-6"}]}, {"overrides": [{"prompt": "-1"}]},
        {"prompt_tiers": [{"cost": "x", "min": 5}]}, {"prompt_tiers": [5]},
    ],
)  # fmt: skip
def test_a_price_with_anything_odd_in_it_is_none(odd: dict[str, Any]) -> None:
    assert told({**OPENROUTER, **odd}) is None


@pytest.mark.parametrize("pricing", [None, 3, "free", [], {}, {"prompt": "0.1"}, {"overrides": []}])
def test_so_is_what_is_no_price(pricing: object) -> None:
    assert told(pricing) is None


@pytest.mark.parametrize("odd", [{"overrides": "none"}, {"overrides": 3}, {"image": "x"}, {"new_unit": {"a": 1}}])
def test_what_is_not_read_spoils_nothing(odd: dict[str, Any]) -> None:
    assert told({**OPENROUTER, **odd}) is not None


@pytest.mark.parametrize(
    ("base", "steps", "reads"),
    [
        ({}, [{"internal_reasoning": "3e-5"}], {"reasoning": "10", "over_999": {"reasoning": "30"}}),
        ({}, [{"audio_output": "9e-5"}], {"audio_output": "10", "over_999": {"audio_output": "90"}}),
        ({}, [{"input_cache_read": "1e-7"}], {"cache_read": "1", "over_999": {"cache_read": "0.1"}}),
        ({}, [{"input_cache_write_1h": "4e-6"}], {"cache_write_1h": "1", "over_999": {"cache_write_1h": "4"}}),
        (
            {"input_cache_write": "1.25e-6"},
            [{"input_cache_write_1h": "4e-6"}],
            {"cache_write_5m": "1.25", "cache_write_1h": "1.25", "over_999": {"cache_write_1h": "4"}},
        ),
        ({}, [{"request": "0.5"}], {"request": "0", "over_999": {"request": "500"}}),
        ({}, [{"web_search": "0.01"}], {"tools": {"web_search": "0"}, "over_999": {"tools": {"web_search": "10"}}}),
        (
            {},
            [{"completion": "2e-5"}, {"min_prompt_tokens": 2000, "internal_reasoning": "3e-5"}],
            {"reasoning": "10", "over_999": {"output": "20", "reasoning": "20"}, "over_1999": {"reasoning": "30"}},
        ),
    ],
)
def test_a_rate_that_only_steps_tell_begins_as_where_it_is_left_out(
    base: dict[str, str], steps: list[dict[str, Any]], reads: dict[str, Any]
) -> None:
    pricing = {"prompt": "1e-6", "completion": "1e-5", **base}
    overrides = [{"min_prompt_tokens": 1000, **step} for step in steps]
    assert told({**pricing, "overrides": overrides}) == {"input": "1", "output": "10", **reads}


def test_a_list_of_steps_without_end_is_cut() -> None:
    steps = [{"min_prompt_tokens": n, "prompt": "1e-6"} for n in range(1, 10_000)]
    price = listed_price({**OPENROUTER, "overrides": steps})
    assert price is not None
    assert len(price.long_context) < 10


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("0.000001")),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["min", "cost", "prompt", "x"]), inner),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from([*OPENROUTER, *VERCEL, "prompt_tiers"]), anything))
def test_whatever_a_list_says_is_a_price_or_none(pricing: dict[str, Any]) -> None:
    for said in (pricing, {**OPENROUTER, **pricing}):
        price = listed_price(said)
        assert price is None or written(price)


@pytest.mark.parametrize(
    ("entry", "limits"),
    [
        ({"context_length": 1_000_000, "top_provider": {"max_completion_tokens": 64_000}}, Limits(1_000_000, 64_000)),
        ({"context_window": 400_000, "max_tokens": 128_000}, Limits(400_000, 128_000)),
        ({"max_input_tokens": 200_000, "max_tokens": 32_000}, Limits(200_000, 32_000)),
        ({"meta": {"n_ctx": 4096}}, Limits(4096, None)),
        ({"top_provider": {"max_completion_tokens": None}}, Limits(None, None)),
        ({"context_window": 0, "max_tokens": 0}, Limits(None, None)),
        ({"context_length": -1, "max_tokens": 10**30}, Limits(None, None)),
        ({"context_length": True, "top_provider": 3, "meta": [], "max_tokens": "64000"}, Limits(None, None)),
        ({}, Limits(None, None)),
    ],
)
def test_limits(entry: dict[str, Any], limits: Limits) -> None:
    assert listed_limits(entry) == limits


@pytest.mark.skipif(not RECORDINGS.exists(), reason="needs the recordings of the wire notes")
def test_recorded_lists_tell_what_they_say() -> None:
    (recorded, *_) = sorted((RECORDINGS / "openrouter").glob("*/response.json"))
    entries = {entry["id"]: entry for entry in json.loads(recorded.read_text())["data"]}
    assert told(entries["openai/gpt-4.1-mini"]["pricing"]) == {
        "input": "0.4", "output": "1.6", "cache_read": "0.1", "tools": {"web_search": "10"},
    }  # fmt: skip
    assert listed_limits(entries["openai/gpt-4.1-mini"]) == Limits(1_047_576, 32_768)
    (recorded,) = (RECORDINGS / "anthropic").glob("*/response.json")
    assert listed_limits(json.loads(recorded.read_text())["data"][0]) == Limits(1_000_000, 128_000)
