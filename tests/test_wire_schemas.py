"""JSON Schemas as the vendors want them, changed only where they must be, and in a copy."""

from __future__ import annotations

import copy
from typing import Any

import msgspec
import pytest

from trivium.canon.request import Tool
from trivium.canon.traits import Traits
from trivium.wire.losses import Losses
from trivium.wire.schemas import EMPTY, children, closed, free_text_schema, is_strict, parameters, parsed


def written(schema: bytes | None) -> Any:
    """The parameters of a tool with this schema, as they go out."""
    return msgspec.json.decode(msgspec.json.encode(parameters(Tool(name="f", schema=schema), Traits(), Losses())))


def obj(required: Any = None, *, shut: bool = True, **properties: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"type": "object", "properties": properties}
    if shut:
        said |= {"additionalProperties": False, "required": list(properties) if required is None else required}
    return said


class TestParameters:
    def test_a_schema_goes_out_byte_for_byte(self) -> None:
        said = b'{"type": "object",  "properties": {"a": {"type": "number", "minimum": 1.50}}, "$schema": "x"}'
        assert msgspec.json.encode(parameters(Tool(name="f", schema=said), Traits(), Losses())) == said

    @pytest.mark.parametrize(
        "said", [None, b"{}", b'{"type":"object"}', b'{"properties":{}}', b'{"type":"object","properties":null}']
    )
    def test_a_tool_without_arguments_has_properties_all_the_same(self, said: bytes | None) -> None:
        assert written(said) == {"type": "object", "properties": {}}

    def test_the_rest_of_one_that_lacks_them_stays(self) -> None:
        said = b'{"type":"object","$defs":{"a":{"properties":{}}},"description":"none"}'
        assert written(said) == {**parsed(said), "properties": {}}


def test_a_schema_that_cannot_be_read_is_empty_and_none_is_that_of_no_arguments() -> None:
    assert parsed(b"{") == {}
    assert parsed(None) == parsed(EMPTY) == {"type": "object", "properties": {}}
    assert parsed(b'{"enum":["\\ud83d"]}') == {"enum": ["\ufffd"]}


class TestClosed:
    def test_every_object_says_that_it_has_no_other_properties(self) -> None:
        inner = obj(shut=False, x={})
        said = {
            **obj(shut=False, a=inner, b={"type": "array", "items": inner}, c={"anyOf": [inner, {"type": "null"}]}),
            "$defs": {"d": inner},
        }
        found = closed(said)
        places = [found, found["properties"]["a"], found["properties"]["b"]["items"]]
        places += [found["properties"]["c"]["anyOf"][0], found["$defs"]["d"]]
        assert [place["additionalProperties"] for place in places] == [False] * 5
        assert "additionalProperties" not in found["properties"]["c"]["anyOf"][1]

    def test_what_is_said_already_and_the_given_schema_stay(self) -> None:
        said = {**obj(shut=False, a=obj(shut=False)), "additionalProperties": True}
        before = copy.deepcopy(said)
        assert closed(said)["additionalProperties"] is True
        assert said == before

    def test_names_and_values_that_look_like_schemas_are_none(self) -> None:
        said = {"type": "string", "enum": [{"type": "object"}], "const": {"properties": {}}}
        assert closed(said) == said
        assert closed(obj(shut=False, properties={"type": "string"}))["properties"] == {
            "properties": {"type": "string"}
        }

    @pytest.mark.parametrize("odd", [True, None, [], "x", {}, {"items": [True]}, {"anyOf": {}}, {"properties": []}])
    def test_odd_schemas_do_no_harm(self, odd: Any) -> None:
        assert closed(odd) in (odd, {"properties": [], "additionalProperties": False})


class TestStrict:
    @pytest.mark.parametrize("schema", [obj(), obj(a={"type": "string"}), obj(a=obj(b={}), c={"anyOf": [obj(), {}]})])
    def test_openai_takes_objects_that_are_closed_and_need_all_they_have(self, schema: Any) -> None:
        assert is_strict(schema)

    @pytest.mark.parametrize(
        "schema",
        [
            obj(shut=False),
            obj(required=[], a={}),
            obj(required="a", a={}),
            obj(required=[{}], a={}),
            {**obj(), "additionalProperties": True},
            {**obj(), "additionalProperties": {}},
            obj(a=obj(shut=False)),
            obj(a={"type": "array", "items": obj(shut=False)}),
            {**obj(), "$defs": {"d": obj(required=[], x={})}},
            {"type": "array"},
            {},
            True,
            None,
        ],
    )
    def test_and_no_others(self, schema: Any) -> None:
        assert not is_strict(schema)


def test_the_children_of_a_schema_are_wherever_a_schema_may_stand() -> None:
    said = {
        "properties": {"a": {"x": 1}},
        "$defs": {"b": {"x": 2}},
        "anyOf": [{"x": 3}],
        "items": {"x": 4},
        "not": {"x": 5},
        "default": {"x": 6},
    }
    assert [child["x"] for child in children(said)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("depth", [300, 5000])
def test_a_schema_nested_beyond_all_measure_is_no_reason_to_fail(depth: int) -> None:
    said = b'{"type":"object","properties":{"a":' * depth + b"{}" + b"}}" * depth
    closed(parsed(said))
    assert not is_strict(parsed(said))
    parameters(Tool(name="f", schema=said), Traits(), Losses())


def test_a_free_text_tool_is_a_function_of_one_string_that_tells_the_grammar() -> None:
    plain = free_text_schema(None)
    assert is_strict(plain)
    assert list(plain["properties"]) == ["input"]
    grammar = {"type": "grammar", "syntax": "lark", "definition": 'start: "x"'}
    assert free_text_schema(grammar)["properties"]["input"]["description"].endswith('lark grammar:\nstart: "x"')


def test_a_choice_among_forms_is_told_as_one_form_where_there_must_be_one() -> None:
    first = {"properties": {"a": {"type": "string"}, "b": {}}, "required": ["a", "b"]}
    second = {"properties": {"a": {"type": "string"}, "c": {}}, "required": ["a"]}
    tool = Tool(name="f", schema=msgspec.json.encode({"type": "object", "anyOf": [first, second]}), at="tools[0]")
    losses = Losses()
    assert parameters(tool, Traits(plain_schemas=True), losses) == {
        "type": "object",
        "properties": {"a": {"type": "string"}, "b": {}, "c": {}},
        "required": ["a"],
    }
    assert [loss.field for loss in losses.told()] == ["tools[0].parameters"]
    assert "anyOf" in parameters(tool, Traits(), Losses())
