"""What is read of a Messages request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support_requests import (
    ORIGIN,
    PDF,
    PNG,
    SCHEMA,
    M,
    mark,
    messages,
    read,
    result,
    said,
    text,
    tool,
    use,
    user,
)
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.canon.parts import Data, Document, Image, Part, Reasoning, Seal, Text, ToolCall, ToolResult, Url
from trivium.canon.request import Format, Request, Role, Thinking, Tool, ToolChoice, Turn
from trivium.wire.envelope import close, fits


def turns(*told: Body, **more: Any) -> tuple[Turn, ...]:
    """Of messages of which nothing is lost."""
    request, lost = read(M, messages(*told, **more))
    assert lost == []
    return request.turns


def parts(*blocks: Body) -> tuple[Part, ...]:
    (turn,) = turns(user(*blocks))
    return turn.parts


def lossy(*blocks: Body) -> tuple[tuple[Part, ...], list[str]]:
    request, lost = read(M, messages(user(*blocks)))
    return tuple(part for turn in request.turns for part in turn.parts), lost


def settings(**more: Any) -> Request:
    told, lost = read(M, messages(**more))
    assert lost == []
    return told


def document(**more: Any) -> Body:
    return {"type": "document", **more}


BASE64 = {"type": "base64", "media_type": "application/pdf", "data": PDF}
AT = "messages[0].content"


class TestTurns:
    def test_a_conversation(self) -> None:
        told = turns(
            user("Weather?"),
            said(
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZW5j"},
                text("Let me look."),
                use("a", "look", {"q": 1.5}),
                use("b", "look"),
            ),
            user(result("b", [text("Sun")]), result("a", "Rain", is_error=True), text("Well?")),
            {"role": "system", "content": "Be kind."},
            system=[text("Be brief.", **mark("1h"))],
        )
        at = "messages[1].content"
        assert told == (
            Turn(Role.SYSTEM, (Text("Be brief.", "system[0]", "1h"),)),
            Turn(Role.USER, (Text("Weather?", "messages[0].content"),)),
            Turn(
                Role.ASSISTANT,
                (
                    Reasoning("Hm.", f"{at}[0]", Seal("signature", "c2ln")),
                    Reasoning("", f"{at}[1]", Seal("redacted", "ZW5j")),
                    Text("Let me look.", f"{at}[2]"),
                    ToolCall("a", "look", '{"q":1.5}', at=f"{at}[3]"),
                    ToolCall("b", "look", "{}", at=f"{at}[4]"),
                ),
            ),
            Turn(
                Role.USER,
                (
                    ToolResult("b", (Text("Sun", "messages[2].content[0].content[0]"),), at="messages[2].content[0]"),
                    ToolResult(
                        "a",
                        (Text("Rain", "messages[2].content[1].content"),),
                        is_error=True,
                        at="messages[2].content[1]",
                    ),
                    Text("Well?", "messages[2].content[2]"),
                ),
            ),
            Turn(Role.SYSTEM, (Text("Be kind.", "messages[3].content"),)),
        )

    def test_the_system_may_be_a_string(self) -> None:
        assert turns(user("hi"), system="Be brief.")[0] == Turn(Role.SYSTEM, (Text("Be brief.", "system"),))

    @pytest.mark.parametrize("system", [None, "", [], [text("")]])
    def test_no_system_is_none(self, system: Any) -> None:
        assert [turn.role for turn in turns(user("hi"), system=system)] == [Role.USER]

    def test_pictures_and_documents(self) -> None:
        told = parts(
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            {"type": "image", "source": {"type": "url", "url": "https://a.example/x.jpg"}, **mark()},
            document(source=BASE64, title="A", citations={"enabled": False}),
            document(source={"type": "url", "url": "https://a.example/a.pdf"}, context="Last year's."),
            document(source={"type": "text", "media_type": "text/plain", "data": "Once."}, title="T", context="C"),
            document(source={"type": "content", "content": [text("Twice.")]}),
        )
        assert told == (
            Image(Data("image/png", PNG), f"{AT}[0]"),
            Image(Url("https://a.example/x.jpg"), f"{AT}[1]", "5m"),
            Document(Data("application/pdf", PDF), f"{AT}[2]", title="A"),
            Text("Last year's.", f"{AT}[3].context"),
            Document(Url("https://a.example/a.pdf"), f"{AT}[3]"),
            Text("<document>\nTitle: T\nContext: C\nOnce.\n</document>", f"{AT}[4]"),
            Text("Twice.", f"{AT}[5].source.content[0]"),
        )

    def test_a_document_of_blocks_keeps_its_title_and_its_mark(self) -> None:
        source = {"type": "content", "content": [text("Once."), text("Twice.")]}
        assert parts(document(source=source, title="T", context="C", **mark())) == (
            Text("Title: T", f"{AT}[0].title"),
            Text("C", f"{AT}[0].context"),
            Text("Once.", f"{AT}[0].source.content[0]"),
            Text("Twice.", f"{AT}[0].source.content[1]", "5m"),
        )
        empty = document(source={"type": "content", "content": []}, **mark())
        assert lossy(empty) == ((), [f"{AT}[0].cache_control"])

    def test_results_hold_pictures_and_documents(self) -> None:
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        (found,) = parts(result("a", [text("Seen"), picture, document(source=BASE64)], **mark()))
        assert isinstance(found, ToolResult)
        assert [type(part) for part in found.content] == [Text, Image, Document]
        assert found.cache == "5m"

    @pytest.mark.parametrize("content", [None, "", []])
    def test_a_result_may_be_empty(self, content: Any) -> None:
        assert parts(result("a", content)) == (ToolResult("a", (), at=f"{AT}[0]"),)

    def test_cache_marks_of_either_lifetime(self) -> None:
        told = parts(text("a", **mark()), text("b", **mark("5m")), text("c", **mark("1h")), text("d"))
        assert [part.cache for part in told if isinstance(part, Text)] == ["5m", "5m", "1h", None]

    def test_our_envelopes_are_opened_if_the_text_is_still_the_same(self) -> None:
        sealed = close(Seal("encrypted", "gAAA"), ORIGIN, "Hm.")
        for told in ("Hm.", "Hm!"):
            (turn,) = turns(said({"type": "thinking", "thinking": told, "signature": sealed}))
            (found,) = turn.parts
            assert isinstance(found, Reasoning)
            assert found.seal is not None
            assert (found.seal.form, found.seal.data) == ("encrypted", "gAAA")
            assert fits(found.seal, ORIGIN, Api.RESPONSES) == (told == "Hm.")
        blind = {"type": "redacted_thinking", "data": close(Seal("encrypted", "gAAA"), ORIGIN, "")}
        (found,) = turns(user("hi"), said(blind))[1].parts
        assert isinstance(found, Reasoning)
        assert fits(found.seal, ORIGIN, Api.RESPONSES)

    def test_an_unsigned_thought_has_no_seal(self) -> None:
        assert turns(said({"type": "thinking", "thinking": "Hm."}))[0].parts == (Reasoning("Hm.", f"{AT}[0]"),)

    def test_an_id_that_we_made_of_an_upstreams_turns_back_into_it(self) -> None:
        (called,) = turns(said(use("tvid_ZnVuY3Rpb25zLmFkZDow")))[0].parts
        (given,) = parts(result("tvid_ZnVuY3Rpb25zLmFkZDow"))
        assert isinstance(called, ToolCall)
        assert isinstance(given, ToolResult)
        assert called.id == given.id == "functions.add:0"


class TestTextsInPlaceOfBlocks:
    """What only Messages has a block for, and words can say."""

    def test_a_search_result(self) -> None:
        block = {"type": "search_result", "title": "T", "source": "https://a.example", "content": [text("Found.")]}
        assert lossy(block) == (
            (Text("<search_result>\nT\nhttps://a.example\nFound.\n</search_result>", f"{AT}[0]"),),
            [f"{AT}[0]"],
        )

    def test_a_tool_that_was_found(self) -> None:
        """Claude Code's tool search; the next request has the tool in full."""
        told, lost = lossy(result("a", [{"type": "tool_reference", "tool_name": "WebFetch"}]))
        inner = Text("The tool WebFetch is available.", f"{AT}[0].content[0]")
        assert (told, lost) == ((ToolResult("a", (inner,), at=f"{AT}[0]"),), [inner.at])

    def test_a_compaction(self) -> None:
        assert lossy({"type": "compaction", "content": "So far."}) == ((Text("So far.", f"{AT}[0]"),), [f"{AT}[0]"])


