"""What a Chat Completions upstream gets of requests of the other APIs. Rows and traps are those of the wire notes,
sections 10 and 11."""

from __future__ import annotations

from typing import Any

import pytest

from support_requests import (
    LOOSE,
    ORIGIN,
    PDF,
    PNG,
    SCHEMA,
    C,
    M,
    R,
    flat,
    item,
    messages,
    render,
    responses,
    result,
    said,
    send,
    text,
    tool,
    use,
    user,
)
from support_vendors_values import Body
from trivium.canon.parts import Seal
from trivium.canon.traits import Traits
from trivium.errors import Untranslatable
from trivium.wire.envelope import close

OPENAI = Traits(system_anywhere=True, developer=True, max_completion_tokens=True, custom_tools=True, stop_limit=4)


def of(*turns: Body, traits: Traits | None = None, beyond: tuple[str, ...] = (), **more: Any) -> Any:
    """The messages that become of those of Messages, of which nothing is lost."""
    sent = send(M, C, messages(*turns, **more), traits, beyond=beyond)
    assert sent.losses == {}
    return sent.body["messages"]


def picture(**more: Any) -> Body:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}, **more}


def pdf(**more: Any) -> Body:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, **more}


SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


class TestSystem:
    """Row "System": one message for a run of them."""

    def test_blocks_of_the_system_are_one_message(self) -> None:
        assert of(user("hi"), system=[text("Be brief."), text("Be kind.")]) == [
            {"role": "system", "content": "Be brief.\n\nBe kind."},
            {"role": "user", "content": "hi"},
        ]

    def test_for_templates_of_local_models_all_of_it_stands_first(self) -> None:
        """Trap 9: they fail on a system message in the middle, and Claude Code sends one."""
        body = messages(user("hi"), {"role": "system", "content": "Be kind."}, said(text("So")), user("And?"))
        sent = send(M, C, body | {"system": "Be brief."})
        assert [(one["role"], one["content"]) for one in sent.body["messages"]] == [
            ("system", "Be brief.\n\nBe kind."),
            ("user", "hi"),
            ("assistant", "So"),
            ("user", "And?"),
        ]
        assert sent.lost == ["messages[1].content"]

    def test_who_takes_it_gets_it_where_it_stands(self) -> None:
        told = of(user("hi"), {"role": "system", "content": "Be kind."}, said(text("So")), user("?"), traits=OPENAI)
        assert [one["role"] for one in told] == ["user", "system", "assistant", "user"]

    def test_the_developer_is_one_only_to_openai(self) -> None:
        body = responses({"role": "developer", "content": "Be kind."}, user("hi"), instructions="Be brief.")
        assert [one["role"] for one in send(R, C, body, OPENAI).body["messages"]] == ["system", "developer", "user"]
        assert [one["role"] for one in send(R, C, body).body["messages"]] == ["system", "user"]


