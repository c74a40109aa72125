"""Two organizations that must not know of each other, and an example of every request that the admin API takes.

`acme` has a member of each role. `blue` has them too, and whatever a column of its rows can hold has the word `canary`
in it. What a request acts on is made for it, so that each request that is allowed can be done.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints
from urllib.parse import quote, urlencode

import msgspec

from support_admin import Answered, Operator
from support_store import keep
from test_store_captures import bodies
from trivium.admin.row import Route
from trivium.metering.record import Record
from trivium.operations.money import budget_of
from trivium.policy.caller import Role
from trivium.policy.guesses import Guesses
from trivium.store.store import Store

CANARY = "canary"
WORDS = {"acme": "plain", "blue": CANARY}
"""What the ids and names of an organization's people begin with."""
ROLES = ("owner", "admin", "member", "billing")
TABLES = (
    *("users", "organizations", "memberships", "projects", "keys", "accounts", "entries", "lots", "budgets"),
    *("price_overrides", "records", "usage_hours", "admins", "changes", "secrets", "custom_models"),
)
_TEXTS = [name for name, kind in get_type_hints(Record).items() if kind in (str, str | None)]


class Asking(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what the request names where it can. `made_in` is where the things are that it is about."""

    who: str
    organization: str | None
    user: str | None
    made_in: str | None


class Prepared(msgspec.Struct, frozen=True):
    method: str
    path: str
    body: Any
    headers: dict[str, str]


class World:
    def __init__(self, house: Operator) -> None:
        self.house = house
        self.store: Store = house.house.gateway.store
        self.callers: dict[str, Operator] = {}
        """By role in `acme`; `outsider` is a user who is a member of nothing."""
        self.users: dict[str, str | None] = {"house": None, "stranger": None, "key": None}
        """Which user a caller is."""
        face = house.house.gateway.admin
        assert face is not None
        face.credentials.guesses = Guesses(most=10**9)  # wrong credentials by the thousand are what is wanted here
        self.routes: list[Route] = face.routes.all
        self._hints = {table: hint(table, *self.store.database.query(f"SELECT * FROM {table}")[0]) for table in TABLES}
        self.count = 0
        """Of requests, so that each can have names of its own."""

    async def build(self) -> None:
        house = self.house
        for organization, word in WORDS.items():
            for name in (*ROLES, "second"):
                user = {"id": f"{word}-{name}", "name": f"{word} {name}", "email": f"{name}@{word}.example"}
                await house.made("/users", user)
            body = {"id": organization, "name": f"{word} {organization}", "owner": f"{word}-second"}
            await house.made("/organizations", body)
            self.join(organization)
        await house.made("/users", {"id": "outsider", "name": "Out"})
        await self._plant()
        self.callers = {"house": house, "stranger": house.as_(None), "key": house.as_(house.house.key)}
        for role, user_id in (*((role, f"plain-{role}") for role in ROLES), ("outsider", "outsider")):
            self.callers[role] = await house.of_user(user_id, "plain")
            self.users[role] = user_id

    def join(self, organization: str) -> None:
        """Makes the members what they are to be."""
        word = WORDS[organization]
        members = [(f"{word}-{role}", role) for role in ROLES] + [(f"{word}-second", "owner")]
        with self.store.database.transaction() as tx:
            tx.execute("DELETE FROM memberships WHERE organization_id = ?", (organization,))
            for user, role in members:
                tx.execute("INSERT INTO memberships VALUES (?, ?, ?, 1, 1)", (organization, user, role))

    async def _plant(self) -> None:
        """Rows of `blue` in every table that has any, by way of what writes them, so that the log has them too."""
        house = self.house
        lists = ("models_allow", "models_deny", "providers_allow", "providers_deny")
        settings = {"policy": {name: ["canary-*"] for name in lists} | {"default_model": "canary/model"}}
        told = await house("PUT", "/organizations/blue/settings", settings, headers={"if-match": "*"})
        assert told.status == 200, told
        await house.made("/organizations/blue/projects", {"id": "canary-project", "name": "canary"})
        for user in ("canary-member", None):
            key = {"name": "canary", "project": "canary-project", "scopes": {"models": ["canary"]}, "user": user}
            made = await house.made("/organizations/blue/keys", key)
        await house.made("/accounts/blue/grants", {"usd": "77", "note": "canary", "expires": "2099-01-01"})
        for scope in ("account:blue", "member:blue/canary-member", "project:blue/canary-project", f"key:{made['id']}"):
            await house.made("/budgets", {"scope": scope, "period": "day", "usd": "7.77"}, "PUT")
        price = {"pattern": "up/canary", "account_id": "blue", "markup_ppm": 777, "note": "canary"}
        await house.made("/prices", price, "PUT")
        own = {
            "vendor": "custom",
            "name": "canary",
            "base_url": "https://canary.example",
            "credential": {"key": "canary-canary"},
        }
        await house.made("/organizations/blue/upstream-keys", own)
        await house.made("/users/canary-member/upstream-keys", own)
        model = {"name": "canary", "base_url": "https://canary.example/v1", "apis": ["chat"], "key": "canary-canary"}
        await house.made("/organizations/blue/models", model)
        await house.of_user("canary-owner", "canary")
        self.call("req_canary", "blue", "canary-member", made["id"])
        with self.store.database.transaction() as tx:
            tx.execute("UPDATE keys SET hint = 'canary' WHERE account_id = 'blue'")

    def call(self, id: str, account: str, user: str | None, key: str) -> None:
        """A call that was charged; every column of text has the account's word in it."""
        word = WORDS.get(account, "plain")
        told: dict[str, Any] = dict.fromkeys(_TEXTS, word)
        told |= {"id": id, "time_ms": 1, "account_id": account, "user_id": user, "key_id": key, "price_version": None}
        told["organization_id"] = account if account in WORDS else None
        told |= {"operation": "generate", "outcome": "success", "status": 200, "payer": "house", "cost_nano": 5_000}
        told |= {"server_tools": f'{{"{word}":1}}', "losses": f'[["{word}","{word}"]]'}
        told |= {"reported_cost_usd": "0.777", "market_cost_usd": "0.777"}
        keep(self.store.database, [Record(**told)])
        with self.store.database.transaction() as tx:
            tx.execute(
                "INSERT INTO entries (account_id, kind, amount_nano, time_ms, idempotency_key, request_id)"
                " VALUES (?, 'charge', -5000, 1, ?, ?)",
                (account, f"charge:{id}", id),
            )

    async def ask(self, route: Route, asking: Asking) -> Answered:
        """An example of a request."""
        return await self.send(asking.who, await self.prepare(route, asking))

    async def prepare(self, route: Route, asking: Asking) -> Prepared:
        """An example of a request, with whatever it is about made."""
        self.count += 1
        row, names = route.row, {*route.in_path, *route.others}
        given: dict[str, Any] = {"organization": asking.organization, "user": asking.user}
        given = {name: value for name, value in given.items() if name in names and value is not None}
        if asking.who not in ("stranger", "key"):
            given |= await EXAMPLES.get(row.operation, _nothing)(self, asking)
        path = row.path
        for name in route.in_path:
            path = path.replace(f"{{{name}}}", quote(str(given.pop(name, "nobody")), safe=""))
        headers = {"if-match": "*"} if row.if_match else {}
        if row.content:
            return Prepared(row.method, path, given.get(row.content, {}), headers)
        if route.has_body:
            return Prepared(row.method, path, given, headers)
        return Prepared(row.method, f"{path}?{urlencode(given)}" if given else path, None, headers)

    async def send(self, who: str, request: Prepared, headers: dict[str, str] | None = None) -> Answered:
        sent = {**request.headers, **(headers or {})}
        return await self.callers[who](request.method, request.path, request.body, sent)

    def of_blue(self) -> dict[str, list[str]]:
        """Every row of `blue`, by table; without when its keys were used last."""
        found = {}
        for table in TABLES:
            names, rows = self.store.database.query(self._hints[table])
            told = [[value for name, value in zip(names, row, strict=True) if name != "last_used_ms"] for row in rows]
            found[table] = sorted(text for text in map(repr, told) if CANARY in text or "'blue'" in text)
        return found


def hint(table: str, *columns: str) -> str:
    """A statement that finds at least the rows of `blue`: most rows are others', and would be read for nothing."""
    text = " || ' ' || ".join(f"coalesce({column}, '')" for column in columns)
    return f"SELECT * FROM {table} WHERE instr({text}, 'blue') OR instr({text}, '{CANARY}')"


Example = Callable[[World, Asking], Awaitable[dict[str, Any]]]


async def _nothing(_: World, __: Asking) -> dict[str, Any]:
    return {}


def _body(**body: Any) -> Example:
    async def made(world: World, _: Asking) -> dict[str, Any]:
        return {name: value.format(n=world.count) if isinstance(value, str) else value for name, value in body.items()}

    return made


async def _key(world: World, asking: Asking) -> dict[str, Any]:
    """A live key of the organization or user that the request names."""
    organization = asking.made_in
    member = asking.user if organization is None or (asking.user or "").startswith(WORDS[organization]) else None
    key, _ = world.store.keys.create(f"k{world.count}", account_id=organization or asking.user, user_id=member)
    return {"key": key.id}


async def _set_key(world: World, asking: Asking) -> dict[str, Any]:
    return {**await _key(world, asking), "name": "new"}


async def _project(world: World, asking: Asking) -> dict[str, Any]:
    made = await world.house.made(f"/organizations/{asking.made_in or 'acme'}/projects", {"name": "p"})
    return {"project": made["id"]}


async def _budget(world: World, asking: Asking) -> dict[str, Any]:
    scope = f"member:{asking.made_in or 'acme'}/u{world.count}"
    budget = budget_of(scope, "day", "1", 1)
    return {"budget": await world.store.accounts.set_budget(budget, house=False)}


async def _scope(_: World, asking: Asking) -> dict[str, Any]:
    return {"scope": f"account:{asking.made_in or 'acme'}", "period": "month", "usd": "9"}


async def _account(_: World, asking: Asking) -> dict[str, Any]:
    return {"account": asking.made_in or asking.user or "acme"}


async def _credit(world: World, asking: Asking) -> dict[str, Any]:
    return {**await _account(world, asking), "usd": "1"}


async def _request(world: World, asking: Asking) -> dict[str, Any]:
    id, account = f"req_{world.count}", asking.made_in or asking.user or "acme"
    world.call(id, account, asking.user, (await _key(world, asking))["key"])
    return {"request": id}


async def _bodies(world: World, asking: Asking) -> dict[str, Any]:
    made = await _request(world, asking)
    text = CANARY if asking.made_in == "blue" else "{}"
    world.store.captures.put([bodies(made["request"], text=text, organization_id=asking.made_in)], 10**9)
    return made


async def _admin(world: World, _: Asking) -> dict[str, Any]:
    return {"admin": (await world.store.admins.add("x", None, None, "operator")).id}


async def _user(_: World, asking: Asking) -> dict[str, Any]:
    return {"user": asking.user or "plain-member"}


async def _member(world: World, asking: Asking) -> dict[str, Any]:
    """The role that they have already."""
    world.join(asking.made_in or "acme")
    user = (await _user(world, asking))["user"]
    role = user.rpartition("-")[2]
    return {"user": user, "role": role if role in ROLES else Role.MEMBER}


async def _leaving(world: World, asking: Asking) -> dict[str, Any]:
    return {"user": (await _member(world, asking))["user"]}


async def _upstream_key(world: World, asking: Asking) -> dict[str, Any]:
    """Of whom the request names."""
    owner = f"organization:{asking.made_in}" if asking.made_in else f"user:{asking.user or 'plain-member'}"
    what = {"vendor": "openai", "name": f"own{world.count}", "hint": ""}
    return {"key": (await world.store.secrets.add(owner, b"secret", "operator", **what)).id}


async def _custom_model(world: World, asking: Asking) -> dict[str, Any]:
    name, organization = f"m{world.count}", asking.made_in or "acme"
    model = {"name": name, "base_url": "https://models.example/v1", "apis": ["chat"]}
    await world.house.made(f"/organizations/{organization}/models", model)
    return {"name": name}


async def _channel(world: World, _: Asking) -> dict[str, Any]:
    name = f"c{world.count}"
    body = {"name": name, "kind": "webhook", "url": "https://hooks.invalid/x", "timeout": 0.1}
    await world.house.made("/alerts/channels", body)
    return {"channel": name}


async def _shared(world: World, asking: Asking) -> dict[str, Any]:
    return {**await _custom_model(world, asking), "organizations": []}


EXAMPLES: dict[str, Example] = {
    "accounts.create": _body(name="x"),
    "admins.create": _body(name="x"),
    "admins.revoke": _admin,
    "budgets.remove": _budget,
    "budgets.set": _scope,
    "byok.add": _body(vendor="openai", name="n{n}", credential={"key": "sk-example-key"}),
    "byok.order": _body(vendor="groq", keys=[]),
    "byok.remove": _upstream_key,
    "byok.set": _upstream_key,
    "credits.adjust": _credit,
    "credits.entries": _account,
    "credits.grant": _credit,
    "credits.refund": _request,
    "credits.top_up": _credit,
    "domains.block": _body(domain="example.org"),
    "domains.unblock": _body(domain="example.org"),
    "keys.create": _body(name="k{n}"),
    "keys.revoke": _key,
    "keys.rotate": _key,
    "keys.set": _set_key,
    "keys.show": _key,
    "members.accept": _member,
    "members.remove": _leaving,
    "members.set": _member,
    "models.add": _body(name="m{n}", base_url="https://models.example/v1", apis=["chat"]),
    "models.remove": _custom_model,
    "models.set": _custom_model,
    "models.share": _shared,
    "orgs.create": _body(name="x"),
    "orgs.rename": _body(name="x{n}"),
    "orgs.settings.set": _body(settings={"policy": {"models_deny": ["x"]}}),
    "prices.history": _body(model="up/x"),
    "prices.set": _body(pattern="up/x", markup_ppm=5),
    "projects.create": _body(name="p"),
    "projects.remove": _project,
    "receipt": _request,
    "requests.story": _request,
    "requests.bodies": _bodies,
    "settings.set": _body(settings={}),
    "alerts.channels.add": _body(name="c{n}", kind="slack", url="https://hooks.example/services/x"),
    "alerts.channels.remove": _channel,
    "alerts.channels.set": _channel,
    "alerts.channels.test": _channel,
    "alerts.rules.set": _body(settings={}),
    "tokens.reset": _user,
    "users.block": _body(users=["plain-second"]),
    "users.create": _body(name="x"),
    "users.revoke_keys": _user,
    "users.set": _user,
    "users.show": _user,
    "users.unblock": _user,
}
"""What requests say besides whose they are about, by operation."""
