"""What is known of the items of a Responses conversation after one look."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium.errors import FieldUnsupported, InvalidJson
from trivium.wire.items import Known, known, read

USER = {"role": "user", "content": "hi"}


def of(items: object) -> Known:
    return known(msgspec.Raw(json.dumps(items).encode()))


@pytest.mark.parametrize(
    "item",
    [
        {"type": "item_reference", "id": "i"},
        {"id": "i"},
        {"type": None, "id": "i", "role": None},
        {"type": "item_reference"},
    ],
)
def test_a_reference_is_found_wherever_it_stands(item: object) -> None:
    for beside in ([], [USER], ["a text, which is no item"], [None, 7, [USER]]):
        assert of([*beside, item]).refer
        assert of([item, *beside]).refer


@pytest.mark.parametrize(
    "items",
    [
        [USER],
        [{"type": "message", "id": "i", "role": "user", "content": [{"type": "item_reference", "id": "i"}]}],
        ["item_reference", None],
        [{"id": None}],
        {"type": "item_reference"},
        "item_reference",
        None,
        [{"type": ["item_reference"], "id": "i"}, {"type": {"item_reference": 1}, "id": "i"}, {"type": 7, "id": "i"}],
    ],
)
def test_nothing_else_is_one(items: object) -> None:
    assert not of(items).refer


def test_tools_are_seen_however_their_name_is_spelt() -> None:
    assert of([USER, {"type": "additional_tools", "tools": []}]).bring_tools
    assert known(msgspec.Raw(b'[{"t\\u006fols":[]}]')).bring_tools
    assert not of([USER, {"role": "user", "content": [{"tools": []}]}, ["tools"]]).bring_tools
    assert known(None) == Known(bring_tools=False)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["item_reference", "message", "x", "\u00e9\n"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["id", "tools"]), inner, max_size=2),
    max_leaves=4,
)
ITEMS = st.dictionaries(st.sampled_from(["type", "id", "role", "content", "tools", "x"]), VALUES, max_size=5)


@given(st.lists(ITEMS | VALUES, max_size=4), st.booleans())
def test_it_is_what_a_reader_of_json_would_say(items: list[Any], plain: bool) -> None:
    objects = [item for item in items if isinstance(item, dict)]
    refer = any(
        item["type"] == "item_reference"
        if item.get("type") is not None
        else item.get("id") is not None and item.get("role") is None and item.get("content") is None
        for item in objects
    )
    raw = msgspec.Raw(json.dumps(items, ensure_ascii=plain).encode())
    assert known(raw) == Known(refer=refer, bring_tools=any("tools" in item for item in objects))
    assert [item is not None for item in read(raw)] == [isinstance(item, dict) for item in items]


def test_what_cannot_be_read_is_the_callers_fault() -> None:
    with pytest.raises(InvalidJson, match="`input`"):
        known(msgspec.Raw(b'[{"type":"\xff"}]'))


@pytest.mark.parametrize(
    "last", [b'{"type":"item_reference"}', b'{"id":"i"}', b'{"tools":[]}', b'{"type":"item\\u005freference"}']
)
@pytest.mark.parametrize("item", [b"{},", b"[],", b"0,"])
def test_a_crowd_that_may_hide_something_is_refused(item: bytes, last: bytes) -> None:
    with pytest.raises(FieldUnsupported, match="too many items"):
        known(msgspec.Raw(b"[%b%b]" % (item * 400_000, last)))


def test_of_no_crowd_there_are_items() -> None:
    assert read(msgspec.Raw(b"[%b0]" % (b"0," * 400_000))) == []


@pytest.mark.parametrize(
    "crowd", [b"{}," * 400_000 + b"{}", b'{"role":"user","content":"%b"}' % (b"{," * 700_000)], ids=["items", "text"]
)
def test_another_one_is_passed_over(crowd: bytes) -> None:
    assert known(msgspec.Raw(b"[%b]" % crowd)) == Known(bring_tools=False)
