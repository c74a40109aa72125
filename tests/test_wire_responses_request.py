"""What is read of a Responses request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support_requests import ORIGIN, PDF, PNG, SCHEMA, R, flat, item, read, responses, user
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.canon.parts import (
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
from trivium.wire.envelope import close, fits
from trivium.wire.losses import Losses
from trivium.wire.responses.request import ONLY, parse


def turns(*items: Body | str, **more: Any) -> tuple[Turn, ...]:
    """Of an input of which nothing is lost."""
    told, lost = read(R, {"input": list(items), **more})
    assert lost == []
    return told.turns


def parts(*items: Body) -> tuple[Part, ...]:
    (turn,) = turns(*items)
    return turn.parts


def settings(**more: Any) -> Request:
    told, lost = read(R, responses(**more))
    assert lost == []
    return told


def words(said: str) -> Body:
    return {"type": "input_text", "text": said}


def called(one: str = "a", name: str = "f", arguments: str = "{}", **more: Any) -> Body:
    return item("function_call", call_id=one, name=name, arguments=arguments, **more)


def gave(one: str = "a", output: Any = "r", **more: Any) -> Body:
    return item("function_call_output", call_id=one, output=output, **more)


class TestInput:
    def test_a_string_is_what_the_user_says(self) -> None:
        told, _ = read(R, {"input": "hi"})
        assert told.turns == (Turn(Role.USER, (Text("hi", "input"),)),)

    @pytest.mark.parametrize("type", [{}, {"type": None}, {"type": "message"}])
    def test_an_item_without_a_type_is_a_message(self, type: Body) -> None:
        assert turns({**type, "role": "user", "content": "Hi"}) == turns({"role": "user", "content": "Hi"})
        assert turns({**type, "role": "user", "content": "Hi"})

    def test_a_conversation(self) -> None:
        """Reasoning, message and calls that follow each other are one turn of the assistant's."""
        said = turns(
            {"role": "developer", "content": [words("Be kind.")]},
            {"role": "user", "content": "Weather?"},
            item("reasoning", id="rs_1", summary=[{"type": "summary_text", "text": "Hm."}], content=None),
            item(
                "message",
                id="msg_1",
                role="assistant",
                status="completed",
                content=[{"type": "output_text", "text": "Let me look.", "annotations": [], "logprobs": []}],
            ),
            called("a", "look", '{"q":1}', id="fc_1", status="completed"),
            called("b", "look"),
            gave("a", "Rain", id="fco_1"),
            gave("b", [words("Sun")]),
            {"role": "assistant", "content": "Rain and sun."},
            instructions="Be brief.",
        )
        assert said == (
            Turn(Role.SYSTEM, (Text("Be brief.", "instructions"),)),
            Turn(Role.DEVELOPER, (Text("Be kind.", "input[0].content[0]"),)),
            Turn(Role.USER, (Text("Weather?", "input[1].content"),)),
            Turn(
                Role.ASSISTANT,
                (
                    Reasoning("Hm.", "input[2]"),
                    Text("Let me look.", "input[3].content[0]", apart=True),
                    ToolCall("a", "look", '{"q":1}', at="input[4]"),
                    ToolCall("b", "look", "{}", at="input[5]"),
                ),
            ),
            Turn(Role.USER, (ToolResult("a", (Text("Rain", "input[6].output"),), at="input[6]"),)),
            Turn(Role.USER, (ToolResult("b", (Text("Sun", "input[7].output[0]"),), at="input[7]"),)),
            Turn(Role.ASSISTANT, (Text("Rain and sun.", "input[8].content"),)),
        )

    def test_pictures_and_files(self) -> None:
        said = parts(
            user(
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"},
                {"type": "input_image", "image_url": "https://a.example/x.jpg"},
                {"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"},
                {"type": "input_file", "file_url": "https://a.example/a.pdf"},
            )
        )
        at = "input[0].content"
        assert said == (
            Image(Data("image/png", PNG), f"{at}[0]", detail="high"),
            Image(Url("https://a.example/x.jpg"), f"{at}[1]"),
            Document(Data("application/pdf", PDF), f"{at}[2]", title="a.pdf"),
            Document(Url("https://a.example/a.pdf"), f"{at}[3]"),
        )

    def test_results_may_hold_pictures_and_objects(self) -> None:
        picture = {"type": "input_image", "image_url": "https://a.example/x.jpg"}
        assert parts(gave("a", [words("Seen"), picture])) == (
            ToolResult(
                "a",
                (Text("Seen", "input[0].output[0]"), Image(Url("https://a.example/x.jpg"), "input[0].output[1]")),
                at="input[0]",
            ),
        )
        assert parts(gave("a", {"rain": 1.5})) == (
            ToolResult("a", (Text('{"rain":1.5}', "input[0].output"),), at="input[0]"),
        )

    def test_free_text_tools_and_namespaces(self) -> None:
        """Codex."""
        said = parts(
            item("custom_tool_call", id="ctc_1", call_id="a", name="apply_patch", input="*** Begin"),
            called("b", "close_agent", namespace="multi_agent_v1"),
        )
        assert said == (
            ToolCall("a", "apply_patch", "*** Begin", ToolKind.CUSTOM, at="input[0]"),
            ToolCall("b", "close_agent", "{}", namespace="multi_agent_v1", at="input[1]"),
        )
        (result,) = parts(item("custom_tool_call_output", id="ctco_1", call_id="a", output="Done"))
        assert result == ToolResult("a", (Text("Done", "input[0].output"),), at="input[0]")

    def test_a_refusal(self) -> None:
        said = parts({"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]})
        assert said == (Refusal("No.", "input[0].content[0]"),)

    def test_an_id_that_we_made_of_an_upstreams_turns_back_into_it(self) -> None:
        (call,) = parts(called("tvid_ZnVuY3Rpb25zLmFkZDow"))
        assert isinstance(call, ToolCall)
        assert call.id == "functions.add:0"


class TestReasoning:
    def test_the_text_is_read_or_else_the_summary_that_was_sealed(self) -> None:
        pieces = [{"type": "summary_text", "text": "One."}, {"type": "summary_text", "text": "Two."}]
        raw = [{"type": "reasoning_text", "text": "Raw."}]
        (both,) = parts(item("reasoning", summary=pieces, content=raw))
        (open_weights,) = parts(item("reasoning", summary=[], content=raw))
        (summed,) = parts(item("reasoning", summary=pieces))
        assert (both, summed) == (Reasoning("Raw.", "input[0]"), Reasoning("One.\n\nTwo.", "input[0]"))
        (sealed,) = parts(item("reasoning", summary=pieces, content=raw, encrypted_content="c2VhbA=="))
        assert isinstance(sealed, Reasoning)
        assert sealed.text == "One.\n\nTwo."
        assert open_weights == Reasoning("Raw.", "input[0]")

    def test_what_is_sealed_is_kept_as_it_is(self) -> None:
        (found,) = parts(item("reasoning", summary=[], encrypted_content="gAAA"))
        assert found == Reasoning("", "input[0]", Seal("encrypted", "gAAA"))

    def test_our_envelope_is_opened_if_the_text_is_still_the_same(self) -> None:
        sealed = close(Seal("signature", "c2ln"), ORIGIN, "Hm.")
        for said in ("Hm.", "Hm!"):
            (found,) = parts(item("reasoning", summary=[{"text": said}], encrypted_content=sealed))
            assert isinstance(found, Reasoning)
            assert found.seal is not None
            assert (found.seal.form, found.seal.data) == ("signature", "c2ln")
            assert fits(found.seal, ORIGIN, Api.MESSAGES) == (said == "Hm.")


class TestTools:
    def test_functions_and_free_text(self) -> None:
        grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
        told = settings(
            tools=[
                flat("f", description="d", strict=True),
                {"type": "function", "name": "g", "parameters": None},
                {"type": "custom", "name": "p", "description": "d", "format": grammar},
                {"type": "custom", "name": "q", "format": {"type": "text"}},
            ],
            tool_choice="required",
            parallel_tool_calls=False,
        )
        assert told.tools == (
            Tool(name="f", description="d", schema=json.dumps(SCHEMA).encode(), strict=True, at="tools[0]"),
            Tool(name="g", at="tools[1]"),
            Tool(name="p", description="d", kind=ToolKind.CUSTOM, grammar=grammar, at="tools[2]"),
            Tool(name="q", kind=ToolKind.CUSTOM, at="tools[3]"),
        )
        assert (told.tool_choice, told.parallel_tool_calls) == (ToolChoice("required"), False)

    def test_tools_in_a_namespace_keep_its_name(self) -> None:
        told = settings(tools=[{"type": "namespace", "name": "agents", "tools": [flat("f"), flat("g")]}])
        assert [(tool.namespace, tool.name, tool.at) for tool in told.tools] == [
            ("agents", "f", "tools[0].tools[0]"),
            ("agents", "g", "tools[0].tools[1]"),
        ]

    def test_what_a_namespace_says_of_itself_is_lost(self) -> None:
        _, lost = read(R, responses(tools=[{"type": "namespace", "name": "n", "description": "d", "tools": [flat()]}]))
        assert lost == ["tools[0].description"]

    @pytest.mark.parametrize(
        ("choice", "canon"),
        [
            ("auto", ToolChoice("auto")),
            ("none", ToolChoice("none")),
            ({"type": "function", "name": "f"}, ToolChoice("tool", "f")),
            ({"type": "custom", "name": "p"}, ToolChoice("tool", "p")),
            ({"type": "function", "name": "f", "namespace": "n"}, ToolChoice("tool", "f", "n")),
            (
                {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]},
                ToolChoice("required", among=("f",)),
            ),
        ],
    )
    def test_choices(self, choice: Any, canon: ToolChoice) -> None:
        assert settings(tool_choice=choice).tool_choice == canon

    def test_the_choice_of_a_tool_that_the_provider_runs_is_lost(self) -> None:
        told, lost = read(R, responses(tool_choice={"type": "web_search"}))
        assert (told.tool_choice, lost) == (None, ["tool_choice"])

    def test_of_a_choice_among_some_those_of_the_provider_are_lost(self) -> None:
        allowed = [{"type": "mcp", "server_label": "s", "name": "f"}, {"type": "function", "name": "g"}]
        told, lost = read(R, responses(tool_choice={"type": "allowed_tools", "mode": "auto", "tools": allowed}))
        assert (told.tool_choice, lost) == (ToolChoice("auto", among=("g",)), ["tool_choice"])


class TestSettings:
    @pytest.mark.parametrize(
        ("asked", "most"),
        [
            ({}, None),
            ({"include": ["reasoning.encrypted_content"], "top_logprobs": 0}, None),
            ({"include": ["message.output_text.logprobs"]}, 0),
            ({"top_logprobs": 2}, 2),
        ],
    )
    def test_probabilities(self, asked: Any, most: int | None) -> None:
        assert settings(**asked).logprobs == most

    def test_of_two_names_for_the_user_the_new_one_counts(self) -> None:
        told, lost = read(R, responses(user="anna", safety_identifier="hash"))
        assert (told.user, lost) == ("hash", ["user"])
        assert settings(user="anna").user == "anna"

    def test_all_of_them(self) -> None:
        told = settings(
            max_output_tokens=7,
            temperature=0.5,
            top_p=1,
            text={"verbosity": "low"},
            safety_identifier="hash",
            metadata={"a": "b"},
            prompt_cache_key="k",
            prompt_cache_retention="24h",
            service_tier="flex",
            stream=True,
        )
        assert told == Request(
            api=R,
            model="m",
            turns=told.turns,
            stream=True,
            max_tokens=7,
            temperature=0.5,
            top_p=1,
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
            ({"effort": "high"}, Thinking(effort="high")),
            ({"effort": "none"}, Thinking(effort="none", enabled=False)),
            ({"summary": "auto"}, Thinking(summary="auto")),
            ({"generate_summary": "concise"}, Thinking(summary="concise")),
        ],
    )
    def test_reasoning(self, said: Body, canon: Thinking | None) -> None:
        assert settings(reasoning=said).thinking == canon

    @pytest.mark.parametrize(
        ("said", "canon"),
        [
            ({"type": "text"}, None),
            ({"type": "json_object"}, Format(at="text.format")),
            (
                {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
                Format(schema=b'{"type": "object"}', name="n", strict=True, at="text.format"),
            ),
        ],
    )
    def test_formats(self, said: Body, canon: Format | None) -> None:
        assert settings(text={"format": said}).format == canon

    def test_what_asks_for_nothing_is_no_loss(self) -> None:
        settings(
            background=False,
            store=False,
            truncation="disabled",
            include=["reasoning.encrypted_content"],
            top_logprobs=0,
            stream_options={"include_obfuscation": False},
            reasoning=None,
            max_tool_calls=None,
        )


class TestLosses:
    def test_what_only_responses_can_say(self) -> None:
        only = {
            "include": ["file_search_call.results"],
            "max_tool_calls": 3,
            "store": True,
            "truncation": "auto",
            "context_management": [{"type": "compaction"}],
            "client_metadata": {"x": "y"},
            "a_future_field": 1,
        }
        assert set(read(R, responses(**only))[1]) == set(only)

    def test_what_is_to_be_included_counts_once(self) -> None:
        losses = Losses()
        parse(members(json.dumps(responses(include=["", *["web"] * 3])).encode()), losses)
        assert [loss.why for loss in losses.told()] == [f"{ONLY}: ``", f"{ONLY}: `web`"]

    def test_items_and_tools_that_run_at_the_provider(self) -> None:
        kinds = ["web_search_call", "mcp_call", "tool_search_call", "a_future_call", "a_future_item"]
        told, lost = read(
            R,
            responses(
                user("hi"),
                item("reasoning", summary=[{"text": "Hm."}]),
                *[item(kind) for kind in kinds],
                item("message", role="assistant", content="So"),
                tools=[{"type": "web_search"}, {"type": "tool_search", "execution": "client"}, {"name": "f"}],
            ),
        )
        assert lost == [*[f"input[{n}]" for n in range(2, 7)], "tools[0]", "tools[1]", "tools[2]"]
        assert [type(part) for part in told.turns[1].parts] == [Reasoning, Text]

    def test_what_is_lost_inside(self) -> None:
        source = {"type": "url_citation", "url": "https://a.example"}
        _, lost = read(
            R,
            responses(
                {"role": "user", "content": [words("a") | {"future": 1}, {"type": "input_audio"}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "So", "annotations": [source]}]},
                called(future=1),
                gave(later=1),
                item("reasoning", summary=[], sooner=1),
                {"role": "critic", "content": "Bad."},
                tools=[flat(defer_loading=True, future=1)],
                text={"format": {"type": "future"}, "future": 1},
                reasoning={"effort": "low", "context": "all", "mode": "deep"},
            ),
        )
        assert lost == [
            "text.future",
            "text.format",
            "input[0].content[0].future",
            "input[0].content[1]",
            "input[1].content[0].annotations",
            "input[2].future",
            "input[3].later",
            "input[4].sooner",
            "input[5]",
            "tools[0].defer_loading",
            "tools[0].future",
            "reasoning.context",
            "reasoning.mode",
        ]
