"""How values look on a page."""

from __future__ import annotations

import pytest

from trivium.dashboard.render import environment, moment, plain, seconds, share, short, told, usd
from trivium.dashboard.words import words


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


def test_names_are_said_as_people_say_them() -> None:
    assert words("input_tokens_per_minute") == "input tokens per minute"
    assert (words("created_ms"), words("spent_usd"), words("cost_nano")) == ("created", "spent USD", "cost")


def test_strangers_texts_are_text_whatever_a_template_does() -> None:
    template = environment().from_string("{{ name }}<a title='{{ name }}'>{{ name|plain }}</a>")
    shown = template.render(name="<b>'\"&\u202e{{7*7}}")
    assert "<b>" not in shown
    assert "'\"" not in shown
    assert "49" not in shown
    assert plain("a\u202eb") == "a\\u202eb"
