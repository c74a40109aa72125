"""What a Messages upstream gets of requests of the other APIs. Rows and traps are those of the wire notes, sections 10
and 11."""

from __future__ import annotations

from typing import Any

import pytest

from support_requests import (
    LOOSE,
    ORIGIN,
    PDF,
    PNG,
    C,
    M,
    R,
    assistant,
    call,
    chat,
    flat,
    function,
    gave,
    item,
    render,
    responses,
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
from trivium.errors import FieldInvalid, Untranslatable
from trivium.wire.envelope import close


def of(*turns: Body, traits: Traits | None = None, **more: Any) -> Any:
    """The messages that become of those of Chat, of which nothing is lost."""
    sent = send(C, M, chat(*turns, **more), traits)
    assert sent.losses == {}
    return sent.body["messages"]


def says(*blocks: Body | str) -> Body:
    return {"role": "user", "content": [text(one) if isinstance(one, str) else one for one in blocks]}


def system(said: str, role: str = "system", **more: Any) -> Body:
    return {"role": role, "content": said, **more}


SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
FILE = {"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}", "filename": "a.pdf"}}
DOCUMENT = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
    "title": "a.pdf",
}


class TestSystem:
    """Row "System"."""

    def test_all_that_opens_the_conversation_is_blocks_of_the_system(self) -> None:
        body = send(C, M, chat(system("Be brief."), system("Be kind.", "developer"), user("hi"))).body
        assert body["system"] == [text("Be brief."), text("Be kind.")]
        assert body["messages"] == [says("hi")]

    def test_later_ones_are_marked_text_of_the_neighbouring_users_turn(self) -> None:
        """Trap 9."""
        sent = send(C, M, chat(user("hi"), system("Be kind."), assistant("So"), system("Now."), user("?")))
        assert sent.body["messages"] == [
            says("hi", "<system>\nBe kind.\n</system>"),
            said(text("So")),
            says("<system>\nNow.\n</system>", "?"),
        ]
        assert sent.lost == ["messages[1].content"]

    def test_who_takes_it_gets_it_where_it_stands(self) -> None:
        traits = Traits(system_turns=True)
        told = of(user("hi"), system("Be kind."), assistant("So"), user("?"), traits=traits)
        assert [one["role"] for one in told] == ["user", "system", "assistant", "user"]

    def test_not_where_the_user_goes_on_behind_it(self) -> None:
        """Codex behind a compaction: Anthropic refuses a system message that another of the user's follows."""
        given = item("function_call_output", call_id="a", output="r")
        called = item("function_call", call_id="a", name="f", arguments="{}")
        instructed = [user("<aborted>"), {"role": "developer", "content": "Be kind."}, user("Go on.")]
        sent = vendors(R, M, responses(called, given, *instructed), "anthropic", "claude-opus-5-5")
        assert sent.body["messages"][2:] == [
            says(result(), "<aborted>", "<system>\nBe kind.\n</system>", "Go on."),
        ]
        assert sent.lost == ["input[3].content"]

    @pytest.mark.parametrize("behind", [[], [assistant("So"), user("?")]])
    def test_of_several_in_a_row_all_stand_or_none(self, behind: list[Body]) -> None:
        both = [user("hi"), system("Be kind."), system("Be brief.", "developer")]
        told = of(*both, *behind, traits=Traits(system_turns=True))
        assert told[1] == {"role": "system", "content": [text("Be kind."), text("Be brief.")]}

    def test_instructions_alone_are_the_users(self) -> None:
        sent = send(C, M, chat(system("Say hi.")))
        assert (sent.body["messages"], "system" in sent.body) == ([says("Say hi.")], False)
        assert sent.lost == ["messages[0].content"]


