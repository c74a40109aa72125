"""The settings that a Responses upstream gets of requests of the other APIs. Rows are those of the wire notes, section
10."""

from __future__ import annotations

import hashlib

import pytest

from support_requests import (
    LOOSE,
    SCHEMA,
    C,
    M,
    R,
    chat,
    function,
    mark,
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
from trivium.canon.api import Api
from trivium.canon.traits import Traits


class TestSettings:
    def test_limits_and_sampling(self) -> None:
        body = send(C, R, chat(max_completion_tokens=99, temperature=0.5, top_p=0.9, stream=True)).body
        assert body.items() >= {"max_output_tokens": 99, "temperature": 0.5, "top_p": 0.9, "stream": True}.items()
        assert "stream_options" not in body
        assert "max_output_tokens" not in send(C, R, chat()).body

    def test_the_least_limit_is_16(self) -> None:
        sent = send(M, R, messages(max_tokens=0))
        assert (sent.body["max_output_tokens"], sent.lost) == (16, ["max_tokens"])

    def test_what_there_is_no_word_for(self) -> None:
        assert send(M, R, messages(stop_sequences=["END"], top_k=3)).losses == {
            "stop_sequences": "Responses has no such setting",
            "top_k": "Responses has no such setting",
        }

    @pytest.mark.parametrize("to", [C, R])
    def test_of_these_some_take_it_where_they_are_told_not_to_reason(self, to: Api) -> None:
        off = messages(temperature=0.5, top_p=0.9, thinking={"type": "disabled"})
        sent = vendors(M, to, off, "openai", "gpt-5.2")
        assert (sent.body["temperature"], sent.body["top_p"], sent.lost) == (0.5, 0.9, [])
        assert {"temperature", "top_p"} <= set(vendors(M, to, off, "openai", "gpt-5").lost)

    def test_models_that_reason_take_no_sampling(self) -> None:
        sent = vendors(M, R, messages(temperature=0.5, top_p=0.9), "openai", "gpt-5.1")
        assert sent.losses == dict.fromkeys(("temperature", "top_p"), "this model takes no such setting")
        assert not sent.body.keys() & {"temperature", "top_p"}

    @pytest.mark.parametrize(
        ("asked", "after"),
        [
            ({"thinking": {"type": "enabled", "budget_tokens": 8192}}, {"effort": "medium", "summary": "auto"}),
            ({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}}, {"effort": "xhigh"}),
            ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}),
            ({"thinking": {"type": "adaptive", "display": "summarized"}}, {"summary": "auto"}),
            ({"thinking": {"type": "disabled"}}, {"effort": "none"}),
            ({"output_config": {"effort": "low"}}, {"effort": "low"}),
            ({}, {}),
        ],
    )
    def test_reasoning(self, asked: Body, after: Body) -> None:
        """Rows "Reasoning". Who is to think in Messages is to be read, too, unless it says that it is not."""
        traits = Traits(efforts=("none", "low", "medium", "high", "xhigh"))
        found = send(M, R, messages(**asked), traits).body.get("reasoning", {})
        assert found.items() >= after.items()
        assert found.keys() <= {"effort", "summary"}

    def test_models_that_do_not_reason_are_not_asked_to(self) -> None:
        sent = vendors(C, R, chat(reasoning_effort="high"), "openai", "gpt-4o")
        assert (sent.lost, "reasoning" in sent.body) == (["reasoning_effort"], False)

    def test_grok_is_asked_for_the_reasoning_that_it_wants_back(self) -> None:
        asked = vendors(M, R, messages(), "xai", "grok-4.7").body["include"]
        assert asked == ["reasoning.encrypted_content"]

    def test_an_effort_that_xai_would_refuse_is_lost(self) -> None:
        sent = vendors(C, R, chat(reasoning_effort="high"), "xai", "grok-code-fast-1")
        assert (sent.lost, "reasoning" in sent.body) == (["reasoning_effort"], False)
        assert vendors(C, R, chat(reasoning_effort="high"), "xai", "grok-4.3").body["reasoning"] == {"effort": "high"}

    def test_the_form_of_the_answer(self) -> None:
        form = {"name": "n", "schema": SCHEMA, "strict": True}
        body = chat(response_format={"type": "json_schema", "json_schema": form}, verbosity="low")
        assert send(C, R, body).body["text"] == {
            "verbosity": "low",
            "format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True},
        }
        for schema, strict in ((SCHEMA, True), (LOOSE, False), ({"type": "array", "items": SCHEMA}, False)):
            sent = send(M, R, messages(output_config={"format": {"type": "json_schema", "schema": schema}}))
            assert sent.body["text"]["format"]["strict"] is strict
            assert sent.lost == ([] if strict else ["output_config.format"])

    def test_who_asks_is_told_as_a_hash(self) -> None:
        told = send(M, R, messages(metadata={"user_id": "anna"})).body
        assert told["user"] == hashlib.sha256(b"anna").hexdigest()

    def test_what_both_apis_of_openai_know(self) -> None:
        both = {
            "metadata": {"a": "b"},
            "prompt_cache_key": "k",
            "prompt_cache_retention": "24h",
            "service_tier": "flex",
        }
        sent = send(C, R, chat(**both))
        assert sent.body.items() >= both.items()
        assert sent.losses == {}

    @pytest.mark.parametrize(("tier", "after"), [("auto", None), ("standard_only", "default")])
    def test_the_tiers_of_messages(self, tier: str, after: str | None) -> None:
        sent = send(M, R, messages(service_tier=tier))
        assert (sent.body.get("service_tier"), sent.losses) == (after, {})

    def test_cache_marks_go_and_are_told(self) -> None:
        """Row "Cache"."""
        sent = send(
            M,
            R,
            messages(
                user(text("a", **mark("1h"))),
                said(use(**mark())),
                user(result(**mark())),
                system=[text("Be brief.", **mark())],
                tools=[tool(**mark())],
            ),
        )
        assert "cache_control" not in str(sent.body)
        assert sent.lost == [
            "system[0].cache_control",
            "messages[0].content[0].cache_control",
            "tools[0].cache_control",
        ]

    def test_logprobs(self) -> None:
        sent = send(C, R, chat(logprobs=True, top_logprobs=2))
        assert sent.body["include"] == ["message.output_text.logprobs"]
        assert (sent.body["top_logprobs"], sent.losses) == (2, {})
        assert "top_logprobs" not in send(C, R, chat(logprobs=True)).body
        lost = vendors(C, R, chat(logprobs=True), "openai", "gpt-5.1")
        assert (lost.body["include"], lost.lost) == (["reasoning.encrypted_content"], ["logprobs"])

    def test_of_tools_that_may_not_be_chosen_nothing_is_told(self) -> None:
        allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "f"}}]}
        body = chat(
            tools=[function("f"), function("g")], tool_choice={"type": "allowed_tools", "allowed_tools": allowed}
        )
        sent = send(C, R, body)
        assert [one["name"] for one in sent.body["tools"]] == ["f"]
        assert (sent.body["tool_choice"], sent.losses) == ("required", {})
