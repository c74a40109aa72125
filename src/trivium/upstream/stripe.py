"""Stripe as a processor of payments: Checkout's page, payment intents of saved cards, over its REST API
(docs.stripe.com/api; form-encoded requests, JSON answers).

The API's version is pinned, so that an upgrade of the operator's account changes nothing here. Every POST carries an
idempotency key made of our payment's id: Stripe answers the same again and does nothing twice
(docs.stripe.com/api/idempotent_requests).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from trivium.errors import OperationError, UpstreamError
from trivium.policy.payments import Event
from trivium.upstream import stripe_events
from trivium.upstream.body import answered
from trivium.upstream.client import Timeouts, UpstreamClient, UpstreamRequest
from trivium.upstream.payments import Charged, Page, SettingUnfit, Wanted
from trivium.upstream.stripe_events import ACCOUNT, KIND, PAYMENT

URL = "https://api.stripe.com"
VERSION = "2026-10-28.endive"
"""Of the API. What is asked for here is in Stripe's own Python library of this version (16.1.0)."""
_TIMEOUTS = Timeouts(connect=10, first_byte=60, idle=30)
_LIMIT = 1024 * 1024
_SAID = 300
_PASSES = frozenset((408, 409, 425, 429))
"""Beside 5xx: nobody knows whether something was done."""
_OF_THE_CARD = ("payment_method", "customer")
"""What a request names wrongly where the card was removed elsewhere."""
_DONE = ("succeeded", "processing", "requires_capture")
_T = TypeVar("_T")


class _Session(msgspec.Struct, frozen=True):
    id: str
    url: str


class _Intent(msgspec.Struct, frozen=True):
    id: str
    status: str


class _Card(msgspec.Struct, frozen=True):
    brand: str = "card"
    last4: str = ""


class _Method(msgspec.Struct, frozen=True):
    type: str
    card: _Card | None = None


class _Named(msgspec.Struct, frozen=True):
    id: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    message: str | None = None
    type: str | None = None
    code: str | None = None
    decline_code: str | None = None
    param: str | None = None
    payment_intent: _Named | None = None

    def __str__(self) -> str:
        """For people, with the code that Stripe's documentation lists."""
        code = self.decline_code or self.code
        words = (self.message or "no reason given")[:_SAID]
        return f"{words} ({code})" if code else words


class _Refusal(msgspec.Struct, frozen=True):
    error: _Problem = _Problem()


class StripeRefused(OperationError):
    """An answer that is no success. `problem` is what it says."""

    def __init__(self, status: int, problem: _Problem) -> None:
        super().__init__(f"Stripe refused (status {status}): {problem}")
        self.answered = status
        self.problem = problem


class StripeUnclear(OperationError):
    """No answer, or none that can be understood: what was asked for may have been done."""

    status = 503
    code = "payments_unavailable"


