"""Who may do what, end to end: gates, scopes, policies, roles and blocks, as callers find them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway import ALL_APIS, running
from support_money import APIS, CREDITS, in_every_api, shop, usage, whole
from support_people import People
from trivium.mock import Match, Reply, Rule

ANSWERS = [
    Rule(Reply(body=whole(api, "Hi", {"input_tokens": 1, "output_tokens": 1})), Match(path=f"*/{path}"))
    for api, path in (("chat", "chat/completions"), ("responses", "responses"), ("messages", "messages"))
]
LISTED = f'{ALL_APIS}\nmodels = ["m", "n", "old/*"]\n'


@pytest.fixture
async def people() -> AsyncIterator[People]:
    """Of a house whose provider `up` serves `m` and `n` by name."""
    async with running(*ANSWERS, provider=LISTED) as house:
        yield People(house)


async def outcomes(people: People, key: str, model: str = "up/m", **more: Any) -> set[Any]:
    """What the three APIs say: 200, or the status and code of a refusal; with nothing sent upstream where refused."""
    before = len(people.house.upstream.requests)
    found = set()
    for api in APIS:
        status, body = await people.ask(api, key, model, **more)
        found.add(status if status == 200 else (status, body["error"]["code"]))
    assert len(people.house.upstream.requests) - before == (len(APIS) if found == {200} else 0)
    return found


class TestModelGates:
    async def test_a_model_is_open_to_those_who_are_named(self, people: People) -> None:
        ann, bob = await people.user("ann"), await people.user("bob")
        await people.organization("acme")
        member = await people.key(organization="acme", user="acme-member")
        gate = {"open_to": "named", "users": ["ann"], "organizations": ["acme"]}
        await people.settings(models={"up/m": gate})
        assert await outcomes(people, ann) == await outcomes(people, member) == {200}
        assert await outcomes(people, bob) == {(403, "model_not_allowed")}
        assert await outcomes(people, bob, "up/n") == {200}
        assert (await people.models(ann), await people.models(bob)) == ({"m", "n"}, {"n"})

    async def test_every_gate_that_fits_must_be_open(self, people: People) -> None:
        ann = await people.user("ann", staff=True)
        await people.settings(models={"up/*": {"open_to": "admins"}, "m": {"open_to": "named"}})
        assert await outcomes(people, ann, "up/n") == {200}
        assert await outcomes(people, ann) == {(403, "model_not_allowed")}

    @pytest.mark.parametrize("model", ["up/M", "m", "M", "up/m:free", "up/ m", " up/m "])
    async def test_another_spelling_is_no_way_around_a_gate(self, people: People, model: str) -> None:
        bob = await people.user("bob")
        await people.settings(models={"up/m": {"open_to": "admins"}})
        for found in await outcomes(people, bob, model):
            assert found in {(403, "model_not_allowed"), (404, "model_not_found")}


class TestAliases:
    """A name of `[aliases]` is one by which a call is judged, whether it leads to a provider or to the catalogue."""

    HOUSE = """
