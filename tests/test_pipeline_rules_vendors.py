"""Requests written for a gateway on their way to a vendor's own API: with fallbacks and own keys they get there."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from gateway import ALL_APIS, running
from support_money import BODIES, in_every_api
from support_rules import ANSWERS, SEND, Sent, house, only
from test_pipeline_rules import COMPLETION, tool
from trivium.providers.identity import hashed
from trivium.store.users import User

TASK = {"x-trivium-task": "task-7"}
SALT = "a salt of ours"
ROUTED: dict[str, Any] = {
    "include_reasoning": True,
    "usage": {"include": True},
    "transforms": ["middle-out"],
    "plugins": [],
    "models": ["a/b"],
    "route": "fallback",
    "min_p": 0.1,
    "top_a": 0.1,
    "top_k": 5,
    "repetition_penalty": 1.1,
    "session_id": "s",
}
"""What only OpenRouter knows."""


def said(sent: Sent) -> dict[str, Any]:
    """The body but for what every call has."""
    return {name: value for name, value in sent.body.items() if name not in ("model", "messages", "input")}


class TestWhoCalls:
    @pytest.mark.parametrize(
        ("kind", "apis", "told"),
        [
            ("openai", ("chat", "responses"), {"user", "safety_identifier", "prompt_cache_key"}),
            ("azure", ("chat", "responses"), {"user"}),
            ("azure-deployments", ("chat", "responses"), {"user"}),
            ("groq", ("chat", "responses"), {"user"}),
            ("cerebras", ("chat",), {"user"}),
            ("google", ("chat",), set()),
            ("deepseek", ("chat",), set()),
        ],
    )
    async def test_it_is_told_in_members_that_the_provider_knows(
        self, kind: str, apis: tuple[str, ...], told: set[str]
    ) -> None:
        async with house(kind, settings=SEND, apis=only(*apis)) as up:
            sent = [await up.send(api, "m", headers=TASK) for api in apis]
        assert [set(said(one)) for one in sent] == [told for _ in apis]

    async def test_xai_has_a_header_for_what_chat_is_not_told(self) -> None:
        async with house("xai", settings=SEND, apis=only("chat", "responses")) as up:
            key = await up.people.user("ann")
            chat = await up.send("chat", "grok-4", headers=TASK, key=key)
            responses = await up.send("responses", "grok-4", headers=TASK, key=key)
        task = hashed(SALT, "up", "anntask-7")
        assert (set(said(chat)), chat.headers["x-grok-conv-id"]) == ({"user"}, task)
        assert (set(said(responses)), responses.body["prompt_cache_key"]) == ({"user", "prompt_cache_key"}, task)

    @pytest.mark.parametrize("settings", [SEND, ""])
    @pytest.mark.parametrize("kind", ["fireworks", "kimi-coding", "moonshot"])
    async def test_a_clients_own_key_goes_with_its_words_where_it_is_known(self, kind: str, settings: str) -> None:
        async with house(kind, settings=settings, apis=only("chat")) as up:
            sent = await up.send("responses", "m", prompt_cache_key="talk", headers=TASK)
            kept = await up.send("responses", "m", prompt_cache_retention="24h")
        assert (sent.body["prompt_cache_key"], sent.losses) == ("talk", [])
        assert kept.losses == ["prompt_cache_retention"], "of which nobody there has said anything"

    async def test_a_server_that_nobody_knows_is_told_it_if_it_is_told_of_tasks(self) -> None:
        async with house(settings=SEND, apis=only("chat")) as up:
            told = await up.send("responses", "m", prompt_cache_key="talk", headers=TASK)
        async with house(apis=only("chat")) as up:
            untold = await up.send("responses", "m", prompt_cache_key="talk", headers=TASK)
        async with house(settings=SEND, apis=only("chat"), more="told_who = false") as up:
            spared = await up.send("responses", "m", prompt_cache_key="talk", headers=TASK)
        assert (told.body["prompt_cache_key"], told.losses) == ("talk", [])
        for sent in (untold, spared):
            assert ("prompt_cache_key" in sent.body, sent.losses) == (False, ["prompt_cache_key"])

    @pytest.mark.parametrize(("kind", "header"), [("mistral", "x-affinity"), ("xai", "x-grok-conv-id")])
    async def test_headers_have_a_clients_own_key_behind_a_translation_too(self, kind: str, header: str) -> None:
        async with house(kind, settings=SEND, apis=only("chat")) as up:
            sent = await up.send("responses", "grok-4", prompt_cache_key="talk", headers=TASK)
        assert (sent.headers[header], sent.losses) == ("talk", ["prompt_cache_key"])

    async def test_what_a_client_says_of_its_user_is_replaced_where_nothing_is_added(self) -> None:
        async with house("deepseek", settings=SEND, apis=only("chat")) as up:
            sent = await up.send("chat", "m", user="ann@example")
        assert set(said(sent)) == {"user"}
        assert sent.body["user"] != "ann@example"

    @pytest.mark.parametrize(
        ("kind", "losses"), [("google", ["metadata.user_id"]), ("deepseek", ["metadata.user_id"]), ("groq", [])]
    )
    async def test_behind_a_translation_too(self, kind: str, losses: list[str]) -> None:
        for settings in (SEND, ""):
            async with house(kind, settings=settings, apis=only("chat")) as up:
                sent = await up.send("messages", "m", metadata={"user_id": "ann"}, headers=TASK)
            assert (set(said(sent)) - {"max_tokens"}, sent.losses) == (set() if losses else {"user"}, losses)

    async def test_what_is_lost_behind_a_translation_is_told_in_the_clients_words(self) -> None:
        async with house("qwen", settings=SEND, apis=only("chat")) as up:
            both = await up.send("responses", "m", user="ann", safety_identifier="a", headers=TASK)
            one = await up.send("responses", "m", user="ann")
            long = await up.send("responses", "qwen3", max_output_tokens=100_000)
            chat = await up.send("chat", "qwen3", max_tokens=100_000)
        assert (both.losses, one.losses) == (["user", "safety_identifier"], ["user"])
        assert (long.losses, chat.losses) == (["max_output_tokens"], ["max_tokens"])


class TestMembers:
    @pytest.mark.parametrize("kind", ["openai", "azure", "google", "xai", "groq", "cerebras", "mistral", "deepseek"])
    async def test_what_only_openrouter_knows_does_not_reach_a_vendor(self, kind: str) -> None:
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", "m", **ROUTED)
            record = await up.running.record()
        kept = {"include_reasoning"} if kind == "groq" else set[str]()
        assert set(said(sent)) == kept
        assert set(sent.losses) == ROUTED.keys() - kept
        assert ("mistral-members" if kind == "mistral" else "unknown-members") in record["rules"].split()

    async def test_it_goes_on_to_who_may_know_it(self) -> None:
        asked = {name: value for name, value in ROUTED.items() if name not in ("models", "route")}
        for kind in ("openrouter", "vercel", ""):
            async with house(kind, apis=only("chat")) as up:
                assert said(await up.send("chat", "m", **asked)) == asked

    async def test_servers_of_open_models_are_sampled_their_way(self) -> None:
        async with house("qwen", apis=only("chat")) as up:
            sent = await up.send("chat", "m", top_k=5, top_a=0.1)
        assert (said(sent), sent.losses) == ({"top_k": 5}, ["top_a"])

    @in_every_api
    async def test_other_bodies_stay_the_bytes_that_they_are(self, api: str) -> None:
        kind = "anthropic" if api == "messages" else "openai"
        model = "claude-opus-4-7" if api == "messages" else "gpt-5.1"
        plain = msgspec.json.encode({**BODIES[api], "model": model, "temperature": 1})
        async with house(kind, apis=only(api)) as up:
            sent = await up.post(api, plain.replace(b'"%b"' % model.encode(), b'"up/%b"' % model.encode()))
        assert (sent.raw, sent.losses) == (plain, [])


class TestReasoning:
    @pytest.mark.parametrize(
        ("kind", "model", "reasoning", "told", "losses"),
        [
            ("openai", "gpt-5", {"effort": "high"}, "high", []),
            ("openai", "gpt-5.2", {"enabled": False}, "none", []),
            ("openai", "gpt-5", {"effort": "xhigh"}, "high", []),
            ("openai", "gpt-5", {"max_tokens": 8000}, "medium", []),
            ("openai", "gpt-5", {"enabled": False}, None, ["reasoning"]),
            ("openai", "gpt-5", {"enabled": True}, None, []),
            ("openai", "gpt-4o", {"effort": "low"}, None, ["reasoning"]),
            ("openai", "gpt-4o", {"effort": "none"}, None, []),
            ("openai", "gpt-5", {"effort": "low", "exclude": True}, "low", ["reasoning.exclude"]),
            ("openai", "gpt-5", "odd", None, ["reasoning"]),
            ("openai", "gpt-5", None, None, []),
            ("groq", "llama-3.3-70b-versatile", {"effort": "low"}, None, ["reasoning.effort"]),
            ("groq", "qwen/qwen3-32b", {"effort": "low"}, "default", []),
            ("google", "gemini-2.5-pro", {"effort": "low"}, "low", []),
            ("xai", "grok-4-fast", {"effort": "low"}, None, ["reasoning.effort"]),
        ],
    )
    async def test_openrouters_object_becomes_the_vendors_word(
        self, kind: str, model: str, reasoning: Any, told: str | None, losses: list[str]
    ) -> None:
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", model, reasoning=reasoning)
            record = await up.running.record()
        assert (said(sent), sent.losses) == ({"reasoning_effort": told} if told else {}, losses)
        assert record["rules"].split()[0] == "reasoning-effort"

    @pytest.mark.parametrize(("kind", "model"), [("deepseek", "deepseek-v4-pro"), ("zai", "glm-4.7")])
    @pytest.mark.parametrize("reasoning", [{"enabled": False}, {"effort": "none"}])
    async def test_who_turns_thinking_off_by_another_word_hears_that(
        self, kind: str, model: str, reasoning: dict[str, Any]
    ) -> None:
        off = {"type": "disabled"}
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", model, reasoning=reasoning)
            own = await up.send("chat", model, reasoning=reasoning, thinking={"type": "enabled"})
        assert (sent.body["thinking"], said(sent), sent.losses) == (off, {"thinking": off}, [])
        assert own.body["thinking"] == {"type": "enabled"}

    async def test_a_clients_own_word_stays(self) -> None:
        async with house("openai", apis=only("chat", "responses")) as up:
            sent = await up.send("chat", "gpt-5", reasoning={"effort": "high"}, reasoning_effort="low")
            responses = await up.send("responses", "gpt-5", reasoning={"effort": "high"})
        assert said(sent) == {"reasoning_effort": "low"}
        assert said(responses) == {"reasoning": {"effort": "high"}}

    @pytest.mark.parametrize("kind", ["openrouter", "vercel", "moonshot", ""])
    async def test_who_knows_the_object_gets_it(self, kind: str) -> None:
        async with house(kind, apis=only("chat")) as up:
            assert said(await up.send("chat", "m", reasoning={"effort": "high"})) == {"reasoning": {"effort": "high"}}


class TestKimi:
    """At Moonshot's own API, in Chat."""

    @pytest.mark.parametrize(
        ("api", "asked", "enabled", "losses"),
        [
            ("chat", {"reasoning": {"enabled": False}}, False, []),
            ("chat", {"reasoning": {"effort": "none"}}, False, []),
            ("chat", {"reasoning": {"effort": "high"}}, True, ["reasoning.effort"]),
            ("chat", {"reasoning_effort": "none"}, False, []),
            ("chat", {"reasoning_effort": "high"}, True, ["reasoning_effort"]),
            ("responses", {"reasoning": {"effort": "none"}}, False, []),
            ("responses", {"reasoning": {"enabled": False}}, False, []),
            ("responses", {"reasoning": {"effort": "high"}}, True, ["reasoning"]),
            ("messages", {"thinking": {"type": "disabled"}}, False, []),
            ("messages", {"thinking": {"type": "adaptive"}}, True, []),
        ],
    )
    async def test_it_is_told_whether_to_reason(
        self, api: str, asked: dict[str, Any], enabled: bool, losses: list[str]
    ) -> None:
        async with house("moonshot", apis=only("chat")) as up:
            sent = await up.send(api, "kimi-k2.5", tools=[tool(api, COMPLETION)], **asked)
            coding = await up.send(api, "kimi-for-coding", **asked)
            unsaid = await up.send(api, "kimi-k2.5")
        assert (sent.body["reasoning"], sent.losses) == ({"enabled": enabled}, losses)
        assert sent.body["thinking"] == {"type": "enabled" if enabled else "disabled"}
        assert sent.body.get("tool_choice") == (None if enabled else "required")
        assert (coding.body["reasoning"], "thinking" in coding.body) == ({"enabled": enabled}, False)
        for one in (sent, coding, unsaid):
            assert "reasoning_effort" not in one.body
        assert not {"reasoning", "thinking"} & unsaid.body.keys()

    async def test_a_clients_own_word_and_k3s_stay(self) -> None:
        async with house("moonshot", apis=only("chat")) as up:
            own = await up.send("chat", "kimi-k2.6", reasoning={"enabled": True}, thinking={"type": "disabled"})
            newer = await up.send("chat", "kimi-k3", reasoning_effort="max")
        assert own.body["thinking"] == {"type": "disabled"}
        assert said(newer) == {"reasoning_effort": "max"}


