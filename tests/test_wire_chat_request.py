"""What is read of a Chat Completions request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support_requests import (
    ORIGIN,
    PDF,
    PNG,
    SCHEMA,
    C,
    assistant,
    call,
    chat,
    function,
    gave,
    mark,
    read,
    text,
    user,
)
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.canon.parts import (
    Audio,
    Data,
    Document,
    Image,
    Part,
    Reasoning,
    Refusal,
    Seal,
    Text,
    ToolCall,
    ToolKind,
    ToolResult,
    Url,
)
from trivium.canon.request import Format, Request, Role, Thinking, Tool, ToolChoice, Turn
from trivium.wire.body import members
from trivium.wire.chat.details import reasoning_of
from trivium.wire.chat.request import parse
from trivium.wire.envelope import close, fits
from trivium.wire.losses import Losses


def turns(*messages: Body) -> tuple[Turn, ...]:
    """Of messages of which nothing is lost."""
    told, lost = read(C, chat(*messages))
    assert lost == []
    return told.turns


def parts(message: Body) -> tuple[Part, ...]:
    (turn,) = turns(message)
    return turn.parts


def settings(**more: Any) -> Request:
    told, lost = read(C, chat(**more))
    assert lost == []
    return told


class TestMessages:
    def test_a_conversation(self) -> None:
        said = turns(
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be kind."},
            user("Weather?"),
            assistant("Let me look.", call("a", "look", '{"q":1}'), call("b", "look", "{}")),
            gave("a", "Rain"),
            gave("b", [text("Sun"), text("Wind")]),
            user("Thanks"),
        )
        assert said == (
            Turn(Role.SYSTEM, (Text("Be brief.", "messages[0].content"),)),
            Turn(Role.DEVELOPER, (Text("Be kind.", "messages[1].content"),)),
            Turn(Role.USER, (Text("Weather?", "messages[2].content"),)),
            Turn(
                Role.ASSISTANT,
                (
                    Text("Let me look.", "messages[3].content"),
                    ToolCall("a", "look", '{"q":1}', at="messages[3].tool_calls[0]"),
                    ToolCall("b", "look", "{}", at="messages[3].tool_calls[1]"),
                ),
            ),
            Turn(Role.USER, (ToolResult("a", (Text("Rain", "messages[4].content"),), at="messages[4]"),)),
            Turn(
                Role.USER,
                (
                    ToolResult(
                        "b",
                        (Text("Sun", "messages[5].content[0]"), Text("Wind", "messages[5].content[1]")),
                        at="messages[5]",
                    ),
                ),
            ),
            Turn(Role.USER, (Text("Thanks", "messages[6].content"),)),
        )

    @pytest.mark.parametrize("content", [None, "", [], [text("")]])
    def test_no_content_beside_calls_is_no_text(self, content: Any) -> None:
        assert parts(assistant(None, call()) | {"content": content}) == (
            ToolCall("a", "f", "{}", at="messages[0].tool_calls[0]"),
        )

    def test_pictures_files_and_sound(self) -> None:
        said = parts(
            user(
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://a.example/x.jpg"}},
                {"type": "image_url", "image_url": "https://a.example/y.jpg"},
                {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}},
                {"type": "file", "file": {"file_data": PDF}},
                {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}},
            )
        )
        at = "messages[0].content"
        assert said == (
            Image(Data("image/png", PNG), f"{at}[0]", detail="low"),
            Image(Url("https://a.example/x.jpg"), f"{at}[1]"),
            Image(Url("https://a.example/y.jpg"), f"{at}[2]"),
            Document(Data("application/pdf", PDF), f"{at}[3]", title="a.pdf"),
            Document(Data("application/pdf", PDF), f"{at}[4]"),
            Audio("wav", "UklG", f"{at}[5]"),
        )

    def test_pictures_in_results_stay_in_them(self) -> None:
        picture = {"type": "image_url", "image_url": {"url": "https://a.example/x.jpg"}}
        (found,) = parts(gave("a", [text("Seen"), picture]))
        assert isinstance(found, ToolResult)
        assert [type(part) for part in found.content] == [Text, Image]

    def test_refusals_are_said_in_two_places(self) -> None:
        assert parts(assistant(refusal="No.")) == (Refusal("No.", "messages[0].refusal"),)
        inside = assistant() | {"content": [{"type": "refusal", "refusal": "No."}]}
        assert parts(inside) == (Refusal("No.", "messages[0].content[0]"),)

    def test_cache_marks_lie_on_parts_on_messages_and_on_calls(self) -> None:
        said = turns(
            {"role": "system", "content": "Be brief.", **mark("1h")},
            user(text("a"), text("b"), text("c", **mark())),
            {**user(text("a"), text("b")), **mark()},
            assistant(None, call(**mark())),
            gave("a", "r", **mark()),
        )
        assert [[part.cache for part in turn.parts] for turn in said] == [  # type: ignore[union-attr]
            ["1h"],
            [None, None, "5m"],
            [None, "5m"],
            ["5m"],
            ["5m"],
        ]

    def test_a_mark_for_the_whole_conversation_lies_on_the_last_part_that_can_have_one(self) -> None:
        thought = assistant(reasoning="hm", refusal="No.")
        told, lost = read(C, chat(user(text("a"), text("b")), thought, **mark("1h")))
        assert [[getattr(part, "cache", None) for part in turn.parts] for turn in told.turns] == [
            [None, "1h"],
            [None, None],
        ]
        assert not lost
        told, lost = read(C, chat(user(text("a", **mark())), **mark("1h")))
        assert [part.cache for part in told.turns[0].parts] == ["5m"]  # type: ignore[union-attr]
        assert read(C, chat(user("a"), cache_control={"type": "odd"}))[1] == ["cache_control"]

    def test_the_first_form_of_tools_is_read_as_tools(self) -> None:
        told, lost = read(
            C,
            chat(
                user("hi"),
                assistant(function_call={"name": "f", "arguments": "{}"}),
                {"role": "function", "name": "f", "content": "r"},
                functions=[{"name": "f", "description": "d", "parameters": SCHEMA}],
                function_call={"name": "f"},
            ),
        )
        assert lost == []
        assert [tool.name for tool in told.tools] == ["f"]
        assert told.tool_choice == ToolChoice("tool", "f")
        called, result = told.turns[1].parts[0], told.turns[2].parts[0]
        assert isinstance(called, ToolCall)
        assert isinstance(result, ToolResult)
        assert called.id == result.id

    def test_in_the_first_form_one_tool_is_called_at_a_time(self) -> None:
        assert settings(functions=[{"name": "f"}]).parallel_tool_calls is False
        assert settings(functions=[{"name": "f"}], parallel_tool_calls=True).parallel_tool_calls is True
        assert settings(functions=[{"name": "f"}], tools=[function("g")]).parallel_tool_calls is None

    def test_a_custom_call_has_free_text(self) -> None:
        custom = {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
        assert parts(assistant(None, custom)) == (
            ToolCall("a", "patch", "*** Begin", ToolKind.CUSTOM, at="messages[0].tool_calls[0]"),
        )

    def test_an_id_that_we_made_of_an_upstreams_turns_back_into_it(self) -> None:
        (called,) = parts(assistant(None, call("tvid_ZnVuY3Rpb25zLmFkZDow")))
        (result,) = parts(gave("tvid_ZnVuY3Rpb25zLmFkZDow"))
        assert isinstance(called, ToolCall)
        assert isinstance(result, ToolResult)
        assert called.id == result.id == "functions.add:0"


class TestReasoning:
    @pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "reasoning_details"])
    def test_plain_reasoning_lies_in_one_of_three_places(self, name: str) -> None:
        assert parts(assistant("So", **{name: "Hm."}))[0] == Reasoning("Hm.", "messages[0].reasoning_content")

    def test_an_empty_one_is_none(self) -> None:
        assert parts(assistant("So", reasoning_content="")) == (Text("So", "messages[0].content"),)

    def test_details_come_in_fragments_and_the_signature_last(self) -> None:
        details = [
            {"type": "reasoning.text", "text": "H", "index": 0, "format": "anthropic-claude-v1"},
            {"type": "reasoning.text", "text": "m.", "index": 0},
            {"type": "reasoning.text", "signature": "c2ln", "index": 0},
            {"type": "reasoning.encrypted", "data": "ZW5j", "index": 1},
        ]
        first, second, _ = parts(assistant("So", reasoning="Hm.", reasoning_details=details))
        assert isinstance(first, Reasoning)
        assert first.text == "Hm."
        assert first.seal == Seal(
            "detail", '{"format":"anthropic-claude-v1","signature":"c2ln","type":"reasoning.text"}'
        )
        assert second == Reasoning(
            "",
            "messages[0].reasoning_details[1]",
            Seal("detail", '{"data":"ZW5j","type":"reasoning.encrypted"}'),
        )

    def test_a_multitude_of_fragments_is_put_together_once(self) -> None:
        long: Body = {"type": "reasoning.text", "text": "a" * 4_000_000, "index": 0}
        more: list[Body] = [{"type": "reasoning.text", "text": "b", "index": 0}] * 100_000
        (found,) = reasoning_of({"reasoning_details": [long, *more, {**more[0], "signature": "c2ln"}]}, "")
        assert found.text == long["text"] + "b" * 100_001
        assert len(long["text"]) == 4_000_000

    def test_our_envelope_is_opened_if_the_text_is_still_the_same(self) -> None:
        sealed = close(Seal("signature", "c2ln"), ORIGIN, "Hm.")
        for said in ("Hm.", "Hm!"):
            detail = {"type": "reasoning.text", "text": said, "signature": sealed}
            (found, _) = parts(assistant("So", reasoning_details=[detail]))
            assert isinstance(found, Reasoning)
            assert found.seal is not None
            assert (found.seal.form, found.seal.data) == ("signature", "c2ln")
            assert fits(found.seal, ORIGIN, Api.MESSAGES) == (said == "Hm.")


class TestTools:
    def test_functions(self) -> None:
        told = settings(
            tools=[
                function("f", description="d", strict=True) | mark("1h"),
                {"type": "function", "function": {"name": "g"}},
            ],
            tool_choice="required",
            parallel_tool_calls=False,
        )
        assert told.tools == (
            Tool(
                name="f",
                description="d",
                schema=json.dumps(SCHEMA).encode(),
                strict=True,
                cache="1h",
                at="tools[0].function",
            ),
            Tool(name="g", at="tools[1].function"),
        )
        assert (told.tool_choice, told.parallel_tool_calls) == (ToolChoice("required"), False)

    def test_the_schema_keeps_the_clients_own_bytes(self) -> None:
        body = b'{"messages":[],"tools":[{"function":{"name":"f","parameters":{"type":"object","x":1.50, "y":2}}}]}'
        told = parse(members(body), Losses())
        assert told.tools[0].schema == b'{"type":"object","x":1.50, "y":2}'

    def test_a_custom_tool_may_have_a_grammar(self) -> None:
        form = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
        told = settings(tools=[{"type": "custom", "custom": {"name": "p", "description": "d", "format": form}}])
        assert told.tools == (
            Tool(
                name="p",
                description="d",
                kind=ToolKind.CUSTOM,
                grammar={"type": "grammar", "syntax": "lark", "definition": "start: x"},
                at="tools[0].custom",
            ),
        )

    @pytest.mark.parametrize(
        ("choice", "canon"),
        [
            ("auto", ToolChoice("auto")),
            ("none", ToolChoice("none")),
            ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", "f")),
            ({"type": "custom", "custom": {"name": "p"}}, ToolChoice("tool", "p")),
        ],
    )
    def test_choices(self, choice: Any, canon: ToolChoice) -> None:
        assert settings(tool_choice=choice).tool_choice == canon

    def test_a_choice_among_some_names_them(self) -> None:
        tools = [{"type": "function", "function": {"name": "f"}}, {"type": "custom", "custom": {"name": "g"}}]
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": tools}}
        told, lost = read(C, chat(tool_choice=allowed))
        assert (told.tool_choice, lost) == (ToolChoice("required", among=("f", "g")), [])

    def test_of_a_choice_among_some_those_of_the_provider_are_lost(self) -> None:
        tools = [{"type": "web_search"}, {"type": "mcp", "mcp": {"name": "f"}}, {"type": "function"}, 5]
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": tools}}
        told, lost = read(C, chat(tool_choice=allowed))
        assert (told.tool_choice, lost) == (ToolChoice("auto", among=()), ["tool_choice"] * 4)
        allowed["allowed_tools"] = {"mode": "auto", "tools": []}
        told, lost = read(C, chat(tool_choice=allowed))
        assert (told.tool_choice, lost) == (ToolChoice("auto", among=()), [])


class TestSettings:
    @pytest.mark.parametrize(
        ("asked", "most"),
        [({}, None), ({"logprobs": False}, None), ({"logprobs": True}, 0), ({"logprobs": True, "top_logprobs": 2}, 2)],
    )
    def test_probabilities(self, asked: Any, most: int | None) -> None:
        assert settings(**asked).logprobs == most

    def test_of_two_names_for_the_user_the_new_one_counts(self) -> None:
        told, lost = read(C, chat(user="anna", safety_identifier="hash"))
        assert (told.user, lost) == ("hash", ["user"])
        assert settings(user="anna").user == "anna"

    def test_all_of_them(self) -> None:
        told = settings(
            max_tokens=5,
            max_completion_tokens=7,
            temperature=0.5,
            top_p=1,
            top_k=3,
            stop="END",
            verbosity="low",
            safety_identifier="hash",
            metadata={"a": "b"},
            prompt_cache_key="k",
            prompt_cache_retention="24h",
            service_tier="flex",
            stream=True,
            stream_options={"include_usage": True},
        )
        assert told == Request(
            api=C,
            model="m",
            turns=told.turns,
            stream=True,
            max_tokens=7,
            temperature=0.5,
            top_p=1,
            top_k=3,
            stop=("END",),
            verbosity="low",
            user="hash",
            metadata={"a": "b"},
            cache_key="k",
            cache_retention="24h",
            service_tier="flex",
        )

    @pytest.mark.parametrize(
        ("said", "canon"),
        [
            ({}, None),
            ({"reasoning_effort": "high"}, Thinking(effort="high")),
            ({"reasoning_effort": "none"}, Thinking(effort="none", enabled=False)),
            ({"reasoning": {"effort": "low", "exclude": True}}, Thinking(effort="low", summary="none")),
            ({"reasoning": {"max_tokens": 2000, "enabled": True}}, Thinking(budget=2000, enabled=True)),
        ],
    )
    def test_reasoning(self, said: Body, canon: Thinking | None) -> None:
        assert settings(**said).thinking == canon

    @pytest.mark.parametrize(
        ("said", "canon"),
        [
            ({"type": "text"}, None),
            ({"type": "json_object"}, Format(at="response_format")),
            (
                {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True}},
                Format(schema=b'{"type": "object"}', name="n", strict=True, at="response_format"),
            ),
        ],
    )
    def test_formats(self, said: Body, canon: Format | None) -> None:
        assert settings(response_format=said).format == canon

    def test_what_asks_for_nothing_is_no_loss(self) -> None:
        settings(
            n=1,
            logprobs=False,
            frequency_penalty=0,
            presence_penalty=0.0,
            logit_bias={},
            store=False,
            modalities=["text"],
            seed=None,
            stop=None,
            usage={"include": True},
        )


class TestLosses:
    def test_what_only_chat_can_say(self) -> None:
        """Wire notes, section 10: dropped, and recorded."""
        only = {
            "logit_bias": {"1": 1},
            "presence_penalty": 0.5,
            "frequency_penalty": 1,
            "seed": 7,
            "prediction": {"type": "content", "content": "x"},
            "store": True,
            "modalities": ["text", "audio"],
            "audio": {"voice": "alloy"},
            "web_search_options": {},
            "a_future_field": 1,
        }
        assert set(read(C, chat(**only))[1]) == set(only)

    def test_what_is_lost_inside(self) -> None:
        _, lost = read(
            C,
            chat(
                {"role": "user", "name": "anna", "content": [text("a", future=1), {"type": "future"}, text("b")]},
                assistant("So", audio={"id": "x"}),
                assistant("So", call(future=1, extra_content={"google": {"thought_signature": "x"}})),
                {"role": "user", "content": [text("a", cache_control={"type": "eternal"})]},
                user({"type": "image_url", "image_url": {"url": "https://a.example"}, "later": 1}),
                {"role": "critic", "content": "Bad."},
                reasoning={"effort": "low", "future": 1},
                response_format={"type": "future"},
                tools=[{"type": "future"}, function(future=1) | {"future": 1}],
            ),
        )
        assert lost == [
            "messages[0].content[0].future",
            "messages[0].content[1]",
            "messages[0].name",
            "messages[1].audio",
            "messages[2].tool_calls[0].future",
            "messages[2].tool_calls[0].extra_content",
            "messages[3].content[0].cache_control",
            "messages[4].content[0].later",
            "messages[5]",
            "tools[0]",
            "tools[1].function.future",
            "tools[1].future",
            "reasoning.future",
            "response_format",
        ]

    def test_losses_that_are_alike_are_told_once(self) -> None:
        _, lost = read(C, chat(*[{**user("a"), "name": "anna"}] * 20))
        assert lost == ["messages[0].name"]
