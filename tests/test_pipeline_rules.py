"""Rules at work: what an upstream gets of a call, by its row, its model and the APIs on both sides."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway import running
from support_money import APIS, PATHS, in_every_api
from support_rules import ANSWERS, CLAUDE, SEND, House, house, only
from trivium.pipeline import rules as at_work
from trivium.providers.embedded import STOPS
from trivium.providers.identity import hashed
from trivium.providers.rules import RULES
from trivium.wire.repair import INTERRUPTED

TASK = {"x-trivium-task": "task-7"}
SALT = "a salt of ours"
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
COMPLETION = "attempt_completion"
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "t"}]}
"""As Mistral has it."""


USER = {"role": "user", "content": "q"}
_FUNCTION = {"id": "t1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CALLING: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [_FUNCTION]}
CALLED = [USER, CALLING, {"role": "tool", "tool_call_id": "t1", "content": "ok"}]
DETAIL = {"type": "reasoning.text", "text": "t", "index": 0}


def _result(id: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": "ok"}


def tool(api: str, name: str, **schema: Any) -> dict[str, Any]:
    """A function as an API defines it."""
    parameters = {"type": "object", "properties": schema}
    if api == "chat":
        return {"type": "function", "function": {"name": name, "parameters": parameters}}
    if api == "responses":
        return {"type": "function", "name": name, "parameters": parameters}
    return {"name": name, "input_schema": parameters}


def test_each_rule_has_an_action_and_each_action_a_rule() -> None:
    assert list(dict.fromkeys(rule.name for rule in RULES)) == [rule.name for rule in RULES]
    assert {rule.name for rule in RULES} == set(at_work._ACTIONS)


def test_the_page_has_the_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "adaptations.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([a-z-]+)` \| (.+?) \| (.+?) \|$", page, re.MULTILINE)
    assert [(name, what) for name, what, _ in told] == [(rule.name, rule.what) for rule in RULES]


class TestNothingToDo:
    @in_every_api
    async def test_a_call_that_no_rule_concerns_passes_as_the_bytes_it_is(self, api: str) -> None:
        key = {"chat": "messages", "responses": "input", "messages": "messages"}[api]
        body = b'{ "model" : "m", "%b": [ ] , "odd" : 1.50, "max_tokens":7 }' % key.encode()
        async with house() as up:
            assert (await up.post(api, body)).raw == body

    async def test_the_run_names_the_rules_that_did_something(self, monkeypatch: pytest.MonkeyPatch) -> None:
        seen: list[tuple[str, ...]] = []
        held = at_work.Rules.on_request

        def noted(rules: at_work.Rules, request: Any) -> Any:
            told = held(rules, request)
            seen.append(rules._run.rules)
            return told

        monkeypatch.setattr(at_work.Rules, "on_request", noted)
        async with house("openrouter", settings=SEND) as up:
            await up.send("chat", "qwen/qwen3", max_tokens=40_000)
            await up.send("chat", "qwen/qwen3", max_tokens=4)
        assert seen == [("identity", "qwen-limit"), ("identity",)]


class TestIdentity:
    @pytest.mark.parametrize("api", ["chat", "responses"])
    @pytest.mark.parametrize("kind", ["", "openrouter"])
    async def test_openai_apis_say_user_and_task_in_hashes(self, api: str, kind: str) -> None:
        async with house(kind, settings=SEND) as up:
            key = await up.people.user("ann")
            sent = await up.send(api, key=key, headers=TASK, user="ann@example")
            other = await up.send(api, key=key, prompt_cache_key="mine")
        me = hashed(SALT, "up", "ann")
        assert (sent.body["safety_identifier"], sent.body["user"]) == (me, me)
        assert sent.body["prompt_cache_key"] == hashed(SALT, "up", "anntask-7")
        assert other.body["prompt_cache_key"] == "mine"
        assert sent.losses == []

    async def test_a_session_does_for_a_task_and_a_key_for_a_user(self) -> None:
        async with house(settings=SEND) as up:
            sent = await up.send("chat", headers={"x-trivium-session": "s"})
            record = await up.running.record()
        assert sent.body["user"] == hashed(SALT, "up", record["key_id"])
        assert sent.body["prompt_cache_key"] == hashed(SALT, "up", f"{record['key_id']}s")

    async def test_it_holds_behind_a_translation(self) -> None:
        async with house(settings=SEND, apis=only("messages")) as up:
            sent = await up.send("chat", user="ann@example")
        assert re.fullmatch(r"[A-Za-z0-9+/]{43}=", sent.body["metadata"]["user_id"])
        async with house(settings=SEND, apis=only("chat")) as up:
            there = await up.send("messages", metadata={"user_id": "ann@example"})
        assert there.body["user"] == there.body["safety_identifier"]

    @pytest.mark.parametrize(("mode", "sends"), [("meter", False), ("credits", True)])
    async def test_by_default_it_goes_with_credits(self, mode: str, sends: bool) -> None:
        settings = f'[billing]\nmode = "{mode}"\n'
        async with house(settings=settings) as up:
            sent = await up.send("chat", user="ann")
            again = await up.send("chat")
        assert (sent.body["user"] != "ann") is sends
        assert ("safety_identifier" in sent.body) is sends
        assert again.body.get("user") == (sent.body["user"] if sends else None), "its salt lasts"

    async def test_a_provider_can_be_left_in_the_dark(self) -> None:
        async with house(settings=SEND, more="told_who = false") as up:
            sent = await up.send("chat", headers=TASK, user="ann")
        assert sent.body.keys() == {"model", "messages", "user"}
        assert sent.body["user"] == "ann"

    async def test_nobody_is_named_where_tokens_are_counted(self) -> None:
        async with house("anthropic", settings=SEND, apis=only("messages")) as up:
            body = {"model": "up/claude-sonnet-4-5", "messages": [{"role": "user", "content": "hi"}]}
            await up.running.post("/v1/messages/count_tokens", body)
            (asked,) = up.running.upstream.requests
        assert "metadata" not in asked.json


class TestNothingStored:
    @pytest.mark.parametrize("policy", [{"data_collection": "deny"}, {"zdr": True}])
    async def test_of_a_private_organization_nothing_is_asked_to_be_kept(self, policy: dict[str, Any]) -> None:
        """Responses are kept at OpenAI unless that is said."""
        async with house(more="collects_data = false\nretains_data = false") as up:
            await up.people.organization("acme", policy=policy)
            key = await up.people.key(organization="acme", user="acme-member")
            for store, losses in ((None, []), (False, []), (True, ["store"])):
                said: dict[str, Any] = {} if store is None else {"store": store}
                told = await up.send("responses", key=key, **said)
                assert (told.body["store"], told.losses) == (False, losses)
                told = await up.send("chat", key=key, **said)
                assert (told.body.get("store", False), told.losses) == (False, losses)
                assert ("store" in told.body) is (store is not None)
            assert "store" not in (await up.send("messages", key=key)).body
            assert (await up.send("chat", store=True)).body["store"] is True, "others say what they like"
            assert "store" not in (await up.send("responses")).body


class TestKnownKeys:
    async def test_a_stream_is_not_asked_for_its_usage_where_that_is_refused(self) -> None:
        quiet = "stream_usage = false"
        async with house(more=quiet) as up:
            sent = await up.send("chat", stream=True)
            record = await up.running.record()
            told = await up.send("chat", stream=True, stream_options={"include_usage": True})
        assert ("stream_options" in sent.body, sent.losses) == (False, [])
        assert ("stream_options" in told.body, told.losses) == (False, ["stream_options"])
        assert (record["cost_source"], "estimated" in record["flags"]) == ("estimated", True)
        async with house(apis=only("chat"), more=quiet) as up:
            for api in ("messages", "responses"):
                there = await up.send(api, stream=True)
                assert ("stream_options" in there.body, there.losses) == (False, [])
        async with house() as up:
            assert (await up.send("chat", stream=True)).body["stream_options"] == {"include_usage": True}

    async def test_what_a_strict_provider_does_not_know_goes_at_every_depth(self) -> None:
        messages = [
            {"role": "user", "content": [{"type": "text", "text": "a", "index": 0}]},
            {"role": "assistant", "content": "b", "reasoning_details": []},
            {"role": "user", "content": "c"},
        ]
        async with house("anthropic", apis=only("messages")) as up:
            sent = await up.send("messages", "claude-sonnet-4-5", messages=messages, transforms=["x"])
        assert sent.body["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ]
        assert sent.losses == ["transforms", "messages[0].content[0].index", "messages[1].reasoning_details"]

    @pytest.mark.parametrize(("strict", "kept"), [("", True), ("strict = true", False)])
    async def test_other_servers_get_them_unless_they_are_called_strict(self, strict: str, kept: bool) -> None:
        async with house("anthropic-compatible", apis=only("messages"), more=strict) as up:
            sent = await up.send("messages", odd=1)
        assert ("odd" in sent.body) is kept


class TestHeaders:
    async def test_nothing_of_the_client_goes_on_but_what_its_api_has(self) -> None:
        headers = {
            "cookie": "a=b",
            "x-forwarded-for": "1.2.3.4",
            "te": "trailers",
            "referer": "https://x.example",
            "http-referer": "https://app.example",
            "x-title": "App",
            "anthropic-beta": "a-beta",
            "openai-beta": "o",
        }
        async with house() as up:
            chat = (await up.send("chat", headers=headers)).headers
            messages = (await up.send("messages", headers=headers)).headers
            key = up.running.key
        gone = {"cookie", "x-forwarded-for", "te", "referer", "http-referer", "x-title"}
        assert chat.keys().isdisjoint(gone | {"anthropic-beta"})
        assert chat["openai-beta"] == "o"
        assert messages.keys().isdisjoint(gone | {"openai-beta"})
        assert messages["anthropic-beta"] == "a-beta"
        assert key not in str(chat) + str(messages)

    async def test_openrouter_is_told_which_program_calls(self) -> None:
        said = {"http-referer": "https://app.example", "x-title": "App"}
        async with house("openrouter") as up:
            theirs = (await up.send("chat", headers=said)).headers
            assert "x-title" not in (await up.send("chat")).headers
        async with house("openrouter", settings='[identity]\nreferer = "https://us.example"\ntitle = "Us"\n') as up:
            ours = (await up.send("messages", headers=said)).headers
        assert (theirs["http-referer"], theirs["x-title"]) == ("https://app.example", "App")
        assert (ours["http-referer"], ours["x-title"]) == ("https://us.example", "Us")

    async def test_chat_clients_get_the_betas_that_they_cannot_ask_for(self) -> None:
        fine = "fine-grained-tool-streaming-2025-05-14"
        async with house("openrouter") as up:
            sent = await up.send("chat", CLAUDE, headers={"x-anthropic-beta": "own-beta"})
            other = await up.send("chat", "openai/gpt-5")
        assert sent.headers["x-anthropic-beta"] == f"own-beta,{fine}"
        assert "x-anthropic-beta" not in other.headers
        async with house("vercel") as up:
            sent = await up.send("chat", CLAUDE)
        assert sent.headers["anthropic-beta"] == f"{fine},context-1m-2025-08-07"
        async with house("anthropic", apis=only("messages")) as up:
            sent = await up.send("chat", "claude-sonnet-4-5")
            own = await up.send("messages", "claude-sonnet-4-5")
        assert sent.headers["anthropic-beta"] == fine
        assert "anthropic-beta" not in own.headers

    async def test_a_cloud_gets_the_betas_that_it_knows_once(self) -> None:
        said = {"anthropic-beta": "context-1m-2025-08-07,claude-code-20250219", "anthropic-version": "2023-06-01"}
        provider = f'type = "anthropic-compatible"\n{only("messages")}'
        async with running(*ANSWERS, provider=provider, name="bedrock") as gateway:
            body = {"model": "bedrock/claude-opus-4-5", "max_tokens": 5, "messages": [{"role": "user", "content": "q"}]}
            status, _, headers = await gateway.post("/v1/messages", body, headers=said)
            (asked,) = gateway.upstream.requests
            said["anthropic-beta"] = "claude-code-20250219"
            await gateway.post("/v1/messages", body, headers=said)
            without = gateway.upstream.requests[1]
        sent = [value for name, value in asked.headers if name == "anthropic-beta"]
        assert (status, sent) == (200, ["context-1m-2025-08-07"])
        assert headers["x-trivium-loss"] == "1; anthropic-beta: claude-code-20250219"
        assert without.header("anthropic-beta") is None

    @pytest.mark.parametrize("api", ["chat", "responses"])
    async def test_grok_is_told_the_conversation(self, api: str) -> None:
        async with house() as up:
            first = (await up.send(api, "grok-4", prompt_cache_key="talk-1")).headers
            second = (await up.send(api, "grok-4")).headers
        assert first["x-grok-conv-id"] == "talk-1"
        assert UUID.fullmatch(second["x-grok-conv-id"])
        assert UUID.fullmatch(first["x-grok-req-id"])
        assert first["x-grok-req-id"] != second["x-grok-req-id"]

    @in_every_api
    async def test_the_query_goes_on(self, api: str) -> None:
        async with house() as up:
            body = {"model": "up/m", "input": "hi", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}
            await up.running.post(f"{PATHS[api]}?beta=true", body)
            assert up.running.upstream.requests[0].query == "beta=true"


class TestModels:
    @pytest.mark.parametrize("api", APIS)
    @pytest.mark.parametrize(
        "model", ["x-ai/grok-4", "openai/gpt-5", "google/gemini-2.5-pro", CLAUDE, "openai/gpt-oss-20b"]
    )
    async def test_a_task_that_a_tool_ends_must_use_one(self, api: str, model: str) -> None:
        async with house("openrouter") as up:
            sent = await up.send(api, model, tools=[tool(api, COMPLETION)])
            without = await up.send(api, model, tools=[tool(api, "other")])
            chosen = await up.send(api, model, tools=[tool(api, COMPLETION)], tool_choice="none")
        wanted = None if "claude" in model or "oss" in model else {"type": "any"} if api == "messages" else "required"
        assert sent.body.get("tool_choice") == wanted
        assert "tool_choice" not in without.body
        assert chosen.body["tool_choice"] == "none", "a client's own choice stays"

    @pytest.mark.parametrize(
        ("model", "said", "forced"),
        [
            ("anthropic/claude-haiku-4.5", {}, True),
            ("anthropic/claude-haiku-4.5", {"reasoning": {"enabled": True}}, False),
            ("moonshotai/kimi-k2", {"reasoning": {"enabled": False}}, True),
            ("moonshotai/kimi-k2", {}, False),
        ],
    )
    async def test_of_these_only_where_they_do_not_think(self, model: str, said: dict[str, Any], forced: bool) -> None:
        async with house("openrouter") as up:
            sent = await up.send("chat", model, tools=[tool("chat", COMPLETION)], **said)
        assert (sent.body.get("tool_choice") == "required") is forced

    async def test_kimi_reasons_or_does_not(self) -> None:
        async with house("openrouter") as up:
            sent = await up.send("chat", "moonshotai/kimi-k2", temperature=1, reasoning={"effort": "high"})
            off = await up.send("chat", "moonshotai/kimi-k2", reasoning={"enabled": False})
            unsaid = await up.send("chat", "moonshotai/kimi-k2")
        assert sent.body["reasoning"] == {"enabled": True}
        assert "temperature" not in sent.body
        assert sent.losses == ["temperature", "reasoning.effort"]
        assert off.body["reasoning"] == {"enabled": False}
        assert "reasoning" not in unsaid.body

    @pytest.mark.parametrize(
        ("api", "name", "said", "told"),
        [
            ("chat", "stop", "END", ["END", *STOPS]),
            ("chat", "stop", [STOPS[0]], [*STOPS]),
            ("messages", "stop_sequences", ["END"], ["END", *STOPS]),
            ("messages", "stop_sequences", [], []),
            ("chat", "stop", None, None),
        ],
    )
    async def test_the_embedded_model_keeps_its_own_stops(self, api: str, name: str, said: Any, told: Any) -> None:
        async with house() as up:
            gateway = up.running.gateway
            gateway.providers["up"] = msgspec.structs.replace(gateway.providers["up"], kind="local")
            await gateway.learn()
            assert (await up.send(api, **{name: said})).body[name] == told

    @pytest.mark.parametrize(
        ("api", "names"),
        [
            ("chat", ("max_tokens", "max_completion_tokens")),
            ("responses", ("max_output_tokens",)),
            ("messages", ("max_tokens",)),
        ],
    )
    async def test_qwen_answers_so_much_and_no_more(self, api: str, names: tuple[str, ...]) -> None:
        async with house() as up:
            much, little = (dict.fromkeys(names, limit) for limit in (40_000, 100))
            sent = await up.send(api, "qwen3-coder", key="", headers=None, **much)
            less = await up.send(api, "qwen3-coder", key="", headers=None, **little)
        assert [sent.body[name] for name in names] == [32_768 for _ in names]
        assert sorted(sent.losses) == sorted(names)
        assert ([less.body[name] for name in names], less.losses) == ([100 for _ in names], [])

    async def test_mistrals_models_are_cool_and_not_strict(self) -> None:
        strict = tool("chat", "f")
        strict["function"]["strict"] = True
        async with house() as up:
            sent = await up.send("chat", "mistral-large-latest", tools=[strict])
            warm = await up.send("chat", "mistral-large-latest", temperature=0.9)
        assert sent.body["temperature"] == 0.2
        assert sent.body["tools"] == [tool("chat", "f")]
        assert sent.losses == ["tools[0].strict"]
        assert warm.body["temperature"] == 0.9

    async def test_mistrals_own_api_is_not_told_what_it_refuses(self) -> None:
        async with running(*ANSWERS, settings=SEND, provider=only("chat"), name="mistral") as gateway:
            up = House(gateway)
            said = {
                "prompt_cache_key": "talk",
                "user": "ann",
                "safety_identifier": "x",
                "transforms": [],
                "reasoning": {},
            }
            body = {"model": "mistral/mistral-large", "messages": [{"role": "user", "content": "hi"}], **said}
            sent = await up.post("chat", msgspec.json.encode(body))
        assert sent.body.keys() == {"model", "messages", "temperature"}
        assert sent.headers["x-affinity"] == "talk"
        assert set(sent.losses) == set(said)

    async def test_mistrals_own_api_has_names_of_its_own(self) -> None:
        async with house("mistral", apis=only("chat")) as up:
            sent = await up.send("chat", "mistral-large", temperature=0, max_completion_tokens=9, seed=7, top_k=3)
            null = await up.send("chat", "mistral-large", temperature=0, max_tokens=9, max_completion_tokens=None)
        said = {"temperature": 0, "max_tokens": 9}
        assert {name: sent.body[name] for name in sent.body.keys() - {"model", "messages"}} == said | {"random_seed": 7}
        assert sent.losses == ["top_k"]
        assert {name: null.body[name] for name in null.body.keys() - {"model", "messages"}} == said
        assert null.losses == []

    @pytest.mark.parametrize(
        ("kind", "model", "said", "told"),
        [
            ("xai", "grok-4-fast-reasoning", "high", None),
            ("xai", "grok-4.3", "high", "high"),
            ("xai", "grok-4.7", "xhigh", "xhigh"),
            ("groq", "qwen/qwen3-32b", "high", "default"),
            ("groq", "qwen/qwen3-32b", "none", "none"),
            ("groq", "openai/gpt-oss-20b", "high", "high"),
            ("groq", "llama-3.3-70b-versatile", "high", None),
            ("", "grok-4-fast-reasoning", "high", "high"),
        ],
    )
    async def test_an_effort_is_one_that_the_model_takes(
        self, kind: str, model: str, said: str, told: str | None
    ) -> None:
        async with house(kind, apis=only("chat", "responses")) as up:
            chat = await up.send("chat", model, reasoning_effort=said)
            responses = await up.send("responses", model, reasoning={"effort": said, "summary": "auto"})
        assert chat.body.get("reasoning_effort") == told
        assert responses.body["reasoning"] == {"summary": "auto"} | ({"effort": told} if told else {})
        assert chat.losses == (["reasoning_effort"] if told is None else [])
        assert responses.losses == (["reasoning.effort"] if told is None else [])

    @pytest.mark.parametrize("kind", ["groq", "cerebras", "xai"])
    async def test_top_k_does_not_reach_who_refuses_it(self, kind: str) -> None:
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", top_k=3)
            record = await up.running.record()
        assert ("top_k" in sent.body, sent.losses, record["rules"]) == (False, ["top_k"], "unknown-members")
        async with house(apis=only("chat")) as up:
            assert (await up.send("chat", top_k=3)).body["top_k"] == 3

    async def test_gemini_at_vercel_reads_ranges_or_none(self) -> None:
        ranges = {"type": ["array", "null"], "items": {"type": "integer"}, "description": "d"}
        read = tool("chat", "read_file", files={"type": "array", "items": {"properties": {"line_ranges": ranges}}})
        async with house("vercel") as up:
            sent = await up.send("chat", "google/gemini-2.5-pro", tools=[read])
        files = sent.body["tools"][0]["function"]["parameters"]["properties"]["files"]
        told = {"description": "d", "anyOf": [{"type": "null"}, {"type": "array", "items": {"type": "integer"}}]}
        assert files["items"]["properties"]["line_ranges"] == told


class TestSaid:
    async def test_opencodes_copies_of_reasoning_go(self) -> None:
        seal = {"type": "reasoning.encrypted", "data": "abc"}
        messages = [
            {"role": "user", "content": "q"},
            {
                "role": "assistant",
                "content": "a",
                "reasoning_details": [seal, {"type": "reasoning.text", "text": "t"}, seal],
            },
        ]
        async with house("openrouter") as up:
            sent = await up.send("chat", messages=messages, headers={"user-agent": "opencode/1.0.5"})
            others = await up.send("chat", messages=messages)
        assert sent.body["messages"][1]["reasoning_details"] == [seal, {"type": "reasoning.text", "text": "t"}]
        assert others.body["messages"] == messages

    @pytest.mark.parametrize(
        ("kind", "model", "told"),
        [
            ("groq", "openai/gpt-oss-20b", {"content": "a", "reasoning": "t"}),
            ("groq", "llama-3.3-70b-versatile", {"content": "a"}),
            ("cerebras", "zai-glm-4.7", {"content": "a", "reasoning": "t"}),
            ("mistral", "devstral-2512", {"content": "a"}),
            ("mistral", "magistral-medium-2509", {"content": [THOUGHT, {"type": "text", "text": "a"}]}),
        ],
    )
    @pytest.mark.parametrize("name", ["reasoning_content", "reasoning_details[0]"])
    async def test_what_the_assistant_thought_stands_where_the_provider_takes_it(
        self, kind: str, model: str, told: dict[str, Any], name: str
    ) -> None:
        detail = {"type": "reasoning.text", "text": "t", "index": 0}
        said = {"reasoning_content": "t"} if name == "reasoning_content" else {"reasoning_details": [detail]}
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", model, messages=thought(**said))
            record = await up.running.record()
        assert sent.body["messages"][1] == {"role": "assistant", **told}
        assert sent.losses == ([f"messages[1].{name}"] if told == {"content": "a"} else [])
        assert "reasoning-member" in record["rules"]

    @pytest.mark.parametrize(("kind", "model"), [("deepseek", "deepseek-v4-pro"), ("moonshot", "kimi-k2.6")])
    @pytest.mark.parametrize("name", ["reasoning", "reasoning_details"])
    async def test_what_a_gateway_told_of_an_open_model_its_vendor_gets_where_it_wants_it(
        self, kind: str, model: str, name: str
    ) -> None:
        detail = {"type": "reasoning.text", "text": "t", "index": 0}
        came = [USER, {**CALLING, name: "t" if name == "reasoning" else [detail]}, CALLED[2]]
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", model, messages=came)
        assert (sent.body["messages"][1], sent.losses) == ({**CALLING, "reasoning_content": "t"}, [])

    async def test_what_another_sealed_becomes_no_text(self) -> None:
        sealed = {"type": "reasoning.text", "text": "t", "signature": "c2ln"}
        async with house("groq", apis=only("chat")) as up:
            sent = await up.send("chat", "openai/gpt-oss-20b", messages=thought(reasoning_details=[sealed]))
        assert sent.body["messages"][1] == {"role": "assistant", "content": "a"}
        assert sent.losses == ["messages[1].reasoning_details[0]"]

    @pytest.mark.parametrize("kind", ["", "openrouter", "deepseek"])
    async def test_elsewhere_it_stays_where_it_is(self, kind: str) -> None:
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", messages=thought(reasoning_content="t"))
        assert sent.body["messages"] == thought(reasoning_content="t")

    @pytest.mark.parametrize(
        ("kind", "model", "place"),
        [
            ("deepseek", "deepseek-v4-pro", "reasoning_content"),
            ("moonshot", "kimi-k2.6", "reasoning_content"),
            ("together", "deepseek-ai/DeepSeek-V4-Pro", "reasoning_content"),
            ("cerebras", "kimi-k2.6", "reasoning"),
        ],
    )
    async def test_calls_that_nobody_thought_about_have_a_blank_for_it(self, kind: str, model: str, place: str) -> None:
        came = [*CALLED, {"role": "assistant", "content": "a", "reasoning_content": ""}, {**CALLED[1], place: "t"}]
        async with house(kind, apis=only("chat")) as up:
            sent = await up.send("chat", model, messages=came)
            record = await up.running.record()
        told = [message.get(place) for message in sent.body["messages"]]
        assert (told, sent.losses) == ([None, " ", None, " ", "t"], [])
        assert "unthought-calls" in record["rules"]

    @pytest.mark.parametrize(
        ("kind", "model", "came"),
        [
            ("deepseek", "deepseek-v4-pro", [USER, {"role": "assistant", "content": "a"}]),
            ("deepseek", "deepseek-chat", CALLED),
            ("moonshot", "kimi-k2-instruct", CALLED),
            ("openrouter", "deepseek/deepseek-v4-pro", [USER, {**CALLING, "reasoning_details": [DETAIL]}, CALLED[2]]),
        ],
    )
    async def test_nothing_else_gets_one(self, kind: str, model: str, came: list[dict[str, Any]]) -> None:
        async with house(kind, apis=only("chat")) as up:
            assert (await up.send("chat", model, messages=came)).body["messages"] == came

    async def test_what_another_thought_is_a_blank_behind_a_translation(self) -> None:
        thought = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
        use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
        result = {"type": "tool_result", "tool_use_id": "t1", "content": "ok"}
        said = [USER, {"role": "assistant", "content": [thought, use]}, {"role": "user", "content": [result]}]
        async with house("deepseek", apis=only("chat")) as up:
            sent = await up.send("messages", "deepseek-v4-pro", messages=said)
        assert (sent.body["messages"][1]["reasoning_content"], sent.losses) == (" ", ["messages[1].content[0]"])

    @pytest.mark.parametrize(
        ("kind", "thinking", "told"),
        [
            ("deepseek", None, [["thinking", "tool_use"], ["thinking", "text"], ["thinking", "tool_use"]]),
            ("deepseek", {"type": "disabled"}, [["tool_use"], "a", ["thinking", "tool_use"]]),
            ("moonshot", None, [["tool_use"], "a", ["thinking", "tool_use"]]),
        ],
    )
    async def test_in_messages_deepseek_wants_thinking_back(self, kind: str, thinking: Any, told: list[Any]) -> None:
        use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
        again = {**use, "id": "t2"}
        messages = [
            *(USER, {"role": "assistant", "content": [use]}, {"role": "user", "content": [_result("t1")]}),
            *({"role": "assistant", "content": "a"}, USER),
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "", "signature": "s"}, again]},
            {"role": "user", "content": [_result("t2")]},
        ]
        more = {} if thinking is None else {"thinking": thinking}
        async with house(kind, apis=only("messages")) as up:
            sent = await up.send("messages", "deepseek-v4-pro", messages=messages, **more)
        said = [one["content"] for one in sent.body["messages"] if one["role"] == "assistant"]
        assert [one if isinstance(one, str) else [block["type"] for block in one] for one in said] == told
        assert sent.losses == []

    async def test_the_assistants_items_say_what_they_are(self) -> None:
        said: list[dict[str, Any]] = [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "a"}]},
        ]
        async with house("openrouter") as up:
            sent = await up.send("responses", input=said)
        assert sent.body["input"] == [said[0], {**said[1], "type": "message", "status": "completed"}]
        assert sent.losses == []

    @pytest.mark.parametrize("api", APIS)
    @pytest.mark.parametrize("model", [CLAUDE, "mistralai/devstral"])
    async def test_ids_of_calls_are_what_the_vendor_takes(self, api: str, model: str) -> None:
        async with house("openrouter") as up:
            sent = await up.send(api, model, **called(api, "functions.add:0"))
        digest = hashlib.sha256(b"functions.add:0").hexdigest()
        if model == CLAUDE:
            assert ids(api, sent.body) == [digest, digest]
        elif api == "chat":
            assert ids(api, sent.body) == [digest[:9], digest[:9]]
        assert sent.losses == []

    async def test_to_mistrals_models_nobody_speaks_right_behind_a_tool(self) -> None:
        told = called("chat", "a1b2c3d4e")
        messages = [*told["messages"], {"role": "user", "content": "Well?"}]
        async with house() as up:
            sent = await up.send("chat", "mistralai/devstral", messages=messages, temperature=0)
            record = await up.running.record()
            other = await up.send("chat", "qwen3", messages=messages)
            answered = await up.send("chat", "mistralai/devstral", **told)
        assert sent.body["messages"] == [*messages[:-1], {"role": "assistant", "content": "OK"}, messages[-1]]
        assert (sent.losses, record["rules"]) == ([], "mistral-answers")
        assert other.body["messages"] == messages
        assert answered.body["messages"] == told["messages"]

    async def test_gemini_gets_a_word_for_the_signatures_that_agents_drop(self) -> None:
        """opencode and Qwen Code send a call back as OpenAI's API has it; Google refuses one without its signature."""
        first, second, third = (
            {"id": f"call_{n}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for n in range(3)
        )
        results: list[Any] = [{"role": "tool", "tool_call_id": f"call_{n}", "content": "r"} for n in range(3)]
        seal = {"extra_content": {"google": {"thought_signature": "c2ln"}}}
        stand_in = {"extra_content": {"google": {"thought_signature": "skip_thought_signature_validator"}}}

        def told(first: Any, third: Any) -> list[Any]:
            return [
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": None, "tool_calls": [first, second]},
                *results[:2],
                {"role": "assistant", "content": "So.", "tool_calls": [third]},
                results[2],
            ]

        async with house("google", apis=only("chat")) as up:
            dropped = await up.send("chat", "gemini-3-pro", messages=told(first, third))
            record = await up.running.record()
            newest = await up.send("chat", "gemini-flash-latest", messages=told(first, {**third, **seal}))
            kept = await up.send("chat", "gemini-3-pro", messages=told({**first, **seal}, {**third, **seal}))
            older = await up.send("chat", "gemini-2.5-flash", messages=told(first, third))
        assert dropped.body["messages"] == told({**first, **stand_in}, {**third, **stand_in})
        assert (dropped.losses, record["rules"]) == ([], "unsigned-calls")
        assert newest.body["messages"] == told({**first, **stand_in}, {**third, **seal})
        assert kept.body["messages"] == told({**first, **seal}, {**third, **seal})
        assert older.body["messages"] == told(first, third)
        async with house("openrouter") as up:
            there = await up.send("chat", "google/gemini-3-pro", messages=told(first, third))
        assert there.body["messages"] == told(first, third), "it has a way of its own"

    @pytest.mark.parametrize(
        ("kind", "model", "told"),
        [
            ("deepseek", "deepseek-v4-pro", {"thinking": {"type": "disabled"}}),
            ("deepseek", "deepseek-reasoner", {}),
            ("zai", "glm-4.7", {"thinking": {"type": "disabled"}}),
            ("zai", "glm-5.2", {"thinking": {"type": "disabled"}}),
            ("zai", "glm-5.3", {}),
            ("qwen", "qwen3.8-max", {"enable_thinking": False}),
            ("alibaba-coding", "glm-5", {"enable_thinking": False}),
            ("qwen", "qwen3-235b-a22b-thinking-2507", {}),
            ("google", "gemini-2.5-flash", {"reasoning_effort": "none"}),
            ("google", "gemini-2.5-pro", {}),
            ("google", "gemini-3-flash", {}),
        ],
    )
    async def test_not_to_think_is_said_as_the_vendor_hears_it(
        self, kind: str, model: str, told: dict[str, Any]
    ) -> None:
        async with house(kind, apis=only("chat")) as up:
            first = await up.send("messages", model, thinking={"type": "disabled"})
            second = await up.send("responses", model, reasoning={"effort": "none"})
        for sent, lost in ((first, "thinking"), (second, "reasoning")):
            said = {
                name: sent.body[name]
                for name in ("thinking", "enable_thinking", "reasoning_effort")
                if name in sent.body
            }
            assert said == told
            assert any(name.startswith(lost) for name in sent.losses) is (not told)

    async def test_nor_in_openrouters_words(self) -> None:
        async with house("qwen", apis=only("chat")) as up:
            sent = await up.send("chat", "qwen3.8-max", reasoning={"enabled": False})
            own = await up.send("chat", "qwen3.8-max", reasoning={"enabled": False}, enable_thinking=True)
        assert (sent.body["enable_thinking"], "reasoning" in sent.body, sent.losses) == (False, False, [])
        assert own.body["enable_thinking"] is True

    async def test_only_claude_is_told_instructions_in_mid_conversation(self) -> None:
        """Claude Code sends such to every model whose name it does not know; Ollama answers 500."""
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": "t", "content": "r"}
        later = {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}
        messages: list[dict[str, Any]] = [
            {"role": "user", "content": "q"},
            {"role": "system", "content": "Be kind."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {}}]},
            {"role": "system", "content": [later]},
            {"role": "user", "content": [result]},
        ]
        async with house("ollama", apis=only("messages")) as up:
            sent = await up.send("messages", "qwen3.8:27b", messages=messages)
            record = await up.running.record()
            claude = await up.send("messages", "claude-opus-5-5", messages=messages)
        kind = {"type": "text", "text": "<system>\nBe kind.\n</system>"}
        brief = {**later, "text": "<system>\nBe brief.\n</system>"}
        assert sent.body["messages"] == [
            {"role": "user", "content": [{"type": "text", "text": "q"}, kind]},
            messages[2],
            {"role": "user", "content": [result, brief]},
        ]
        assert sent.losses == ["messages[1].content"]
        assert record["rules"] == "system-turns"
        assert claude.body["messages"] == messages

    async def test_chat_requests_for_claude_are_marked_for_the_cache(self) -> None:
        mark = {"cache_control": {"type": "ephemeral"}}
        messages = [
            {"role": "system", "content": "s"},
            {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": "b"},
        ]
        async with house("openrouter") as up:
            sent = await up.send("chat", CLAUDE, messages=messages)
            other = await up.send("chat", "openai/gpt-5", messages=messages)
        assert sent.body["messages"] == [
            {"role": "system", "content": [{"type": "text", "text": "s", **mark}]},
            {"role": "user", "content": [{"type": "text", "text": "1"}, {"type": "text", "text": "2", **mark}]},
            {"role": "assistant", "content": "a"},
            {"role": "user", "content": [{"type": "text", "text": "b", **mark}]},
        ]
        assert other.body["messages"] == messages
        async with house("anthropic", apis=only("messages")) as up:
            there = await up.send("chat", "claude-sonnet-4-5", messages=messages)
        assert str(there.body).count("cache_control") == 3
        async with house("openrouter", settings="[adapt]\ncache_marks = false\n") as up:
            assert (await up.send("chat", CLAUDE, messages=messages)).body["messages"] == messages

    async def test_whoever_marks_anything_marks_all(self) -> None:
        part: dict[str, Any] = {"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}
        messages = [{"role": "system", "content": [part]}, {"role": "user", "content": "b"}]
        async with house("openrouter") as up:
            assert (await up.send("chat", CLAUDE, messages=messages)).body["messages"] == messages
        part["cache_control"] = {"type": "for ever"}
        async with house("anthropic", apis=only("messages")) as up:
            sent = await up.send("chat", "claude-sonnet-4-5", messages=messages)
        assert "cache_control" not in str(sent.body), "also one that is lost on the way"

    async def test_a_conversation_is_cached_as_a_whole_by_setting(self) -> None:
        two = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
        async with house("anthropic", settings="[adapt]\ncache_conversations = true\n", apis=only("messages")) as up:
            sent = await up.send("messages", "claude-sonnet-4-5", messages=two)
            short = await up.send("messages", "claude-sonnet-4-5")
        assert sent.body["cache_control"] == {"type": "ephemeral"}
        assert "cache_control" not in short.body
        async with house("anthropic", apis=only("messages")) as up:
            assert "cache_control" not in (await up.send("messages", "claude-sonnet-4-5", messages=two)).body

    @in_every_api
    async def test_calls_and_results_are_put_in_order_by_setting(self, api: str) -> None:
        broken = called(api, "call_1", answered=False)
        async with house(settings="[adapt]\nrepair_tools = true\n") as up:
            sent = await up.send(api, **broken)
        assert INTERRUPTED in str(sent.body)
        assert len(sent.losses) == 1
        async with house() as up:
            assert INTERRUPTED not in str((await up.send(api, **broken)).body)


def thought(**said: Any) -> list[dict[str, Any]]:
    """A conversation in which the assistant said what it thought."""
    user = {"role": "user", "content": "q"}
    return [user, {"role": "assistant", "content": "a", **said}, user]


def called(api: str, id: str, *, answered: bool = True) -> dict[str, Any]:
    """A conversation in which a tool was called, and gave its result."""
    if api == "chat":
        call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        told: list[Any] = [{"role": "assistant", "content": None, "tool_calls": [call]}]
        told += [{"role": "tool", "tool_call_id": id, "content": "r"}] if answered else []
    elif api == "responses":
        told = [{"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"}]
        told += [{"type": "function_call_output", "call_id": id, "output": "r"}] if answered else []
    else:
        told = [{"role": "assistant", "content": [{"type": "tool_use", "id": id, "name": "f", "input": {}}]}]
        told += (
            [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": "r"}]}]
            if answered
            else []
        )
    return {"input" if api == "responses" else "messages": [{"role": "user", "content": "q"}, *told]}


def ids(api: str, body: dict[str, Any]) -> list[str]:
    """Those of the call and of its result."""
    if api == "responses":
        return [item["call_id"] for item in body["input"][1:]]
    call, result = body["messages"][1:]
    if api == "chat":
        return [call["tool_calls"][0]["id"], result["tool_call_id"]]
    return [call["content"][0]["id"], result["content"][0]["tool_use_id"]]


@pytest.mark.parametrize("limit", ["99999999999", "100000000000", '"1e12"', "1e300"])
@in_every_api
async def test_an_answer_longer_than_anybody_gives_is_not_asked_for(limit: str, api: str) -> None:
    name = {"chat": "max_completion_tokens", "responses": "max_output_tokens", "messages": "max_tokens"}[api]
    said = "input" if api == "responses" else "messages"
    body = f'{{"model":"up/m","{said}":[{{"role":"user","content":"q"}}],"{name}":{limit}}}'.encode()
    async with house() as up:
        status, _, headers = await up.running.post(PATHS[api], body)
        record = await up.running.record()
        assert len(up.running.upstream.requests) == (limit == "99999999999")
    assert status == (200 if limit == "99999999999" else 503)
    assert ("retry-after" in headers) is (status == 503)
    assert record["max_tokens"] == (int(limit) if limit.isdigit() else record["max_tokens"])
