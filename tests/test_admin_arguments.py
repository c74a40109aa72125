"""Arguments out of paths, queries and bodies."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.admin.arguments import arguments, is_text, parsed
from trivium.admin.row import Route, Row
from trivium.errors import FieldInvalid, InvalidJson, TriviumError
from trivium.operations.table import Arguments, ListArguments, Op


class Inner(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    depth: int = 0


class Query(ListArguments, frozen=True, kw_only=True):
    of: str
    flag: bool = False
    count: int | None = None
    kind: Literal["a", "b"] | None = None
    by: tuple[str, ...] = ("x",)


class Body(Arguments, frozen=True, kw_only=True):
    of: str
    inner: Inner = Inner()
    count: int | msgspec.UnsetType | None = msgspec.UNSET


async def act(*_: Any) -> None:
    raise AssertionError


def route(method: str, kind: type[msgspec.Struct], **row: Any) -> Route:
    given = {"path": "/things/{of}", "operation": "x", "does": "X.", **row}
    return Route(row=Row(method=method, **given), op=Op(arguments=kind, result=None, act=act))


GET, PATCH = route("GET", Query), route("PATCH", Body)
WHOLE = route("PUT", Body, content="inner")


def test_texts_of_a_query_become_what_their_arguments_are() -> None:
    query = b"flag=true&count=7&kind=b&by=day&by=a%2Cb&cursor=c&limit=3"
    assert arguments(GET, ["me"], query, b"") == {
        "of": "me", "flag": True, "count": 7, "kind": "b", "by": ("day", "a,b"), "after": "c", "limit": 3,
    }  # fmt: skip


class Most(Arguments, frozen=True, kw_only=True):
    """Lists of which more is said."""

    by: Annotated[tuple[Literal["x", "y"], ...], msgspec.Meta(max_length=2)] = ()
    maybe: Annotated[tuple[str, ...], msgspec.Meta(max_length=2)] | None = None


@pytest.mark.parametrize("name", ["by", "maybe"])
def test_a_list_with_bounds_is_a_list_too(name: str) -> None:
    listing = route("GET", Most, path="/things")
    assert arguments(listing, [], f"{name}=x".encode(), b"") == {name: ("x",)}
    assert arguments(listing, [], f"{name}=x&{name}=y".encode(), b"") == {name: ("x", "y")}
    with pytest.raises(FieldInvalid, match="length <= 2"):
        arguments(listing, [], f"{name}=x&{name}=y&{name}=x".encode(), b"")


def test_what_is_left_out_is_left_out() -> None:
    assert arguments(GET, ["me"], b"", b"") == {"of": "me"}
    assert arguments(PATCH, ["me"], b"", b"{}") == {"of": "me"}
    assert arguments(PATCH, ["me"], b"", b'{"count":null}') == {"of": "me", "count": None}


def test_a_text_that_looks_like_another_type_stays_one() -> None:
    assert arguments(GET, ["17"], b"by=null", b"") == {"of": "17", "by": ("null",)}


def test_a_body_can_be_one_argument_as_a_whole() -> None:
    assert arguments(WHOLE, ["me"], b"", b'{"depth":2}') == {"of": "me", "inner": {"depth": 2}}


def test_the_route_itself_can_say_an_argument() -> None:
    fixed = route("GET", Query, fixed={"kind": "a"})
    assert arguments(fixed, ["me"], b"", b"") == {"of": "me", "kind": "a"}
    with pytest.raises(FieldInvalid):
        arguments(fixed, ["me"], b"kind=b", b"")


@pytest.mark.parametrize(
    ("asked", "query", "body", "param"),
    [
        (GET, b"count=null", b"", "count"),
        (GET, b"count=1.5", b"", "count"),
        (GET, b"flag=maybe", b"", "flag"),
        (GET, b"kind=c", b"", "kind"),
        (GET, b"of=you", b"", "of"),
        (GET, b"after=x", b"", "after"),
        (GET, b"limit=201", b"", "limit"),
        (GET, b"count=1&count=1", b"", "count"),
        (GET, b"by=%00", b"", "by"),
        (GET, b"by=%ff", b"", None),
        (GET, b"\xff", b"", None),
        (GET, b"&".join([b"by=x"] * 101), b"", None),
        (GET, b"", b'{"count":1}', None),
        (PATCH, b"count=1", b"{}", "count"),
        (PATCH, b"", b'{"of":"you"}', "of"),
        (PATCH, b"", b'{"inner":{"depth":"1"}}', "inner.depth"),
        (PATCH, b"", b'{"inner":{"width":1}}', "inner.width"),
        (PATCH, b"", b"[]", None),
        (WHOLE, b"", b'{"depth":"1"}', "depth"),
        (WHOLE, b"", b'{"width":1}', "width"),
        (WHOLE, b"", b"3", "inner"),
    ],
)
def test_what_is_wrong_is_named_as_the_caller_knows_it(
    asked: Route, query: bytes, body: bytes, param: str | None
) -> None:
    with pytest.raises(FieldInvalid) as refused:
        arguments(asked, ["me"], query, body)
    assert refused.value.param == param


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":1}}', b"[" * 10_000, b'"\xed\xa0\x80"', b"NaN"])
def test_what_is_not_json(body: bytes) -> None:
    with pytest.raises(InvalidJson):
        parsed(body)


def test_a_nul_is_found_wherever_it_is() -> None:
    for value in ("\0", {"\0": 1}, {"a": ["b", {"c": "d\0"}]}):
        assert not is_text(value)
        with pytest.raises(FieldInvalid):
            parsed(msgspec.json.encode(value))
    assert is_text({"a": ["b", 1, None, True, 1.5]})


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from([GET, PATCH, WHOLE]), st.binary(max_size=40), _JSON)
def test_whatever_comes_is_arguments_that_fit_or_an_error_of_the_tree(asked: Route, query: bytes, content: Any) -> None:
    body = msgspec.json.encode(content) if asked.has_body else b""
    try:
        found = arguments(asked, ["me"], query, body)
    except TriviumError as error:
        assert error.status == 400
    else:
        msgspec.convert(found, asked.op.arguments)
