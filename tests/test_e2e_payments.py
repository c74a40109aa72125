"""Credits that are bought: from the page that is begun to the entry in the ledger, as a customer and Stripe see it."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import aiohttp
import pytest

from gateway import CHAT, running
from support_stripe import selling, signed
from trivium.errors import NotFound, OperationError, StoreUnavailable


async def test_credits_are_bought() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        assert (payment["status"], payment["usd"], payment["credited_usd"]) == ("open", "10", "0")
        (path, form, key) = shop.stripe.asked[-1]
        assert (path, key) == ("/v1/checkout/sessions", payment["id"])
        assert form["success_url"] == f"https://gateway.example/dashboard/house/payments?payment={payment['id']}"
        assert form["client_reference_id"] == form["metadata"]["trivium_payment"] == payment["id"]
        assert await shop.entries() == []

        assert await shop.tell(*shop.stripe.pay(payment["session"])) == [200, 200]
        assert await shop.entries() == [("top_up", "10")]
        paid = await shop.do("payments.show", payment=payment["id"])
        assert (paid["status"], paid["paid_usd"], paid["credited_usd"]) == ("paid", "10", "10")
        (entry,) = (await shop.do("credits.entries", account="acme"))["items"]
        assert (entry["idempotency_key"], entry["note"]) == (f"payment:{payment['id']}", f"stripe {paid['intent']}")
        told = (await shop.do("changes.list", organization="acme"))["items"]
        assert [(one["actor"], one["action"]) for one in told] == [
            ("payments:stripe", "payments.paid"),
            ("operator", "payments.checkout"),
        ]


async def test_what_is_bought_pays_for_calls_at_once() -> None:
    """The balance in memory follows, which another look at the database would not show."""
    async with selling() as shop:
        key = (await shop.do("keys.create", name="k", account="acme"))["key"]
        body = {**CHAT, "max_tokens": 10}
        status, told, _ = await shop.house.post("/v1/chat/completions", body, key=key)
        assert (status, told["error"]["code"]) == (402, "insufficient_credits")
        await shop.tell(*shop.stripe.pay((await shop.buy("10"))["session"]))
        assert (await shop.house.post("/v1/chat/completions", body, key=key))[0] == 200
        await shop.house.records()


async def test_what_is_told_again_is_booked_once() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        events = shop.stripe.pay(payment["session"])
        await asyncio.gather(*(shop.tell(*events) for _ in range(5)))
        await shop.tell(shop.stripe.arrive(payment["session"]))
        assert await shop.entries() == [("top_up", "10")]
        told = (await shop.do("changes.list", organization="acme"))["items"]
        assert [one["action"] for one in told] == ["payments.paid", "payments.checkout"]


async def test_a_bank_that_takes_days() -> None:
    async with selling() as shop:
        good, bad = await shop.buy("10"), await shop.buy("20")
        for payment in (good, bad):
            await shop.tell(*shop.stripe.pay(payment["session"], at_once=False))
            assert await shop.status(payment) == "pending"
        assert await shop.entries() == []
        await shop.tell(shop.stripe.arrive(bad["session"], good=False), shop.stripe.arrive(good["session"]))
        assert (await shop.status(good), await shop.status(bad)) == ("paid", "failed")
        assert await shop.entries() == [("top_up", "10")]


async def test_a_page_that_nobody_paid_on() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        page = shop.stripe.sessions[payment["session"]]
        await shop.tell(shop.stripe.event("checkout.session.expired", page))
        assert await shop.status(payment) == "expired"
        await shop.tell(*shop.stripe.pay(payment["session"]))  # which cannot be; but money is money
        assert (await shop.status(payment), await shop.balance()) == ("paid", "10")


async def test_a_fee_is_paid_and_not_credited() -> None:
    async with selling("fee_percent = 5.5\nfee_usd = '0.30'") as shop:
        payment = await shop.buy("10")
        assert payment["fee_usd"] == "0.85"
        lines = shop.stripe.asked[-1][1]["line_items"]
        assert [line["price_data"]["unit_amount"] for line in lines.values()] == ["1000", "85"]
        await shop.tell(*shop.stripe.pay(payment["session"]))
        assert (await shop.do("payments.show", payment=payment["id"]))["paid_usd"] == "10.85"
        assert await shop.balance() == "10"
        await shop.tell(shop.stripe.refund(shop.stripe.intent_of(payment["session"]), 1085))
        assert await shop.balance() == "0"


async def test_the_event_says_how_much_was_paid() -> None:
    """Not what was asked for: with a discount or tax of Stripe's it is another sum."""
    async with selling() as shop:
        payment = await shop.buy("10")
        page = shop.stripe.sessions[payment["session"]]
        page |= {"amount_total": 952, "total_details": {"amount_tax": 152}}
        await shop.tell(*shop.stripe.pay(payment["session"]))
        assert await shop.entries() == [("top_up", "8")]


