"""Models on an organization's own server, through a real gateway and a scripted server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from gateway import CALLS, CHAT, MESSAGES, RESPONSES, Running, running
from test_pipeline_handle import message_of
from trivium.mock import Error, Match, Reply, Rule, Usage
from trivium.operations.table import Actor
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Limits, OrganizationSettings, Policy, Role
from trivium.store.envelopes import Keyring
from trivium.store.organizations import OrganizationRow
from trivium.store.users import User

KEY = "custom-canary-0123456789abcdef"
OPEN = '[security]\nallow_networks = ["127.0.0.1"]\nallow_http = true\n'
"""The scripted server listens on loopback."""
CREDITS = f'{OPEN}[billing]\nmode = "credits"\n'
HELLO = Reply(text="hello", usage=Usage(input=7, output=5))


class Town:
    """Two organizations with a member each, and somebody who is in none."""

    def __init__(self, house: Running) -> None:
        self.house = house
        self.keys: dict[str, str] = {}

    async def settle(self, policy: Policy) -> Town:
        store = self.house.gateway.store
        for id in ("acme", "blue"):
            settings = OrganizationSettings(policy=policy if id == "acme" else Policy())
            row = OrganizationRow(id=id, name=id, created_ms=1, settings=settings)
            await store.organizations.add(row, None, "operator")
            await store.users.add(User(id=f"{id}s", name=id, created_ms=1), "operator")
            await store.organizations.set_member(id, f"{id}s", Role.MEMBER, "operator")
            self.keys[id] = store.keys.create(id, user_id=f"{id}s", account_id=id)[1]
        self.keys["nobody"] = store.keys.create("nobody", account_id="blues")[1]
        return self

    async def do(self, operation: str, **arguments: Any) -> Any:
        return await self.house.gateway.operations.perform(f"models.{operation}", {"organization": "acme"} | arguments)

    async def add(self, name: str = "llama", **settings: Any) -> Any:
        return await self.do("add", name=name, **{"base_url": f"{self.house.upstream.url}/own/v1"} | settings)

    async def post(self, path: str, body: dict[str, Any], by: str = "acme", **headers: str) -> tuple[int, Any]:
        status, answer, _ = await self.house.post(path, body, key=self.keys[by], headers=headers)
        return status, answer

    async def seen(self, by: str) -> list[str]:
        return [model["id"] for model in (await self.get("/v1/models", by))[1]["data"]]

    async def get(self, path: str, by: str = "acme") -> tuple[int, Any]:
        headers = {"authorization": f"Bearer {self.keys[by]}"}
        async with aiohttp.ClientSession() as session, session.get(self.house.url + path, headers=headers) as response:
            return response.status, await response.json()

    def asked(self) -> dict[str, Any]:
        """The body of the last request to the organization's server."""
        told: dict[str, Any] = msgspec.json.decode(self.house.upstream.requests[-1].body)
        return told


@contextlib.asynccontextmanager
async def town(
    *rules: Rule | Reply, settings: str = CREDITS, policy: Policy | None = None, models: str = '["house-model"]'
) -> AsyncIterator[Town]:
    provider = f'apis = ["chat", "responses", "messages"]\nmodels = {models}'
    async with running(*(rules or (HELLO,)), settings=settings, provider=provider) as house:
        yield await Town(house).settle(policy or Policy())


def named(body: dict[str, Any], model: str = "llama") -> dict[str, Any]:
    return {**body, "model": model}


@pytest.mark.parametrize("spoken", ["chat", "responses", "messages"])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_any_client_reaches_it_without_balance_price_hold_or_charge(
    path: str, body: dict[str, Any], spoken: str
) -> None:
    async with town() as acme:
        await acme.add(apis=[spoken], model="meta/llama-70b", key=KEY)
        status, answer = await acme.post(path, named(body))
        record = await acme.house.record()
        (asked,) = acme.house.upstream.requests
    assert (status, "hello" in str(answer)) == (200, True)
    assert asked.path.startswith("/own/v1/")
    sent = asked.header("x-api-key" if spoken == "messages" else "authorization")
    assert sent == (KEY if spoken == "messages" else f"Bearer {KEY}")
    told = ("requested_model", "provider", "upstream_model", "payer", "cost_nano", "hold_nano", "outcome")
    assert [record[name] for name in told] == ["llama", "custom@acme", "meta/llama-70b", "byok", 0, 0, "success"]
    assert record["input_uncached_tokens"] == 7


