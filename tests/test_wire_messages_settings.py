"""The settings that a Messages upstream gets of requests of the other APIs: thinking, sampling, forms, marks. Rows are
those of the wire notes, section 10."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from support_requests import (
    LOOSE,
    ORIGIN,
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
    mark,
    responses,
    result,
    send,
    text,
    user,
    vendors,
)
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.canon.parts import Seal
from trivium.canon.traits import Traits
from trivium.wire.envelope import close

FORM = {"type": "json_schema", "json_schema": {"name": "n", "schema": LOOSE, "description": "d"}}
ADAPTIVE = Traits(thinking="adaptive", prefill=False)
NEWEST = ("anthropic", "claude-opus-4-7")
OLDER = ("anthropic", "claude-sonnet-4-5")
SHOWN = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
DETAIL = {"type": "reasoning.text", "text": "Hm.", "signature": close(Seal("signature", "c2ln"), ORIGIN, "Hm.")}


def system(said: str, **more: Any) -> Body:
    return {"role": "system", "content": said, **more}


def thinking(body: Body, traits: Traits | None = None) -> Any:
    """The member that becomes of what a Chat request asks, of which nothing is lost."""
    sent = send(C, M, body, traits)
    assert sent.losses == {}
    return sent.body.get("thinking")


class TestLimits:
    def test_a_limit_is_always_said(self) -> None:
        """The API demands one; a model's own is as much as it can say."""
        assert send(C, M, chat()).body["max_tokens"] == 32_000
        assert send(C, M, chat(max_tokens=7)).body["max_tokens"] == 7
        assert vendors(C, M, chat(), *NEWEST).body["max_tokens"] == 64_000
        assert vendors(C, M, chat(), "anthropic", "claude-3-haiku-20240307").body["max_tokens"] == 4096

    def test_an_answer_of_no_tokens_cannot_be_asked_for(self) -> None:
        sent = send(C, M, chat(max_tokens=0))
        assert (sent.body["max_tokens"], sent.lost) == (1, ["max_tokens"])

    @pytest.mark.parametrize(("stop", "after"), [("END", ["END"]), (["a", "b"], ["a", "b"]), ([], None)])
    def test_stop_sequences(self, stop: Any, after: list[str] | None) -> None:
        assert send(C, M, chat(stop=stop)).body.get("stop_sequences") == after

    def test_it_does_not_stop_at_blanks(self) -> None:
        sent = send(C, M, chat(stop=["\n", "END"]))
        assert (sent.body["stop_sequences"], sent.lost) == (["END"], ["stop"])
        assert "stop_sequences" not in send(C, M, chat(stop="\n")).body

    def test_a_stream(self) -> None:
        assert send(C, M, chat(stream=True, stream_options={"include_usage": True})).body["stream"] is True
        assert "stream" not in send(C, M, chat(stream=False)).body


class TestSampling:
    def test_it_goes_to_those_who_take_it(self) -> None:
        asked = {"temperature": 0.5, "top_p": 0.9, "top_k": 3}
        sent = send(C, M, chat(**asked))
        assert sent.body.items() >= asked.items()
        assert sent.losses == {}
        newest = vendors(C, M, chat(**asked), *NEWEST)
        assert newest.losses == dict.fromkeys(asked, "this model takes no sampling settings")
        assert not newest.body.keys() & asked.keys()

    def test_one_is_the_most_heat(self) -> None:
        sent = send(C, M, chat(temperature=1.7))
        assert (sent.body["temperature"], sent.lost) == (1, ["temperature"])

    def test_some_models_take_one_of_two(self) -> None:
        sent = vendors(C, M, chat(temperature=0.5, top_p=0.9), *OLDER)
        assert (sent.body["temperature"], sent.lost) == (0.5, ["top_p"])
        assert vendors(C, M, chat(top_p=0.9), *OLDER).losses == {}

    def test_beside_thinking_only_what_changes_nothing(self) -> None:
        cold = send(C, M, chat(reasoning_effort="low", temperature=0.5, top_p=0.9, top_k=3))
        assert cold.losses == dict.fromkeys(("temperature", "top_p", "top_k"), "not possible while the model thinks")
        usual = {"temperature": 1, "top_p": 0.95}
        sent = send(C, M, chat(reasoning_effort="low", **usual))
        assert sent.body.items() >= usual.items()
        assert sent.losses == {}


