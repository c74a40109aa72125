"""To which schemas a Messages upstream is asked to hold a model: those that Anthropic takes, and no more of them."""

from __future__ import annotations

from typing import Any

import pytest

from support_requests import SCHEMA, C, M, R, Sent, chat, flat, function, responses, vendors
from support_vendors_values import Body
from trivium.wire.messages.grammar import Grammar

CLAUDE = ("anthropic", "claude-sonnet-4-5")
OPEN = "this model is held to no schema that is open or leads back into itself"
MANY = "more than this model can be held to in one request"
STRING = {"type": "string"}
MAP = {"type": "object", "additionalProperties": STRING}


def object_of(required: int = 0, /, **properties: Any) -> Body:
    """Closed; so many of the properties must be there."""
    names = [*properties][:required]
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def calling(*schemas: Any) -> Sent:
    """What becomes of a Chat request with strict tools of these schemas."""
    tools = [function(f"f{number}", schema, strict=True) for number, schema in enumerate(schemas)]
    return vendors(C, M, chat(tools=tools), *CLAUDE)


def answering(schema: Any, **more: Any) -> Sent:
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    return vendors(C, M, chat(response_format=form, **more), *CLAUDE)


NODE = object_of(value=STRING, next={"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]})
NOT_HELD = {
    "a map": object_of(labels=MAP),
    "a map of anything": object_of(labels={"type": "object", "additionalProperties": True}),
    "an object of anything": object_of(labels={"type": "object"}),
    "perhaps an object of anything": object_of(labels={"type": ["object", "null"]}),
    "a map by a pattern": object_of(labels={"type": "object", "patternProperties": {"^x": STRING}}),
    "further properties": {**object_of(a=STRING), "additionalProperties": True},
    "itself": object_of(next={"anyOf": [{"$ref": "#"}, {"type": "null"}]}),
    "a list of itself": {**object_of(first={"$ref": "#/$defs/node"}), "$defs": {"node": NODE}},
    "each other": {
        **object_of(a={"$ref": "#/$defs/a"}),
        "$defs": {"a": object_of(b={"$ref": "#/$defs/b"}), "b": object_of(a={"$ref": "#/$defs/a"})},
    },
    "elsewhere": object_of(a={"$ref": "https://a.example/a.json"}),
    "nowhere": object_of(a={"$ref": "#/$defs/a"}),
}


@pytest.mark.parametrize("schema", NOT_HELD.values(), ids=NOT_HELD)
def test_a_form_that_claude_cannot_be_held_to_is_that_of_a_tools_arguments_or_asked_for_in_words(schema: Any) -> None:
    sent = answering(schema)
    assert (sent.body["tool_choice"]["name"], "output_config" in sent.body) == ("n", False)
    assert sent.losses == {"response_format": f"{OPEN}; asked for as the call of a tool"}
    assert sent.body["tools"][0]["input_schema"]["properties"] == schema["properties"]
    thinks = answering(schema, reasoning_effort="low")
    assert "by this JSON Schema" in thinks.body["system"][0]["text"]
    assert thinks.losses == {"response_format": f"{OPEN}; asked for in words"}


@pytest.mark.parametrize("schema", NOT_HELD.values(), ids=NOT_HELD)
def test_nor_is_a_tool_strict_that_has_one(schema: Any) -> None:
    sent = calling(schema, SCHEMA)
    assert [tool.get("strict") for tool in sent.body["tools"]] == [None, True]
    assert sent.body["tools"][0]["input_schema"] == schema
    assert sent.losses == {"tools[0].function.strict": OPEN}


@pytest.mark.parametrize(
    "schema",
    [
        {**object_of(a={"$ref": "#/$defs/x~1y"}, b={"$ref": "#/$defs/x~1y"}), "$defs": {"x/y": object_of(a=STRING)}},
        {**object_of(a={"$ref": "#/$defs/a"}), "$defs": {"a": {"items": {"$ref": "#/$defs/b"}}, "b": STRING}},
        {"properties": {"a": {"properties": {}}}},
    ],
)
def test_references_that_end_are_taken_and_objects_closed(schema: Any) -> None:
    sent = calling(schema)
    assert (sent.body["tools"][0]["strict"], sent.losses) == (True, {})
    assert "format" in answering(schema).body["output_config"]


class TestMany:
    """In one request 20 strict tools, 24 optional properties and 16 of several types."""

    def test_of_tools_those_in_front_are_strict(self) -> None:
        assert calling(*[SCHEMA] * 20).losses == {}
        sent = calling(*[SCHEMA] * 22)
        assert [tool.get("strict") for tool in sent.body["tools"]] == [True] * 20 + [None] * 2
        assert sent.losses == {"tools[20].function.strict": f"{MANY} (and 1 more like it)"}

    def test_optional_properties(self) -> None:
        assert calling(*[object_of(a=STRING, b=STRING, c=STRING)] * 8).losses == {}
        fat = object_of(**{f"p{number}": STRING for number in range(25)})
        sent = calling(SCHEMA, fat, object_of(1, a=STRING, b=STRING))
        assert [tool.get("strict") for tool in sent.body["tools"]] == [True, None, True]
        assert sent.losses == {"tools[1].function.strict": MANY}

    def test_properties_of_several_types(self) -> None:
        """As OpenAI's SDKs write what may be left out."""
        either: list[Body] = [{"type": ["string", "null"]}, {"anyOf": [STRING, {"type": "null"}]}]
        tools = [flat(f"f{n}", object_of(2, a=either[0], b=either[1]), strict=True) for n in range(9)]
        sent = vendors(R, M, responses(tools=tools), *CLAUDE)
        assert [tool.get("strict") for tool in sent.body["tools"]] == [True] * 8 + [None]
        assert sent.losses == {"tools[8].strict": MANY}

    def test_the_form_of_the_answer_counts_first(self) -> None:
        nearly = object_of(**{f"p{number}": STRING for number in range(23)})
        tools = [function("f", object_of(a=STRING), strict=True), function("g", object_of(a=STRING), strict=True)]
        sent = answering(nearly, tools=tools)
        assert "format" in sent.body["output_config"]
        assert sent.losses == {"tools[1].function.strict": MANY}
        beyond = answering(object_of(**{f"p{number}": STRING for number in range(25)}), tools=tools)
        assert beyond.losses == {"response_format": f"{MANY}; asked for in words"}


def test_a_choice_among_forms_of_arguments_is_one_form_of_a_strict_tool_too() -> None:
    either = {"type": "object", "anyOf": [object_of(1, a=STRING), object_of(1, b=STRING)]}
    sent = calling(either)
    assert sent.body["tools"][0]["input_schema"]["properties"] == {"a": STRING, "b": STRING}
    assert (sent.body["tools"][0]["strict"], sent.lost) == (True, ["tools[0].function.parameters"])


def test_a_schema_beyond_all_measure_is_held_by_nobody() -> None:
    deep: Any = STRING
    for _ in range(100_000):
        deep = {"items": deep}
    assert Grammar().refuses(deep) == OPEN