class TestTools:
    def test_tools(self) -> None:
        told = settings(
            tools=[
                tool("f", description="d", strict=True, **mark("1h")),
                {"name": "g", "type": "custom", "input_schema": None, "defer_loading": False},
            ],
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
        )
        assert told.tools == (
            Tool(name="f", description="d", schema=json.dumps(SCHEMA).encode(), strict=True, cache="1h", at="tools[0]"),
            Tool(name="g", at="tools[1]"),
        )
        assert (told.tool_choice, told.parallel_tool_calls) == (ToolChoice("required"), False)

    @pytest.mark.parametrize(
        ("choice", "canon", "parallel"),
        [
            ({"type": "auto"}, ToolChoice("auto"), None),
            ({"type": "auto", "disable_parallel_tool_use": False}, ToolChoice("auto"), True),
            ({"type": "none"}, ToolChoice("none"), None),
            ({"type": "tool", "name": "f"}, ToolChoice("tool", "f"), None),
        ],
    )
    def test_choices(self, choice: Body, canon: ToolChoice, parallel: bool | None) -> None:
        told = settings(tool_choice=choice)
        assert (told.tool_choice, told.parallel_tool_calls) == (canon, parallel)


class TestSettings:
    def test_all_of_them(self) -> None:
        told = settings(
            max_tokens=7,
            temperature=0.5,
            top_p=1,
            top_k=3,
            stop_sequences=["END"],
            metadata={"user_id": "anna"},
            service_tier="standard_only",
            stream=True,
        )
        assert told == Request(
            api=M,
            model="m",
            turns=told.turns,
            stream=True,
            max_tokens=7,
            temperature=0.5,
            top_p=1,
            top_k=3,
            stop=("END",),
            user="anna",
            service_tier="standard_only",
        )

    @pytest.mark.parametrize(
        ("said", "canon"),
        [
            ({}, None),
            ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, Thinking(enabled=True, budget=2048)),
            ({"thinking": {"type": "disabled"}}, Thinking(enabled=False)),
            ({"thinking": {"type": "adaptive", "display": "omitted"}}, Thinking(enabled=True, summary="none")),
            ({"thinking": {"type": "adaptive", "display": "summarized"}}, Thinking(enabled=True, summary="auto")),
            ({"output_config": {"effort": "high"}}, Thinking(effort="high")),
            (
                {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
                Thinking(enabled=True, effort="max"),
            ),
        ],
    )
    def test_thinking(self, said: Body, canon: Thinking | None) -> None:
        assert settings(**said).thinking == canon

    def test_the_form_of_the_answer_under_its_new_name_and_its_old(self) -> None:
        form = {"type": "json_schema", "schema": {"type": "object"}}
        new, old = settings(output_config={"format": form}), settings(output_format=form)
        assert new.format == Format(schema=b'{"type": "object"}', strict=True, at="output_config.format")
        assert old.format == Format(schema=b'{"type": "object"}', strict=True, at="output_format")