async def test_refunds_take_back_what_was_credited() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        await shop.tell(*shop.stripe.pay(payment["session"]))
        intent = shop.stripe.intent_of(payment["session"])
        part, more, whole = (shop.stripe.refund(intent, cents) for cents in (250, 500, 1000))
        await shop.tell(part, part)
        assert (await shop.status(payment), await shop.balance()) == ("partly refunded", "7.5")
        await shop.tell(whole, more, part)  # out of order: the sums only ever grow
        assert await shop.entries() == [("top_up", "10"), ("adjustment", "-2.5"), ("adjustment", "-7.5")]
        assert await shop.status(payment) == "refunded"


async def test_a_refund_that_is_told_of_before_the_purchase() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        events = shop.stripe.pay(payment["session"])
        await shop.tell(shop.stripe.refund(shop.stripe.intent_of(payment["session"]), 250))
        assert await shop.entries() == []
        await shop.tell(*events)
        assert await shop.entries() == [("top_up", "10"), ("adjustment", "-2.5")]


async def test_what_is_spent_is_taken_back_all_the_same() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        await shop.tell(*shop.stripe.pay(payment["session"]))
        await shop.do("credits.adjust", account="acme", usd="-9")
        await shop.tell(shop.stripe.refund(shop.stripe.intent_of(payment["session"]), 1000))
        assert await shop.balance() == "-9"
        (entry, *_) = (await shop.do("credits.entries", account="acme"))["items"]
        assert (entry["kind"], entry["usd"], entry["flags"]) == ("adjustment", "-10", "overrun")


@pytest.mark.parametrize(
    ("status", "shown", "entries"),
    [
        ("lost", "lost", [("top_up", "10"), ("adjustment", "-10")]),
        ("won", "paid", [("top_up", "10")]),
        ("warning_closed", "paid", [("top_up", "10")]),
        ("prevented", "lost", [("top_up", "10"), ("adjustment", "-10")]),
        ("prevented by a block", "paid", [("top_up", "10")]),
    ],
)
async def test_disputes(status: str, shown: str, entries: list[tuple[str, str]]) -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        await shop.tell(*shop.stripe.pay(payment["session"]))
        intent = shop.stripe.intent_of(payment["session"])
        await shop.tell(shop.stripe.dispute(intent, "created", "needs_response"))
        assert (await shop.status(payment), await shop.balance()) == ("disputed", "10")
        word, _, blocked = status.partition(" ")
        closed = shop.stripe.dispute(intent, "closed", word)
        if word == "prevented":
            case = {"type": "card", "card": {"brand": "visa", "case_type": "block" if blocked else "resolution"}}
            closed["data"]["object"]["payment_method_details"] = case
        await shop.tell(closed, closed)
        assert (await shop.status(payment), await shop.entries()) == (shown, entries)