class TestThinking:
    """Row "Reasoning": newer models are told an effort, older ones a budget less than the limit."""

    @pytest.mark.parametrize(
        ("effort", "budget"),
        [("minimal", 1024), ("low", 2048), ("medium", 8192), ("high", 24_576), ("xhigh", 30_400), ("?", 8192)],
    )
    def test_an_effort_is_a_budget(self, effort: str, budget: int) -> None:
        assert thinking(chat(reasoning_effort=effort)) == {"type": "enabled", "budget_tokens": budget}

    def test_a_budget_is_less_than_the_limit(self) -> None:
        told = thinking(chat(reasoning={"max_tokens": 5000}, max_tokens=2000))
        assert told == {"type": "enabled", "budget_tokens": 1999}
        assert thinking(chat(reasoning={"max_tokens": 5000}))["budget_tokens"] == 5000
        assert thinking(chat(reasoning={"max_tokens": 10}))["budget_tokens"] == 1024

    @pytest.mark.parametrize(
        ("effort", "limit", "budget"),
        [("high", 4000, 3200), ("xhigh", 4000, 3800), ("medium", 4000, 2000), ("low", 8000, 1600), ("low", 2000, 1024)],
    )
    def test_an_effort_leaves_room_for_the_answer(self, effort: str, limit: int, budget: int) -> None:
        assert thinking(chat(reasoning_effort=effort, max_tokens=limit))["budget_tokens"] == budget
        assert thinking(chat(reasoning={"enabled": True}, max_tokens=4000))["budget_tokens"] == 2000

    def test_a_limit_without_room_for_it(self) -> None:
        sent = send(C, M, chat(reasoning_effort="high", max_tokens=1024))
        assert (sent.lost, "thinking" in sent.body) == (["reasoning_effort"], False)
        assert send(C, M, chat(reasoning={"enabled": True}, max_tokens=9)).body["thinking"] == {"type": "disabled"}

    @pytest.mark.parametrize(("effort", "after"), [("minimal", "low"), ("medium", "medium"), ("xhigh", "xhigh")])
    def test_newer_models_are_told_the_effort(self, effort: str, after: str) -> None:
        body = vendors(C, M, chat(reasoning_effort=effort), *NEWEST).body
        assert body["thinking"] == {"type": "adaptive", "display": "summarized"}
        assert body["output_config"] == {"effort": after}

    def test_a_budget_is_an_effort_to_newer_models(self) -> None:
        body = send(C, M, chat(reasoning={"max_tokens": 20_000}), ADAPTIVE).body
        assert (body["thinking"], body["output_config"]) == ({"type": "adaptive"}, {"effort": "high"})

    def test_who_does_not_want_to_read_it_does_not_ask_for_it(self) -> None:
        body = vendors(C, M, chat(reasoning={"effort": "low", "exclude": True}), *NEWEST).body
        assert body["thinking"] == {"type": "adaptive"}
        assert send(R, M, responses(reasoning={"effort": "low"}), ADAPTIVE).body["thinking"] == {"type": "adaptive"}

    @pytest.mark.parametrize("traits", [Traits(), ADAPTIVE])
    def test_none_is_disabled_and_nothing_is_nothing(self, traits: Traits) -> None:
        assert thinking(chat(reasoning_effort="none"), traits) == {"type": "disabled"}
        assert thinking(chat(), traits) is None
        assert send(R, M, responses(reasoning={"summary": "auto"}), traits).body.keys().isdisjoint({"thinking"})

    @pytest.mark.parametrize("traits", [Traits(), ADAPTIVE])
    @pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "f"}}])
    def test_not_where_a_tool_is_forced(self, traits: Traits, choice: Any) -> None:
        """Row "tool_choice"."""
        sent = send(C, M, chat(tools=[function()], tool_choice=choice, reasoning_effort="low"), traits)
        assert sent.losses == {"reasoning_effort": "the model cannot think where a tool is forced"}
        assert "thinking" not in sent.body
        assert thinking(chat(tools=[function()], tool_choice="auto", reasoning_effort="low"), traits)

    def test_a_model_that_always_thinks_is_asked_to_think_little(self) -> None:
        sent = vendors(C, M, chat(reasoning_effort="none"), "anthropic", "claude-fable-5")
        assert ("thinking" in sent.body, sent.body["output_config"]) == (False, {"effort": "low"})
        assert sent.losses == {"reasoning_effort": "this model always thinks; it is asked to think little"}
        forced = chat(tools=[function()], tool_choice="required", reasoning={"enabled": True})
        assert "thinking" not in vendors(C, M, forced, "anthropic", "claude-fable-5").body
        assert vendors(C, M, forced, "anthropic", "claude-opus-5").body["thinking"] == {"type": "disabled"}

    def test_not_where_the_client_began_the_answer(self) -> None:
        sent = send(C, M, chat(user("hi"), assistant("So"), reasoning_effort="low"))
        assert (sent.lost, "thinking" in sent.body) == (["reasoning_effort"], False)

    def test_not_where_the_open_chain_of_calls_came_without(self) -> None:
        """Trap 4: with thinking, a turn that is going on must begin with it, signed by this model."""
        thought = assistant(None, call("a"), reasoning_details=[DETAIL])
        foreign = assistant(None, call("a"), reasoning_content="Hm.")
        chain = [user("hi"), thought, gave("a"), assistant(None, call("b")), gave("b")]
        assert thinking(chat(*chain, reasoning_effort="low"))
        sent = send(C, M, chat(user("hi"), foreign, gave("a"), reasoning_effort="low"))
        assert "thinking" not in sent.body
        assert set(sent.lost) == {"reasoning_effort", "messages[1].reasoning_content"}
        assert send(C, M, chat(user("hi"), foreign, gave("a"), user("And?"), reasoning_effort="low")).lost == sent.lost
        over = send(C, M, chat(user("hi"), foreign, gave("a"), assistant("So"), user("?"), reasoning_effort="low"))
        assert over.body["thinking"]["type"] == "enabled"
        assert send(C, M, chat(user("hi"), foreign, gave("a"), reasoning_effort="low"), ADAPTIVE).body["thinking"]

    def test_not_where_an_empty_thought_says_that_there_was_none(self) -> None:
        """Behind one provider are several models: what one made goes back through the same API."""
        empty = close(Seal("plain"), ORIGIN, "")
        called = assistant(None, call("a"), reasoning_details=[{"type": "reasoning.encrypted", "data": empty}])
        sent = send(C, M, chat(user("hi"), called, gave("a"), reasoning_effort="low"))
        assert (sent.lost, "thinking" in sent.body) == (["reasoning_effort"], False)