[aliases]
plain = "up/m"
twice = "both"
[catalog.models.both]
routes = [{ to = "up/m" }, { to = "up/n" }]
"""
    NAMES = "plain", "twice"

    async def test_they_are_allowed_denied_gated_and_counted_alike(self) -> None:
        async with running(*ANSWERS, provider=LISTED, settings=self.HOUSE) as house:
            people = People(house)
            await people.organization("denies", policy={"models_deny": self.NAMES})
            await people.organization("allows", policy={"models_allow": self.NAMES})
            denied = await people.key(organization="denies", user="denies-member")
            allowed = await people.key(organization="allows", user="allows-member")
            scoped = await people.key(scopes={"models": self.NAMES})
            for alias, own in zip(self.NAMES, ("up/m", "both"), strict=True):
                refused = {(403, "model_not_allowed")}
                assert await outcomes(people, denied, alias) == await outcomes(people, allowed, own) == refused
                assert await outcomes(people, scoped, own) == refused
                for key, model in ((denied, own), (allowed, alias), (scoped, alias)):
                    assert await outcomes(people, key, model) == {200}
            assert await people.models(scoped) == {"plain", "twice"}
            bob = await people.user("bob")
            await people.settings(models={alias: {"open_to": "admins"} for alias in self.NAMES})
            for alias, own in zip(self.NAMES, ("up/m", "both"), strict=True):
                assert await outcomes(people, bob, alias) == {(403, "model_not_allowed")}
                assert await outcomes(people, bob, own) == {200}
            await people.settings(limits_by_model={alias: {"requests_per_minute": 1} for alias in self.NAMES})
            for alias in self.NAMES:
                assert [(await people.ask("chat", bob, alias))[0] for _ in range(2)] == [200, 429]


class TestPolicy:
    """Of the organization that pays, whichever key is used."""

    @pytest.mark.parametrize(
        ("policy", "seen"),
        [
            ({}, {"m", "n"}),
            ({"models_allow": ["up/m"]}, {"m"}),
            ({"models_allow": ["up/*"], "models_deny": ["n"]}, {"m"}),
            ({"models_deny": ["up/M"]}, {"n"}),
            ({"models_allow": ["other/*"]}, set()),
            ({"providers_allow": ["other"]}, set()),
            ({"providers_allow": ["up"]}, {"m", "n"}),
            ({"providers_deny": ["u*"]}, set()),
            ({"data_collection": "deny"}, set()),
            ({"zdr": True}, set()),
        ],
    )
    async def test_it_is_the_same_for_the_catalogue_and_for_calls(
        self, people: People, policy: dict[str, Any], seen: set[str]
    ) -> None:
        await people.organization("acme", policy=policy)
        own = await people.user("ann")
        await people("members.set", organization="acme", user="ann", role="member")
        of_acme = await people.key(organization="acme", user="acme-member")
        acting: dict[str, Any] = {"headers": {"x-trivium-organization": "acme"}}
        assert await people.models(of_acme) == seen
        for model in ("m", "n"):
            expected = [200] if model in seen else [403]
            for key, more in ((of_acme, {}), (own, acting)):
                found = await outcomes(people, key, model, **more)
                assert [one if one == 200 else one[0] for one in found] == expected
        # For the user's own account it is nobody's business.
        assert await outcomes(people, own) == {200}

    @pytest.mark.parametrize("denied", ["x-ai/*", "x-ai/grok-4", "xai/grok-4", "grok-4", "up/xai/*"])
    async def test_a_model_is_meant_however_a_gateway_calls_it(self, denied: str) -> None:
        at_vercel = 'type = "vercel"\nkey = "k"\n' + LISTED.replace('"m"', '"xai/grok-4"')
        async with running(*ANSWERS, provider=at_vercel) as house:
            people = People(house)
            await people.organization("acme", policy={"models_deny": [denied]})
            key = await people.key(organization="acme", user="acme-member")
            assert await outcomes(people, key, "up/xai/grok-4") == {(403, "model_not_allowed")}
            assert await people.models(key) == {"n"}
            await people.policy("acme", models_allow=[denied])
            assert await outcomes(people, key, "xai/grok-4") == {200}
            assert await people.models(key) == {"xai/grok-4"}

    async def test_a_change_is_effective_with_the_next_call(self, people: People) -> None:
        await people.organization("acme")
        key = await people.key(organization="acme", user="acme-member")
        assert await outcomes(people, key) == {200}
        await people.policy("acme", models_deny=["*"])
        assert await outcomes(people, key) == {(403, "model_not_allowed")}

    async def test_a_provider_that_keeps_nothing_serves_who_wants_that(self) -> None:
        quiet = f"{LISTED}collects_data = false\nretains_data = false\n"
        async with running(*ANSWERS, provider=quiet) as house:
            people = People(house)
            await people.organization("acme", policy={"data_collection": "deny", "zdr": True})
            key = await people.key(organization="acme", user="acme-member")
            assert await outcomes(people, key) == {200}
            assert await people.models(key) == {"m", "n"}


class TestMembers:
    async def test_who_is_no_member_cannot_have_the_organization_pay(self, people: People) -> None:
        await people.organization("acme")
        for key in (await people.user("ann"), await people.user("bob", staff=True)):
            for organization in ("acme", "nowhere", "acme\xff"):
                headers = {"x-trivium-organization": organization}
                assert await outcomes(people, key, headers=headers) == {(403, "not_a_member")}
        (first, *_) = await people.house.records()
        assert (first["status"], first["outcome"]) == (403, "refused")

    async def test_an_organizations_key_is_good_for_it_alone(self, people: People) -> None:
        await people.organization("acme")
        await people.organization("blue")
        await people("members.set", organization="blue", user="acme-member", role="owner")
        key = await people.key(organization="acme", user="acme-member")
        assert await outcomes(people, key, headers={"x-trivium-organization": "acme"}) == {200}
        assert await outcomes(people, key, headers={"x-trivium-organization": "blue"}) == {(403, "not_a_member")}

    async def test_a_member_for_billing_spends_nothing(self, people: People) -> None:
        await people.organization("acme")
        own = await people.key(user="acme-billing")
        acting: dict[str, Any] = {"headers": {"x-trivium-organization": "acme"}}
        assert await outcomes(people, own, **acting) == {(403, "not_a_member")}
        assert await outcomes(people, own) == {200}
        key = await people.key(organization="acme", user="acme-member")
        assert await outcomes(people, key) == {200}
        await people("members.set", organization="acme", user="acme-member", role="billing")
        assert await outcomes(people, key) == {(403, "not_a_member")}

    async def test_who_was_removed_has_no_key_of_it_any_more(self, people: People) -> None:
        await people.organization("acme")
        own = await people.key(user="acme-member")
        key = await people.key(organization="acme", user="acme-member")
        assert await outcomes(people, key) == {200}
        await people("members.remove", organization="acme", user="acme-member")
        assert await outcomes(people, key) == {(401, "invalid_api_key")}
        assert await outcomes(people, own, headers={"x-trivium-organization": "acme"}) == {(403, "not_a_member")}
        assert await outcomes(people, own) == {200}

    @in_every_api
    async def test_the_organization_pays_when_the_caller_says_so(self, api: str) -> None:
        async with shop(Reply(body=whole(api, "Hi", usage(api, 100, 10))), settings=CREDITS) as house:
            people = People(house)
            await people.organization("acme")
            own = await people.key(user="acme-member")
            await people("credits.grant", account="acme", usd="1")
            assert await people.refusal(api, own) == (402, "insufficient_credits")
            assert (await people.ask(api, own, headers={"x-trivium-organization": "acme"}))[0] == 200
            (account,) = (await people("accounts.list", account="acme"))["items"]
            assert account["balance_usd"] == "0.99955"
            row = (await house.records())[0]
            assert (row["account_id"], row["user_id"]) == ("acme", "acme-member")


class TestBlocked:
    async def test_a_blocked_user_is_refused_at_once_whoever_pays(self, people: People) -> None:
        await people.organization("acme")
        own, other = await people.key(user="acme-member"), await people.key(organization="acme", user="acme-admin")
        keys = [own, await people.key(organization="acme", user="acme-member")]
        assert await outcomes(people, own) == {200}
        await people("users.block", users=["acme-member"])
        for key in keys:
            assert await outcomes(people, key) == {(403, "caller_blocked")}
        assert await outcomes(people, other) == {200}
        await people("users.unblock", user="acme-member")
        assert await outcomes(people, own) == {200}

    async def test_a_blocked_domain_blocks_its_users(self, people: People) -> None:
        bad, good = (
            await people.user("ann", email="Ann@Spam.Example"),
            await people.user("bob", email="bob@ham.example"),
        )
        await people("domains.block", domain="SPAM.example")
        assert await outcomes(people, bad) == {(403, "caller_blocked")}
        assert await outcomes(people, good) == {200}
        await people("users.set", user="bob", email="bob@spam.example")
        assert await outcomes(people, good) == {(403, "caller_blocked")}
        await people("domains.unblock", domain="spam.example")
        assert await outcomes(people, bad) == {200}


class TestKeys:
    async def test_a_key_ends_when_its_time_is_over(self, people: People) -> None:
        store = people.house.gateway.store
        key = await people.key(expires_ms=store.clock.now_ms() + 60_000)
        assert await outcomes(people, key) == {200}
        with store.database.transaction() as tx:
            tx.execute("UPDATE keys SET expires_ms = 1 WHERE expires_ms IS NOT NULL")
        store.keys.forget()
        assert await outcomes(people, key) == {(401, "invalid_api_key")}

    async def test_an_api_that_is_not_in_its_scopes_is_refused(self, people: People) -> None:
        key = await people.key(scopes={"apis": ["messages"]})
        assert (await people.ask("messages", key))[0] == 200
        for api in ("chat", "responses"):
            assert await people.refusal(api, key) == (403, "api_not_available")

    async def test_models_are_those_of_its_scopes_in_the_catalogue_too(self, people: People) -> None:
        key = await people.key(scopes={"models": ["up/m"]})
        assert await outcomes(people, key, "m") == {200}
        assert await outcomes(people, key, "n") == {(403, "model_not_allowed")}
        assert await people.models(key) == {"m"}

    async def test_addresses_are_those_of_its_scopes(self, people: People) -> None:
        near, far = [await people.key(scopes={"networks": [net]}) for net in ("127.0.0.0/8", "192.0.2.0/24")]
        assert await outcomes(people, near) == {200}
        for headers in ({}, {"x-forwarded-for": "192.0.2.1"}):
            assert await outcomes(people, far, headers=headers) == {(403, "address_not_allowed")}

    async def test_scopes_hold_beside_the_policy(self, people: People) -> None:
        await people.organization("acme", policy={"models_allow": ["m"]})
        key = await people.key(organization="acme", user="acme-member", scopes={"models": ["n"]})
        for model in ("m", "n"):
            assert await outcomes(people, key, model) == {(403, "model_not_allowed")}