async def test_any_order_of_deliveries_leaves_the_same_books() -> None:
    """Duplicates, reorders, replays, many at once: one entry for what was paid, and what was lost taken back."""
    for seed in range(2):
        async with selling() as shop:
            events: list[dict[str, Any]] = []
            for usd in ("10", "20"):
                payment = await shop.buy(usd)
                events += shop.stripe.pay(payment["session"])
                intent = shop.stripe.intent_of(payment["session"])
                events += [shop.stripe.refund(intent, cents) for cents in (100, 300)]
                events += [
                    shop.stripe.dispute(intent, word, status)
                    for word, status in (("created", "needs_response"), ("closed", "won"))
                ]
            order = events * 3
            random.Random(seed).shuffle(order)
            await asyncio.gather(*(shop.tell(one) for one in order))
            found = await shop.entries()
            assert sorted(one for one in found if one[0] == "top_up") == [("top_up", "10"), ("top_up", "20")]
            assert await shop.balance() == "24"


async def test_a_dispute_that_comes_first_waits_for_its_payment() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        events = shop.stripe.pay(payment["session"])
        lost = shop.stripe.dispute(shop.stripe.intent_of(payment["session"]), "closed", "lost")
        assert await shop.tell(lost, *events) == [200, 200, 200]
        assert await shop.entries() == [("top_up", "10"), ("adjustment", "-10")]
        assert await shop.do("payments.strays") == []
        assert len(await shop.do("payments.strays", all=True)) == 1


async def test_only_who_has_the_secret_is_believed() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        *_, event = shop.stripe.pay(payment["session"])
        content = json.dumps(event).encode()
        for header in (
            signed(content, "whsec_another"),
            signed(content + b" "),
            signed(content, at=1_700_000_000),
            "",
            "t=1,v1=",
            f"t=x,v1={'0' * 64}",
            signed(content).replace("v1=", "v0="),
        ):
            status, told = await shop.post(content, header=header)
            assert (status, told) == (400, {"error": "signature_invalid"})
        assert await shop.entries() == []
        assert (await shop.post(content))[0] == 200
        assert await shop.entries() == [("top_up", "10")]


async def test_a_secret_is_replaced_while_both_are_good() -> None:
    """Stripe then signs with both."""
    async with selling() as shop:
        payment = await shop.buy("10")
        *_, event = shop.stripe.pay(payment["session"])
        content = json.dumps(event).encode()
        first = signed(content, "whsec_the_new_one").partition(",v0")[0]
        second = signed(content).partition(",")[2]
        assert (await shop.post(content, header=f"{first},{second}"))[0] == 200
        assert await shop.balance() == "10"


async def test_what_is_no_event_is_refused() -> None:
    async with selling() as shop:
        for content in (b"", b"{}", b"[" * 100_000, b"\xff", b'{"id":1}'):
            status, told = await shop.post(content)
            assert (status, told) == (400, {"error": "invalid_field"})
        status, told = await shop.post(b"x" * (512 * 1024 + 1))
        assert (status, told) == (413, {"error": "body_too_large"})
        url = f"{shop.house.url}/webhooks/stripe"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                assert (answer.status, answer.headers["allow"]) == (405, "POST")
            async with session.post(f"{shop.house.url}/webhooks/other") as answer:
                assert answer.status == 404


async def test_whoever_sends_slowly_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trivium.server.webhook._AT_ONCE", 2)
    async with selling() as shop:
        payment = await shop.buy("10")
        slow = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", shop.house.port)
            writer.write(b"POST /webhooks/stripe HTTP/1.1\r\nhost: h\r\ncontent-length: 100000\r\n\r\n{")
            slow.append((reader, writer))
        async with asyncio.timeout(5):
            assert shop.house.gateway.payments is not None
            while len(shop.house.gateway.payments.door._arriving) < 2:  # noqa: ASYNC110 # counted by the code under test
                await asyncio.sleep(0.005)
            assert set(await shop.tell(*shop.stripe.pay(payment["session"]))) == {200}
            assert b" 408 " in await slow[0][0].readline()
        for _, writer in slow:
            writer.close()
        assert await shop.balance() == "10"