async def test_it_has_no_price_even_where_one_could_be_found() -> None:
    async with town(settings=CREDITS + '[models."*/*"]\nprice = { input = "1", output = "1" }\n') as acme:
        await acme.add(model="gpt-4o")
        assert (await acme.post("/v1/chat/completions", named(CHAT)))[0] == 200
        record = await acme.house.record()
    assert [record[name] for name in ("price_version", "market_cost_nano", "cost_nano")] == [None, None, 0]


async def test_only_callers_of_its_organization_see_and_reach_it() -> None:
    async with town() as acme:
        await acme.add(context=8192, display_name="Our llama")
        assert await acme.seen("acme") == ["house-model", "llama"]
        assert await acme.seen("blue") == await acme.seen("nobody") == ["house-model"]
        assert [(await acme.get("/v1/models/llama", by))[0] for by in acme.keys] == [200, 404, 404]
        assert (await acme.get("/v1/models/llama"))[1]["context_length"] == 8192
        for by in ("blue", "nobody"):
            assert (await acme.post("/v1/chat/completions", named(CHAT), by))[0] == 404
        assert not acme.house.upstream.requests


async def test_the_house_shows_it_to_other_organizations() -> None:
    async with town() as acme:
        await acme.add()
        await acme.do("share", name="llama", organizations=["blue"])
        assert await acme.seen("blue") == ["house-model", "llama"]
        assert (await acme.post("/v1/chat/completions", named(CHAT), "blue"))[0] == 200
        assert (await acme.house.record())["account_id"] == "blue"
        assert (await acme.get("/v1/models/llama", "blue"))[1]["owned_by"] == "custom"
        await acme.do("share", name="llama", organizations=[])
        assert (await acme.post("/v1/chat/completions", named(CHAT), "blue"))[0] == 404


async def test_what_its_owner_calls_it_is_told_to_no_other_organization() -> None:
    async with town() as acme:
        await acme.add(model="meta/llama-70b")
        await acme.do("share", name="llama", organizations=["blue"])
        _, told = await acme.post("/v1/explain", named(CHAT), "blue")
        assert [route["route"] for route in told["routes"]] == ["custom@acme/llama"]
        for by in ("acme", "blue"):
            assert (await acme.post("/v1/chat/completions", named(CHAT), by))[0] == 200
        records = {row["organization_id"]: row for row in await acme.house.records()}
        assert {row["upstream_model"] for row in records.values()} == {"meta/llama-70b"}
        ask = acme.house.gateway.operations.perform
        models = {}
        for id, row in records.items():
            officer, whose = Actor(id="boss", user_id="boss", roles={id: Role.OWNER}), {"organization": id}
            (seen,) = (await ask("requests", whose, officer))["items"]
            (found,) = (await ask("requests.search", {"model": models_of(id), **whose}, officer))["items"]
            (late,) = (await ask("requests.tail", {"model": models_of(id), **whose}, officer))["items"]
            story = await ask("requests.story", {"request": row["id"], **whose}, officer)
            usage = await ask("usage", {"by": ["model", "provider"], **whose}, officer)
            assert {one["provider"] for one in (seen, found, late, story["asked"], *usage)} == {"custom@acme"}
            assert [one["model"] for one in usage] == [models_of(id)]
            models[id] = {one["upstream_model"] for one in (seen, found, late, story["asked"], story["request"])}
            if id == "blue":
                assert "meta" not in str([seen, found, late, story, usage])
        assert models == {"acme": {"meta/llama-70b"}, "blue": {"llama"}}


def models_of(organization: str) -> str:
    """How usage has the model of what this organization called."""
    return "custom@acme/meta/llama-70b" if organization == "acme" else "llama"


async def test_an_organization_s_own_goes_before_what_others_show_it() -> None:
    async with town() as acme:
        await acme.add(model="of-acme")
        await acme.do("share", name="llama", organizations=["blue"])
        await acme.do(
            "add", organization="blue", name="llama", model="of-blue", base_url=f"{acme.house.upstream.url}/v1"
        )
        for by in ("acme", "blue"):
            assert (await acme.post("/v1/chat/completions", named(CHAT), by))[0] == 200
            assert acme.asked()["model"] == f"of-{by}"