class TestForcedCalls:
    """The newest models refuse them."""

    @pytest.mark.parametrize(
        ("choice", "words"),
        [
            ("required", "Call a tool. Do not answer with nothing but text."),
            (
                {"type": "function", "function": {"name": "f"}},
                "Call the tool `f`. Do not answer with nothing but text.",
            ),
        ],
    )
    def test_who_cannot_be_made_to_call_is_asked_to(self, choice: Any, words: str) -> None:
        body = chat(system("Be brief."), user("hi"), tools=[function()], tool_choice=choice, reasoning_effort="low")
        sent = vendors(C, M, body, "anthropic", "claude-opus-5-5")
        assert sent.body["tool_choice"] == {"type": "auto"}
        assert sent.body["system"] == [text("Be brief."), text(words)]
        assert sent.body["thinking"]["type"] == "adaptive"
        assert sent.losses == {"tool_choice": "this model cannot be made to call a tool; asked to in words"}

    @pytest.mark.parametrize("choice", ["auto", "none"])
    def test_other_choices_are_as_ever(self, choice: str) -> None:
        sent = vendors(C, M, chat(tools=[function()], tool_choice=choice), "anthropic", "claude-opus-5-5")
        assert (sent.body["tool_choice"], sent.losses, "system" in sent.body) == ({"type": choice}, {}, False)

    def test_nor_to_call_one_for_the_form_of_its_answer(self) -> None:
        sent = vendors(C, M, chat(response_format=FORM), "openai-compatible", "claude-opus-5-5")
        assert (sent.lost, "tools" in sent.body) == (["response_format"], False)