class TestSampling:
    @pytest.mark.parametrize(
        ("kind", "api", "model", "more", "kept"),
        [
            ("openai", "chat", "o3", {}, set()),
            ("openai", "chat", "gpt-5-mini", {}, set()),
            ("openai", "responses", "gpt-5", {}, set()),
            ("azure", "chat", "gpt-5", {}, set()),
            ("openai", "chat", "gpt-5.2", {"reasoning_effort": "high"}, set()),
            ("openai", "chat", "gpt-5.2", {"reasoning": {"effort": "high"}}, set()),
            ("openai", "chat", "gpt-5.2", {"reasoning_effort": "none"}, {"temperature", "top_p"}),
            ("openai", "chat", "gpt-5.2", {}, {"temperature", "top_p"}),
            ("openai", "chat", "gpt-5-chat-latest", {}, {"temperature", "top_p"}),
            ("openai", "chat", "gpt-4o", {}, {"temperature", "top_p"}),
            ("anthropic", "messages", "claude-opus-4-7", {}, set()),
            ("anthropic", "messages", "claude-opus-4-6", {}, {"temperature", "top_p"}),
            ("bedrock-messages", "messages", "us.anthropic.claude-opus-4-7-v1", {}, set()),
            ("openrouter", "chat", "openai/gpt-5", {}, {"temperature", "top_p"}),
        ],
    )
    async def test_a_model_that_takes_no_word_on_it_is_told_none(
        self, kind: str, api: str, model: str, more: dict[str, Any], kept: set[str]
    ) -> None:
        async with house(kind, apis=only(api)) as up:
            sent = await up.send(api, model, temperature=0.2, top_p=0.9, **more)
        assert sent.body.keys() & {"temperature", "top_p"} == kept
        assert set(sent.losses) == {"temperature", "top_p"} - kept

    async def test_nothing_is_lost_of_what_is_usual(self) -> None:
        async with house("openai", apis=only("chat")) as up:
            sent = await up.send("chat", "gpt-5", temperature=1.0, top_p=1, presence_penalty=0, logprobs=False)
            lost = await up.send("chat", "gpt-5", frequency_penalty=0.5, logit_bias={"5": 1}, seed=3)
        assert (said(sent), sent.losses) == ({}, [])
        assert (said(lost), set(lost.losses)) == ({"seed": 3}, {"frequency_penalty", "logit_bias"})