async def test_it_stands_before_the_catalogue_and_is_gone_at_once() -> None:
    async with town(models='["llama"]', settings=OPEN) as acme:
        await acme.add(model="ours")
        assert await acme.seen("acme") == ["llama"]
        assert (await acme.post("/v1/chat/completions", named(CHAT)))[0] == 200
        assert acme.asked()["model"] == "ours"
        await acme.do("remove", name="llama")
        assert (await acme.post("/v1/chat/completions", named(CHAT)))[0] == 200
        assert acme.asked()["model"] == "llama"
        assert (await acme.house.records())[0]["provider"] == "up"


@pytest.mark.parametrize(
    ("policy", "code"),
    [
        (Policy(models_allow=("house-*",)), "model_not_allowed"),
        (Policy(models_deny=("llama",)), "model_not_allowed"),
        (Policy(providers_allow=("up",)), "provider_not_allowed"),
        (Policy(providers_deny=("custom@*",)), "provider_not_allowed"),
        (Policy(data_collection="deny"), "provider_not_allowed"),
        (Policy(zdr=True), "provider_not_allowed"),
    ],
)
async def test_the_organization_s_lists_hold_for_it(policy: Policy, code: str) -> None:
    async with town(policy=policy) as acme:
        await acme.add(model="meta/l")
        status, answer = await acme.post("/v1/chat/completions", named(CHAT))
        assert (status, answer["error"]["code"]) == (403, code)
        assert "llama" not in await acme.seen("acme")
        assert not acme.house.upstream.requests


async def test_a_policy_about_data_is_kept_by_a_server_of_which_that_is_said() -> None:
    async with town(
        policy=Policy(zdr=True, data_collection="deny", providers_allow=("custom@acme",), models_allow=("llama",))
    ) as acme:
        await acme.add(model="meta/l", collects_data=False, retains_data=False)
        assert (await acme.post("/v1/messages", named(MESSAGES)))[0] == 200


def tools(path: str, *names: str) -> dict[str, Any]:
    """Tools of these names, and the choice of the first, in an API's words."""
    if path.endswith("/chat/completions"):
        defined: list[Any] = [{"type": "function", "function": {"name": name, "parameters": {}}} for name in names]
        return {"tools": defined, "tool_choice": {"type": "function", "function": {"name": names[0]}}}
    if path.endswith("/responses"):
        defined = [{"type": "function", "name": name, "parameters": {}, "strict": False} for name in names]
        return {"tools": defined, "tool_choice": {"type": "function", "name": names[0]}}
    defined = [{"name": name, "input_schema": {"type": "object"}} for name in names]
    return {"tools": defined, "tool_choice": {"type": "tool", "name": names[0]}}


@pytest.mark.parametrize("spoken", ["chat", "responses", "messages"])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_tools_that_it_is_not_given_are_taken_out_as_a_loss(path: str, body: dict[str, Any], spoken: str) -> None:
    async with town() as acme:
        await acme.add(apis=[spoken], exclude_tools=["shell*"], include_tools=["read", "shell", "write"])
        asking = named(body) | tools(path, "shell", "read", "browse")
        assert (await acme.post(path, asking))[0] == 200
        asked = acme.asked()
        assert [str(tool).count("'read'") for tool in asked["tools"]] == [1]
        assert "tool_choice" not in asked
        record = await acme.house.record()
        lost = [field for field, _ in msgspec.json.decode(record["losses"])]
        assert [lost.count(field) for field in ("tools[0]", "tool_choice")] == [1, 1]
        status, answer = await acme.post(path, asking, **{"x-trivium-strict": "1"})
        assert (status, "not given this tool" in message_of(path, answer)) == (400, True)