class TestTools:
    """Rows "Tools" and "tool_choice"."""

    def test_a_function(self) -> None:
        body = messages(tools=[tool("f", description="d"), tool("g", strict=True)])
        assert send(M, C, body).body["tools"] == [
            {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}},
            {"type": "function", "function": {"name": "g", "parameters": SCHEMA, "strict": True}},
        ]

    @pytest.mark.parametrize(
        ("schema", "after"),
        [
            (None, {"type": "object", "properties": {}}),
            ({}, {"type": "object", "properties": {}}),
            ({"type": "object"}, {"type": "object", "properties": {}}),
            ({"properties": {"q": {}}}, {"type": "object", "properties": {"q": {}}}),
            (
                {"type": "object", "anyOf": [{"properties": {"q": {}}}]},
                {"type": "object", "anyOf": [{"properties": {"q": {}}}], "properties": {}},
            ),
        ],
    )
    def test_parameters_that_are_missing(self, schema: Any, after: Body) -> None:
        (sent,) = send(M, C, messages(tools=[tool(schema=schema)])).body["tools"]
        assert sent["function"]["parameters"] == after

    def test_a_schema_that_openai_would_not_enforce_is_not_strict(self) -> None:
        sent = send(M, C, messages(tools=[tool(schema=LOOSE, strict=True)]))
        assert sent.body["tools"][0]["function"]["strict"] is False
        assert sent.lost == ["tools[0].strict"]

    @pytest.mark.parametrize(
        ("choice", "after"),
        [
            ({"type": "auto"}, "auto"),
            ({"type": "any"}, "required"),
            ({"type": "none"}, "none"),
            ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ],
    )
    def test_choices(self, choice: Body, after: Any) -> None:
        body = send(M, C, messages(tools=[tool()], tool_choice=choice)).body
        assert body["tool_choice"] == after
        assert "parallel_tool_calls" not in body

    def test_one_call_at_a_time(self) -> None:
        choice = {"type": "auto", "disable_parallel_tool_use": True}
        assert send(M, C, messages(tools=[tool()], tool_choice=choice)).body["parallel_tool_calls"] is False
        assert "parallel_tool_calls" not in send(M, C, messages(tool_choice=choice)).body

    def test_a_choice_of_a_tool_that_did_not_cross_is_none(self) -> None:
        search = {"type": "web_search_20250305", "name": "web_search"}
        for choice in ({"type": "tool", "name": "web_search"}, {"type": "any"}):
            sent = send(M, C, messages(tools=[search], tool_choice=choice))
            assert "tool_choice" not in sent.body
            assert sent.lost == ["tools[0]", "tool_choice"]

    def test_names_that_openai_would_refuse_are_cut_and_told_apart(self) -> None:
        names = ["mcp.weather:now", "mcp/weather/now", "x" * 100]
        body = messages(
            user("hi"), said(*[use(str(n), name) for n, name in enumerate(names)]), tools=[tool(name) for name in names]
        )
        body["messages"].append(user(*[result(str(n)) for n in range(3)]))
        sent = send(M, C, body | {"tool_choice": {"type": "tool", "name": names[0]}}).body
        told = [one["function"]["name"] for one in sent["tools"]]
        assert [one[:15] for one in told] == ["mcp_weather_now", "mcp_weather_now", "x" * 15]
        assert len(set(told)) == 3
        assert [one["function"]["name"] for one in sent["messages"][1]["tool_calls"]] == told
        assert sent["tool_choice"]["function"]["name"] == told[0]

    def test_a_namespace_is_a_part_of_the_name(self) -> None:
        """Codex."""
        tools = [flat("close"), {"type": "namespace", "name": "agents", "tools": [flat("close", strict=False)]}]
        items = [
            user("hi"),
            item("function_call", call_id="a", name="close", namespace="agents", arguments="{}"),
            item("function_call_output", call_id="a", output="r"),
        ]
        choice = {"type": "function", "name": "close", "namespace": "agents"}
        sent = send(R, C, responses(*items, tools=tools, tool_choice=choice)).body
        assert [one["function"]["name"] for one in sent["tools"]] == ["close", "agents__close"]
        assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == "agents__close"
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "agents__close"}}

    def test_free_text_is_the_one_argument_of_a_function(self) -> None:
        """Codex's apply_patch, where there are only functions."""
        grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
        items = [
            user("hi"),
            item("custom_tool_call", call_id="a", name="patch", input='*** "Begin"'),
            item("custom_tool_call_output", call_id="a", output="Done"),
        ]
        body = responses(
            *items,
            tools=[{"type": "custom", "name": "patch", "description": "d", "format": grammar}],
            tool_choice={"type": "custom", "name": "patch"},
        )
        sent = send(R, C, body).body
        schema = sent["tools"][0]["function"]["parameters"]
        assert schema["required"] == ["input"]
        assert "start: x" in schema["properties"]["input"]["description"]
        called = sent["messages"][1]["tool_calls"][0]["function"]
        assert called == {"name": "patch", "arguments": '{"input":"*** \\"Begin\\""}'}
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "patch"}}

        native = send(R, C, body, OPENAI).body
        wrapped = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
        assert native["tools"] == [
            {"type": "custom", "custom": {"name": "patch", "description": "d", "format": wrapped}}
        ]
        assert native["messages"][1]["tool_calls"] == [
            {"id": "a", "type": "custom", "custom": {"name": "patch", "input": '*** "Begin"'}}
        ]
        assert native["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}


class TestToolTurns:
    """Row "Tool turns", trap 3: split results of parallel calls."""

    def test_results_stand_before_what_else_the_user_says(self) -> None:
        turns = [user("Weather?"), said(text("Let me look."), use("a", "f", {"q": 1.5}), use("b"))]
        assert of(*turns, user(text("Well?"), result("b", "Sun"), result("a", "Rain"))) == [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"q":1.5}'}},
                    {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "Rain"},
            {"role": "tool", "tool_call_id": "b", "content": "Sun"},
            {"role": "user", "content": "Well?"},
        ]

    def test_calls_without_words_have_no_content(self) -> None:
        """Trap 2: an empty text beside calls is refused."""
        told = of(user("hi"), said(use()), user(result()))
        assert told[1]["content"] is None

    def test_texts_side_by_side_are_one_and_others_apart(self) -> None:
        """As in answers: Claude's citations split a text, and what stands between two texts parts them."""
        cited = of(user("hi"), said(text("It is "), text("empty.")), user("?"))
        assert cited[1]["content"] == "It is empty."
        called = of(user("hi"), said(text("I look."), use(), text("And wait.")), user(result()))
        assert called[1]["content"] == "I look.\n\nAnd wait."

    def test_two_messages_are_apart(self) -> None:
        """Codex: a commentary, then the answer."""

        def spoken(*told: str) -> Body:
            return {"role": "assistant", "content": [{"type": "output_text", "text": one} for one in told]}

        body = responses(user("hi"), spoken("I will look.", " Now."), spoken("It is empty."), user("?"))
        assert send(R, C, body).body["messages"][1]["content"] == "I will look. Now.\n\nIt is empty."
        turns = [user("hi"), said(text("I look.")), said(text("Now."), use()), user(result())]
        assert of(*turns)[1]["content"] == "I look.\n\nNow."

    def test_pictures_and_files_in_results_follow_all_of_them(self) -> None:
        turns = [user("Look!"), said(use("a"), use("b"))]
        told = of(
            *turns, user(result("a", [text("Seen"), picture()]), result("b", [pdf(title="a.pdf")]), text("Well?"))
        )
        assert told[2:] == [
            {"role": "tool", "tool_call_id": "a", "content": "Seen"},
            {"role": "tool", "tool_call_id": "b", "content": "The result follows in the user's message."},
            {
                "role": "user",
                "content": [
                    text("From the result of the tool call a:"),
                    SHOWN,
                    text("From the result of the tool call b:"),
                    {
                        "type": "file",
                        "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
                    },
                ],
            },
            {"role": "user", "content": "Well?"},
        ]

    def test_a_tools_error_is_told_in_words(self) -> None:
        turns = [user("hi"), said(use("a"), use("b"))]
        told = of(*turns, user(result("a", "Exit code 3", is_error=True), result("b", [], is_error=True)))
        assert [one["content"] for one in told[2:]] == ["The tool failed: Exit code 3", "The tool failed: "]

    def test_what_is_left_over_is_mended(self) -> None:
        """Calls without results, results without calls, two results of one call: the last counts."""
        sent = send(
            M,
            C,
            messages(
                user(result("z", "orphan")),
                said(use("a"), use("b")),
                user(result("a", "first"), result("a", "last")),
            ),
        )
        assert sent.body["messages"] == [
            {"role": "user", "content": "Result of the tool call z:\n\norphan"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "last"},
            {
                "role": "tool",
                "tool_call_id": "b",
                "content": "The tool failed: Tool execution was interrupted before completion.",
            },
        ]
        assert sent.lost == ["messages[0].content[0]", "messages[2].content[0]", "messages[1].content[1]"]

    def test_what_stands_between_calls_and_results_comes_after(self) -> None:
        told = of(user("hi"), said(use()), {"role": "system", "content": "!"}, user(result()), traits=OPENAI)
        assert [one["role"] for one in told] == ["user", "assistant", "tool", "system"]

    def test_ids_are_cut_alike_for_call_and_result(self) -> None:
        """Row "Ids": OpenAI takes 64 characters."""
        told = of(user("hi"), said(use("x" * 99)), user(result("x" * 99)))
        assert len(told[1]["tool_calls"][0]["id"]) == 64
        assert told[1]["tool_calls"][0]["id"] == told[2]["tool_call_id"]

    def test_an_upstreams_own_id_comes_home(self) -> None:
        """Trap 1: dots and colons (Kimi)."""
        coded = "tvid_ZnVuY3Rpb25zLmFkZDow"
        told = of(user("hi"), said(use(coded)), user(result(coded)))
        assert told[1]["tool_calls"][0]["id"] == told[2]["tool_call_id"] == "functions.add:0"


