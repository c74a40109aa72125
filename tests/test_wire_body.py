"""JSON bodies as bytes: read by name, patched by name, and never two answers to one question."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from trivium.errors import FieldUnsupported, InvalidJson
from trivium.wire.body import count, flag, members, patch, text, value

MEMBERS = ["model", "stream_options", "x"]
KEYS = st.sampled_from([*MEMBERS, "Model", "models", "é", 'a"model', "\\model", "model ", "", "\u2028"])
STRINGS = st.sampled_from(["model", '"model', '"model":"x"', "m", "é😀", "\\", "\n", "", "stream_options", "{}"])
NUMBERS = st.sampled_from(["1", "-0.0", "1.10", "1e400", "9007199254740993", "true", "null"])
BLANKS = st.sampled_from(["", "", " ", "\n", "\t\r\n ", "  "])


@st.composite
def written_strings(draw: st.DrawFn, content: str) -> str:
    """A JSON string, some of whose characters are spelt as escapes."""
    spelt = draw(st.sampled_from(["plain", "plain", "escaped", "ESCAPED", "ascii"]))
    if spelt == "plain":
        return json.dumps(content, ensure_ascii=False)
    if spelt == "ascii" or not content:
        return json.dumps(content)
    at = draw(st.integers(0, len(content) - 1))
    if ord(content[at]) > 0xFFFF:
        return json.dumps(content)
    escape = f"\\u{ord(content[at]):04x}" if spelt == "escaped" else f"\\u{ord(content[at]):04X}"
    return json.dumps(content[:at])[:-1] + escape + json.dumps(content[at + 1 :])[1:]


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.sampled_from(["string", "number", *(["list", "object"] if depth else [])]))
    if kind == "string":
        return draw(written_strings(draw(STRINGS)))
    if kind == "number":
        return draw(NUMBERS)
    if kind == "list":
        return "[" + ",".join(draw(st.lists(values(depth - 1), max_size=2))) + draw(BLANKS) + "]"
    return draw(objects(depth - 1))


@st.composite
def objects(draw: st.DrawFn, depth: int = 2) -> str:
    pairs = []
    for key in draw(st.lists(KEYS, max_size=5)):
        parts = (BLANKS, written_strings(key), BLANKS, st.just(":"), BLANKS, values(depth), BLANKS)
        pairs.append("".join(map(draw, parts)))
    return "{" + (",".join(pairs) or draw(BLANKS)) + "}"


BODIES = st.tuples(BLANKS, objects(), BLANKS).map(lambda parts: "".join(parts).encode())
CHANGES = st.dictionaries(
    st.sampled_from(MEMBERS), st.sampled_from(['"new"', '"m"', '{"include_usage":true}', "false", '"model"'])
)


def pairs_of(body: bytes) -> list[tuple[str, Any]]:
    """The top-level members as they stand, duplicates too; below, the last one counts. Numbers as they are written."""
    found: list[list[tuple[str, Any]]] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.append(pairs)
        return dict(pairs)

    json.loads(body, object_pairs_hook=note, parse_int=str, parse_float=str)
    return found[-1]


def read_as(body: bytes, *, last: bool) -> dict[str, Any]:
    pairs = pairs_of(body)
    return dict(pairs if last else reversed(pairs))


@settings(max_examples=120, deadline=None)
@given(BODIES)
def test_members_are_what_a_parser_reads_that_takes_the_last(body: bytes) -> None:
    found = members(body)
    assert {name: json.loads(bytes(raw), parse_int=str, parse_float=str) for name, raw in found.items()} == read_as(
        body, last=True
    )


@settings(max_examples=200, deadline=None)
@given(BODIES, CHANGES)
def test_a_patched_body_says_the_same_but_for_the_patch_whichever_duplicate_is_read(
    body: bytes, changes: dict[str, str]
) -> None:
    assume(members(body) or body.startswith(b"{"))
    out = patch(body, members(body), {name: new.encode() for name, new in changes.items()})
    expected = {name: json.loads(new) for name, new in changes.items()}
    assert read_as(out, last=True) == read_as(body, last=True) | expected
    for name, new in expected.items():
        assert [content for key, content in pairs_of(out) if key == name] == [new]


@settings(max_examples=120, deadline=None)
@given(BLANKS, BLANKS, BLANKS, BLANKS, values(), values(), st.sampled_from(["x", "models", "é"]))
def test_where_the_name_stands_once_no_other_byte_changes(
    a: str, b: str, c: str, d: str, old: str, beside: str, key: str
) -> None:
    assume('"model"' not in beside + old and "\\u00" not in beside + old)
    head, tail = f'{{{a}"model"{b}:{c}', f'{d},"{key}":{beside}{a}}}{b}'
    body = (head + old + tail).encode()
    assert patch(body, members(body), {"model": b'"new"'}) == f'{head}"new"{tail}'.encode()


@settings(deadline=None)
@given(BODIES)
def test_what_is_not_changed_keeps_its_bytes_where_a_member_is_added(body: bytes) -> None:
    assume(members(body) and b"\\u00" not in body)
    out = patch(body, members(body), {"added": b"1"})
    assert out.startswith(body.rstrip()[:-1])
    assert out.rstrip().endswith(b'"added":1}')


@settings(deadline=None)
@given(BODIES, st.sampled_from(MEMBERS))
def test_a_member_that_was_read_stands_once_in_a_body_that_is_left_as_it_is(body: bytes, name: str) -> None:
    found = members(body)
    if name in found and patch(body, found, {}, [name]) == body:
        assert [key for key, _ in pairs_of(body)].count(name) == 1


@pytest.mark.parametrize(
    ("body", "out"),
    [
        (b"{}", b'{"model":"b"}'),
        (b"{\n} ", b'{\n"model":"b"} '),
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b'{ "model" :\n\t"a" , "n" : 1.10 }\n', b'{ "model" :\n\t"b" , "n" : 1.10 }\n'),
        (b'{"model":"a","model":"c"}', b'{"model":"b"}'),
        (b'{"model":"a","n":1,"\\u006dodel":"c"}', b'{"model":"b","n":1}'),
        (b'{"\\u006dodel":"c"}', b'{"model":"b"}'),
        (b'{"model": "a","\\u006dodel":"a"}', b'{"model":"b"}'),
        (b'{"\\u006Dodel":"a", "model":"a"}', b'{"model":"b"}'),
        (b'{"model":null}', b'{"model":"b"}'),
        (b'{"model":{"model":"a"}}', b'{"model":"b"}'),
        (b'{"m":{"model":"a"}, "n":1.0}', b'{"m":{"model":"a"}, "n":1.0,"model":"b"}'),
        (b'{"a":"say \\"model","model":"c"}', b'{"a":"say \\"model","model":"b"}'),
    ],
)
def test_one_member_set(body: bytes, out: bytes) -> None:
    assert patch(body, members(body), {"model": b'"b"'}) == out


def test_an_empty_object_takes_several() -> None:
    assert patch(b"{}", {}, {"a": b"1", "b": b"2"}) == b'{"a":1,"b":2}'


def test_an_empty_object_behind_blanks_takes_one() -> None:
    assert patch(b" {}", {}, {"a": b"1"}) == b' {"a":1}'


@pytest.mark.parametrize(
    "body",
    [
        b'{"model":"some-vendor/12","store":true,"store":true}',
        b'{"model":"some-vendor/123","store":true ,"store":true}',
        b'{"model":"some-vendor/an-alias-of-28-b","store":true,"store":false,"store":true}',
    ],
)
def test_a_patch_that_shortens_the_body_hides_no_duplicate_of_the_next_member(body: bytes) -> None:
    out = patch(body, members(body), {"model": b'"m"', "store": b"false"})
    assert pairs_of(out) == [("model", "m"), ("store", False)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b'{"a":1,}', "not valid JSON"),
        (b'{"a":NaN}', "not valid JSON"),
        (b'{"a":1} {"b":2}', "not valid JSON"),
        (b'{"a":1}\0', "not valid JSON"),
        (b'\xef\xbb\xbf{"a":1}', "not valid JSON"),
        ('{"a":1}'.encode("utf-16"), "not valid JSON"),
        (b'{"\xff":1}', "not valid JSON"),
        (b'{"a":"\xff"}', "not valid JSON: it is not UTF-8."),
        (b'{"a":["\xed\xa0\x80"]}', "not valid JSON: it is not UTF-8."),
        (b'{"a":"%b\xc3"}' % (b"a" * 100_000), "not valid JSON: it is not UTF-8."),
        (b'{"\\ud800":1}', "not valid JSON"),
        (b'{"a":"cut \\\\\\uD83d","b":1}', "not valid JSON: `\\uD83d` is half of a character."),
        (b'{"a":"\\ud83d\\n","b":1}', "not valid JSON: `\\ud83d` is half of a character."),
        (b'{"a":"\\ud83d\\ude00\\\\ud83d",}', "not valid JSON: JSON is malformed"),
        (b"[]", "must be a JSON object"),
        (b'"a"', "must be a JSON object"),
        (b"null", "must be a JSON object"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_object_is_said_to_be_none(body: bytes, words: str) -> None:
    with pytest.raises(InvalidJson) as raised:
        members(body)
    assert words in raised.value.message
    assert raised.value.status == 400


@pytest.mark.parametrize("before", [0, 65_535, 65_536 * 2 - 2])
def test_letters_of_several_bytes_are_text_wherever_they_stand(before: int) -> None:
    body = '{"a":"%s€é😀"}' % ("a" * before)
    assert bytes(members(body.encode())["a"]).decode() == body[5:-1]


@settings(deadline=None)
@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda some: b'{"a":"' + some + b'"}'))
def test_any_bytes_are_members_or_invalid_json(body: bytes) -> None:
    try:
        found = members(body)
        patch(body, found, {"model": b'"b"'})
        for name in found:
            value(found, name)
    except InvalidJson as error:
        assert error.message


def test_a_value_is_read_only_when_it_is_asked_for() -> None:
    found = members(b'{"bad":1e999,"good":{"a":[1.5,null]},"none":null}')
    assert value(found, "good") == {"a": [1.5, None]}
    assert value(found, "none") is value(found, "absent") is None
    with pytest.raises(InvalidJson, match="`bad`") as raised:
        value(found, "bad")
    assert raised.value.param == "bad"


def test_texts_flags_and_counts_are_read_by_type() -> None:
    found = members(b'{"s":"a\\u00e9","t":true,"f":false,"n":null,"i":12,"d":1.0,"neg":-1,"big":99999999999999999999}')
    assert (text(found, "s"), text(found, "n"), text(found, "x")) == ("aé", None, None)
    assert [flag(found, name) for name in ("t", "f", "n", "x")] == [True, False, False, False]
    assert [count(found, name) for name in ("i", "d", "neg", "big", "s", "n", "x")] == [12, 1, *[None] * 5]
    odd = members(b'{"text":"3","power":3e2,"part":2.5,"huge":1e30,"nan":"NaN","list":[3]}')
    names = ("text", "power", "part", "huge", "nan", "list")
    assert [count(odd, name) for name in names] == [3, 300, 3, None, None, None]
    with pytest.raises(FieldUnsupported, match="`i` must be a string") as raised:
        text(found, "i")
    assert raised.value.param == "i"
    with pytest.raises(FieldUnsupported, match="`i` must be true or false"):
        flag(found, "i")


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("model", b'{"model":[' + b"[]," * 500_000 + b"[]]}"),
        ("stream_options", b'{"stream_options":[' + b"[]," * 500_000 + b"[]]}"),
    ],
)
def test_a_member_that_is_far_too_large_for_what_it_is_is_not_decoded(name: str, body: bytes) -> None:
    found = members(body)
    with pytest.raises(FieldUnsupported, match=name):
        (text if name == "model" else value)(found, name)


@pytest.mark.parametrize("colon", [b":", b" :"], ids=["together", "apart"])
def test_members_without_number_are_refused(colon: bytes) -> None:
    with pytest.raises(InvalidJson, match="too many members"):
        members(b"{" + b",".join(b'"%d"%b1' % (n, colon) for n in range(300_001)) + b"}")


def test_what_stands_in_a_text_is_no_member() -> None:
    assert [*members(json.dumps({"text": '{"a":1},' * 300_001}).encode())] == ["text"]