class TestTurns:
    def test_turns_of_one_role_are_one_message(self) -> None:
        told = of(user("a"), user("b"), assistant("c"), assistant("d"), user("e"))
        assert told == [says("a", "b"), said(text("c"), text("d")), says("e")]

    def test_the_user_begins(self) -> None:
        assert of(assistant("Hello!"), user("hi"))[0] == says("(The conversation begins with the assistant.)")

    def test_blank_texts_are_not_sent(self) -> None:
        """Trap 2: Kimi's clients say a blank beside calls."""
        told = of(
            user(text("hi"), text(" \n")), assistant(" ", call()), gave("a", [text(" ")]), assistant("So"), user("?")
        )
        assert told[:3] == [
            says("hi"),
            said(use()),
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a"}]},
        ]

    def test_of_nothing_but_blanks_no_request_is_made(self) -> None:
        with pytest.raises(FieldInvalid, match="`messages` must not be empty, nor hold nothing but blanks"):
            render(C, M, chat(user(" \n")))

    def test_an_answer_that_was_begun_goes_on_without_a_blank_at_its_end(self) -> None:
        assert of(user("hi"), assistant("So \n"))[-1] == said(text("So"))
        assert of(user("hi"), assistant(" \n")) == [says("hi")]

    def test_newer_models_are_asked_to_continue(self) -> None:
        sent = vendors(C, M, chat(user("hi"), assistant("So")), "anthropic", "claude-opus-4-7")
        assert sent.body["messages"][1:] == [said(text("So")), says("Continue.")]
        assert sent.lost == ["messages[1].content"]

    def test_a_refusal_is_a_text(self) -> None:
        assert of(user("hi"), assistant(refusal="No."), user("?"))[1] == said(text("No."))


def interrupted(one: str) -> Body:
    return result(one, "Tool execution was interrupted before completion.", is_error=True)


class TestToolTurns:
    """Row "Tool turns", trap 3: split results of parallel calls."""

    def test_results_are_one_turn_in_the_order_of_the_calls_and_first_in_it(self) -> None:
        told = of(
            user("Weather?"),
            assistant("Let me look.", call("a", "f", '{"q": 1.50}'), call("b", "f", "")),
            gave("b", [text("Sun"), SHOWN]),
            gave("a", "Rain"),
            user("Well?"),
        )
        assert told == [
            says("Weather?"),
            said(text("Let me look."), use("a", "f", {"q": 1.5}), use("b", "f")),
            says(result("a", "Rain"), result("b", [text("Sun"), PICTURE]), "Well?"),
        ]

    def test_what_is_left_over_is_mended(self) -> None:
        """Calls without results, results without calls, two results of one call: the last counts."""
        sent = send(
            C,
            M,
            chat(gave("z", "orphan"), assistant(None, call("a"), call("b")), gave("a", "first"), gave("a", "last")),
        )
        assert sent.body["messages"] == [
            says("Result of the tool call z:", "orphan"),
            said(use("a"), use("b")),
            says(result("a", "last"), interrupted("b")),
        ]
        assert sent.losses == {
            "messages[0]": "the result of a call that is not there; given as text",
            "messages[2]": "a later result of the same call took its place",
            "messages[1].tool_calls[1]": "the call had no result; one was made up that says so",
        }

    def test_results_that_come_after_somebody_spoke_stand_behind_their_calls(self) -> None:
        sent = send(C, M, chat(user("hi"), assistant(None, call()), system("!"), user("wait"), gave(), user("?")))
        assert sent.body["messages"][2] == says(result(), "<system>\n!\n</system>", "wait", "?")

    def test_calls_in_messages_of_their_own_are_one_turn(self) -> None:
        told = of(user("hi"), assistant(None, call("a")), assistant(None, call("b")), gave("b", "2"), gave("a", "1"))
        assert told[1:] == [said(use("a"), use("b")), says(result("a", "1"), result("b", "2"))]

    def test_a_second_call_with_the_same_id_is_none(self) -> None:
        sent = send(C, M, chat(user("hi"), assistant(None, call("a"), call("a", "g")), gave()))
        assert sent.body["messages"][1:] == [said(use("a")), says(result())]
        assert sent.lost == ["messages[1].tool_calls[1]"]

    def test_an_id_that_comes_again_in_a_later_turn_is_another(self) -> None:
        """Messages wants each once, and the first form of tools has none at all."""
        asked = assistant(function_call={"name": "f", "arguments": "{}"})
        given = {"role": "function", "name": "f", "content": "r"}
        told = of(user("hi"), asked, given, asked, given)
        calls = [told[1]["content"][0]["id"], told[3]["content"][0]["id"]]
        assert len(set(calls)) == 2
        assert [told[2]["content"][0]["tool_use_id"], told[4]["content"][0]["tool_use_id"]] == calls

    @pytest.mark.parametrize("arguments", ["[1]", '"x"', '{"q": 1', "nul", "{'q': 1}"])
    def test_arguments_that_are_no_object_are_kept_under_a_key(self, arguments: str) -> None:
        """Never {} in silence."""
        sent = send(C, M, chat(user("hi"), assistant(None, call(arguments=arguments)), gave()))
        assert sent.body["messages"][1] == said(use("a", input={"unreadable_arguments": arguments}))
        assert sent.lost == ["messages[1].tool_calls[0]"]

    def test_arguments_keep_their_digits(self) -> None:
        body = chat(user("hi"), assistant(None, call(arguments='{"q": 12345678901234567890.10}')), gave())
        assert send(C, M, body).body["messages"][1]["content"][0]["input"] == {"q": 12345678901234567890.10}

    def test_free_text_is_the_one_argument_of_a_function(self) -> None:
        """Codex's apply_patch."""
        grammar = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
        body = responses(
            user("hi"),
            item("custom_tool_call", call_id="a", name="patch", input='*** "Begin"'),
            item("custom_tool_call_output", call_id="a", output="Done"),
            tools=[{"type": "custom", "name": "patch", "description": "d", "format": grammar}],
            tool_choice={"type": "custom", "name": "patch"},
        )
        sent = send(R, M, body).body
        schema = sent["tools"][0]["input_schema"]
        assert (schema["required"], schema["additionalProperties"]) == (["input"], False)
        assert "lark grammar:\nstart: x" in schema["properties"]["input"]["description"]
        assert sent["messages"][1:] == [
            said(use("a", "patch", {"input": '*** "Begin"'})),
            says(result("a", "Done")),
        ]
        assert sent["tool_choice"] == {"type": "tool", "name": "patch"}


