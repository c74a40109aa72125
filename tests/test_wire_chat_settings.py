"""The settings that a Chat Completions upstream gets of requests of the other APIs. Rows are those of the wire notes,
section 10."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from support_requests import (
    LOOSE,
    SCHEMA,
    C,
    M,
    R,
    mark,
    messages,
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
from trivium.canon.traits import Traits

ROUTER = Traits(reasoning="object", efforts=("none", "low", "medium", "high", "xhigh"))


class TestLimits:
    def test_the_limit_has_a_new_name_at_openai(self) -> None:
        body = messages(max_tokens=7)
        assert send(M, C, body).body["max_tokens"] == 7
        told = vendors(M, C, body, "openai", "gpt-5.1").body
        assert told["max_completion_tokens"] == 7
        assert "max_tokens" not in told
        assert "max_tokens" not in send(R, C, responses()).body

    def test_an_answer_of_no_tokens_cannot_be_asked_for(self) -> None:
        sent = send(M, C, messages(max_tokens=0))
        assert (sent.body["max_tokens"], sent.lost) == (1, ["max_tokens"])

    def test_stop_sequences(self) -> None:
        body = messages(stop_sequences=["a", "b", "c", "d"])
        assert send(M, C, body).body["stop"] == ["a", "b", "c", "d"]
        assert send(M, C, body, Traits(stop_limit=4)).losses == {}
        sent = send(M, C, body, Traits(stop_limit=2))
        assert (sent.body["stop"], sent.lost) == (["a", "b"], ["stop_sequences"])

    def test_sampling_goes_to_those_who_take_it(self) -> None:
        body = messages(temperature=0.5, top_p=0.9, top_k=3)
        sent = send(M, C, body, beyond=("top_k",))
        assert {name: sent.body[name] for name in ("temperature", "top_p", "top_k")} == {
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 3,
        }
        assert sent.losses == {}
        assert vendors(M, C, body, "openai", "gpt-4o").lost == ["top_k"]
        reasons = vendors(M, C, body, "openai", "gpt-5.1")
        assert reasons.lost == ["temperature", "top_p", "top_k"]
        assert not reasons.body.keys() & {"temperature", "top_p", "top_k"}

    @pytest.mark.parametrize("provider", ["groq", "cerebras", "xai", "mistral", "codestral"])
    def test_where_there_is_no_top_k_it_is_lost(self, provider: str) -> None:
        sent = vendors(M, C, messages(top_k=3, temperature=0.5), provider, "m")
        assert (sent.lost, sent.body["temperature"], "top_k" in sent.body) == (["top_k"], 0.5, False)

    def test_usage_is_asked_for_in_a_stream(self) -> None:
        told = send(M, C, messages(stream=True)).body
        assert (told["stream"], told["stream_options"]) == (True, {"include_usage": True})
        assert not send(M, C, messages(stream=False)).body.keys() & {"stream", "stream_options"}


class TestReasoning:
    """Row "Reasoning": a ladder of efforts, and budgets of tokens."""

    @pytest.mark.parametrize(
        ("budget", "effort"), [(1024, "minimal"), (2048, "low"), (8192, "medium"), (24_576, "high"), (31_999, "xhigh")]
    )
    def test_a_budget_is_a_step_of_the_ladder(self, budget: int, effort: str) -> None:
        body = messages(thinking={"type": "enabled", "budget_tokens": budget})
        traits = Traits(efforts=("minimal", "low", "medium", "high", "xhigh"))
        assert send(M, C, body, traits).body["reasoning_effort"] == effort

    @pytest.mark.parametrize(
        ("effort", "known", "after"),
        [
            ("max", ("low", "medium", "high"), "high"),
            ("minimal", ("low", "medium", "high"), "low"),
            ("medium", ("low", "high"), "low"),
            ("a_future_step", ("low",), "a_future_step"),
        ],
    )
    def test_a_step_that_is_not_known_is_the_nearest(self, effort: str, known: tuple[str, ...], after: str) -> None:
        sent = send(R, C, responses(reasoning={"effort": effort}), Traits(efforts=known), beyond=("reasoning_effort",))
        assert sent.body["reasoning_effort"] == after

    def test_no_reasoning_is_asked_for_where_that_can_be_said(self) -> None:
        for body, source, field in (
            (messages(thinking={"type": "disabled"}), M, "thinking"),
            (responses(reasoning={"effort": "none"}), R, "reasoning"),
        ):
            assert send(source, C, body, Traits(efforts=("none", "low"))).body["reasoning_effort"] == "none"
            sent = send(source, C, body)
            assert (sent.lost, "reasoning_effort" in sent.body) == ([field], False)

    def test_models_that_do_not_reason_are_not_asked_to(self) -> None:
        body = messages(thinking={"type": "enabled", "budget_tokens": 2048})
        sent = vendors(M, C, body, "openai", "gpt-4o")
        assert (sent.lost, "reasoning_effort" in sent.body) == (["thinking"], False)
        assert vendors(M, C, messages(thinking={"type": "disabled"}), "openai", "gpt-4o").losses == {}

    @pytest.mark.parametrize(
        ("provider", "model", "effort", "after"),
        [
            ("xai", "grok-4.3", "high", "high"),
            ("xai", "grok-4.3", "none", "none"),
            ("xai", "grok-3-mini", "medium", "low"),
            ("groq", "openai/gpt-oss-20b", "minimal", "low"),
            ("groq", "qwen/qwen3-32b", "high", "default"),
            ("groq", "qwen/qwen3-32b", "none", "none"),
        ],
    )
    def test_each_vendor_has_its_words(self, provider: str, model: str, effort: str, after: str) -> None:
        sent = vendors(R, C, responses(reasoning={"effort": effort}), provider, model, beyond=("reasoning_effort",))
        assert (sent.body["reasoning_effort"], sent.losses) == (after, {})

    @pytest.mark.parametrize(
        ("provider", "model"), [("xai", "grok-4-fast-reasoning"), ("groq", "llama-3.3-70b-versatile")]
    )
    @pytest.mark.parametrize("effort", ["none", "high"])
    def test_where_it_cannot_be_chosen_it_is_lost(self, provider: str, model: str, effort: str) -> None:
        sent = vendors(R, C, responses(reasoning={"effort": effort}), provider, model)
        assert (sent.lost, "reasoning_effort" in sent.body) == (["reasoning"], False)

    @pytest.mark.parametrize(
        ("asked", "after"),
        [
            ({"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"enabled": True, "max_tokens": 2048}),
            ({"thinking": {"type": "disabled"}}, {"enabled": False}),
            (
                {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
                {"enabled": True, "effort": "xhigh"},
            ),
        ],
    )
    def test_openrouter_has_an_object_for_it(self, asked: Body, after: Body) -> None:
        sent = send(M, C, messages(**asked), ROUTER, beyond=("reasoning",))
        assert (sent.body["reasoning"], sent.losses) == (after, {})

    def test_as_it_likes_is_nothing_said(self) -> None:
        for traits in (Traits(), ROUTER):
            assert not send(M, C, messages(), traits).body.keys() & {"reasoning", "reasoning_effort"}


class TestFormats:
    """Row "Structured output"."""

    def test_a_schema(self) -> None:
        form = {"type": "json_schema", "name": "n", "description": "d", "schema": SCHEMA, "strict": True}
        sent = send(R, C, responses(text={"format": form}))
        assert sent.body["response_format"] == {
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "d", "schema": SCHEMA, "strict": True},
        }

    def test_a_schema_of_messages_gets_a_name_and_is_strict_if_it_can_be(self) -> None:
        for schema, strict, lost in (
            (SCHEMA, True, []),
            (LOOSE, False, ["output_config.format"]),
            ({"type": "array", "items": SCHEMA}, False, ["output_config.format"]),
        ):
            sent = send(M, C, messages(output_config={"format": {"type": "json_schema", "schema": schema}}))
            assert sent.body["response_format"]["json_schema"] == {"name": "answer", "schema": schema, "strict": strict}
            assert sent.lost == lost

    def test_any_object(self) -> None:
        body = responses(instructions="Answer in JSON.", text={"format": {"type": "json_object"}})
        assert send(R, C, body).body["response_format"] == {"type": "json_object"}

    def test_the_name_of_a_schema_has_plain_letters(self) -> None:
        form = {"type": "json_schema", "name": "a.b", "schema": SCHEMA}
        name = send(R, C, responses(text={"format": form})).body["response_format"]["json_schema"]["name"]
        assert name.startswith("a_b_")


class TestIdentityTiersAndKeys:
    """Rows "Identity", "Tiers" and "Cache"."""

    def test_who_asks_is_told_as_a_hash(self) -> None:
        """Claude Code's is JSON of more than the 64 characters that OpenAI takes."""
        who = '{"device_id":"1f88","account_uuid":"","session_id":"29a2' + "0" * 60 + '"}'
        told = send(M, C, messages(metadata={"user_id": who})).body
        assert told["user"] == hashlib.sha256(who.encode()).hexdigest()
        assert len(told["user"]) == 64

    @pytest.mark.parametrize(
        ("tier", "known", "after", "lost"),
        [
            ("auto", True, None, []),
            ("standard_only", True, "default", []),
            ("standard_only", False, None, []),
            ("auto", False, None, []),
        ],
    )
    def test_the_tiers_of_messages(self, tier: str, known: bool, after: str | None, lost: list[str]) -> None:
        sent = send(M, C, messages(service_tier=tier), Traits(tiers=known))
        assert (sent.body.get("service_tier"), sent.lost) == (after, lost)

    @pytest.mark.parametrize(
        ("tier", "known", "after", "lost"),
        [
            ("flex", True, "flex", []),
            ("flex", False, None, ["service_tier"]),
            ("ultrafast", True, None, ["service_tier"]),
        ],
    )
    def test_other_tiers(self, tier: str, known: bool, after: str | None, lost: list[str]) -> None:
        """One of them is a word of Responses alone."""
        sent = send(R, C, responses(service_tier=tier), Traits(tiers=known))
        assert (sent.body.get("service_tier"), sent.lost) == (after, lost)

    def test_what_only_openai_knows(self) -> None:
        said: dict[str, Any] = {"prompt_cache_key": "k", "prompt_cache_retention": "24h"}
        body = responses(**said, text={"verbosity": "low"}, metadata={"a": "b"})
        sent = send(R, C, body, Traits(cache_key=True, cache_retention=True, verbosity=True))
        assert sent.body.items() >= (said | {"verbosity": "low"}).items()
        assert sent.lost == ["metadata"]
        assert send(R, C, body).lost == [*said, "text.verbosity", "metadata"]