OK = {"name": "ok", "parameters": {"type": "object"}}
SPACE = {"type": "namespace", "name": "shellns", "description": "x", "tools": [{"type": "function", **OK, "name": "a"}]}
SHUT_OUT: list[tuple[int, str, dict[str, Any]]] = [
    (0, "chat", {"tools": [{"type": "function", **OK, "function": {**OK, "name": "shell_exec"}}]}),
    (0, "chat", {"tools": [{"type": "custom", **OK, "custom": {"name": "shell_exec"}}]}),
    (0, "chat", {"web_search_options": {}}),
    (1, "responses", {"tools": [{"type": "mcp", "server_label": "evil", "server_url": "https://x", "name": "ok"}]}),
    (1, "responses", {"tools": [{"type": "web_search", "name": "ok"}]}),
    (1, "responses", {"tools": [SPACE]}),
    (1, "chat", {"tools": [SPACE]}),
    (1, "messages", {"tools": [SPACE]}),
    (2, "messages", {"tools": [{"type": "web_search_20250305", "name": "ok"}]}),
    (2, "chat", {"tools": [{"name": "shell.exec", "input_schema": {"type": "object"}}]}),
]


@pytest.mark.parametrize(("call", "spoken", "more"), SHUT_OUT)
async def test_no_other_name_brings_a_tool_to_a_server_that_is_not_given_it(
    call: int, spoken: str, more: dict[str, Any]
) -> None:
    path, body = CALLS[call]
    async with town() as acme:
        await acme.add(apis=[spoken], exclude_tools=["shell_*", "shellns*", "evil", "web_search"])
        assert (await acme.post(path, named(body) | more))[0] == 200
        assert acme.asked().keys().isdisjoint({"tools", "web_search_options"})
        record = await acme.house.record()
        assert record["losses"] is not None
        await acme.do("set", name="llama", exclude_tools=[], include_tools=["ok", "a"])
        assert (await acme.post(path, named(body) | more))[0] == 200
        kept = more["tools"] == [SPACE] and spoken == "responses" if "tools" in more else False
        assert acme.asked().keys().isdisjoint({"tools", "web_search_options"}) is not kept


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_request_without_a_tool_that_it_is_given_has_none(path: str, body: dict[str, Any]) -> None:
    async with town() as acme:
        await acme.add(apis=["chat", "responses", "messages"], include_tools=["write"])
        assert (await acme.post(path, named(body) | tools(path, "read")))[0] == 200
        assert acme.asked().keys().isdisjoint({"tools", "tool_choice"})
        assert (await acme.post(path, named(body)))[0] == 200


@pytest.mark.parametrize("spoken", ["chat", "responses", "messages"])
@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_its_extra_body_is_in_every_request_and_wins(path: str, body: dict[str, Any], spoken: str) -> None:
    extra = {"temperature": 0.1, "chat_template_kwargs": {"enable_thinking": False}}
    async with town() as acme:
        await acme.add(apis=[spoken], extra_body=extra)
        assert (await acme.post(path, named(body) | {"temperature": 0.9}))[0] == 200
        assert {name: acme.asked()[name] for name in extra} == extra
        record = await acme.house.record()
    assert "temperature" in [field for field, _ in msgspec.json.decode(record["losses"])]


async def test_where_it_stands_in_no_limit_is_known_of_it_but_its_own() -> None:
    """Whatever a model of the same name has elsewhere."""
    async with town(Rule(Reply(status=500), match=Match(model="house-model")), HELLO, settings=OPEN) as acme:
        await acme.add(model="gpt-4o")
        body = {**named(CHAT, "house-model"), "max_tokens": 50_000, "trivium_fallbacks": ["llama"]}
        assert (await acme.post("/v1/chat/completions", body))[0] == 200
        assert (acme.asked()["model"], acme.asked()["max_tokens"]) == ("gpt-4o", 50_000)


async def test_what_a_server_of_an_organization_has_sealed_goes_to_no_other_of_its_servers() -> None:
    path = "/v1/chat/completions"
    async with town(Reply(reasoning="Hm.", signature="sealed-by-llama", text="Sunny.")) as acme:
        await acme.add(apis=["messages"], model="m")
        await acme.add("other", apis=["messages"], model="m", base_url=f"{acme.house.upstream.url}/other/v1")
        _, answer = await acme.post(path, named(CHAT))
        turns = [*CHAT["messages"], answer["choices"][0]["message"], {"role": "user", "content": "And now?"}]
        for name, is_back in (("llama", True), ("other", False)):
            assert (await acme.post(path, named({**CHAT, "messages": turns}, name)))[0] == 200
            assert ("sealed-by-llama" in str(acme.asked())) is is_back