class TestLosses:
    def test_what_only_messages_can_say(self) -> None:
        only = {
            "container": "c",
            "context_management": {"edits": []},
            "mcp_servers": [{"type": "url"}],
            "inference_geo": "us",
            "speed": "fast",
            "a_future_field": 1,
        }
        assert set(read(M, messages(**only))[1]) == set(only)

    def test_a_way_to_show_thinking_that_others_have_no_word_for(self) -> None:
        thinking = {"type": "adaptive", "display": "updates"}
        assert read(M, messages(thinking=thinking))[1] == ["thinking.display"]

    def test_blocks_and_tools_that_run_at_the_provider(self) -> None:
        _, lost = read(
            M,
            messages(
                user("hi"),
                said(
                    {"type": "server_tool_use", "id": "a", "name": "web_search", "input": {}},
                    {"type": "web_search_tool_result", "tool_use_id": "a", "content": []},
                    {"type": "a_future_block"},
                    text("So"),
                ),
                tools=[{"type": "web_search_20250305", "name": "web_search"}, {"type": "bash_20250124"}],
            ),
        )
        assert lost == [*[f"messages[1].content[{n}]" for n in range(3)], "tools[0]", "tools[1]"]

    def test_what_is_lost_inside(self) -> None:
        """Claude Code's extras among them."""
        scoped = {"cache_control": {"type": "ephemeral", "scope": "global"}}
        _, lost = read(
            M,
            messages(
                user(text("a", citations=None, later=1, **scoped)),
                said(text("b"), use(caller={"type": "direct"})),
                {"role": "system", "content": "Be kind.", "output_config": {"effort": "low"}},
                user(
                    document(source=BASE64, citations={"enabled": True}), text("c", cache_control={"type": "eternal"})
                ),
                {"role": "critic", "content": "Bad."},
                tools=[tool(eager_input_streaming=True, defer_loading=True)],
                thinking={"type": "enabled", "budget_tokens": 2048, "future": 1},
                output_config={"format": {"type": "future"}, "task_budget": {}},
                metadata={"user_id": "anna", "session": "s"},
                tool_choice={"type": "auto", "future": 1},
            ),
        )
        assert lost == [
            "tool_choice.future",
            "messages[0].content[0].later",
            "messages[0].content[0].cache_control",
            "messages[1].content[1].caller",
            "messages[2].output_config",
            "messages[3].content[0].citations",
            "messages[3].content[1].cache_control",
            "messages[4]",
            "tools[0].eager_input_streaming",
            "tools[0].defer_loading",
            "thinking.future",
            "output_config.format",
            "metadata.session",
            "output_config.task_budget",
        ]

    def test_claude_codes_billing_line_goes(self) -> None:
        """It changes from call to call, and every cache of a prompt begins at its first word."""
        line = "x-anthropic-billing-header: cc_version=2.1.330.050; cc_entrypoint=sdk-cli;"
        told, lost = read(M, messages(system=[text(line), text("You are a Claude agent.")]))
        assert told.turns[0] == Turn(Role.SYSTEM, (Text("You are a Claude agent.", "system[1]"),))
        assert lost == ["system[0]"]