class TestIds:
    """Row "Ids", trap 1: dots and colons are refused."""

    @pytest.mark.parametrize("id", ["functions.add:0", "x" * 99, "é", "a b"])
    def test_an_id_is_mended_alike_for_call_and_result(self, id: str) -> None:
        told = of(user("hi"), assistant(None, call(id), call("b")), gave(id), gave("b"))
        sent = told[1]["content"][0]["id"]
        assert told[2]["content"][0]["tool_use_id"] == sent
        assert sent == of(user("hi"), assistant(None, call(id)), gave(id))[1]["content"][0]["id"]

    def test_ids_that_differ_only_there_stay_apart(self) -> None:
        told = of(user("hi"), assistant(None, call("a.b"), call("a:b")), gave("a:b", "2"), gave("a.b", "1"))
        assert [one["content"] for one in told[2]["content"]] == ["1", "2"]
        assert len({one["id"] for one in told[1]["content"]}) == 2

    def test_an_empty_id_is_made_up(self) -> None:
        """Gemini's."""
        told = of(user("hi"), assistant(None, call(""), call("")), gave("", "1"), gave("", "2"))
        assert [one["content"] for one in told[2]["content"]] == ["1", "2"]

    def test_anthropics_own_id_comes_home(self) -> None:
        assert of(user("hi"), assistant(None, call("toolu_01Ab")), gave("toolu_01Ab"))[1] == said(use("toolu_01Ab"))