async def test_its_limit_of_output_is_kept() -> None:
    async with town() as acme:
        await acme.add(apis=["chat", "messages"], output_limit=1000)
        for path, body in (("/v1/chat/completions", CHAT), ("/v1/messages", MESSAGES)):
            for wanted, sent in ((5000, 1000), (1000, 1000), (10, 10)):
                assert (await acme.post(path, named(body) | {"max_tokens": wanted}))[0] == 200
                assert acme.asked()["max_tokens"] == sent
        await acme.do("set", name="llama", apis=["messages"])
        assert (await acme.post("/v1/responses", named(RESPONSES), **{"x-trivium-strict": "1"}))[0] == 200
        assert acme.asked()["max_tokens"] == 1000


async def test_its_key_is_shown_to_nobody_even_if_its_server_does() -> None:
    async with town(Reply(text=f"the key is {KEY}", usage=Usage(input=1, output=1)), settings=OPEN) as acme:
        added = await acme.add(key=KEY)
        assert added["hint"] == "cdef"
        assert KEY not in str(added) + str(await acme.do("list"))
        for stream in (True, False):
            status, answer = await acme.post("/v1/chat/completions", named(CHAT) | {"stream": stream})
            assert (status, KEY in str(answer)) == (200, False)
        rows = await acme.house.gateway.store.database.ask("SELECT * FROM changes")
        kept = await acme.house.gateway.store.database.ask("SELECT * FROM secrets")
        assert KEY not in str(rows) + str(kept) + str(await acme.house.records())
        assert len(kept) == 1
        await acme.do("set", name="llama", key=None)
        assert (await acme.post("/v1/chat/completions", named(CHAT)))[0] == 200
        assert acme.house.upstream.requests[-1].header("authorization") is None
        assert not await acme.house.gateway.store.database.ask("SELECT * FROM secrets")


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_a_key_that_its_server_refuses_is_its_admins_business(path: str, body: dict[str, Any]) -> None:
    async with town(Rule(Reply(status=401), match=Match(path="/own/*"))) as acme:
        await acme.add(apis=["chat", "responses", "messages"], key=KEY)
        status, answer = await acme.post(path, named(body))
        assert status == 401
        assert "An admin of the organization" in message_of(path, answer)
        assert (await acme.house.record())["error_code"] == "own_key_refused"


@pytest.mark.parametrize("stream", [False, True])
async def test_and_not_the_operators_where_that_is_said_inside_an_answer(stream: bool) -> None:
    refuses = Reply(error=Error(message="bad key", type="authentication_error"))
    async with town(Rule(refuses, match=Match(path="/own/*"))) as acme:
        await acme.add(apis=["chat"], key=KEY)
        status, told = await acme.post("/v1/chat/completions", named(CHAT) | {"stream": stream})
        assert (status, "bad key" in str(told)) == (200, True)
        assert (await acme.house.record())["error_code"] == "authentication_error"
        assert await acme.house.gateway.operations.perform("alerts.show", {}) == []


@pytest.mark.parametrize(("path", "body"), CALLS)
async def test_where_nobody_is_at_its_address_that_is_its_admins_business(path: str, body: dict[str, Any]) -> None:
    async with town(Reply(abort="reset")) as acme:
        await acme.add()
        status, answer = await acme.post(path, named(body))
        assert (status, "127.0.0.1" in str(answer)) == (502, False)
        assert "The server of the model `llama` cannot be reached. An admin of" in message_of(path, answer)
        assert (await acme.house.record())["error_code"] == "upstream_unreachable"


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize("client", ["http1", "aiohttp"])
async def test_a_server_whose_address_is_refused_is_a_readable_error(
    path: str, body: dict[str, Any], client: str
) -> None:
    """Saved while it was allowed, it is checked again when it is connected to."""
    async with town(settings=f'{OPEN}[upstream]\nclient = "{client}"\n') as acme:
        url = acme.house.upstream.url.replace("127.0.0.1", "localhost")
        await acme.add(apis=["chat", "responses", "messages"], base_url=f"{url}/own/v1")
        store = acme.house.gateway.store.custom_models
        (model,) = await store.listed("acme")
        moved = msgspec.structs.replace(model.settings, base_url=url.replace("localhost", "127.0.0.2") + "/own/v1")
        await store.set("acme", "llama", "operator", lambda _: moved, msgspec.UNSET)
        status, answer = await acme.post(path, named(body))
        record = await acme.house.record()
        assert (status, "public addresses" in message_of(path, answer)) == (403, True)
        assert (record["outcome"], record["error_code"]) == ("refused", "destination_refused")
        assert not acme.house.upstream.requests
        assert "127.0.0." not in str(answer) and "loopback" not in str(answer)