class TestLimit:
    @pytest.mark.parametrize(
        ("kind", "model", "asked", "told"),
        [
            ("openai", "gpt-5", {"max_tokens": 9}, {"max_completion_tokens": 9}),
            ("azure-deployments", "o3", {"max_tokens": 9}, {"max_completion_tokens": 9}),
            ("openai", "o3", {"max_tokens": 9, "max_completion_tokens": 7}, {"max_completion_tokens": 7}),
            ("openai", "o3", {"max_tokens": 9, "max_completion_tokens": None}, {"max_completion_tokens": 9}),
            ("openai", "o3", {"max_tokens": None}, {}),
            ("openai", "gpt-4o", {"max_tokens": 9}, {"max_tokens": 9}),
            ("openrouter", "openai/gpt-5", {"max_tokens": 9}, {"max_tokens": 9}),
        ],
    )
    async def test_openais_reasoning_models_know_it_by_its_newer_name(
        self, kind: str, model: str, asked: dict[str, Any], told: dict[str, Any]
    ) -> None:
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", model, **asked)
        assert (said(sent), sent.losses) == (told, [])


class TestBedrocksOwnMessages:
    MODEL = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"

    async def test_chat_clients_get_marks_and_a_beta(self) -> None:
        async with house("bedrock-messages", apis=only("messages")) as up:
            sent = await up.send("chat", self.MODEL)
        assert sent.raw.count(b'"cache_control"') == 1
        assert sent.headers["anthropic-beta"] == "fine-grained-tool-streaming-2025-05-14"

    async def test_it_gets_betas_and_keys_that_it_knows(self) -> None:
        betas = "context-1m-2025-08-07,claude-code-20250219"
        content = [{"type": "text", "text": "q", "index": 3}]
        async with house("bedrock-messages", apis=only("messages")) as up:
            asked: dict[str, Any] = {"messages": [{"role": "user", "content": content}], "max_tokens": 9, "odd": 1}
            sent = await up.send("messages", self.MODEL, headers={"anthropic-beta": betas}, **asked)
        assert sent.headers["anthropic-beta"] == "context-1m-2025-08-07"
        assert sent.body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "q"}]}]
        assert {"odd", "messages[0].content[0].index"} < {*sent.losses}
        assert any("claude-code-20250219" in loss for loss in sent.losses)


