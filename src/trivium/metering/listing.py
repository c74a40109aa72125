"""What providers' own lists of models tell of prices and limits: OpenRouter, Vercel, Anthropic, llama.cpp.

USD per token, as decimal strings; OpenRouter names them `prompt` and `completion`, Vercel `input` and `output`. Others
mean USD per million by the same names (Together: docs.together.ai/reference/models), so that the book believes those
alone of whom it is known (`Provider.lists_prices`). Lists come from strangers: a price with anything in it that is no
amount, negative (OpenRouter's word for "it depends") or absurd is no price at all. Amounts per image or second are
passed over, for no usage counts those; where they are all there is to pay, the price is unknown and not free.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from trivium.metering.prices import BUCKETS, MILLION, Curve, Limits, Price, Sheet, assembled, flat
from trivium.money import NANO

_TOKENS = {
    "prompt": "input",
    "input": "input",
    "completion": "output",
    "output": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "input_cache_write_1h": "cache_write_1h",
    "internal_reasoning": "reasoning",
    "audio": "audio_input",
    "audio_output": "audio_output",
}
_CALLS = {"request": "request", "web_search": "tools.web_search"}
_NAMES = {**_TOKENS, **_CALLS}
_VERCEL_SEARCHES = 1000
"""Vercel tells web searches by the thousand; a search for a dollar or more is one of its."""
_AMOUNT = re.compile(r"(?a)-?\d{1,9}(\.\d{1,30})?([eE][+-]?\d{1,2})?")
_MOST = Fraction(1, 100)
"""USD per token, many times what the dearest model costs, and below per call; more is none."""
_MOST_CALL = 100
_STEPS = 8
_MOST_TOKENS = 10**9


class _Odd(ValueError):
    """No amount."""


def listed_price(pricing: object) -> Price | None:
    """The price of a model's `pricing`; None where it tells none that can be used."""
    if not isinstance(pricing, dict):
        return None
    try:
        sheet = _sheet(pricing)
        if not {"input", "output"} <= sheet.keys():
            return None
        price = assembled(_overridden(sheet, pricing.get("overrides")), {})
        return None if price.is_free and _costs(pricing) else price
    except _Odd:
        return None


def listed_limits(entry: Mapping[str, Any]) -> Limits:
    """The limits that a model's entry tells, whichever provider's it is."""
    top, meta = _table(entry.get("top_provider")), _table(entry.get("meta"))
    context = (
        entry.get("context_length"),
        entry.get("context_window"),
        entry.get("max_input_tokens"),
        meta.get("n_ctx"),
    )
    output = (top.get("max_completion_tokens"), entry.get("max_tokens"))
    return Limits(_tokens(context), _tokens(output))


def _sheet(pricing: Mapping[str, Any]) -> Sheet:
    sheet: dict[str, Curve] = {}
    for key, name in _NAMES.items():
        if (said := pricing.get(key)) is not None:
            sheet[name] = _curve(flat(_rate(key, said)), pricing.get(f"{key}_tiers"))
    return sheet


def _curve(base: Curve, tiers: object) -> Curve:
    """Vercel's steps of a rate: `[{cost, min}, ...]`."""
    if not isinstance(tiers, list):
        return base
    steps = {_start(tier, "min"): _rate("input", _table(tier).get("cost")) for tier in tiers[:_STEPS]}
    return tuple(sorted({**dict(base), **steps}.items()))


def _overridden(sheet: Sheet, said: object) -> Sheet:
    """With OpenRouter's steps of all rates: `[{min_prompt_tokens, prompt, ...}, ...]`. One that only they tell begins
    like the bucket that its tokens lie in otherwise."""
    steps: dict[str, dict[int, int]] = {}
    for one in said[:_STEPS] if isinstance(said, list) else ():
        for name, curve in _sheet(_table(one)).items():
            steps.setdefault(name, {})[_start(one, "min_prompt_tokens")] = curve[0][1]
    found = dict(sheet)
    for name in filter(steps.__contains__, dict.fromkeys(_NAMES.values())):  # buckets stand before what lies in them
        first = min(steps[name])
        before = found.get(name) or tuple(step for step in _otherwise(name, found) if step[0] < first)
        found[name] = tuple(sorted({**dict(before), **steps[name]}.items()))
    return found


def _otherwise(name: str, sheet: Sheet) -> Curve:
    while name not in sheet:
        if name not in BUCKETS:
            return flat(0)
        name = BUCKETS[name]
    return sheet[name]


def _start(tier: object, key: str) -> int:
    """The length that is exceeded where a step begins."""
    start = _table(tier).get(key, 0)
    if type(start) is not int or not 0 <= start <= _MOST_TOKENS:
        raise _Odd
    return start - 1


def _rate(key: str, said: object) -> int:
    usd = _amount(said)
    if key == "web_search" and usd >= 1:
        usd /= _VERCEL_SEARCHES
    if usd > (_MOST if key in _TOKENS else _MOST_CALL):
        raise _Odd
    return round(usd * NANO * MILLION)


def _amount(said: object) -> Fraction:
    text = said if isinstance(said, str) else repr(said)
    if not isinstance(said, str | int | float) or not _AMOUNT.fullmatch(text):
        raise _Odd
    usd = Fraction(text)
    if usd < 0:
        raise _Odd
    return usd


def _costs(pricing: Mapping[str, Any]) -> bool:
    """Whether anything in it costs, in whatever unit."""
    return any(said and not (isinstance(said, str | int | float) and _amount(said) == 0) for said in pricing.values())


def _tokens(said: tuple[object, ...]) -> int | None:
    return next((number for number in said if type(number) is int and 0 < number <= _MOST_TOKENS), None)


def _table(said: object) -> Mapping[str, Any]:
    return said if isinstance(said, dict) else {}
