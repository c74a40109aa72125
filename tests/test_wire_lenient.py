"""JSON that upstreams write."""

import contextlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivium.wire.lenient import Halves, amount, count, dump, index, mapping, parse, sequence, text


def test_a_fraction_keeps_the_digits_of_its_text() -> None:
    assert parse(b'{"cost": 0.0004970133333333333, "n": 3}') == {"cost": Decimal("0.0004970133333333333"), "n": 3}


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
        (b' \n {"a":1} \n', {"a": 1}),
        (b'{"a":NaN,"b":-Infinity,"c":1}', {"a": None, "b": None, "c": 1}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'["\\ud83d"]', ["\ufffd"]),
        (b'{"\\udc00":"a\xffb"}', {"\ufffd": "a\ufffdb"}),
        (b'"a\x01b"', "a\x01b"),
        (b"[1e99999999999999999999]", [None]),
        (b'{"a":' + b"9" * 10_000 + b',"b":7}', {"a": Decimal("9" * 10_000), "b": 7}),
    ],
)
def test_what_other_writers_let_pass_is_mended(data: bytes, value: Any) -> None:
    assert parse(data) == value


@pytest.mark.parametrize(
    ("pieces", "values"),
    [
        ((b'["x\\ud83d"]', b'["\\uDE00y"]'), (["x"], ["\U0001f600y"])),
        ((b'["x\\ud83d","x\\ud83d"]', b'["between"]', b'["\\ude00","\\ude00"]'),
         (["x", "x"], ["between"], ["\U0001f600", "\U0001f600"])),
        ((b'["\\ud83d"]', b'["y\\ude00"]'), ([""], ["y\ufffd"])),
        ((b'["\\\\ud83d"]', b'["\\ude00"]'), (["\\ud83d"], ["\ufffd"])),
        ((b'["\\\\\\ud83d"]', b'["\\ude00"]', b'["\\ude00"]'), (["\\"], ["\U0001f600"], ["\ufffd"])),
    ],
)  # fmt: skip
def test_a_character_that_is_cut_in_two_is_read_with_its_second_half(pieces: Any, values: Any) -> None:
    halves = Halves()
    assert tuple(parse(piece, halves) for piece in pieces) == values


@pytest.mark.parametrize("data", [b"", b"{", b"[DONE]", b"'a'", b"[" * 100_000, b'{"a":' * 50_000])
def test_what_is_not_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)


def test_accessors_give_something_of_the_type_asked_for() -> None:
    assert (mapping(None), mapping([1]), mapping({"a": 1})) == ({}, {}, {"a": 1})
    assert (sequence({}), sequence([1])) == ([], [1])
    assert (text(None), text(3), text("a")) == ("", "", "a")
    assert (index(True), index("1"), index(0)) == (None, None, 0)


def test_a_count_is_a_whole_number_of_human_size() -> None:
    assert [count(value) for value in (7, -7, Decimal("12.0"), 0)] == [7, -7, 12, 0]
    for value in (True, None, "7", 2.0, Decimal("1.5"), Decimal("NaN"), Decimal("1E+999999"), 10**20):
        assert count(value) is None


def test_an_amount_is_read_from_a_number_or_a_string() -> None:
    assert [amount(value) for value in (0, Decimal("4.8E-5"), "0.000375")] == [
        0,
        Decimal("0.000048"),
        Decimal("0.000375"),
    ]
    odd: list[Any] = [None, True, "free", [], {"total": 1}, "9" * 65, 10**40]
    assert [amount(value) for value in odd] == [None] * len(odd)
    assert amount("NaN") is not None, "no number, but the reader must see that one was meant"


def test_numbers_are_written_back_as_they_were_read() -> None:
    source = '{"a":1.10,"b":123456789012345678901234567890,"c":[null,"\u2028"]}'
    assert dump(parse(source.encode())) == source


@settings(max_examples=150)
@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        dump(parse(data))
