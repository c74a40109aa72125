"""What an answer of vectors says of itself, and the two ways to write them."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.canon.conventions import DEFAULT
from trivium.wire.embeddings import read, rewritten

USAGE = {"prompt_tokens": 8, "total_tokens": 8}
NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20)


def packed(numbers: list[float]) -> str:
    """As OpenAI writes base64: numbers of 32 bits, little-endian."""
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def answer(*vectors: Any, **more: Any) -> bytes:
    data = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    return json.dumps({"object": "list", "data": data, "model": "e-1", "usage": USAGE, **more}).encode()


def vectors(body: bytes) -> list[Any]:
    return [entry["embedding"] for entry in json.loads(body)["data"]]


def test_an_answer_tells_its_model_and_its_tokens() -> None:
    said = read(answer([0.5]), DEFAULT)
    assert (said.model, said.ended, said.error, said.text) == ("e-1", True, None, "")
    assert said.usage is not None
    assert (said.usage.input, said.usage.output) == (8, 0)


def test_a_total_that_stands_alone_is_the_input() -> None:
    """As Voyage AI tells it (BerriAI/litellm#5087)."""
    said = read(answer([0.5], usage={"total_tokens": 10_000}), DEFAULT)
    assert said.usage is not None
    assert (said.usage.input, said.usage.output) == (10_000, 0)


def test_a_cost_that_is_told_is_read() -> None:
    said = read(answer([0.5], usage={**USAGE, "cost": 0.00002}), DEFAULT)
    assert said.usage is not None
    assert str(said.usage.reported_cost) == "0.00002"


def test_an_answer_without_usage_has_none_and_is_whole_all_the_same() -> None:
    said = read(answer([0.5], usage=None), DEFAULT)
    assert (said.usage, said.ended, said.error) == (None, True, None)


@pytest.mark.parametrize("body", [b'{"error":{"message":"no"}}', b"{}", b'{"data":{}}', b"[]", b"nonsense", b'"\xff"'])
def test_what_holds_no_vectors_is_an_error(body: bytes) -> None:
    assert read(body, DEFAULT).error is not None


@given(NUMBERS)
def test_base64_becomes_decimals_and_nothing_is_lost(numbers: list[float]) -> None:
    assert vectors(rewritten(answer(packed(numbers)), "float")) == [numbers]


@given(NUMBERS)
def test_decimals_become_the_bytes_that_openai_would_send(numbers: list[float]) -> None:
    assert vectors(rewritten(answer(numbers), "base64")) == [packed(numbers)]


def test_a_number_that_32_bits_cannot_hold_becomes_the_nearest_one() -> None:
    (vector,) = vectors(rewritten(answer([0.1, 1]), "base64"))
    assert base64.b64decode(vector) == struct.pack("<2f", 0.1, 1.0)


@pytest.mark.parametrize(("vector", "encoding"), [([0.1], "float"), ("zczMPQ==", "base64")])
def test_what_is_written_as_asked_for_stays_the_bytes_it_is(vector: Any, encoding: str) -> None:
    body = answer(vector).replace(b": ", b" :  ")
    assert rewritten(body, encoding) is body


def test_everything_beside_the_vectors_stays() -> None:
    entry = {"index": 0, "object": "embedding", "embedding": packed([1.0]), "encoding_format": "base64", "x": [1]}
    body = json.dumps({"data": [entry], "usage": USAGE, "more": {"a": 1}}).encode()
    changed = {**entry, "embedding": [1.0], "encoding_format": "float"}
    assert json.loads(rewritten(body, "float")) == {"data": [changed], "usage": USAGE, "more": {"a": 1}}


def test_a_model_of_the_house_has_the_name_by_which_it_was_asked_for() -> None:
    assert json.loads(rewritten(answer([0.5]), "float", "house/e"))["model"] == "house/e"


@pytest.mark.parametrize(
    ("vector", "encoding"),
    [("!!!!", "float"), ("AAAA", "float"), ([1e300], "base64"), (["a"], "base64"), ([None], "base64")],
)
def test_a_vector_that_is_none_is_refused(vector: Any, encoding: str) -> None:
    with pytest.raises(ValueError):  # whatever is wrong with it
        rewritten(answer(vector), encoding)
