"""Buying credits in the dashboard: who is offered it, where it leads, and what is seen of it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator

from support_dashboard import Browser, browser, dashboard
from support_stripe import SETTINGS, Shop, stripe

ROLES = ("owner", "admin", "member", "billing")


@contextlib.asynccontextmanager
async def acme() -> AsyncIterator[Shop]:
    """An organization with a member of each role, and Stripe."""
    async with stripe() as fake, dashboard(SETTINGS.replace("{stripe}", fake.url)) as house:
        shop = Shop(house, fake)
        for role in ROLES:
            await shop.do("users.create", id=role, name=role.title())
        await shop.do("orgs.create", id="acme", name="Acme", owner="owner")
        for role in ROLES[1:]:
            await shop.do("members.set", organization="acme", user=role, role=role)
        yield shop


async def test_credit_is_added() -> None:
    async with acme() as shop, browser(shop.house) as person:
        await person.sign_in("billing")
        page = await person.get("/dashboard/o/acme/payments")
        assert "/dashboard/o/acme/payments/new" in page.links
        led = await person.send("/dashboard/o/acme/payments/new", {"usd": "12.50"})
        ((id, session),) = shop.stripe.sessions.items()
        assert (led.status, session["url"] in led.links) == (200, True)
        assert f'content="0;url={session["url"]}"' in led.text  # by itself, and not held against `form-action`
        form = shop.stripe.asked[-1][1]
        assert form["success_url"].startswith("https://gateway.example/dashboard/o/acme/payments?payment=pay_")

        await shop.tell(*shop.stripe.pay(id))
        back = await person.get(form["success_url"].removeprefix("https://gateway.example"))
        assert (back.status, "paid" in back.words, "12.5" in back.words) == (200, True, True)
        assert await shop.balance() == "12.5"

        await person.sign_in("member")  # from the page of accounts, for oneself
        page = await person.get("/dashboard/me/accounts")
        (link,) = [one for one in page.links if "add-credit" in one]
        assert (await person.send(link, {"usd": "4"})).problem == "From 5 to 1000 USD of credits can be bought at once."
        assert (await person.send(link, {"usd": "5"})).status == 200
        assert shop.stripe.asked[-1][1]["metadata"]["trivium_account"] == "member"


async def test_lists_by_account_are_filtered_by_whose_they_are_where_the_space_does_not_say_it() -> None:
    async with acme() as shop, browser(shop.house) as person:
        offered: dict[str, list[set[str]]] = {}
        for who, space in ((None, "house"), ("owner", "o/acme"), ("owner", "me")):
            await person.sign_in(who)
            for path in ("accounts", "entries", "payments", "auto-top-up"):
                page = await person.get(f"/dashboard/{space}/{path}")
                assert page.status == 200
                offered.setdefault(space, []).append(set(re.findall(r'name="(account|organization|user)"', page.text)))
        assert offered == {
            "house": [{"account", "organization", "user"}] * 4,
            "o/acme": [{"account"}] * 4,
            "me": [{"account"}] * 4,
        }


async def test_who_is_offered_what() -> None:
    async with acme() as shop:
        for role, buys, agrees in (
            ("owner", True, True),
            ("billing", True, False),
            ("admin", True, False),
            ("member", False, False),
        ):
            async with browser(shop.house) as person:
                await person.sign_in(role)
                assert (await person.get("/dashboard/o/acme/payments")).status == (200 if buys else 404)
                page = await person.get("/dashboard/o/acme/auto-top-up")
                assert ("/dashboard/o/acme/auto-top-up/new" in page.links) == agrees, role
                assert (await person.get("/dashboard/o/acme/stray-payments")).status == 404
        async with browser(shop.house) as person:
            await person.sign_in("owner")
            await _agree_and_remove(shop, person)


async def _agree_and_remove(shop: Shop, person: Browser) -> None:
    """A card is charged by itself, and removed."""
    terms = {"below_usd": "20", "usd": "10", "month_usd": "100"}
    at = "/dashboard/o/acme/auto-top-up"
    assert "No card is saved here yet" in (await person.send(f"{at}/new", terms)).problem
    await person.send("/dashboard/o/acme/payments/new", {"usd": "5", "save": "on"})
    (session,) = shop.stripe.sessions
    await shop.tell(*shop.stripe.pay(session))
    assert (await person.send(f"{at}/new", terms)).status == 303
    assert "visa 4242" in (await person.get(at)).words
    await person.send(f"{at}/remove-card?id=acme")
    assert "visa 4242" not in (await person.get(at)).words
    assert shop.stripe.cards == {}


async def test_the_house_sees_strays() -> None:
    async with acme() as shop, browser(shop.house) as person:
        payment = await shop.buy("10")
        page = shop.stripe.sessions[payment["session"]]
        page["metadata"] = {**page["metadata"], "trivium_payment": "pay_unknown"}
        *_, event = shop.stripe.pay(payment["session"])
        await shop.tell(event)
        await person.sign_in()
        assert "pay_unknown" in (await person.get("/dashboard/house/stray-payments")).words
        await person.send(f"/dashboard/house/stray-payments/end?id={event['id']}", {"note": "granted"})
        assert "pay_unknown" not in (await person.get("/dashboard/house/stray-payments")).words
        ended = await person.get("/dashboard/house/stray-payments?all=on")
        assert not [link for link in ended.links if "/stray-payments/end" in link]
        (link,) = [link for link in ended.links if "/stray-payments/details" in link]
        assert "granted" in (await person.get(link)).words


async def test_without_payments_no_page_speaks_of_them() -> None:
    async with dashboard() as house, browser(house) as person:
        await person.sign_in()
        for path in ("/dashboard/house/accounts", "/dashboard/house/"):
            page = await person.get(path)
            assert not [one for one in page.links if "payment" in one or "credit" in one or "top-up" in one]
        assert (await person.get("/dashboard/house/payments")).status == 404