class TestForms:
    """Row "Structured output": of the answer as a whole."""

    def test_newer_models_are_held_to_the_schema(self) -> None:
        sent = vendors(C, M, chat(response_format=FORM), *OLDER)
        shut = {"description": "d", **LOOSE, "additionalProperties": False}
        assert sent.body["output_config"] == {"format": {"type": "json_schema", "schema": shut}}
        assert sent.losses == {}

    def test_bounds_that_no_claude_is_held_to_are_told_in_words(self) -> None:
        bounded = {"type": "integer", "minimum": 1, "description": "How many"}
        either = {"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "format": "date"}]}
        schema = {"type": "object", "properties": {"n": bounded, "s": either}}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
        sent = vendors(C, M, chat(response_format=form), *OLDER)
        assert sent.body["output_config"]["format"]["schema"]["properties"] == {
            "n": {"type": "integer", "description": "How many (minimum: 1)"},
            "s": {
                "anyOf": [{"type": "string", "description": '(pattern: "^a")'}, {"type": "string", "format": "date"}]
            },
        }
        assert list(sent.losses) == ["response_format"]

    def test_schemas_are_closed_at_each_depth(self) -> None:
        deep = {"type": "object", "properties": {"a": {"anyOf": [LOOSE, {"type": "null"}]}}, "$defs": {"b": LOOSE}}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": deep}}
        told = vendors(C, M, chat(response_format=form), *OLDER).body["output_config"]["format"]["schema"]
        assert str(told).count("'additionalProperties': False") == 3

    def test_older_ones_are_made_to_call_a_tool_whose_arguments_are_the_answer(self) -> None:
        sent = send(C, M, chat(response_format=FORM))
        shut = LOOSE | {"additionalProperties": False}
        assert sent.body["tools"] == [{"name": "n", "description": "d", "input_schema": shut}]
        assert sent.body["tool_choice"] == {"type": "tool", "name": "n", "disable_parallel_tool_use": True}
        assert sent.losses == {}

    def test_a_strict_form_says_that_nobody_holds_them_to_it(self) -> None:
        held = {"name": "n", "schema": LOOSE, "strict": True}
        strict = send(C, M, chat(response_format={"type": "json_schema", "json_schema": held}))
        assert strict.losses == {
            "response_format": "this model cannot be held to a schema; asked for as the call of a tool"
        }
        assert send(R, M, responses(text={"format": {"type": "json_schema", **held}})).lost == ["text.format"]
        looped = {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}
        form = {"type": "json_schema", "json_schema": {"name": "n", "schema": looped, "strict": True}}
        assert vendors(C, M, chat(response_format=form), *OLDER).lost == ["response_format"]

    @pytest.mark.parametrize(
        "more",
        [
            {"tools": [function()]},
            {"reasoning_effort": "low"},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "array"}}}},
            {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}},
        ],
        ids=["tools", "thinking", "no object", "no schema"],
    )
    def test_where_they_cannot_they_are_told_in_words(self, more: Body) -> None:
        sent = send(C, M, chat(**{"response_format": FORM, **more}))
        assert sent.body["system"][0]["text"].startswith(
            "Answer with one JSON value and nothing else, by this JSON Sch"
        )
        assert sent.lost == ["response_format"]

    def test_any_object_is_asked_for_in_words(self) -> None:
        sent = send(C, M, chat(system("Be brief."), user("hi"), response_format={"type": "json_object"}))
        assert sent.body["system"] == [text("Be brief."), text("Answer with one JSON object and nothing else.")]
        assert sent.lost == ["response_format"]


