"""A house in which every page of the dashboard has something to show. Names were chosen by strangers."""

from __future__ import annotations

import json
from typing import Any

from gateway import CHAT, Running
from support_dashboard import HOSTILE, SHORT
from trivium.mock import Error, Match, Reply, Rule, Usage
from trivium.policy.caller import Role
from trivium.policy.payments import AutoTopUp, Event, Payment

ROLES = ("owner", "admin", "member", "billing")
MODELS = ["m", "dear", "broken", HOSTILE]
PROVIDER = f'apis = ["chat", "responses", "messages"]\nmodels = {json.dumps(MODELS)}'
RULES = (
    Rule(Reply(status=500, error=Error(message=HOSTILE)), Match(model="broken")),
    Rule(Reply(usage=Usage(input=900, output=400, cache_read=300)), Match(model="dear")),
    Rule(Reply(text=f"Hello {HOSTILE}", usage=Usage(input=120, output=30))),
)
SETTINGS = """
[billing]
mode = "credits"
[dashboard]
passwords = true
[capture]
enabled = true
[models."up/*"]
price = { input = 3, output = 15, cache_read = 0.3 }
[free]
anonymous = true
per_ip_per_hour = 6
per_user_per_hour = 2
[free.models."house/gift"]
route = "up/dear"
[abuse]
mode = "log"
[abuse.rules]
bad_agents = ["Evil*"]
[payments]
provider = "stripe"
secret_key = "sk_test_12345678"
webhook_secrets = ["whsec_12345678"]
return_url = "https://gateway.example"
api_url = "http://127.0.0.1:9"
auto_top_up = true
"""


class World:
    """Made by `build`, through operations and calls as anybody would."""

    def __init__(self, house: Running, hostile: str = HOSTILE, short: str = SHORT[:4]) -> None:
        """`hostile` and `short` are in the names of everything."""
        self.house = house
        self.hostile = hostile
        self.short = short
        self.keys: dict[str, str] = {}

    async def do(self, operation: str, **arguments: Any) -> Any:
        return await self.house.gateway.operations.perform(operation, arguments)

    async def build(self) -> World:
        await self._people()
        await self._things()
        await self._payments()
        await self._calls()
        return self

    async def _people(self) -> None:
        for role in ROLES:
            name = f"{role.title()} {self.hostile}"[:100]
            name = "".join(letter for letter in name if letter.isprintable())
            await self.do("users.create", id=role, name=name, email=f"{role}@acme.example")
        await self.do("users.create", id="outsider", name="Outsider")
        await self.do("users.create", id="blocked", name="Blocked")
        await self.do("users.block", users=["blocked"], why=self.hostile)
        await self.do("orgs.create", id="acme", name=f"Acme {self.short}", owner="owner")
        for role in ROLES[1:]:
            await self.do("members.set", organization="acme", user=role, role=role)
        await self.do("orgs.create", id="inviting", name="Inviting", owner="outsider")
        await self.house.gateway.store.organizations.set_member(
            "inviting", "member", Role.MEMBER, "outsider", lambda _: None, house=False
        )
        await self.do("domains.block", domain="evil.example")

    async def _things(self) -> None:
        for account in ("acme", "owner", "member", "default"):
            await self.do("credits.grant", account=account, usd="100", note=self.hostile)
        await self.do("projects.create", organization="acme", id="web", name=self.short)
        for role in ROLES[:3]:
            made = await self.do(
                "keys.create", name=f"{role} {self.short}", organization="acme", user=role, capture=True
            )
            self.keys[role] = made["key"]
            await self.do("keys.create", name=f"{role}'s own", user=role)
        spent = await self.do("keys.create", name="over", organization="acme")
        await self.do("keys.revoke", key=spent["id"], organization="acme")
        await self.do("budgets.set", scope="account:acme", period="month", usd="50", organization="acme")
        await self.do("budgets.set", scope="user:member", period="day", usd="5")
        for owner in ({"organization": "acme"}, {"user": "member"}):
            await self.do("byok.add", vendor="openai", name="main", credential={"key": "sk-canary-12345678"}, **owner)
        await self.do("models.add", organization="acme", name="own", base_url="https://llm.acme.example/v1")
        hook = {"kind": "webhook", "url": "https://hooks.example/services/canary-12345678"}
        await self.do("alerts.channels.add", name="desk", headers={"x-key": "canary"}, **hook)
        await self.do("admins.create", name=self.short)
        await self.do("prices.set", pattern="up/dear", price={"input": 30, "output": 150}, note=self.hostile)

    async def _payments(self) -> None:
        store = self.house.gateway.store
        for number, account in enumerate(("acme", "owner", "member")):
            payment = Payment(
                id=f"pay_{number:024}",
                account_id=account,
                kind="checkout",
                processor="stripe",
                asked_cents=1000,
                fee_cents=0,
                made_by=account,
                created_ms=1,
                changed_ms=1,
            )
            await store.payments.open(payment)
            common: dict[str, Any] = {
                "payment": payment.id,
                "intent": f"pi_{number}",
                "customer": "cus_1",
                "method": "pm_1",
            }
            await store.payments.take(Event(id="evt_1", told="paid", cents=1000, **common))
            await store.payments.take(Event(id="evt_2", told="card", created_ms=1, **common))
            auto = AutoTopUp(
                account_id=account,
                enabled=False,
                below_nano=10**9,
                cents=1000,
                month_cents=9000,
                problem=self.hostile,
                set_by=account,
                changed_ms=1,
            )
            await store.auto_top_ups.set(auto, self.short, "pm_1")
        await store.payments.take(Event(id="evt_3", told="paid", payment=self.hostile, cents=1000))

    async def _calls(self) -> None:
        for role, key in self.keys.items():
            for model in [*MODELS[:-1], self.hostile]:
                body = {**CHAT, "model": model, "messages": [{"role": "user", "content": f"{role} {self.hostile}"}]}
                await self.house.post("/v1/chat/completions", body, key=key, headers={"user-agent": self.hostile[:40]})
        for who in (None, None, None, self.keys["owner"], self.keys["owner"], self.keys["owner"], self.keys["member"]):
            gift = {**CHAT, "model": "house/gift"}
            await self.house.post("/v1/chat/completions", gift, key=who, headers={"user-agent": "Evil/1.0"})
        await self.house.post("/v1/chat/completions", {**CHAT, "model": "house/gift"}, key=None)
        await self.house.post("/v1/chat/completions", CHAT, key="tv-wrong")
        await self.house.post("/v1/chat/completions", {**CHAT, "model": "nobody/none"}, key=self.keys["owner"])
        await self.house.records()