class TestTools:
    """Rows "Tools" and "tool_choice"."""

    def test_functions(self) -> None:
        body = chat(tools=[function("f", description="d"), {"type": "function", "function": {"name": "g"}}])
        assert send(C, M, body).body["tools"] == [
            tool("f", description="d"),
            tool("g", {"type": "object", "properties": {}}),
        ]

    @pytest.mark.parametrize(
        ("schema", "after"),
        [
            ({}, {"type": "object", "properties": {}}),
            ({"properties": {"q": {}}}, {"type": "object", "properties": {"q": {}}}),
            ({"type": ["object", "null"]}, {"type": "object", "properties": {}}),
        ],
    )
    def test_a_schema_is_one_of_an_object(self, schema: Any, after: Body) -> None:
        assert send(C, M, chat(tools=[function(schema=schema)])).body["tools"] == [tool(schema=after)]

    def test_strictness_goes_to_those_who_know_it(self) -> None:
        """Row "Structured output": both vendors want objects closed."""
        body = chat(tools=[function(schema=LOOSE, strict=True), function("g", strict=False)])
        sent = vendors(C, M, body, "anthropic", "claude-sonnet-4-5")
        assert sent.body["tools"] == [tool(schema=LOOSE | {"additionalProperties": False}, strict=True), tool("g")]
        assert sent.losses == {}
        unknown = send(C, M, body)
        assert unknown.body["tools"] == [tool(schema=LOOSE), tool("g")]
        assert unknown.lost == ["tools[0].function.strict"]

    @pytest.mark.parametrize(
        ("choice", "parallel", "after"),
        [
            ("auto", None, {"type": "auto"}),
            ("required", None, {"type": "any"}),
            ("none", None, {"type": "none"}),
            ({"type": "function", "function": {"name": "f"}}, None, {"type": "tool", "name": "f"}),
            (None, False, {"type": "auto", "disable_parallel_tool_use": True}),
            ("required", False, {"type": "any", "disable_parallel_tool_use": True}),
            ("none", False, {"type": "none"}),
            ("auto", True, {"type": "auto"}),
            (None, True, None),
        ],
    )
    def test_choices(self, choice: Any, parallel: bool | None, after: Body | None) -> None:
        body = chat(tools=[function()], tool_choice=choice, parallel_tool_calls=parallel)
        assert send(C, M, body).body.get("tool_choice") == after
        assert "tool_choice" not in send(C, M, chat(parallel_tool_calls=False)).body

    def test_names_have_128_plain_letters(self) -> None:
        names = ["x" * 128, "x" * 129, "a.b", "a/b"]
        body = chat(
            user("hi"),
            assistant(None, *[call(str(n), name) for n, name in enumerate(names)]),
            *[gave(str(n)) for n in range(4)],
            tools=[function(name) for name in names],
        )
        sent = send(C, M, body).body
        told = [one["name"] for one in sent["tools"]]
        assert (told[0], len(told[1]), len(set(told))) == (names[0], 128, 4)
        assert [one["name"] for one in sent["messages"][1]["content"]] == told

    def test_a_namespace_is_a_part_of_the_name(self) -> None:
        tools = [flat("close"), {"type": "namespace", "name": "agents__", "tools": [flat("close")]}]
        sent = send(R, M, responses(tools=tools)).body
        assert [one["name"] for one in sent["tools"]] == ["close", "agents__close"]