async def test_what_is_of_no_concern_is_taken_and_changes_nothing() -> None:
    """The same account of Stripe's may sell other things."""
    async with selling() as shop:
        other = {"id": "cs_1", "object": "checkout.session", "mode": "payment", "payment_status": "paid"}
        assert (
            await shop.tell(
                shop.stripe.event("customer.created", {"id": "cus_1"}),
                shop.stripe.event("checkout.session.completed", {**other, "metadata": {}, "amount_total": 100}),
                shop.stripe.event("payment_intent.succeeded", {"id": "pi_1", "metadata": {}}),
                shop.stripe.event("charge.refunded", {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": 5}),
                shop.stripe.event("payment_method.detached", {"id": "pm_1"}),
            )
            == [200] * 5
        )
        assert await shop.do("payments.strays", all=True) == []


async def test_money_for_nobody_is_parked_and_seen() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        page = shop.stripe.sessions[payment["session"]]
        page["metadata"] = {**page["metadata"], "trivium_payment": "pay_unknown"}
        event = shop.stripe.event("checkout.session.completed", {**page, "payment_status": "paid"})
        assert await shop.tell(event, event) == [200, 200]
        (stray,) = await shop.do("payments.strays")
        assert (stray["event"], stray["content"]["cents"]) == (event["id"], 1000)
        assert "pay_unknown" in stray["why"]
        await shop.do("payments.strays.end", event=event["id"], note="granted by hand")
        assert await shop.do("payments.strays") == []
        with pytest.raises(NotFound):
            await shop.do("payments.strays.end", event=event["id"])


async def test_another_currency_is_parked() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        shop.stripe.sessions[payment["session"]]["currency"] = "jpy"
        await shop.tell(*shop.stripe.pay(payment["session"]))
        (stray,) = await shop.do("payments.strays")
        assert "jpy" in stray["why"]
        assert await shop.entries() == []


async def test_an_event_of_the_other_mode_is_not_taken() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        events = [{**one, "livemode": True} for one in shop.stripe.pay(payment["session"])]
        assert await shop.tell(*events) == [200, 200]
        assert await shop.entries() == []


async def test_a_ledger_that_cannot_write_has_stripe_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        *_, event = shop.stripe.pay(payment["session"])

        async def away(*_: Any, **__: Any) -> None:
            raise StoreUnavailable("The store is away.")

        with monkeypatch.context() as patch:
            patch.setattr(shop.house.gateway.store.ledger.writer, "run", away)
            assert await shop.tell(event) == [503]
        assert await shop.tell(event) == [200]
        assert await shop.entries() == [("top_up", "10")]


async def test_what_cannot_be_bought() -> None:
    async with selling("least_usd = '5'\nmost_usd = '100'") as shop:
        for usd, words in (("4.99", "From 5 to 100"), ("100.01", "From 5 to 100"), ("5.001", "whole cents")):
            with pytest.raises(OperationError, match=words):
                await shop.buy(usd)
        with pytest.raises(OperationError, match="Whose account"):
            await shop.do("payments.checkout", usd="10")
        with pytest.raises(NotFound):
            await shop.do("payments.checkout", usd="10", account="nobody")
        assert shop.stripe.asked == []


async def test_stripe_that_is_down_or_refuses() -> None:
    async with selling() as shop:
        shop.stripe.down = True
        with pytest.raises(OperationError, match="Try again") as unclear:
            await shop.buy("10")
        assert unclear.value.status == 503
        assert (await shop.do("payments.list"))["items"] == []


async def test_an_organization_buys_through_the_admin_api() -> None:
    """Each by its role; the same request again gets the same page."""
    async with selling() as shop, aiohttp.ClientSession() as session:
        for user in ("owner", "clerk", "other"):
            await shop.do("users.create", id=user, name=user)
        await shop.do("orgs.create", id="org", name="Org", owner="owner")
        await shop.do("members.set", organization="org", user="clerk", role="billing")
        keys = {
            user: (await shop.do("admins.create", name=user, user=user))["credential"]
            for user in ("owner", "clerk", "other")
        }

        async def ask(user: str, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
            sent = {"authorization": f"Bearer {keys[user]}", **headers}
            url = f"{shop.house.url}/admin/v1{path}"
            async with session.request(method, url, headers=sent, json=body) as answer:
                return answer.status, await answer.json()

        once = {"idempotency-key": "k1"}
        status, begun = await ask("clerk", "POST", "/organizations/org/payments", {"usd": "10", "save": True}, **once)
        assert (status, begun["account"]) == (201, "org")
        again = await ask("clerk", "POST", "/organizations/org/payments", {"usd": "10", "save": True}, **once)
        assert again == (201, begun)
        assert len(shop.stripe.sessions) == 1
        await shop.tell(*shop.stripe.pay(next(iter(shop.stripe.sessions))))
        _, listed = await ask("clerk", "GET", "/organizations/org/payments")
        assert [(one["id"], one["status"]) for one in listed["data"]] == [(begun["payment"], "paid")]
        terms = {"below_usd": "5", "usd": "10", "month_usd": "50"}
        assert (await ask("clerk", "PUT", "/organizations/org/auto-top-up", terms))[0] == 403
        assert (await ask("owner", "PUT", "/organizations/org/auto-top-up", terms))[0] == 200
        assert (await ask("clerk", "DELETE", "/organizations/org/auto-top-up"))[0] == 200
        assert (await ask("other", "GET", "/organizations/org/payments"))[0] == 404
        assert (await ask("other", "GET", f"/users/other/payments/{begun['payment']}"))[0] == 404
        assert (await ask("other", "POST", "/users/owner/payments", {"usd": "10"}))[0] == 403
        assert (await ask("owner", "GET", "/payments/strays"))[0] == 403


async def test_without_payments_nothing_is_there() -> None:
    async with running() as house:
        assert not [name for name in house.gateway.operations.table if name.startswith("payments.")]
        status, told, _ = await house.post("/webhooks/stripe", {})
        assert (status, told["error"]["code"]) == (404, "path_not_found")


async def test_a_dispute_that_waited_in_another_currency_is_parked() -> None:
    async with selling() as shop:
        payment = await shop.buy("10")
        events = shop.stripe.pay(payment["session"])
        lost = shop.stripe.dispute(shop.stripe.intent_of(payment["session"]), "closed", "lost")
        lost["data"]["object"]["currency"] = "jpy"
        assert await shop.tell(lost, *events, lost) == [200] * 4
        assert await shop.entries() == [("top_up", "10")]
        (stray,) = await shop.do("payments.strays")
        assert (stray["event"], "jpy" in stray["why"]) == (lost["id"], True)
        await shop.do("payments.strays.end", event=lost["id"])
        assert await shop.tell(lost) == [200]
        assert await shop.do("payments.strays") == []  # what was seen to stays so


async def test_a_customer_that_stripe_has_no_more_can_buy_again() -> None:
    """It was deleted there, or is one of test mode's, and the key is the live one by now."""
    async with selling() as shop:
        first = await shop.buy("10", save=True)
        await shop.tell(*shop.stripe.pay(first["session"]))
        shop.stripe.customers_gone.add(shop.stripe.sessions[first["session"]]["customer"])
        second = await shop.buy("20", save=True)
        await shop.tell(*shop.stripe.pay(second["session"], "pm_second"))
        assert await shop.balance() == "30"
        third = await shop.buy("5")
        assert shop.stripe.asked[-1][1]["customer"] == shop.stripe.sessions[second["session"]]["customer"]
        assert third["status"] == "open"
