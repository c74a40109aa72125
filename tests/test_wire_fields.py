"""Reading what clients wrote: what is there, what is wrong with it, and what nobody took."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from trivium.errors import FieldInvalid, InvalidJson
from trivium.wire.fields import Fields, decoded, items, maybe_text, need_text, others, raw_object, raw_objects
from trivium.wire.losses import Loss, Losses


def raw(said: Any) -> msgspec.Raw:
    return msgspec.Raw(said if isinstance(said, bytes) else msgspec.json.encode(said))


def fields(**members: Any) -> Fields:
    return Fields({name: raw(value) for name, value in members.items()})


class TestTaking:
    def test_a_member_of_the_expected_type_is_its_value(self) -> None:
        said = fields(a="x", b=True, c=7, d=0.5, e=[1], f={"g": 1}, i=0)
        assert (said.text("a"), said.flag("b"), said.whole("c"), said.number("d")) == ("x", True, 7, 0.5)
        assert (said.listed("e"), said.mapping("f"), said.number("i")) == ([1], {"g": 1}, 0)

    @pytest.mark.parametrize("kind", ["text", "flag", "whole", "number", "listed", "mapping", "take"])
    def test_absent_and_null_are_the_same(self, kind: str) -> None:
        assert getattr(fields(), kind)("a") is None
        assert getattr(fields(a=None), kind)("a") is None

    @pytest.mark.parametrize(
        ("kind", "wrong", "expected"),
        [
            ("text", 7, "a string"),
            ("flag", "true", "true or false"),
            ("flag", 1, "true or false"),
            ("whole", 1.5, "a whole number"),
            ("whole", True, "a whole number"),
            ("whole", -1, "a whole number"),
            ("number", "0.5", "a number"),
            ("number", False, "a number"),
            ("listed", {}, "a list"),
            ("mapping", [], "an object"),
        ],
    )
    def test_another_type_is_an_error_that_names_the_field(self, kind: str, wrong: Any, expected: str) -> None:
        inner = Fields({"a": wrong}, "tools[2]")
        with pytest.raises(FieldInvalid) as raised:
            getattr(inner, kind)("a")
        assert (raised.value.message, raised.value.param) == (f"`tools[2].a` must be {expected}.", "tools[2].a")

    def test_a_member_is_taken_once(self) -> None:
        said = fields(a=1)
        assert (said.take("a"), said.take("a")) == (1, None)

    def test_bytes_may_be_taken_undecoded_and_those_of_nothing_are_null(self) -> None:
        said = fields(a=raw(b'{"x": 1.50}'))
        assert bytes(said.raw("a")) == b'{"x": 1.50}'
        assert bytes(said.raw("a")) == b"null"

    def test_a_schema_is_an_objects_bytes(self) -> None:
        said = msgspec.json.decode(b'{"a":  {"x": 1.50} , "b": null}', type=dict[str, msgspec.Raw])
        assert Fields(said).schema("a") == b'{"x": 1.50}'
        assert Fields(said).schema("b") is Fields(said).schema("c") is None
        odd: list[Any] = [[], True, "{}"]
        for wrong in odd:
            with pytest.raises(FieldInvalid, match="`a` must be an object"):
                fields(a=wrong).schema("a")

    def test_a_path_begins_at_the_object(self) -> None:
        assert (Fields({}).path("a"), Fields({}, "tools[0]").path("a")) == ("a", "tools[0].a")


class TestRest:
    def rest(self, said: Fields, **harmless: tuple[Any, ...]) -> tuple[Loss, ...]:
        losses = Losses()
        said.rest(losses, "unknown", harmless)
        return losses.told()

    def test_what_nobody_took_is_lost(self) -> None:
        said = Fields({"a": raw(1), "b": raw(2), "c": 3}, "text")
        said.take("a")
        assert self.rest(said) == (Loss("text.b", "unknown"), Loss("text.c", "unknown"))

    def test_nulls_and_values_that_ask_for_nothing_are_not(self) -> None:
        assert self.rest(fields(a=None, n=1, penalty=0.0, tools=[]), n=(1,), penalty=(0,), tools=([],)) == ()
        assert self.rest(fields(n=2), n=(1,)) == (Loss("n", "unknown"),)

    def test_it_is_not_read_for_that(self) -> None:
        assert self.rest(fields(a=b'{"x":"\xff"}', b=b"[" + b"0," * 1_100_000 + b"0]")) == (
            Loss("a", "unknown"),
            Loss("b", "unknown"),
        )

    def test_it_is_told_once(self) -> None:
        said = fields(a=1)
        assert self.rest(said)
        assert self.rest(said) == ()


class TestBytes:
    def test_lone_surrogates_are_replaced(self) -> None:
        assert decoded(raw(b'{"a": ["\\ud83d x", "\\ud83d\\ude00"]}'), "a") == {"a": ["\ufffd x", "\U0001f600"]}

    @pytest.mark.parametrize("said", [b"[" * 50_000 + b"]" * 50_000, b"[" + b"0," * 1_100_000 + b"0]"])
    def test_what_would_hold_everybody_up_is_refused_by_its_name(self, said: bytes) -> None:
        with pytest.raises(InvalidJson, match="`tools`") as raised:
            decoded(raw(said), "tools")
        assert raised.value.param == "tools"

    def test_objects_are_taken_apart_and_their_members_stay_bytes(self) -> None:
        (one,) = raw_objects(raw(b'[{"a": 1.50}]'), "tools")
        assert bytes(one["a"]) == b"1.50"
        assert bytes(raw_object(raw(b'{"a": 1.50}'), "text")["a"]) == b"1.50"

    def test_null_is_empty(self) -> None:
        assert (raw_objects(raw(None), "tools"), raw_object(raw(None), "text")) == ([], {})

    @pytest.mark.parametrize("wrong", [{}, [1], "x", [[]], 7])
    def test_anything_but_a_list_of_objects_is_said(self, wrong: Any) -> None:
        with pytest.raises(FieldInvalid, match="`tools` must be a list of objects"):
            raw_objects(raw(wrong), "tools")

    @pytest.mark.parametrize("wrong", [[], "x", 7, True])
    def test_anything_but_an_object_is_said(self, wrong: Any) -> None:
        with pytest.raises(FieldInvalid, match="`text` must be an object"):
            raw_object(raw(wrong), "text")


class TestObjects:
    def test_members_that_nobody_knows_are_lost_and_nulls_are_not(self) -> None:
        losses = Losses()
        others({"type": "text", "x": 1, "y": None}, frozenset({"type"}), "input[0]", losses, "unknown")
        assert losses.told() == (Loss("input[0].x", "unknown"),)

    def test_a_list_of_objects_names_the_item_that_is_none(self) -> None:
        assert items([{"a": 1}], "content") == [{"a": 1}]
        with pytest.raises(FieldInvalid, match=r"`content\[1\]` must be an object"):
            items([{}, "x"], "content")
        with pytest.raises(FieldInvalid, match="`content` must be a list of objects"):
            items({}, "content")

    def test_a_string_that_must_be_there_and_one_that_may(self) -> None:
        assert need_text({"id": "a"}, "id", "input[0]") == maybe_text({"id": "a"}, "id", "input[0]") == "a"
        assert maybe_text({"id": None}, "id", "x") is maybe_text({}, "id", "x") is None
        for said in ({}, {"id": None}, {"id": 7}):
            with pytest.raises(FieldInvalid, match=r"`input\[0\].id` must be a string"):
                need_text(said, "id", "input[0]")
        with pytest.raises(FieldInvalid):
            maybe_text({"id": 7}, "id", "input[0]")
