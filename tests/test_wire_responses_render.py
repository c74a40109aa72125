"""What a Responses upstream gets of requests of the other APIs. Rows and traps are those of the wire notes, sections
10 and 11."""

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
    assistant,
    call,
    chat,
    function,
    gave,
    messages,
    result,
    said,
    send,
    text,
    tool,
    use,
    user,
    vendors,
)
from support_vendors_values import Body
from trivium.canon.parts import Seal
from trivium.canon.traits import Traits
from trivium.errors import Untranslatable
from trivium.wire.envelope import close


def of(*turns: Body, traits: Traits | None = None, **more: Any) -> Any:
    """The input that becomes of messages of Messages, of which nothing is lost."""
    sent = send(M, R, messages(*turns, **more), traits)
    assert sent.losses == {}
    return sent.body["input"]


def words(said: str) -> Body:
    return {"type": "input_text", "text": said}


def asked(*parts: Body | str, role: str = "user") -> Body:
    content = [words(part) if isinstance(part, str) else part for part in parts]
    return {"type": "message", "role": role, "content": content}


def answered(*said: str, **more: Any) -> Body:
    content = [{"type": "output_text", "text": one, "annotations": []} for one in said]
    return {"type": "message", "role": "assistant", "content": content, **more, "status": "completed"}


def called(one: str, name: str = "f", arguments: str = "{}") -> Body:
    return {"type": "function_call", "call_id": one, "name": name, "arguments": arguments}


def given(one: str, output: Any = "r") -> Body:
    return {"type": "function_call_output", "call_id": one, "output": output}


def picture() -> Body:
    return {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}


def pdf(**more: Any) -> Body:
    return {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}, **more}


SHOWN = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"}


class TestConversation:
    def test_nothing_of_it_is_kept_there(self) -> None:
        """`store` is true where it is not said, and items have no ids where nothing is kept."""
        body = send(M, R, messages(user("hi"), said(text("So"), use()), user(result()))).body
        assert body["store"] is False
        assert not any("id" in one for one in body["input"])
        assert "include" not in body

    def test_turns_are_items(self) -> None:
        turns = [user("Weather?"), said(text("Let me"), text(" look."), use("a", "f", {"q": 1.5}), use("b"), text("!"))]
        assert of(*turns, user(text("Well?"), result("b", "Sun"), result("a", "Rain"), text("Or?"))) == [
            asked("Weather?"),
            answered("Let me", " look."),
            called("a", arguments='{"q":1.5}'),
            called("b"),
            answered("!"),
            given("a", "Rain"),
            given("b", "Sun"),
            asked("Well?", "Or?"),
        ]

    def test_openrouter_wants_ids_of_the_assistants_messages(self) -> None:
        told = of(user("hi"), said(text("So")), user("?"), said(text("Then")), user("?"), traits=Traits(item_ids=True))
        assert [one.get("id") for one in told] == [None, "msg_00000001", None, "msg_00000002", None]

    def test_a_refusal_stays_one(self) -> None:
        body = send(C, R, chat(user("hi"), assistant(refusal="No."), user("?"))).body
        assert body["input"][1]["content"] == [{"type": "refusal", "refusal": "No."}]


