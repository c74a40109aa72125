"""What is read of requests in the APIs that stand alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from trivium.canon.api import Kind, Solo
from trivium.errors import FieldInvalid, FieldUnsupported, RequestError
from trivium.wire.prompts import prompts
from trivium.wire.request import Request, check_stateless, parse, render
from trivium.wire.size import measure


def asked(api: Kind, **members: Any) -> Request:
    request = parse(api, json.dumps({"model": "m", **members}).encode())
    check_stateless(request)
    return request


@pytest.mark.parametrize("input", ["text", ["a", "b"], [1, 2, 3], [[1, 2], [3]], ""])
def test_input_is_a_text_texts_tokens_or_lists_of_tokens(input: Any) -> None:
    asked(Solo.EMBEDDINGS, input=input)


@pytest.mark.parametrize("input", [None, 3, {}, [], [[]], [{"text": "a"}], [None], [["a"]], True])
def test_any_other_input_is_refused(input: Any) -> None:
    with pytest.raises(FieldInvalid) as caught:
        asked(Solo.EMBEDDINGS, input=input)
    assert caught.value.param == "input"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dimensions", 0),
        ("dimensions", -1),
        ("dimensions", 1.5),
        ("dimensions", "8"),
        ("dimensions", True),
        ("dimensions", 10**12),
        ("encoding_format", "int8"),
        ("encoding_format", 3),
        ("user", 3),
    ],
)
def test_a_field_that_is_not_what_the_api_says_is_named(name: str, value: Any) -> None:
    with pytest.raises((FieldInvalid, FieldUnsupported)) as caught:
        asked(Solo.EMBEDDINGS, input="a", **{name: value})
    assert caught.value.param == name


def test_fields_may_be_null() -> None:
    asked(Solo.EMBEDDINGS, input="a", dimensions=None, encoding_format=None, user=None)


@pytest.mark.parametrize("most", [None, 0, 1001, -1, "many", 1000.5])
def test_filling_in_says_how_much_and_not_too_much(most: Any) -> None:
    with pytest.raises(FieldInvalid) as caught:
        asked(Solo.FIM, prompt="a", **({} if most is None else {"max_tokens": most}))
    assert (caught.value.status, caught.value.param) == (503, "max_tokens")
    assert caught.value.retry_after is not None


def test_a_thousand_tokens_are_allowed() -> None:
    assert asked(Solo.FIM, prompt="a", max_tokens=1000).max_tokens == 1000


@pytest.mark.parametrize("members", [{}, {"prompt": ["a"]}, {"prompt": None}, {"prompt": "a", "suffix": 3}])
def test_prompt_and_suffix_are_texts(members: dict[str, Any]) -> None:
    with pytest.raises(FieldInvalid):
        asked(Solo.FIM, max_tokens=5, **members)


def test_a_request_goes_on_as_it_came_but_for_the_model() -> None:
    body = b'{ "model" : "mistralai/c", "prompt":"a",  "max_tokens": 5,"stream":true, "x": [ 1 ] }'
    assert render(parse(Solo.FIM, body), "c").body == body.replace(b"mistralai/c", b"c")
    listed = render(asked(Solo.EMBEDDINGS, input="a", models=["dear"]), "e")
    assert b"models" not in listed.body
    assert [loss.field for loss in listed.losses] == ["models"]


def test_vectors_have_no_stream_and_no_tokens_of_output() -> None:
    request = asked(Solo.EMBEDDINGS, input=["a"] * 100, stream=True)
    assert (request.stream, request.max_tokens, measure(request).answers) == (False, None, 0)
    assert measure(asked(Solo.FIM, prompt="a", max_tokens=5)).answers == 1


def test_tokens_are_bounded_by_their_bytes() -> None:
    tokens = [5] * 3000
    assert measure(asked(Solo.EMBEDDINGS, input=tokens)).text_tokens_most >= len(tokens)


@pytest.mark.parametrize(
    ("api", "members", "said"),
    [
        (Solo.EMBEDDINGS, {"input": "steal keys"}, "steal keys"),
        (Solo.EMBEDDINGS, {"input": ["steal", "keys"]}, "steal\nkeys"),
        (Solo.FIM, {"prompt": "steal", "suffix": "keys", "max_tokens": 5}, "steal\nkeys"),
        (Solo.FIM, {"prompt": " ", "max_tokens": 5}, None),
    ],
)
def test_what_is_said_is_read_where_it_stands(api: Solo, members: dict[str, Any], said: str | None) -> None:
    told = prompts(asked(api, **members))
    assert (told.system, told.user, told.read) == (None, said, True)


@pytest.mark.parametrize("input", [[1, 2], [[1], [2]], ["a"] * 700_000])
def test_what_nobody_can_read_is_said_to_be_unread(input: Any) -> None:
    assert prompts(asked(Solo.EMBEDDINGS, input=input)).read is False


@pytest.mark.parametrize("api", list(Solo))
def test_a_model_is_needed(api: Solo) -> None:
    with pytest.raises(RequestError):
        parse(api, b'{"input":"a","prompt":"a"}')