class TestLogprobs:
    def test_responses_can_ask_for_them_too(self) -> None:
        body = responses(include=["message.output_text.logprobs"], top_logprobs=2)
        sent = send(R, C, body)
        assert sent.body.items() >= {"logprobs": True, "top_logprobs": 2}.items()
        assert sent.losses == {}

    def test_models_without_sampling_have_none(self) -> None:
        sent = vendors(R, C, responses(top_logprobs=2), "openai", "gpt-5.1")
        assert (sent.lost, "logprobs" in sent.body) == (["top_logprobs"], False)


class TestCacheMarks:
    """Row "Cache": OpenRouter's dialect for Claude; all others cache by themselves."""

    def body(self) -> Body:
        return messages(
            user(text("a", **mark("1h")), text("b")),
            said(text("c", **mark()), use(**mark())),
            user(result(**mark())),
            system=[text("Be brief.", **mark("1h"))],
            tools=[tool(**mark("1h"))],
        )

    def test_for_claude_behind_openrouter_they_stay(self) -> None:
        body = send(M, C, self.body(), Traits(cache_marks=True), beyond=("cache_control",)).body
        hour = {"type": "ephemeral", "ttl": "1h"}
        system, asked, answer, given = body["messages"]
        assert system["content"] == [text("Be brief.", cache_control=hour)]
        assert asked["content"] == [text("a", cache_control=hour), text("b")]
        assert answer["content"] == [text("c", **mark())]
        assert answer["tool_calls"][0]["cache_control"] == {"type": "ephemeral"}
        assert given["content"] == [text("r", **mark())]
        assert body["tools"][0]["cache_control"] == hour

    def test_for_all_others_they_go_and_are_told(self) -> None:
        sent = send(M, C, self.body())
        assert "cache_control" not in str(sent.body)
        assert sent.losses == {
            "system[0].cache_control": "this upstream caches by itself and takes no marks",
            "messages[0].content[0].cache_control": "this upstream caches by itself and takes no marks "
            "(and 3 more like it)",
            "tools[0].cache_control": "this upstream caches by itself and takes no marks",
        }
