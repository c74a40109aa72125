"""What the house alone knows of a call reaches nobody else, neither over the admin API nor by the operations.

Ann is a user without an organization; acme has a member of each role. All of them have sent the same calls.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from gateway import CHAT, MESSAGES, Running, running
from support_admin import Operator
from support_people import People, actor_of
from support_stealth import NAME, WHOLE, name
from trivium.mock import Match, Reply, Rule

SETTINGS = f"""
[abuse]
mode = "enforce"
[abuse.rules]
bad_agents = ["EvilBot*"]
[security]
allow_http = true
[free.models."house/st"]
stealth = true
route = "{NAME}/{NAME}-big"
[free.models."house/busy"]
stealth = true
route = "{NAME}/{NAME}-busy"
"""
ACCOUNT = "House account 4711 has no credit, key sk-house-4711"
RULES = (
    Rule(Reply(body=WHOLE["messages"]()), Match(path="*/messages", model=f"{NAME}-big")),
    Rule(
        Reply(status=429, body={"error": {"message": name()}}, headers={"retry-after": "37"}),
        Match(path="*", model=f"{NAME}-busy"),
    ),
    Rule(Reply(status=402, body={"error": {"message": ACCOUNT, "type": "no_credit"}}), Match(path="*", model="broke")),
    Rule(
        Reply(status=400, body={"type": "error", "error": {"type": "odd", "message": "No such tool."}}),
        Match(path="*", model="odd"),
    ),
)
OF_ALL = ("owner", "admin", "billing")
VIEWERS = (*OF_ALL, "member", "ann")
CHAT_PATH, MESSAGES_PATH = "/v1/chat/completions", "/v1/messages"


class Village(People):
    """Who sees what."""

    def __init__(self, house: Running, session: aiohttp.ClientSession) -> None:
        super().__init__(house)
        self.session = session
        self.keys: tuple[str, ...] = ()

    async def settle(self) -> Village:
        await self.organization("acme")
        self.keys = (await self.user("ann"), await self.key(organization="acme", user="acme-member"))
        return self

    async def post(self, path: str, body: dict[str, Any], model: str, **headers: str) -> tuple[int, str]:
        """Ann's and the member's call: the status, and what the client was told of an error."""
        (first, second) = [
            await self.house.post(path, {**body, "model": model}, key=key, headers=headers) for key in self.keys
        ]
        assert first[0] == second[0]
        return first[0], first[1]["error"]["message"] if "error" in first[1] else ""

    async def operator(self, viewer: str) -> Operator:
        user = "ann" if viewer == "ann" else f"acme-{viewer}"
        return await Operator(self.house, self.session, None).of_user(user, viewer)

    async def seen(self, viewer: str, operation: str, request: str | None = None, **arguments: Any) -> Any:
        """Over the admin API, where that says the same as the operation does."""
        user = "ann" if viewer == "ann" else f"acme-{viewer}"
        whose = {"user": user} if viewer in ("ann", "member") else {}
        organization = {} if viewer == "ann" else {"organization": "acme"}
        actor = actor_of(user, **({} if viewer == "ann" else {"acme": viewer}))
        about = {"request": request} if request else {}
        told = await self(operation, actor, **whose, **organization, **about, **arguments)
        operator = await self.operator(viewer)
        path = f"/requests/{request}/receipt" if request else f"/{operation}"
        query = {**whose, **arguments}
        place = path if viewer == "ann" else f"/organizations/acme{path}"
        asked = "&".join(
            f"{key}={one}" for key, value in query.items() for one in ([value] if isinstance(value, str) else value)
        )
        answer = await operator("GET", f"{place}?{asked}")
        assert answer.status == 200, answer
        assert answer.body["data"] == (told["items"] if isinstance(told, dict) else told)
        return answer.body["data"]


@contextlib.asynccontextmanager
async def village() -> AsyncIterator[Village]:
    async with (
        running(*RULES, settings=SETTINGS, provider='apis = ["messages"]\nreports_cost = true', name=NAME) as house,
        aiohttp.ClientSession() as session,
    ):
        yield await Village(house, session).settle()


def says(told: object, word: str) -> bool:
    return word in json.dumps(told).lower()


@pytest.fixture
async def here() -> AsyncIterator[Village]:
    async with village() as built:
        yield built


class TestStealth:
    async def test_no_record_usage_or_receipt_says_who_answered(self, here: Village) -> None:
        assert await here.post(CHAT_PATH, CHAT, "house/st") == (200, "")
        assert (await here.post(MESSAGES_PATH, MESSAGES, "house/busy"))[0] == 429
        assert (await here.post(CHAT_PATH, CHAT, "house/st", **{"x-trivium-strict": "1"}))[0] == 400
        records = await here.house.records()
        for viewer in VIEWERS:
            rows = await here.seen(viewer, "requests")
            assert [row["requested_model"] for row in rows] == ["house/st", "house/busy", "house/st"]
            assert not says(rows, NAME), rows
            assert [row["upstream_model"] for row in rows] == ["house/st", "house/busy", "house/st"]
            assert [rows[2][field] for field in ("answer_model", "payer", "output_tokens")] == ["house/st", "free", 7]
            assert not any(rows[2][field] for field in ("provider", "upstream_api", "reported_cost_usd", "losses"))
            for by in (["model"], ["provider"], ["model", "provider", "outcome", "day", "api"]):
                usage = await here.seen(viewer, "usage", by=by)
                assert not says(usage, NAME), usage
                assert {row["market_cost_nano"] for row in usage} == {0}
            models = {row["model"]: row["requests"] for row in await here.seen(viewer, "usage", by=["model"])}
            assert models == {"house/st": 2, "house/busy": 1}
            for row in rows:
                receipt = await here.seen(viewer, "receipt", request=row["id"])
                assert [(line["what"], line["usd"]) for line in receipt] == [("total", "0")]
        assert {(row["provider"], row["public_model"]) for row in records if row["status"] == 200} == {
            (NAME, "house/st")
        }

    async def test_the_house_sees_what_it_paid_for(self, here: Village) -> None:
        await here.post(CHAT_PATH, CHAT, "house/st")
        (record, _) = await here.house.records()
        told = ("provider", "upstream_model", "answer_model", "reported_cost_usd", "upstream_api")
        assert [record[field] for field in told] == [NAME, f"{NAME}-big", name("model"), "0.5", "messages"]
        (row,) = await here("usage", by=["provider", "model"])
        assert (row["provider"], row["model"]) == (NAME, f"{NAME}/{NAME}-big")
        assert row["market_cost_nano"] == 2 * 500_000_000
        assert len(await here("receipt", request=record["id"])) > 1

    async def test_it_stays_secret_when_the_model_has_ended(self, here: Village) -> None:
        await here.post(CHAT_PATH, CHAT, "house/st")
        await here.house.records()
        store = here.house.gateway.store
        await store.ledger.writer.flush()
        with store.database.transaction() as tx:
            tx.execute("DELETE FROM records")  # as retention does
        for viewer in VIEWERS:
            usage = await here.seen(viewer, "usage", by=["model", "provider"])
            assert [(row["model"], row["provider"]) for row in usage] == [("house/st", None)]

    async def test_neither_lists_nor_statistics_nor_prices_say_it(self, here: Village) -> None:
        await here.post(CHAT_PATH, CHAT, "house/st")
        await here.house.records()
        for path in ("/v1/usage", "/api/modelstats", "/v1/models-by-provider", "/v1/providers", "/api/defaults"):
            for key in here.keys:
                url, headers = f"{here.house.url}{path}", {"authorization": f"Bearer {key}"}
                async with here.session.get(url, headers=headers) as response:
                    assert not says(await response.text(), NAME), path
        for viewer in VIEWERS:
            operator = await here.operator(viewer)
            for path in ("/prices", f"/prices/history?model={NAME}/{NAME}-big", "/prices/diff"):
                assert (await operator.error("GET", path))[:2] == (403, "role_missing")

    async def test_a_strict_call_is_refused_alike_whatever_it_says(self, here: Village) -> None:
        """Which fields are lost depends on the API that the upstream speaks."""
        strict = {"x-trivium-strict": "1"}
        odd = {**CHAT, "seed": 1, "logit_bias": {"1": 1}, "n": 2}
        told = {await here.post(CHAT_PATH, body, "house/st", **strict) for body in (CHAT, odd)}
        told.add(await here.post(MESSAGES_PATH, MESSAGES, "house/st", **strict))
        ((status, message),) = told
        assert status == 400
        assert "no strict calls" in message
        assert here.house.upstream.requests == []

    async def test_when_to_try_again_is_not_the_upstreams_word(self, here: Village) -> None:
        status, _, headers = await here.house.post(CHAT_PATH, {**CHAT, "model": "house/busy"})
        assert (status, headers["retry-after"]) == (429, "5")


async def test_names_that_lead_nowhere_and_names_that_lead_inside_look_alike(
    here: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        if host == "inside.example.com":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", port))]
        if host == "absent.example.com":
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    owners: list[dict[str, Any]] = [{"user": "ann"}, {"organization": "acme"}]
    names = {"openai": "inside", "mistral": "absent"}
    for vendor, host in names.items():
        for owner in owners:
            url = f"https://{host}.example.com/v1"
            await here("byok.add", vendor=vendor, credential={"key": "sk-own-key-0123"}, base_url=url, **owner)
    inside = await here.post(CHAT_PATH, CHAT, "openai/gpt-4o")
    absent = await here.post(CHAT_PATH, CHAT, "mistral/mistral-large")
    details = {row["error_message"] for row in await here.house.records()}
    assert details == {"inside.example.com: private", "absent.example.com: no such name"}
    assert inside == absent
    for viewer in VIEWERS:
        first, second = await here.seen(viewer, "requests")
        assert first["error_message"] == second["error_message"] == inside[1]
        own = {"id", "time_ms", "key_id", "requested_model", "provider", "upstream_model", "request_bytes", "rules"}
        assert {key for key in first if first[key] != second[key] and not key.endswith("_us")} <= own
        assert not says([first, second], "no such name")
        assert not says([first, second], "private")


async def test_what_is_wrong_with_the_houses_account_is_the_houses_business(here: Village) -> None:
    status, told = await here.post(CHAT_PATH, CHAT, f"{NAME}/broke")
    assert {row["error_message"] for row in await here.house.records()} == {ACCOUNT}
    for viewer in VIEWERS:
        (row,) = await here.seen(viewer, "requests")
        assert not says(row, "4711")
        assert not says(row, "no_credit")
        assert (row["status"], row["error_code"], row["error_message"]) == (status, "upstream_unavailable", told)
        assert "upstream_status" not in row


async def test_errors_that_the_client_was_told_are_seen_as_they_were_told(here: Village) -> None:
    assert await here.post(MESSAGES_PATH, MESSAGES, f"{NAME}/odd") == (400, "No such tool.")
    for viewer in VIEWERS:
        (row,) = await here.seen(viewer, "requests")
        assert (row["error_code"], row["error_message"]) == ("odd", "No such tool.")


async def test_what_was_thought_of_the_caller_is_for_the_operator(here: Village) -> None:
    status, told = await here.post(CHAT_PATH, CHAT, "house/st", **{"user-agent": "EvilBot/1"})
    assert status == 403
    for record in await here.house.records():
        assert record["abuse_verdict"]
        assert "bad_agent" in record["abuse_reason"]
    for viewer in VIEWERS:
        (row,) = await here.seen(viewer, "requests")
        assert not any("abuse" in column for column in row)
        assert not says(row, "bad_agent")
        assert row["error_message"] == told
