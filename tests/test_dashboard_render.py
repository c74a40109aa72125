"""How values look on a page."""

from __future__ import annotations

import pytest

from trivium.dashboard.render import (
    brief,
    dollars,
    environment,
    input_of,
    moment,
    plain,
    pretty,
    seconds,
    share,
    short,
    told,
    usd,
)
from trivium.dashboard.words import plainly, words


@pytest.mark.parametrize(
    ("nano", "shown"),
    [
        (0, "$0.00"),
        (1_234_500_000_000, "$1,234.50"),
        (1_000_000_000, "$1.00"),
        (96_000_000, "$0.0960"),
        (810_000, "$0.000810"),
        (-5_000_000_000, "-$5.00"),
        (None, "\u2013"),
    ],
)
def test_amounts_keep_the_digits_that_tell_something(nano: int | None, shown: str) -> None:
    assert usd(nano) == shown


def test_figures_are_short() -> None:
    assert [short(value) for value in (0, 999, 1234, 1_234_567, 5e12)] == ["0", "999", "1.23k", "1.23M", "5T"]
    assert (share(0.0123), share(None)) == ("1.2%", "\u2013")
    assert (seconds(12.3), seconds(1234)) == ("12 ms", "1.23 s")
    assert (moment(1769862600000), moment(None)) == ("2026-01-31 12:30:00", "\u2013")
    assert moment(10**18) == str(10**18)


def test_any_value_is_told_in_a_line() -> None:
    assert (
        told({"requests_per_minute": 5, "none": None, "at_ms": 0}) == "requests per minute: 5, at: 1970-01-01 00:00:00"
    )
    assert told(["a", "b\u202e"]) == "a, b\\u202e"
    assert (told(True), told([]), told("")) == ("yes", "\u2013", "\u2013")


@pytest.mark.parametrize(
    ("told_by", "shown"),
    [("10", "$10.00"), ("-0.096", "-$0.0960"), ("0.00081", "$0.000810"), ("1234.5", "$1,234.50"), ("much", "much")],
)
def test_amounts_are_dollars_and_what_is_none_stays(told_by: str, shown: str) -> None:
    assert dollars(told_by) == shown
    assert told({"spent_usd": told_by}) == f"spent: {shown}"


def test_what_has_nothing_in_it_is_not_told() -> None:
    assert told({"scopes": {"apis": []}, "limits": {}}) == "\u2013"
    assert told({"scopes": {"apis": ["chat"]}, "limits": None}) == "scopes: APIs: chat"


def test_names_are_said_as_people_say_them() -> None:
    assert words("input_tokens_per_minute") == "input tokens per minute"
    assert (words("created_ms"), words("spent_usd"), words("cost_nano")) == ("created", "spent", "cost")


def test_what_nobody_sees_is_made_visible() -> None:
    assert plain("a\u061cb\x00\x1b[31m\u2028c\u00ad") == "a\\u061cb\\u0000\\u001b[31m\\u2028c\\u00ad"
    kept = "two\nlines, \u00a0 and \U0001f469\u200d\U0001f467"
    assert plain(kept) == kept


def test_what_is_long_does_not_fill_a_page() -> None:
    assert brief("x" * 400) == f"{'x' * 300}… (400 characters)"
    assert len(pretty(["x" * 100] * 1000)) < 50_000


def test_all_tokens_that_went_in_are_counted() -> None:
    buckets = ("input_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other")
    assert input_of({f"{name}_tokens": 10**n for n, name in enumerate(buckets)}) == 11_111


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("a.b: Expected `int` >= 0 - at `$.min_cost_nano`", "min cost: expected a number of at least 0."),
        ("a: Expected `str` matching regex '^[a]\\Z' - at `$.after`", "after: expected letters, digits and . _ @ - :."),
        ("a: Expected `array` of length <= 9 - at `$.b.c`", "b, c: expected a list of a length of at most 9."),
        ("a: Expected `int | null`, got `str` - at `$.usd`", "amount: expected a number."),
        ("a: Object missing required field `period` - at `$.budget`", "budget, period: this is needed."),
        ("a.b: Object missing required field `credential`", "credential: this is needed."),
        ("a.b: Expected `int` >= 0 - at `$.since_ms`", "since: expected a time from 1970 on."),
        ("a: Expected `int` <= 253402297200000 - at `$.until_ms`", "until: expected a time before the year 10000."),
        ("a: Expected X:Y - at `$.only[0]`", "only: expected X:Y."),
        (
            "a: Invalid enum value 'x'; expected one of b, c - at `$.by[1]`",
            "by: Invalid enum value 'x'; expected one of b, c.",
        ),
        ("There is no `x`.", "There is no `x`."),
    ],
)
def test_what_a_type_wants_is_said_plainly(said: str, shown: str) -> None:
    assert plainly(said) == shown


def test_strangers_texts_are_text_whatever_a_template_does() -> None:
    template = environment().from_string("{{ name }}<a title='{{ name }}'>{{ name|plain }}</a>")
    shown = template.render(name="<b>'\"&\u202e{{7*7}}")
    assert "<b>" not in shown
    assert "'\"" not in shown
    assert "49" not in shown
    assert plain("a\u202eb") == "a\\u202eb"