class TestMedia:
    """Row "Images/documents"."""

    def test_pictures_and_documents(self) -> None:
        linked = {"type": "image", "source": {"type": "url", "url": "https://a.example/x.jpg"}}
        (told,) = of(user(text("Look!"), picture(), linked, pdf()))
        assert told["content"] == [
            text("Look!"),
            SHOWN,
            {"type": "image_url", "image_url": {"url": "https://a.example/x.jpg"}},
            {"type": "file", "file": {"filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
        ]

    def test_a_text_is_one(self) -> None:
        (told,) = of(user({"type": "document", "source": {"type": "text", "data": "Once."}, "title": "T"}))
        assert told["content"] == "<document>\nTitle: T\nOnce.\n</document>"

    def test_a_detail_that_only_responses_knows_is_lost(self) -> None:
        shown = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}
        body = responses(user(shown | {"detail": "original"}, shown | {"detail": "low"}))
        sent = send(R, C, body)
        assert [part["image_url"].get("detail") for part in sent.body["messages"][0]["content"]] == [None, "low"]
        assert sent.lost == ["input[0].content[0].detail"]

    def test_a_document_by_its_url_cannot_be_said(self) -> None:
        linked = {"type": "document", "source": {"type": "url", "url": "https://a.example/a.pdf"}}
        with pytest.raises(Untranslatable) as raised:
            send(M, C, messages(user(linked)))
        assert raised.value.param == "messages[0].content[0]"


class TestReasoningContent:
    """Row "Reasoning content", trap 4: only its origin gets a seal back, and never as another kind of text."""

    def thought(self, seal: Seal, origin: str = ORIGIN, told: str = "Hm.") -> Body:
        return {"type": "thinking", "thinking": told, "signature": close(seal, origin, "Hm.")}

    def test_a_detail_comes_home_as_it_was(self) -> None:
        seal = Seal("detail", '{"format":"anthropic-claude-v1","id":1.50,"signature":"c2ln","type":"reasoning.text"}')
        (_, answer) = of(user("hi"), said(self.thought(seal), text("So")), beyond=("reasoning_details",))
        assert answer == {
            "role": "assistant",
            "content": "So",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "Hm.",
                    "format": "anthropic-claude-v1",
                    "id": 1.5,
                    "signature": "c2ln",
                    "index": 0,
                }
            ],
        }

    def test_a_summary_is_one_again(self) -> None:
        seal = Seal("detail", '{"type":"reasoning.summary"}')
        (_, answer) = of(user("hi"), said(self.thought(seal), text("So")), beyond=("reasoning_details",))
        assert answer["reasoning_details"] == [{"type": "reasoning.summary", "summary": "Hm.", "index": 0}]

    def test_plain_reasoning_comes_home_too(self) -> None:
        """DeepSeek and Kimi want it back in a chain of calls."""
        (_, answer) = of(user("hi"), said(self.thought(Seal("plain")), text("So")), beyond=("reasoning_content",))
        assert answer["reasoning_content"] == "Hm."

    def test_some_call_it_otherwise(self) -> None:
        """Groq and Cerebras refuse `reasoning_content`."""
        traits = Traits(reasoning_member="reasoning")
        turns = [user("hi"), said(self.thought(Seal("plain")), use()), user(result())]
        (_, answer, _) = of(*turns, traits=traits, beyond=("reasoning",))
        assert answer["reasoning"] == "Hm."
        assert "reasoning_content" not in answer

    def test_to_magistral_it_is_a_part_of_the_content(self) -> None:
        thinking = {"type": "thinking", "thinking": [text("Hm.")]}
        thought, traits = self.thought(Seal("plain")), Traits(reasoning_member="thinking")
        body = messages(user("hi"), said(thought, text("So"), use()), user(result()))
        sent = render(M, C, body, traits)
        assert sent.body["messages"][1]["content"] == [thinking, text("So")]
        assert not sent.body["messages"][1].keys() - {"role", "content", "tool_calls"}
        assert sent.losses == {}
        silent = render(M, C, messages(user("hi"), said(thought, use()), user(result())), traits)
        assert silent.body["messages"][1]["content"] == [thinking]

    def test_where_there_is_no_place_for_it_it_is_lost(self) -> None:
        """Mistral's other models."""
        body = messages(user("hi"), said(self.thought(Seal("plain")), text("So")), user("?"))
        sent = send(M, C, body, Traits(reasoning_member=None))
        assert sent.body["messages"][1] == {"role": "assistant", "content": "So"}
        assert sent.losses == {"messages[1].content[0]": "this model takes no reasoning back"}

    def test_googles_seal_stands_at_the_call_that_follows(self) -> None:
        (_, answer, *_) = of(
            user("hi"),
            said(self.thought(Seal("google", "Z29v")), use("a"), use("b")),
            user(result("a"), result("b")),
            beyond=("extra_content", "reasoning_content"),
        )
        first, second = answer["tool_calls"]
        assert first["extra_content"] == {"google": {"thought_signature": "Z29v"}}
        assert "extra_content" not in second

    def test_gemini_3_gets_a_stand_in_for_a_seal_that_is_not_there(self) -> None:
        """Trap 12."""
        traits = Traits(unsigned_call="skip_thought_signature_validator")
        (_, answer, *_) = of(
            user("hi"),
            said(use("a"), use("b")),
            user(result("a"), result("b")),
            traits=traits,
            beyond=("extra_content",),
        )
        first, second = answer["tool_calls"]
        assert first["extra_content"] == {"google": {"thought_signature": "skip_thought_signature_validator"}}
        assert "extra_content" not in second

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "thinking", "thinking": "Hm."},
            {"type": "redacted_thinking", "data": "ZW5j"},
            {"type": "thinking", "thinking": "Hm.", "signature": close(Seal("detail", "{}"), "another", "Hm.")},
            {"type": "thinking", "thinking": "Hm!", "signature": close(Seal("detail", "{}"), ORIGIN, "Hm.")},
        ],
        ids=["signed", "unsigned", "redacted", "of another", "altered"],
    )
    def test_what_is_not_its_own_is_dropped(self, block: Body) -> None:
        sent = send(M, C, messages(user("hi"), said(block, text("So")), user("?")))
        assert sent.body["messages"][1] == {"role": "assistant", "content": "So"}
        assert sent.lost == ["messages[1].content[0]"]

    def test_a_seal_that_a_client_made_up_does_no_harm(self) -> None:
        for made_up in ("no json", "[1]", "1", ""):
            block = self.thought(Seal("detail", made_up))
            (_, answer) = of(user("hi"), said(block, text("So")), beyond=("reasoning_details",))
            assert answer["reasoning_details"] == [{"text": "Hm.", "index": 0}]

    def test_reasoning_that_led_to_nothing_is_dropped(self) -> None:
        sent = send(M, C, messages(user("hi"), said(self.thought(Seal("plain"))), user("?")))
        assert [one["role"] for one in sent.body["messages"]] == ["user", "user"]
        assert sent.lost == ["messages[1].content[0]"]