class TestSystem:
    """Row "System"."""

    def test_what_opens_the_conversation_is_the_instructions(self) -> None:
        body = send(
            C,
            R,
            chat({"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}, user("a")),
        ).body
        assert (body["instructions"], body["input"]) == ("Be brief.\n\nBe kind.", [asked("a")])

    def test_later_ones_stay_where_they_stand(self) -> None:
        """Trap 9. Claude Code sends one in the middle."""
        assert of(user("hi"), {"role": "system", "content": "Be kind."}, said(text("So")), user("?")) == [
            asked("hi"),
            asked("Be kind.", role="system"),
            answered("So"),
            asked("?"),
        ]

    def test_instructions_alone_are_the_input(self) -> None:
        """Without any input the request is refused."""
        body = send(C, R, chat({"role": "system", "content": "Say hi."})).body
        assert body["input"] == [asked("Say hi.", role="developer")]
        assert "instructions" not in body

    def test_any_json_must_be_asked_for_in_a_message(self) -> None:
        """`instructions` are none to the check for the word."""
        form = {"type": "json_object"}
        body = send(C, R, chat({"role": "system", "content": "As JSON."}, user("hi"), response_format=form)).body
        assert body["input"] == [asked("As JSON.", role="developer"), asked("hi")]
        assert body["text"] == {"format": {"type": "json_object"}}


class TestTools:
    """Rows "Tools" and "tool_choice"."""

    def test_a_function_says_whether_it_is_strict(self) -> None:
        """There the default is that it is."""
        sent = send(M, R, messages(tools=[tool("f", description="d"), tool("g", strict=True), tool("h", LOOSE)]))
        assert sent.body["tools"] == [
            {"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": False},
            {"type": "function", "name": "g", "parameters": SCHEMA, "strict": True},
            {"type": "function", "name": "h", "parameters": LOOSE, "strict": False},
        ]

    def test_a_schema_that_openai_would_not_enforce_is_not_strict(self) -> None:
        sent = send(M, R, messages(tools=[tool(schema=LOOSE, strict=True)]))
        assert (sent.body["tools"][0]["strict"], sent.lost) == (False, ["tools[0].strict"])

    @pytest.mark.parametrize("schema", [None, {}, {"type": "object"}])
    def test_parameters_that_are_missing(self, schema: Any) -> None:
        (sent,) = send(C, R, chat(tools=[function(schema=schema)])).body["tools"]
        assert sent["parameters"] == {"type": "object", "properties": {}}

    @pytest.mark.parametrize(
        ("choice", "after"),
        [
            ("auto", "auto"),
            ("required", "required"),
            ("none", "none"),
            ({"type": "function", "function": {"name": "f"}}, {"type": "function", "name": "f"}),
        ],
    )
    def test_choices(self, choice: Any, after: Any) -> None:
        sent = send(C, R, chat(tools=[function()], tool_choice=choice, parallel_tool_calls=False)).body
        assert (sent["tool_choice"], sent["parallel_tool_calls"]) == (after, False)
        assert not send(C, R, chat(parallel_tool_calls=False)).body.keys() & {"tool_choice", "parallel_tool_calls"}

    def test_names_that_openai_would_refuse_are_cut_and_told_apart(self) -> None:
        body = messages(
            user("hi"),
            said(use("a", "mcp.f"), use("b", "mcp/f")),
            user(result("a"), result("b")),
            tools=[tool("mcp.f"), tool("mcp/f")],
        )
        sent = send(M, R, body).body
        told = [one["name"] for one in sent["tools"]]
        assert len(set(told)) == 2
        assert [one["name"] for one in sent["input"][1:3]] == told

    def test_free_text_tools_are_a_part_of_the_api(self) -> None:
        grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
        body = chat(
            user("hi"),
            assistant(
                None, {"id": "a", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}, call("b")
            ),
            gave("b", "r"),
            gave("a", "Done"),
            tools=[{"type": "custom", "custom": {"name": "patch", "format": grammar}}, function()],
            tool_choice={"type": "custom", "custom": {"name": "patch"}},
        )
        sent = send(C, R, body).body
        assert sent["tools"][0] == {
            "type": "custom",
            "name": "patch",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"},
        }
        assert sent["tool_choice"] == {"type": "custom", "name": "patch"}
        assert sent["input"][1:] == [
            {"type": "custom_tool_call", "call_id": "a", "name": "patch", "input": "*** Begin"},
            called("b"),
            {"type": "custom_tool_call_output", "call_id": "a", "output": "Done"},
            given("b"),
        ]


class TestToolTurns:
    """Row "Tool turns"."""

    def test_pictures_and_files_stay_in_results(self) -> None:
        turns = [user("Look!"), said(use("a")), user(result("a", [text("Seen"), picture(), pdf(title="a.pdf")]))]
        file = {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
        assert of(*turns)[2] == given("a", [words("Seen"), SHOWN, file])

    def test_a_tools_error_is_told_in_words(self) -> None:
        turns = [user("hi"), said(use("a"), use("b"))]
        *_, first, second = of(
            *turns, user(result("a", "Exit 3", is_error=True), result("b", [picture()], is_error=True))
        )
        assert first["output"] == "The tool failed: Exit 3"
        assert second["output"] == [words("The tool failed: "), SHOWN]

    def test_what_is_left_over_is_mended(self) -> None:
        """Calls without results, results without calls, two results of one call: the last counts."""
        sent = send(
            C,
            R,
            chat(gave("z", "orphan"), assistant(None, call("a"), call("b")), gave("a", "first"), gave("a", "last")),
        )
        assert sent.body["input"] == [
            asked("Result of the tool call z:", "orphan"),
            called("a"),
            called("b"),
            given("a", "last"),
            given("b", "The tool failed: Tool execution was interrupted before completion."),
        ]
        assert sent.lost == ["messages[0]", "messages[2]", "messages[1].tool_calls[1]"]

    def test_ids(self) -> None:
        """Row "Ids": one that an upstream made comes home, a long one is cut, an empty one is made up (Gemini)."""
        coded = "tvid_ZnVuY3Rpb25zLmFkZDow"
        body = chat(
            user("hi"),
            assistant(None, call(coded), call("x" * 99), call("")),
            gave(coded),
            gave("x" * 99),
            gave(""),
        )
        ids = [one["call_id"] for one in send(C, R, body).body["input"][1:]]
        assert ids[:3] == ids[3:]
        assert (ids[0], len(ids[1])) == ("functions.add:0", 64)


class TestMedia:
    """Row "Images/documents"."""

    def test_pictures_and_documents(self) -> None:
        (told,) = of(
            user(
                text("Look!"),
                picture(),
                {"type": "image", "source": {"type": "url", "url": "https://a.example/x.jpg"}},
                pdf(),
                {"type": "document", "source": {"type": "url", "url": "https://a.example/a.pdf"}},
                {"type": "document", "source": {"type": "text", "data": "Once."}, "title": "T"},
            )
        )
        assert told["content"] == [
            words("Look!"),
            SHOWN,
            {"type": "input_image", "image_url": "https://a.example/x.jpg", "detail": "auto"},
            {"type": "input_file", "filename": "document.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            {"type": "input_file", "file_url": "https://a.example/a.pdf"},
            words("<document>\nTitle: T\nOnce.\n</document>"),
        ]

    def test_a_picture_keeps_its_detail(self) -> None:
        shown = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}}
        assert send(C, R, chat(user(shown))).body["input"][0]["content"] == [SHOWN | {"detail": "low"}]

    def test_a_text_file_is_a_text(self) -> None:
        file = {"type": "file", "file": {"file_data": "data:text/plain;base64,T25jZS4=", "filename": "t.txt"}}
        (told,) = send(C, R, chat(user(file))).body["input"]
        assert told["content"] == [words("<document>\nt.txt\nOnce.\n</document>")]

    def test_the_title_of_a_file_by_its_url_is_lost(self) -> None:
        linked = {"type": "document", "source": {"type": "url", "url": "https://a.example/a.pdf"}, "title": "T"}
        assert send(M, R, messages(user(linked))).lost == ["messages[0].content[0].title"]

    def test_sound_cannot_be_said(self) -> None:
        sound = {"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}}
        with pytest.raises(Untranslatable) as raised:
            send(C, R, chat(user(text("a"), sound)))
        assert raised.value.param == "messages[0].content[1]"


class TestReasoningContent:
    """Row "Reasoning content", traps 4 and 12."""

    def thought(self, seal: Seal, told: str = "Hm.", origin: str = ORIGIN) -> Body:
        return {"type": "thinking", "thinking": told, "signature": close(seal, origin, "Hm.")}

    def test_what_is_encrypted_comes_home_without_a_servers_id(self) -> None:
        told = of(user("hi"), said(self.thought(Seal("encrypted", "gAAA=")), text("So")), user("?"))
        assert told[1:3] == [
            {
                "type": "reasoning",
                "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "gAAA=",
            },
            answered("So"),
        ]

    def test_what_had_no_summary_has_none(self) -> None:
        blind = {"type": "redacted_thinking", "data": close(Seal("encrypted", "gAAA="), ORIGIN, "")}
        told = of(user("hi"), said(blind, use()), user(result()))
        assert told[1] == {"type": "reasoning", "summary": [], "encrypted_content": "gAAA="}

    def test_open_reasoning_comes_home_as_text(self) -> None:
        """gpt-oss."""
        told = of(user("hi"), said(self.thought(Seal("plain")), text("So")), user("?"))
        assert told[1] == {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}

    def test_it_is_asked_for_where_the_model_has_it(self) -> None:
        body = send(M, R, messages(), Traits(encrypted_reasoning=True)).body
        assert body["include"] == ["reasoning.encrypted_content"]
        assert "include" not in vendors(M, R, messages(), "openai", "gpt-4o").body

    @pytest.mark.parametrize(
        "block",
        [
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
            {"type": "redacted_thinking", "data": "ZW5j"},
            {"type": "thinking", "thinking": "Hm.", "signature": close(Seal("encrypted", "g"), "another", "Hm.")},
            {"type": "thinking", "thinking": "Hm!", "signature": close(Seal("encrypted", "g"), ORIGIN, "Hm.")},
        ],
        ids=["signed", "redacted", "of another", "altered"],
    )
    def test_what_is_not_its_own_is_dropped(self, block: Body) -> None:
        sent = send(M, R, messages(user("hi"), said(block, text("So")), user("?")))
        assert sent.body["input"] == [asked("hi"), answered("So"), asked("?")]
        assert sent.lost == ["messages[1].content[0]"]

    def test_reasoning_that_led_to_nothing_is_dropped(self) -> None:
        """It is refused without the item that follows it."""
        block = self.thought(Seal("encrypted", "gAAA="))
        for answer, left in ((said(block), []), (said(text("So"), block), [answered("So")])):
            sent = send(M, R, messages(user("hi"), answer, user("?")))
            assert sent.body["input"] == [asked("hi"), *left, asked("?")]
            assert list(sent.losses.values()) == ["reasoning that led to nothing"]