class TestIdentityTiersAndOthers:
    @pytest.mark.parametrize(
        ("client", "body", "lost"),
        [
            (C, chat(logprobs=True), ["logprobs"]),
            (C, chat(logprobs=True, top_logprobs=3), ["logprobs", "top_logprobs"]),
            (C, chat(logprobs=False), []),
            (R, responses(include=["message.output_text.logprobs"]), ["include"]),
            (R, responses(top_logprobs=3), ["top_logprobs"]),
        ],
    )
    def test_probabilities_are_lost_by_the_names_that_the_client_used(
        self, client: Api, body: Body, lost: list[str]
    ) -> None:
        assert send(client, M, body).lost == lost

    def test_who_asks_is_told_as_a_hash(self) -> None:
        """Row "Identity"."""
        for body in (chat(user="anna"), chat(user="x", safety_identifier="anna")):
            told = send(C, M, body).body
            assert told["metadata"] == {"user_id": hashlib.sha256(b"anna").hexdigest()}

    @pytest.mark.parametrize(
        ("tier", "after", "lost"),
        [
            ("auto", "auto", []),
            ("default", "standard_only", []),
            ("flex", None, ["service_tier"]),
            ("priority", None, ["service_tier"]),
        ],
    )
    def test_tiers(self, tier: str, after: str | None, lost: list[str]) -> None:
        """Row "Tiers"."""
        sent = send(C, M, chat(service_tier=tier))
        assert (sent.body.get("service_tier"), sent.lost) == (after, lost)

    def test_what_there_is_no_word_for(self) -> None:
        """Rows "Cache" and "Dropped toward Msg"."""
        sent = send(
            R,
            M,
            responses(
                text={"verbosity": "low"},
                metadata={"a": "b"},
                prompt_cache_key="k",
                prompt_cache_retention="24h",
                top_logprobs=2,
            ),
        )
        assert sent.losses == dict.fromkeys(
            ("text.verbosity", "metadata", "prompt_cache_key", "prompt_cache_retention", "top_logprobs"),
            "Messages has no such setting",
        )


class TestCacheMarks:
    """Row "Cache": four at the most, none behind one of a shorter life, none on what is empty."""

    def test_they_stay_where_they_are(self) -> None:
        sent = send(
            C,
            M,
            chat(
                system("Be brief.", **mark("1h")),
                user(text("a"), SHOWN | mark()),
                assistant(None, call(**mark())),
                gave(**mark()),
            ),
        )
        assert sent.losses == {}
        assert sent.body["system"] == [text("Be brief.", **mark("1h"))]
        first, second, third = (one["content"][-1] for one in sent.body["messages"])
        assert [one["cache_control"] for one in (first, second, third)] == [{"type": "ephemeral"}] * 3

    def test_a_mark_inside_a_result_is_one_mark(self) -> None:
        body = chat(user("hi"), assistant(None, call()), gave("a", [text("r", **mark())]))
        assert send(C, M, body).body["messages"][2]["content"] == [result("a", [text("r", **mark())])]

    def test_of_too_many_the_first_go(self) -> None:
        turns = [part for n in range(3) for part in (user(text(f"q{n}", **mark())), assistant(f"a{n}"))]
        sent = send(
            C, M, chat(system("Be brief.", **mark()), *turns, user(text("q", **mark())), tools=[function() | mark()])
        )
        assert str(sent.body).count("cache_control") == 4
        assert "cache_control" not in str(sent.body["tools"] + sent.body["system"])
        assert sent.lost == ["tools[0].function.cache_control", "messages[0].content.cache_control"]

    def test_none_lives_longer_than_one_before_it(self) -> None:
        sent = send(C, M, chat(system("Be brief.", **mark()), user(text("a", **mark("1h")))))
        assert sent.body["messages"] == [user(text("a", **mark()))]
        assert sent.lost == ["messages[1].content[0].cache_control.ttl"]


class TestChoicesAmongSome:
    @pytest.mark.parametrize("mode", ["auto", "required"])
    def test_where_only_tools_of_the_provider_are_allowed_no_other_is_called(self, mode: str) -> None:
        allowed = {"type": "allowed_tools", "mode": mode, "tools": [{"type": "web_search"}]}
        sent = send(R, M, responses(tools=[flat("f"), {"type": "web_search"}], tool_choice=allowed))
        assert (sent.body["tool_choice"], sent.lost) == ({"type": "none"}, ["tools[1]", "tool_choice"])

    def test_an_empty_list_allows_none(self) -> None:
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
        sent = send(C, M, chat(tools=[function("f")], tool_choice=allowed))
        assert (sent.body["tool_choice"], sent.losses) == ({"type": "none"}, {})
