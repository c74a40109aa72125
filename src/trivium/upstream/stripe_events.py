"""What Stripe tells by webhook: whether it was Stripe, and what the event means. Sans-IO.

The signature is HMAC-SHA256 over the time and the body as it was sent (docs.stripe.com/webhooks/signature): the header
has a time and one `v1` for each secret that is good at the moment, of which one has to be ours. What is older than five
minutes is refused, so that nobody who has seen an event can send it again later.

Which events count: of what was bought on a page, those of its session; of a card that was charged by itself, those of
its intent. So each payment is told as paid by one kind of event alone. Other events are of no concern, and so is what
does not bear our mark, since the same account may sell other things.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import msgspec

from trivium.errors import FieldInvalid
from trivium.policy.payments import Event, Told
from trivium.upstream.payments import SignatureInvalid

PAYMENT, ACCOUNT, KIND = "trivium_payment", "trivium_account", "trivium_kind"
"""Names in the metadata of what we begin."""
TOLERANCE_MS = 300_000
_NOT_SIGNED = "The signature of this event is not one of this gateway's endpoint."


_Cents = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class _Tax(msgspec.Struct, frozen=True):
    amount_tax: _Cents = 0


class _Failure(msgspec.Struct, frozen=True):
    message: str | None = None
    code: str | None = None
    decline_code: str | None = None


class _Card(msgspec.Struct, frozen=True):
    case_type: str | None = None


class _Details(msgspec.Struct, frozen=True):
    card: _Card | None = None


class _Object(msgspec.Struct, frozen=True, kw_only=True):
    """What an event is about: a session, an intent, a charge, a dispute or a payment method."""

    id: str
    metadata: dict[str, str] | None = None
    currency: str | None = None
    amount: _Cents | None = None
    status: str | None = None
    payment_intent: str | None = None
    customer: str | None = None
    mode: str | None = None
    payment_status: str | None = None
    amount_total: _Cents | None = None
    total_details: _Tax | None = None
    amount_received: _Cents | None = None
    payment_method: str | None = None
    setup_future_usage: str | None = None
    last_payment_error: _Failure | None = None
    amount_refunded: _Cents | None = None
    payment_method_details: _Details | None = None

    def ours(self, name: str) -> str | None:
        return (self.metadata or {}).get(name)


class _Data(msgspec.Struct, frozen=True):
    object: msgspec.Raw


class _Any(msgspec.Struct, frozen=True):
    type: str


class _Event(_Any, frozen=True):
    id: str
    created: int
    livemode: bool
    data: _Data


def check(content: bytes, header: bytes | None, secrets: Sequence[bytes], now_ms: int) -> None:
    """Raises SignatureInvalid."""
    time, signatures = _parts(header or b"")
    if not time.isdigit() or len(time) > 15:
        raise SignatureInvalid(_NOT_SIGNED, param="Stripe-Signature")
    found = False
    for secret in secrets:
        made = hmac.digest(secret, time + b"." + content, hashlib.sha256).hex().encode()
        found |= any(hmac.compare_digest(made, one) for one in signatures)
    if not found:
        raise SignatureInvalid(_NOT_SIGNED, param="Stripe-Signature")
    if abs(now_ms - int(time) * 1000) > TOLERANCE_MS:
        raise SignatureInvalid("This event was signed too long ago, or a clock is wrong.", param="Stripe-Signature")


def _parts(header: bytes) -> tuple[bytes, list[bytes]]:
    """The time, and what is signed by the one scheme that counts."""
    pairs = [part.strip().partition(b"=") for part in header.split(b",")]
    time = next((value for name, _, value in pairs if name == b"t"), b"")
    return time, [value for name, _, value in pairs if name == b"v1"]


def read(content: bytes) -> Event | None:
    """Of content whose signature was checked. Raises FieldInvalid."""
    try:
        reader = _READERS.get(msgspec.json.decode(content, type=_Any).type)
        if reader is None:  # also of another shape, as Stripe's newer (thin) events have it
            return None
        event = msgspec.json.decode(content, type=_Event)
        about = msgspec.json.decode(event.data.object, type=_Object)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise FieldInvalid(f"The event is not understood: {error}") from None
    said = reader(about)
    if said is None:
        return None
    told, more = said
    if about.currency is not None:
        more = {"currency": about.currency, **more}
    common: dict[str, Any] = {"id": event.id, "told": told, "payment": about.ours(PAYMENT), "live": event.livemode}
    return Event(**common, created_ms=event.created * 1000, **more)


_Said = tuple[Told, dict[str, Any]] | None


def _session(told: Told) -> Callable[[_Object], _Said]:
    def said(about: _Object) -> _Said:
        if about.ours(PAYMENT) is None or about.mode != "payment":
            return None
        word: Told = "pending" if told == "paid" and about.payment_status == "unpaid" else told
        tax = about.total_details.amount_tax if about.total_details is not None else 0
        amounts = {"cents": about.amount_total or 0, "tax_cents": tax} if word == "paid" else {}
        problem = {"problem": "The bank did not pay."} if word == "failed" else {}
        return word, {"session": about.id, "intent": about.payment_intent, **amounts, **problem}

    return said


def _intent_paid(about: _Object) -> _Said:
    saved = {"intent": about.id, "customer": about.customer, "method": about.payment_method}
    if about.ours(KIND) == "auto":
        return "paid", {**saved, "cents": about.amount_received or 0}
    keeps = about.setup_future_usage == "off_session" and about.customer and about.payment_method
    return ("card", saved) if keeps and about.ours(PAYMENT) else None


def _intent_failed(about: _Object) -> _Said:
    """Who pays on a page may try another card there."""
    if about.ours(KIND) != "auto":
        return None
    why = about.last_payment_error or _Failure()
    code = why.decline_code or why.code
    words = why.message or "The card was refused."
    return "failed", {"intent": about.id, "problem": f"{words} ({code})" if code else words}


def _refunded(about: _Object) -> _Said:
    return "refunded", {"intent": about.payment_intent, "cents": about.amount_refunded or 0}


def _dispute(about: _Object) -> _Said:
    return "disputed", {"intent": about.payment_intent, "cents": about.amount or 0}


def _dispute_ended(about: _Object) -> _Said:
    """An inquiry that ended (`warning_closed`) took nothing. A dispute that was prevented was resolved by giving the
    money back, by a rule of the seller's or a service (docs.stripe.com/radar/rules/disputes), unless it was blocked."""
    details = about.payment_method_details or _Details()
    blocked = details.card is not None and details.card.case_type == "block"
    told: Told = "lost" if about.status == "lost" or (about.status == "prevented" and not blocked) else "won"
    return told, {"intent": about.payment_intent, "cents": about.amount or 0}


def _detached(about: _Object) -> _Said:
    return "detached", {"method": about.id}


_READERS: dict[str, Callable[[_Object], _Said]] = {
    "checkout.session.completed": _session("paid"),
    "checkout.session.async_payment_succeeded": _session("paid"),
    "checkout.session.async_payment_failed": _session("failed"),
    "checkout.session.expired": _session("expired"),
    "payment_intent.succeeded": _intent_paid,
    "payment_intent.payment_failed": _intent_failed,
    "charge.refunded": _refunded,
    "charge.dispute.created": _dispute,
    "charge.dispute.closed": _dispute_ended,
    "payment_method.detached": _detached,
}
TYPES = tuple(_READERS)
"""The types of events that an endpoint has to be sent."""