async def test_an_own_key_leads_there_too() -> None:
    asked: dict[str, Any] = {"reasoning": {"effort": "high"}, "transforms": [], "temperature": 0.2, "max_tokens": 9}
    local = '[security]\nallow_http = true\nallow_networks = ["127.0.0.0/8"]\n'
    async with running(*ANSWERS, settings=SEND + local, provider=ALL_APIS) as gateway:
        store, perform = gateway.gateway.store, gateway.gateway.operations.perform
        await store.users.add(User(id="ann", name="Ann", created_ms=1), "operator")
        gateway.key = store.keys.create("ann's", user_id="ann", account_id="ann")[1]
        told = {}
        for vendor, model in (("openai", "openai/gpt-5"), ("google", "google/gemini-2.5-pro")):
            given = {"vendor": vendor, "credential": {"key": "sk-own-key"}, "base_url": f"{gateway.upstream.url}/v1"}
            await perform("byok.add", {**given, "user": "ann"})
            body = {"model": model, "messages": [{"role": "user", "content": "hi"}], **asked}
            status, answer, _ = await gateway.post("/v1/chat/completions", body, headers=TASK)
            assert status == 200, answer
            told[vendor] = gateway.upstream.requests[-1].json
    known = {"model", "messages", "reasoning_effort"}
    assert told["openai"].keys() == known | {"max_completion_tokens", "user", "safety_identifier", "prompt_cache_key"}
    assert told["google"].keys() == known | {"max_tokens", "temperature"}
