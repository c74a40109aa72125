"""Filters of the usage page, as they are typed and as links have them."""

from __future__ import annotations

import pytest

from trivium.dashboard.usage import _can_be_said, word_for, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("model:a  key:b", ["model:a", "key:b"]),
        ('model:"a b" key:', ['model:"a b"', "key:"]),
        ('model:"a', ['model:"a']),
        ('model:"a"b', ['model:"a"b']),
    ],
)
def test_filters_are_words_or_quoted(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("key", "word", "can"),
    [
        ("a/b", "model:a/b", True),
        ("", "model:", True),
        ("a b", 'model:"a b"', True),
        ('"a"', 'model:""a""', False),
        ('a "b"', 'model:"a "b""', False),
        ("a" * 151, f"model:{'a' * 151}", False),
    ],
)
def test_a_group_is_filtered_by_where_a_word_can_name_it(key: str, word: str, can: bool) -> None:
    assert word_for("model", key) == word
    asked = {"by": "model", "only": "", "without": ""}
    assert _can_be_said(asked, {"keys": [key], "other": False}) is can