class TestMedia:
    """Row "Images/documents"."""

    def test_pictures_and_documents(self) -> None:
        linked = {"type": "image_url", "image_url": {"url": "https://a.example/x.jpg"}}
        (told,) = of(user(text("Look!"), SHOWN, linked, FILE))
        assert told["content"] == [
            text("Look!"),
            PICTURE,
            {"type": "image", "source": {"type": "url", "url": "https://a.example/x.jpg"}},
            DOCUMENT,
        ]

    @pytest.mark.parametrize("kind", ["image/jpg", "IMAGE/JPEG", "image/jpeg"])
    def test_a_type_as_many_write_it_is_one_that_vendors_know(self, kind: str) -> None:
        shown = {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{PNG}"}}
        (told,) = of(user(shown))
        assert told["content"][0]["source"]["media_type"] == "image/jpeg"

    def test_files_of_responses(self) -> None:
        linked = {"type": "input_file", "file_url": "https://a.example/a.pdf"}
        plain = {"type": "input_file", "file_data": "data:text/plain;base64,T25jZS4=", "filename": "t.txt"}
        (told,) = send(R, M, responses(user(linked, plain))).body["messages"]
        assert told["content"] == [
            {"type": "document", "source": {"type": "url", "url": "https://a.example/a.pdf"}},
            text("<document>\nt.txt\nOnce.\n</document>"),
        ]

    def test_pictures_stay_in_results(self) -> None:
        shown = {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"}
        called = item("function_call", call_id="a", name="f", arguments="{}")
        sent = send(R, M, responses(user("hi"), called, item("function_call_output", call_id="a", output=[shown])))
        assert sent.body["messages"][2] == says(result("a", [PICTURE]))
        assert sent.lost == ["input[2].output[0].detail"]

    @pytest.mark.parametrize(
        ("part", "what"),
        [
            ({"type": "input_audio", "input_audio": {"format": "wav", "data": "UklG"}}, "audio"),
            ({"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}}, "a file of type app"),
        ],
    )
    def test_what_there_is_no_block_for_is_refused(self, part: Body, what: str) -> None:
        with pytest.raises(Untranslatable, match=what) as raised:
            send(C, M, chat(user(text("a"), part)))
        assert raised.value.param == "messages[0].content[1]"


class TestReasoningContent:
    """Row "Reasoning content", trap 4: signatures come home as they were, to their origin alone."""

    def detail(self, seal: Seal, origin: str = ORIGIN, told: str = "Hm.") -> Body:
        return {"type": "reasoning.text", "text": told, "signature": close(seal, origin, "Hm.")}

    def test_a_signature_comes_home(self) -> None:
        asked = assistant("So", reasoning_details=[self.detail(Seal("signature", "c2ln+/="))])
        assert of(user("hi"), asked, user("?"))[1] == said(
            {"type": "thinking", "thinking": "Hm.", "signature": "c2ln+/="}, text("So")
        )

    def test_a_signature_of_thoughts_that_were_not_told_comes_home_too(self) -> None:
        """`display: omitted`."""
        blind = {"type": "reasoning.text", "signature": close(Seal("signature", "c2ln"), ORIGIN, "")}
        told = of(user("hi"), assistant("So", reasoning_details=[blind]), user("?"))
        assert told[1] == said({"type": "thinking", "thinking": "", "signature": "c2ln"}, text("So"))

    def test_who_does_not_sign_gets_its_own_unsigned_thoughts(self) -> None:
        for words, sent in (("Hm.", [{"type": "thinking", "thinking": "Hm.", "signature": ""}]), ("", [])):
            sealed = close(Seal("plain"), ORIGIN, words)
            detail = {"type": "reasoning.text", "text": words, "signature": sealed}
            body = chat(user("hi"), assistant("So", reasoning_details=[detail]), user("?"))
            assert render(C, M, body).body["messages"][1] == said(*sent, text("So"))

    def test_what_is_redacted_comes_home(self) -> None:
        blind = {"type": "reasoning.encrypted", "data": close(Seal("redacted", "ZW5j"), ORIGIN, "")}
        told = of(user("hi"), assistant("So", reasoning_details=[blind]), user("?"))
        assert told[1] == said({"type": "redacted_thinking", "data": "ZW5j"}, text("So"))

    def test_of_responses_too(self) -> None:
        sealed = close(Seal("signature", "c2ln"), ORIGIN, "Hm.")
        thought = item("reasoning", summary=[{"type": "summary_text", "text": "Hm."}], encrypted_content=sealed)
        called = item("function_call", call_id="a", name="f", arguments="{}")
        sent = send(R, M, responses(user("hi"), thought, called, item("function_call_output", call_id="a", output="r")))
        assert sent.body["messages"][1] == said({"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, use())
        assert sent.losses == {}

    @pytest.mark.parametrize(
        "more",
        [
            {"reasoning_content": "Hm."},
            {"reasoning_details": [{"type": "reasoning.text", "text": "Hm.", "signature": "c2ln"}]},
            {"reasoning_details": [{"type": "reasoning.encrypted", "data": "ZW5j"}]},
            {"reasoning_details": [{"type": "reasoning.text", "signature": close(Seal("signature"), "another", "")}]},
        ],
        ids=["plain", "signed", "encrypted", "of another"],
    )
    def test_what_is_not_its_own_is_dropped_and_never_made_text(self, more: Body) -> None:
        sent = send(C, M, chat(user("hi"), assistant("So", **more), user("?")))
        assert sent.body["messages"][1] == said(text("So"))
        assert len(sent.losses) == 1

    def test_reasoning_that_led_to_nothing_is_dropped(self) -> None:
        asked = assistant(reasoning_details=[self.detail(Seal("signature", "c2ln"))])
        sent = send(C, M, chat(user("hi"), asked, user("?")))
        assert sent.body["messages"] == [says("hi", "?")]
        assert list(sent.losses.values()) == ["reasoning that led to nothing"]


def test_extra_keys_of_clients_do_not_reach_a_strict_server() -> None:
    """Row "Strict backends", trap 10."""
    extra: dict[str, Any] = {"x_extra": 1, "cache_control": {"type": "ephemeral", "scope": "global"}}
    body = chat(
        {**user(text("a", **extra)), "x_extra": 1},
        assistant("So", call(**extra), x_extra=1),
        gave("a", [text("r", **extra)], x_extra=1),
        tools=[function(x_extra=1) | extra],
        tool_choice={"type": "function", "function": {"name": "f"}},
        x_extra=1,
    )
    sent = send(C, M, body)
    assert "x_extra" not in str(sent.body)
    assert "scope" not in str(sent.body)
