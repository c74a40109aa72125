"""A body while rules work on it: what is not touched stays the bytes it was."""

from __future__ import annotations

import msgspec
import pytest

from trivium.canon.api import Api
from trivium.errors import InvalidJson
from trivium.wire import body as json_body
from trivium.wire.draft import Draft
from trivium.wire.losses import Losses

BODY = b'{ "model" : "m", "n": 1.50, "messages":[ {"role":"user","content":"a", "x": 1e2}, {"role" : "user"} ]}'


def draft(body: bytes = BODY) -> Draft:
    return Draft(Api.CHAT, json_body.members(body), Losses())


def test_nothing_done_is_nothing_changed() -> None:
    one = draft()
    assert (one.value("n"), one.value("absent"), "n" in one, "absent" in one) == (1.5, None, True, False)
    one.put_entries("messages", list(one.entries("messages")))
    one.set("model", "m")
    assert not one.changed
    assert not one.touched
    assert one.body(BODY) == BODY


def test_what_is_set_is_put_in_its_place_and_the_new_at_the_end() -> None:
    one = draft()
    one.set("model", "other")
    one.set("added", {"a": 1})
    assert one.body(BODY) == BODY.replace(b'"m"', b'"other"')[:-1] + b',"added":{"a":1}}'
    assert one.touched
    assert list(one.members()) == ["model", "n", "messages", "added"]


def test_entries_that_nobody_touched_stay_the_bytes_they_were() -> None:
    one = draft()
    first, second = one.entries("messages")
    one.put_entries("messages", [first, {**second, "content": "b"}])
    one.put_entries("messages", [*one.entries("messages"), {"role": "tool"}])
    told = b'[{"role":"user","content":"a", "x": 1e2},{"role":"user","content":"b"},{"role":"tool"}]'
    assert one.raw("messages") == told


def test_what_goes_is_a_loss_where_it_said_something() -> None:
    one = draft(b'{"a":1,"b":null,"c":2}')
    one.remove("a", "why")
    one.remove("b", "why")
    one.remove("c", None)
    one.remove("absent", "why")
    assert one.body(b"") == b"{}"
    assert [loss.field for loss in one.losses.told()] == ["a"]
    assert (list(one.names), one.raw("a"), one.value("a")) == ([], b"null", None)


def test_a_member_that_stands_twice_is_told_once() -> None:
    twice = b'{"user":"a","model":"m","user":"b"}'
    one = draft(twice)
    one.set("user", "c")
    assert one.body(twice) == b'{"user":"c","model":"m"}'


def test_what_is_no_list_has_no_entries_and_what_is_no_json_is_said() -> None:
    assert draft(b'{"messages":"text"}').entries("messages") == []
    odd = Draft(Api.CHAT, {"messages": msgspec.Raw(b"[1,")}, Losses())
    with pytest.raises(InvalidJson):
        odd.entries("messages")
