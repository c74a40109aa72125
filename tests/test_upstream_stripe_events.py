"""What Stripe tells: who signed it, and what it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support_stripe import FakeStripe, signed
from trivium.errors import FieldInvalid
from trivium.policy.payments import Event
from trivium.upstream.payments import SignatureInvalid
from trivium.upstream.stripe_events import TYPES, check, read

SECRET = "whsec_test_secret"
AT = 1_795_600_000
CONTENT = (
    '{"id":"evt_1Trivium","object":"event","type":"checkout.session.completed","data":{"object":{"id":"cs_test_1"}}}'
)
VECTORS = (
    (CONTENT, "4cd544ab63012dd3f8eb62fa7fb14858984a78ef6e9611fa81d28d3c68ece147"),
    ('{"text":"caf\u00e9 \u20ac"}', "cf1da924912bc1bb8db20e772417ab053b369ce60087e1b8e3bef952ea493758"),
)
"""Made by `WebhookSignature` of Stripe's own library for Python, 16.1.0."""


def is_good(content: str, header: str, *secrets: str, now: float = AT) -> bool:
    try:
        check(content.encode(), header.encode(), [one.encode() for one in secrets or (SECRET,)], int(now * 1000))
    except SignatureInvalid:
        return False
    return True


@pytest.mark.parametrize(("content", "signature"), VECTORS)
def test_a_signature_of_stripes_own_library(content: str, signature: str) -> None:
    header = f"t={AT},v1={signature}"
    assert is_good(content, header)
    assert signed(content.encode(), SECRET, AT).startswith(header)  # as the tests' own Stripe makes them
    assert is_good(content, f"t={AT}, v1={'0' * 64}, v1={signature}, v0=abc")
    assert is_good(content, header, "whsec_old", SECRET)
    assert not is_good(content, header, "whsec_old")
    assert not is_good(content + " ", header)
    assert not is_good(content, header.replace(str(AT), str(AT + 1)))
    assert not is_good(content, f"t={AT},v0={signature}")
    assert not is_good(content, f"t={AT},v1={signature.upper()}")


@pytest.mark.parametrize(("now", "good"), [(AT + 300, True), (AT + 301, False), (AT - 300, True), (AT - 301, False)])
def test_five_minutes(now: int, good: bool) -> None:
    assert is_good(CONTENT, f"t={AT},v1={VECTORS[0][1]}", now=now) is good


@pytest.mark.parametrize("header", ["", "t=", "v1=", f"t={AT}", f"t=-{AT},v1=a", f"t={'9' * 20},v1=a", ",,=,", "t=1=2"])
def test_a_header_that_is_none(header: str) -> None:
    assert not is_good(CONTENT, header)


def told(event: dict[str, Any]) -> Event | None:
    return read(json.dumps(event).encode())


def test_an_endpoint_is_sent_what_is_read() -> None:
    page = (Path(__file__).parent.parent / "docs" / "payments.md").read_text()
    asked = page.partition("with these events")[2].split("```")[1]
    assert sorted(asked.split()) == sorted(TYPES)


def test_what_does_not_bear_our_mark_is_of_no_concern() -> None:
    stripe = FakeStripe()
    for kind in TYPES:
        about = {"id": "x_1", "mode": "payment", "metadata": {"order": "7"}, "payment_intent": "pi_1"}
        found = told(stripe.event(kind, about))
        if kind.startswith(("charge.", "payment_method.")):
            assert found is not None
            assert found.payment is None
        else:
            assert found is None, kind
    marked = {"id": "cs_1", "mode": "subscription", "metadata": {"trivium_payment": "pay_1"}}
    assert told(stripe.event("checkout.session.completed", marked)) is None
    assert told(stripe.event("invoice.paid", {"id": "in_1"})) is None
    thin = {"id": "evt_1", "object": "v2.core.event", "type": "v1.billing.meter.no_meter_found"}
    assert told({**thin, "created": "2026-11-01T12:00:00.000Z", "livemode": False, "related_object": None}) is None


def test_a_card_is_kept_only_where_that_was_wished() -> None:
    stripe, mine = FakeStripe(), {"trivium_payment": "pay_1", "trivium_kind": "checkout"}
    about = {"id": "pi_1", "metadata": mine, "customer": "cus_1", "payment_method": "pm_1", "currency": "usd"}
    assert told(stripe.event("payment_intent.succeeded", about)) is None
    kept = told(stripe.event("payment_intent.succeeded", {**about, "setup_future_usage": "off_session"}))
    assert kept is not None
    assert (kept.told, kept.customer, kept.method, kept.payment) == ("card", "cus_1", "pm_1", "pay_1")
    assert told(stripe.event("payment_intent.payment_failed", about)) is None


@pytest.mark.parametrize("content", [b"", b"null", b"{}", b'{"id": 1}', b"\xff", b'{"a":' * 50_000, b"[]"])
def test_what_is_signed_and_no_event(content: bytes) -> None:
    with pytest.raises(FieldInvalid, match="not understood"):
        read(content)


@pytest.mark.parametrize("cents", [-1, 10**30])
def test_an_amount_that_is_none(cents: int) -> None:
    mine = {"trivium_payment": "pay_1"}
    about = {"id": "cs_1", "mode": "payment", "payment_status": "paid", "metadata": mine, "amount_total": cents}
    with pytest.raises(FieldInvalid, match="amount_total"):
        told(FakeStripe().event("checkout.session.completed", about))