class Stripe:
    """With one account's key."""

    name = "stripe"

    def __init__(self, client: UpstreamClient, key: str, secrets: Sequence[str], url: str | None = None) -> None:
        """`secrets` are those of its webhook endpoint. Raises SettingUnfit for what is no such key or secret."""
        if not _is_token(key, ("sk_", "rk_")):
            problem = "expected a secret key, which begins with sk_, or a restricted one, which does with rk_"
            raise SettingUnfit("secret_key", problem)
        if not all(_is_token(secret, ("whsec_",)) for secret in secrets):
            raise SettingUnfit("webhook_secrets", "expected signing secrets of an endpoint, which begin with whsec_")
        self._client, self._url = client, url or URL
        self._headers = [
            (b"authorization", b"Bearer " + key.encode()),
            (b"stripe-version", VERSION.encode()),
            (b"accept", b"application/json"),
        ]
        self._secrets = [secret.encode() for secret in secrets]
        self._live = not key.startswith(("sk_test_", "rk_test_"))

    def __repr__(self) -> str:
        return "Stripe()"

    def read(self, content: bytes, headers: Mapping[bytes, bytes], now_ms: int) -> Event | None:
        stripe_events.check(content, headers.get(b"stripe-signature"), self._secrets, now_ms)
        event = stripe_events.read(content)
        if event is not None and event.live != self._live:
            return None
        return event

    async def begin(self, wanted: Wanted, done_url: str, left_url: str, *, save: bool) -> Page:
        said = _said(wanted, "checkout")
        asked: dict[str, Any] = {
            "mode": "payment",
            "client_reference_id": wanted.payment,
            "success_url": done_url,
            "cancel_url": left_url,
            "adaptive_pricing": {"enabled": "false"},
            "line_items": _lines(wanted),
            "metadata": said,
            "payment_intent_data": {"metadata": said, **({"setup_future_usage": "off_session"} if save else {})},
        }
        if save:
            asked["payment_method_types"] = ["card"]  # what is charged later must not take days
        made = await self._opened(asked, wanted, save)
        if not made.url.startswith("https://" if self._url.startswith("https://") else "http"):
            raise StripeUnclear("Stripe's answer leads to no page that is safe to go to.")
        return Page(session=made.id, url=made.url)

    async def _opened(self, asked: Mapping[str, Any], wanted: Wanted, save: bool) -> _Session:
        """For the customer as whom the account is known, or a new one where Stripe has that no more: it was deleted
        there, or is another mode's."""
        new = {"customer_creation": "always"} if save else {}
        known = new if wanted.customer is None else {"customer": wanted.customer}
        path = "/v1/checkout/sessions"
        try:
            return await self._ask("POST", path, _Session, {**asked, **known}, wanted.payment)
        except StripeRefused as error:
            if error.problem.code != "resource_missing" or error.problem.param != "customer":
                raise
        return await self._ask("POST", path, _Session, {**asked, **new}, f"new-{wanted.payment}")

    async def charge(self, wanted: Wanted, method: str) -> Charged:
        asked = {
            "amount": wanted.cents + wanted.fee_cents,
            "currency": "usd",
            "customer": wanted.customer,
            "payment_method": method,
            "off_session": "true",
            "confirm": "true",
            "description": f"Credits for {wanted.account}",
            "metadata": _said(wanted, "auto"),
        }
        try:
            made = await self._ask("POST", "/v1/payment_intents", _Intent, asked, wanted.payment)
        except StripeRefused as error:
            return _refused(error)
        except OperationError as error:
            return Charged(outcome="unknown", problem=error.message)
        if made.status in _DONE:
            return Charged(outcome="taken", intent=made.id)
        return Charged(outcome="declined", intent=made.id, problem=f"The payment stopped at `{made.status}`.")

    async def describe(self, method: str) -> str:
        found = await self._ask("GET", f"/v1/payment_methods/{quote(method, safe='')}", _Method)
        return f"{found.card.brand} {found.card.last4}" if found.card is not None else found.type

    async def forget(self, method: str) -> None:
        try:
            await self._ask("POST", f"/v1/payment_methods/{quote(method, safe='')}/detach", _Named, {}, f"off-{method}")
        except StripeRefused as error:
            if error.answered not in (400, 404):  # which it says of one that is nobody's
                raise

    async def _ask(
        self,
        method: str,
        path: str,
        answer: type[_T],
        content: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> _T:
        headers = list(self._headers)
        if content is not None:
            headers.append((b"content-type", b"application/x-www-form-urlencoded"))
        if idempotency_key is not None:
            headers.append((b"idempotency-key", idempotency_key.encode()))
        body = urlencode(list(_flat(content))).encode() if content is not None else b""
        request = UpstreamRequest(method=method, url=self._url + path, headers=headers, body=body, timeouts=_TIMEOUTS)
        try:
            status, told = await answered(self._client, request, _LIMIT)
        except UpstreamError as error:
            raise StripeUnclear("Stripe cannot be reached. Try again in a moment.", detail=error.detail) from None
        try:
            if 200 <= status < 300:
                return msgspec.json.decode(told, type=answer)
            if 400 <= status < 500:
                raise StripeRefused(status, msgspec.json.decode(told, type=_Refusal).error)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
        raise StripeUnclear(f"Stripe's answer is not understood (status {status}). Try again in a moment.")


def _is_token(text: str, begins: tuple[str, ...]) -> bool:
    return text.startswith(begins) and text.isascii() and text.isprintable() and " " not in text


def _said(wanted: Wanted, kind: str) -> dict[str, str]:
    """What Stripe tells us again of the payment."""
    return {PAYMENT: wanted.payment, ACCOUNT: wanted.account, KIND: kind}


def _lines(wanted: Wanted) -> list[dict[str, Any]]:
    named = [("Credits", wanted.cents), *([("Fee", wanted.fee_cents)] if wanted.fee_cents else [])]
    return [
        {"quantity": 1, "price_data": {"currency": "usd", "unit_amount": cents, "product_data": {"name": name}}}
        for name, cents in named
    ]


def _flat(content: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """As Stripe reads forms: `line_items[0][quantity]=1`."""
    if isinstance(content, Mapping):
        pairs = [(f"{place}[{name}]" if place else str(name), value) for name, value in content.items()]
    elif isinstance(content, list):
        pairs = [(f"{place}[{n}]", value) for n, value in enumerate(content)]
    else:
        yield place, str(content)
        return
    for inner, value in pairs:
        yield from _flat(value, inner)


def _refused(error: StripeRefused) -> Charged:
    problem = error.problem
    intent = problem.payment_intent.id if problem.payment_intent is not None else None
    if error.answered in _PASSES or problem.type == "idempotency_error":
        return Charged(outcome="unknown", intent=intent, problem=str(problem))
    gone = problem.code == "resource_missing" and problem.param in _OF_THE_CARD
    declined = error.answered == 402 or problem.type == "card_error" or gone
    return Charged(outcome="declined" if declined else "refused", intent=intent, problem=str(problem))