async def test_a_redirect_is_not_followed() -> None:
    to = Reply(status=302, headers={"location": "http://127.0.0.1:1/latest"}, text="elsewhere")
    async with town(Rule(to, match=Match(path="/own/*")), HELLO) as acme:
        await acme.add()
        status, answer = await acme.post("/v1/chat/completions", named(CHAT))
        assert (status, "127.0.0.1:1" in str(answer)) == (502, False)
        assert len(acme.house.upstream.requests) == 1


async def test_tokens_are_counted_by_it_or_estimated() -> None:
    async with town(Rule(Reply(status=404), match=Match(path="*/count_tokens")), HELLO) as acme:
        await acme.add(apis=["messages"], extra_body={"top_k": 1})
        status, answer = await acme.post("/v1/messages/count_tokens", named(MESSAGES))
        assert (status, answer["estimated"]) == (200, True)
        assert "top_k" not in acme.asked()


async def test_a_server_that_is_the_gateway_itself_does_not_keep_a_call_going_round() -> None:
    async with town() as acme:
        await acme.add("round", base_url=f"{acme.house.url}/v1", key=acme.keys["acme"])
        await acme.add("house", base_url=f"{acme.house.url}/v1", key=acme.house.key, model="up/m")
        assert (await acme.post("/v1/chat/completions", named(CHAT, "round")))[0] == 403
        assert sorted(record["error_code"] for record in await acme.house.records()) == [
            "destination_refused",
            "own_key_refused",
        ]
        assert (await acme.post("/v1/chat/completions", named(CHAT, "house")))[0] == 200


async def test_an_own_key_for_the_vendor_that_is_named_goes_first() -> None:
    async with town() as acme:
        await acme.add("openai/gpt-4o")
        path = "/v1/chat/completions"
        assert (await acme.post(path, named(CHAT, "openai/gpt-4o")))[0] == 200
        key = {
            "vendor": "openai",
            "credential": {"key": "own-key-0123456"},
            "base_url": f"{acme.house.upstream.url}/key",
        }
        await acme.house.gateway.operations.perform("byok.add", {"organization": "acme"} | key)
        assert (await acme.post(path, named(CHAT, "openai/gpt-4o")))[0] == 200
        assert [one.path.split("/")[1] for one in acme.house.upstream.requests] == ["own", "key"]


async def test_its_calls_do_not_count_in_the_limits_of_the_houses_models() -> None:
    async with town() as acme:
        await acme.add()
        one = Limits(requests_per_minute=1)
        acme.house.gateway.deps.house = HouseSettings(
            limits_by_model={"*": one}, organization_limits=Limits(requests_per_minute=3)
        )
        calls = [(await acme.post("/v1/chat/completions", named(CHAT)))[0] for _ in range(4)]
        assert calls == [200, 200, 200, 429], "the organization's own limit"


async def test_what_a_caller_may_not_do_is_said_before_that_a_key_cannot_be_opened() -> None:
    async with town() as acme:
        await acme.add(key=KEY)
        acme.house.gateway.store.secrets.ring = Keyring([("other", b"k" * 32)])
        perform = acme.house.gateway.operations.perform

        async def codes() -> list[str]:
            return [(await acme.post(path, named(body)))[1]["error"]["code"] for path, body in CALLS]

        assert await codes() == ["own_key_unreadable"] * 3
        assert {record["status"] for record in await acme.house.records()} == {503}
        assert "llama" in await acme.seen("acme")
        await perform("settings.set", {"settings": {"models": {"llama": {"open_to": "admins"}}}})
        assert await codes() == ["model_not_allowed"] * 3
        gates = {api: {"open_to": "admins"} for api in ("chat_completions", "responses", "messages")}
        await perform("settings.set", {"settings": {"apis": gates}})
        assert await codes() == ["api_not_available"] * 3
        assert not acme.house.upstream.requests
