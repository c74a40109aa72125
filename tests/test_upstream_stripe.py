"""Stripe's API as it is asked, and what its answers are taken for."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support_stripe import KEY, SECRET, FakeStripe, stripe
from trivium.errors import OperationError
from trivium.upstream.http1 import Http1Client
from trivium.upstream.payments import Wanted
from trivium.upstream.stripe import Stripe

WANTED = Wanted(payment="pay_1", account="acme & sons", cents=1000, fee_cents=50, customer="cus_1")


@pytest.fixture
async def fake() -> AsyncIterator[FakeStripe]:
    async with stripe() as made:
        yield made


@pytest.fixture
async def asking(fake: FakeStripe) -> AsyncIterator[Stripe]:
    client = Http1Client()
    yield Stripe(client, KEY, [SECRET], fake.url)
    await client.close()


async def test_the_same_again_is_the_same_page(fake: FakeStripe, asking: Stripe) -> None:
    pages = [await asking.begin(WANTED, "https://h/done", "https://h/left", save=False) for _ in range(2)]
    assert pages[0] == pages[1]
    assert len(fake.sessions) == 1
    ((_, form, key), _) = fake.asked
    assert (key, form["customer"]) == ("pay_1", "cus_1")
    assert form["metadata"] == {
        "trivium_payment": "pay_1",
        "trivium_account": "acme & sons",
        "trivium_kind": "checkout",
    }
    assert form["payment_intent_data"] == {"metadata": form["metadata"]}
    assert form["adaptive_pricing"] == {"enabled": "false"}


async def test_a_card_is_kept_for_a_customer(fake: FakeStripe, asking: Stripe) -> None:
    wanted = Wanted(payment="pay_2", account="acme", cents=1000)
    await asking.begin(wanted, "https://h/done", "https://h/left", save=True)
    ((_, form, _),) = fake.asked
    assert form["customer_creation"] == "always"
    assert form["payment_method_types"] == {"0": "card"}
    assert form["payment_intent_data"]["setup_future_usage"] == "off_session"
    assert list(form["line_items"]) == ["0"]


@pytest.mark.parametrize(
    ("card", "outcome"),
    [("ok", "taken"), ("card_declined", "declined"), ("authentication_required", "declined"), ("lost", "unknown")],
)
async def test_a_card_is_charged(fake: FakeStripe, asking: Stripe, card: str, outcome: str) -> None:
    fake.cards["pm_1"] = card
    charged = await asking.charge(WANTED, "pm_1")
    assert charged.outcome == outcome
    assert fake.asked[0][1]["amount"] == "1050"
    assert (charged.intent is None) == (outcome == "unknown")
    assert (charged.problem is None) == (outcome == "taken")


async def test_what_else_becomes_of_a_charge(fake: FakeStripe, asking: Stripe) -> None:
    assert (await asking.charge(WANTED, "pm_gone")).outcome == "declined"
    fake.cards["pm_1"] = "ok"
    assert (await asking.charge(WANTED, "pm_1")).outcome == "taken"
    other = Wanted(payment="pay_1", account="acme", cents=7000)
    assert (await asking.charge(other, "pm_1")).outcome == "unknown"  # something was charged under this key
    fake.down = True
    assert (await asking.charge(WANTED, "pm_1")).outcome == "unknown"


async def test_a_wrong_key_is_our_own_fault(fake: FakeStripe) -> None:
    client = Http1Client()
    asking = Stripe(client, "sk_test_wrong", [SECRET], fake.url)
    assert (await asking.charge(WANTED, "pm_1")).outcome == "refused"
    with pytest.raises(OperationError, match="Invalid API Key"):
        await asking.begin(WANTED, "https://h/done", "https://h/left", save=False)
    await client.close()


async def test_nobody_there() -> None:
    client = Http1Client()
    asking = Stripe(client, KEY, [SECRET], "http://127.0.0.1:9")
    assert (await asking.charge(WANTED, "pm_1")).outcome == "unknown"
    with pytest.raises(OperationError, match="cannot be reached"):
        await asking.describe("pm_1")
    await client.close()


async def test_saved_cards(fake: FakeStripe, asking: Stripe) -> None:
    fake.cards["pm_1"] = "ok"
    assert await asking.describe("pm_1") == "visa 4242"
    await asking.forget("pm_1")
    await asking.forget("pm_1")
    assert fake.cards == {}
    with pytest.raises(OperationError, match="No such"):
        await asking.describe("pm_1")


@pytest.mark.parametrize("key", ["pk_test_1", "whsec_1", "", "sk_a b", "sk_\u00e9"])
def test_a_key_that_is_none(key: str) -> None:
    with pytest.raises(ValueError, match="secret key"):
        Stripe(Http1Client(), key, [SECRET])


def test_it_tells_nobody_its_key() -> None:
    assert KEY not in repr(Stripe(Http1Client(), KEY, [SECRET]))
