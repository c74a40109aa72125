"""Stripe, as far as Trivium knows it: it checks what it is asked as the real one does, and tells by signed webhooks.

Shapes of objects, errors and events are those of docs.stripe.com/api at the version that is pinned; the signature is
made as docs.stripe.com/webhooks says (`test_upstream_stripe_events.py` compares it with one of Stripe's own library).
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import itertools
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
from aiohttp import web

from gateway import Running, running
from trivium.upstream.stripe import VERSION

KEY, SECRET = "sk_test_51TriviumTrivium", "whsec_TriviumTriviumTrivium"
_STEP = re.compile(r"\[([^\]]+)\]")
_KNOWN = {
    *("mode", "client_reference_id", "success_url", "cancel_url", "adaptive_pricing", "line_items", "metadata"),
    *("payment_intent_data", "customer", "customer_creation", "amount", "currency", "payment_method", "off_session"),
    *("confirm", "description", "payment_method_types"),
}
SETTINGS = f"""
[billing]
mode = "credits"
[payments]
provider = "stripe"
secret_key = "{KEY}"
webhook_secrets = ["{SECRET}"]
return_url = "https://gateway.example"
api_url = "{{stripe}}"
auto_top_up = true
[models."up/*"]
price = {{ input = 1000, output = 1000 }}
"""


def signed(content: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """A header as Stripe sends it."""
    second = int(time.time() if at is None else at)
    made = hmac.new(secret.encode(), b"%d." % second + content, hashlib.sha256).hexdigest()
    return f"t={second},v1={made},v0=0000"


class Refused(Exception):
    def __init__(self, status: int, **error: Any) -> None:
        self.status, self.error = status, error


class FakeStripe:
    """`cards` says what charging each saved one does: `ok`, an error's code, or `lost`: it is charged, and the answer
    never arrives."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[tuple[str, dict[str, Any], str | None]] = []
        """Path, form, idempotency key of each POST."""
        self.sessions: dict[str, dict[str, Any]] = {}
        self.intents: dict[str, dict[str, Any]] = {}
        self.cards: dict[str, str] = {}
        self.customers_gone: set[str] = set()
        """Deleted there, or another mode's."""
        self.down = False
        self._kept: dict[str, tuple[str, dict[str, Any], tuple[int, Any]]] = {}
        self._numbers = itertools.count(1)
        self._created = int(time.time()) - 60

    async def answer(self, request: web.Request) -> web.Response:
        form: dict[str, Any] = {}
        try:
            _check(request)
            if request.method == "POST":
                form = _nested(await request.text())
                status, told = self._once(request, form)
            else:
                status, told = 200, self._show(request.path)
        except Refused as refused:
            status, told = refused.status, {"error": refused.error}
        if self.cards.get(str(form.get("payment_method"))) == "lost":
            assert request.transport is not None
            request.transport.close()
        return web.json_response(told, status=status)

    async def page(self, request: web.Request) -> web.Response:
        """Where people pay."""
        cents = self.sessions[request.match_info["session"]]["amount_total"]
        return web.Response(text=f"<title>Pay</title><h1>Pay {cents / 100:.2f} USD</h1>", content_type="text/html")

    def _once(self, request: web.Request, form: dict[str, Any]) -> tuple[int, Any]:
        """The same again gets the same answer; another under the same key none."""
        key = request.headers.get("idempotency-key")
        self.asked.append((request.path, form, key))
        if self.down:
            return 503, {"error": {"type": "api_error", "message": "We are down."}}
        assert key, "a POST without an idempotency key"
        if key in self._kept:
            path, before, told = self._kept[key]
            if (path, before) != (request.path, form):
                message = "Keys for idempotent requests can only be used with the same parameters."
                raise Refused(400, type="idempotency_error", message=message)
            return told
        try:
            told = 200, self._do(request.path, form)
        except Refused as refused:
            if refused.status != 402:
                raise
            told = 402, {"error": refused.error}
        self._kept[key] = request.path, form, told
        return told

    def _do(self, path: str, form: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(form) - _KNOWN:
            raise Refused(400, type="invalid_request_error", message=f"Received unknown parameters: {unknown}")
        if path == "/v1/checkout/sessions":
            return self._session(form)
        if path == "/v1/payment_intents":
            return self._charge(form)
        if found := re.fullmatch(r"/v1/payment_methods/(\w+)/detach", path):
            self.cards.pop(found[1], None)
            return {"id": found[1], "object": "payment_method", "customer": None}
        raise Refused(404, type="invalid_request_error", message=f"Unrecognized request URL (POST: {path}).")

    def _session(self, form: dict[str, Any]) -> dict[str, Any]:
        assert form["mode"] == "payment"
        assert form["success_url"].startswith("https://")
        if (customer := form.get("customer")) in self.customers_gone:
            message = f"No such customer: '{customer}'"
            raise Refused(400, type="invalid_request_error", code="resource_missing", param="customer", message=message)
        lines = form["line_items"].values()
        assert all(line["price_data"]["currency"] == "usd" for line in lines)
        total = sum(int(line["price_data"]["unit_amount"]) * int(line["quantity"]) for line in lines)
        if total < 50:
            raise Refused(400, type="invalid_request_error", code="amount_too_small", message="At least $0.50.")
        id = f"cs_test_{next(self._numbers)}"
        keeps = form.get("customer_creation") == "always"
        self.sessions[id] = {
            "id": id,
            "object": "checkout.session",
            "mode": "payment",
            "amount_subtotal": total,
            "amount_total": total,
            "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
            "currency": "usd",
            "client_reference_id": form["client_reference_id"],
            "customer": form.get("customer") or (f"cus_{next(self._numbers)}" if keeps else None),
            "metadata": form["metadata"],
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "url": f"{self.url}/pay/{id}",
            "of_intent": form["payment_intent_data"],
        }
        return {**self.sessions[id], "livemode": False}

    def _charge(self, form: dict[str, Any]) -> dict[str, Any]:
        assert (form["off_session"], form["confirm"], form["currency"]) == ("true", "true", "usd")
        method = form["payment_method"]
        if method not in self.cards:
            message = f"No such PaymentMethod: '{method}'"
            raise Refused(
                400, type="invalid_request_error", code="resource_missing", param="payment_method", message=message
            )
        intent = self._intent(int(form["amount"]), form["metadata"], form["customer"], method)
        if self.cards[method] in ("ok", "lost"):
            return intent
        code = self.cards[method]
        intent |= {"status": "requires_payment_method", "amount_received": 0}
        intent["last_payment_error"] = {"code": code, "message": "Your card was declined.", "type": "card_error"}
        raise Refused(402, **intent["last_payment_error"], payment_intent={"id": intent["id"]})

    def _intent(
        self, cents: int, metadata: dict[str, str], customer: str | None, method: str, saves: str | None = None
    ) -> dict[str, Any]:
        id = f"pi_{next(self._numbers)}"
        self.intents[id] = {
            "id": id,
            "object": "payment_intent",
            "amount": cents,
            "amount_received": cents,
            "currency": "usd",
            "customer": customer,
            "metadata": metadata,
            "payment_method": method,
            "setup_future_usage": saves,
            "status": "succeeded",
            "last_payment_error": None,
        }
        return self.intents[id]

    def _show(self, path: str) -> dict[str, Any]:
        id = path.rpartition("/")[2]
        if id not in self.cards:
            raise Refused(404, type="invalid_request_error", code="resource_missing", message="No such PaymentMethod")
        return {"id": id, "object": "payment_method", "type": "card", "card": {"brand": "visa", "last4": "4242"}}

    # What people do on Stripe's pages, and what Stripe tells of it then.

    def pay(self, session: str, method: str = "pm_card", *, at_once: bool = True) -> list[dict[str, Any]]:
        """Somebody pays on a page; `at_once`: False with a bank that takes days."""
        page = self.sessions[session]
        of = page["of_intent"]
        saves = of.get("setup_future_usage")
        intent = self._intent(page["amount_total"], of["metadata"], page["customer"], method, saves)
        self.cards.setdefault(method, "ok")
        page |= {"status": "complete", "payment_intent": intent["id"]}
        page["payment_status"] = "paid" if at_once else "unpaid"
        completed = self.event("checkout.session.completed", page)
        return [self.event("payment_intent.succeeded", intent), completed] if at_once else [completed]

    def arrive(self, session: str, *, good: bool = True) -> dict[str, Any]:
        page = self.sessions[session]
        page["payment_status"] = "paid" if good else "unpaid"
        return self.event(f"checkout.session.async_payment_{'succeeded' if good else 'failed'}", page)

    def intent_of(self, session: str) -> str:
        return str(self.sessions[session]["payment_intent"])

    def told_of(self, intent: str) -> dict[str, Any]:
        """Of a card that was charged by itself."""
        about = self.intents[intent]
        return self.event(
            f"payment_intent.{'succeeded' if about['status'] == 'succeeded' else 'payment_failed'}", about
        )

    def refund(self, intent: str, so_far: int) -> dict[str, Any]:
        about = self.intents[intent]
        charge = {"id": f"ch_{intent}", "object": "charge", "amount": about["amount"], "amount_refunded": so_far}
        shared = {"currency": "usd", "payment_intent": intent, "metadata": about["metadata"]}
        return self.event("charge.refunded", {**charge, **shared, "refunded": so_far == about["amount"]})

    def dispute(self, intent: str, word: str, status: str) -> dict[str, Any]:
        cents = self.intents[intent]["amount"] if intent in self.intents else 100
        about = {"id": f"dp_{intent}", "object": "dispute", "amount": cents, "currency": "usd", "charge": "ch_1"}
        return self.event(
            f"charge.dispute.{word}", {**about, "payment_intent": intent, "status": status, "metadata": {}}
        )

    def event(self, type: str, about: dict[str, Any]) -> dict[str, Any]:
        shown = {name: value for name, value in about.items() if name != "of_intent"}
        self._created += 1
        return {
            "id": f"evt_{next(self._numbers)}",
            "object": "event",
            "api_version": VERSION,
            "created": self._created,
            "livemode": False,
            "pending_webhooks": 1,
            "request": {"id": None, "idempotency_key": None},
            "type": type,
            "data": {"object": json.loads(json.dumps(shown))},
        }


def _check(request: web.Request) -> None:
    if request.headers.get("authorization") != f"Bearer {KEY}":
        raise Refused(401, type="invalid_request_error", message="Invalid API Key provided: sk_test_****")
    assert request.headers["stripe-version"] == VERSION
    if request.method == "POST":
        assert request.content_type == "application/x-www-form-urlencoded"


def _nested(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        place, path = found, [name.partition("[")[0], *_STEP.findall(name)]
        for step in path[:-1]:
            place = place.setdefault(step, {})
        assert path[-1] not in place, f"{name} is there twice"
        place[path[-1]] = value
    return found


@contextlib.asynccontextmanager
async def stripe() -> AsyncIterator[FakeStripe]:
    fake = FakeStripe()
    app = web.Application()
    app.router.add_route("*", "/v1/{path:.+}", fake.answer)
    app.router.add_get("/pay/{session}", fake.page)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert server is not None
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"  # type: ignore[attr-defined]
    try:
        yield fake
    finally:
        await runner.cleanup()


class Shop:
    """A gateway that sells credits, and Stripe."""

    def __init__(self, house: Running, stripe: FakeStripe) -> None:
        self.house, self.stripe = house, stripe

    async def do(self, operation: str, **arguments: Any) -> Any:
        return await self.house.gateway.operations.perform(operation, arguments)

    async def tell(self, *events: dict[str, Any], secret: str = SECRET) -> list[int]:
        """Delivers events one after the other; the statuses of the answers."""
        return [(await self.post(json.dumps(one, indent=2).encode(), secret=secret))[0] for one in events]

    async def post(self, content: bytes, *, header: str | None = None, secret: str = SECRET) -> tuple[int, Any]:
        headers = {"stripe-signature": signed(content, secret) if header is None else header}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.house.url}/webhooks/stripe", data=content, headers=headers) as answer,
        ):
            return answer.status, await answer.json()

    async def buy(self, usd: str = "10", **whose: Any) -> dict[str, Any]:
        """Somebody begins a payment; the payment as it is then."""
        begun = await self.do("payments.checkout", usd=usd, **({"account": "acme"} | whose))
        assert begun["url"].startswith(self.stripe.url)
        return dict(await self.do("payments.show", payment=begun["payment"]))

    async def status(self, payment: dict[str, Any]) -> str:
        return str((await self.do("payments.show", payment=payment["id"]))["status"])

    async def entries(self, account: str = "acme") -> list[tuple[str, str]]:
        """Kinds and amounts, oldest first."""
        found = await self.do("credits.entries", account=account)
        return [(entry["kind"], entry["usd"]) for entry in reversed(found["items"])]

    async def balance(self, account: str = "acme") -> str:
        return str((await self.do("accounts.list", account=account))["items"][0]["balance_usd"])

    async def agree(self, **terms: str) -> dict[str, Any]:
        """The account's card may be charged by itself, after it was used once."""
        payment = await self.buy("5", save=True)
        assert await self.tell(*self.stripe.pay(payment["session"])) == [200, 200]
        agreed = {"below_usd": "20", "usd": "10", "month_usd": "100"} | terms
        return dict(await self.do("payments.auto.set", account="acme", **agreed))

    async def look(self) -> None:
        """What happens every few seconds."""
        parts = self.house.gateway.payments
        assert parts is not None
        await parts.top_ups.look()

    async def agreed(self) -> dict[str, Any]:
        (found,) = (await self.do("payments.auto.list", account="acme"))["items"]
        return dict(found)

    def charges(self) -> list[str | None]:
        """The idempotency keys under which cards were charged."""
        return [key for path, _, key in self.stripe.asked if path == "/v1/payment_intents"]


@contextlib.asynccontextmanager
async def selling(settings: str = "", *, auto: bool = True, **more: Any) -> AsyncIterator[Shop]:
    """With an account `acme`; the books are in order when the test is over. `settings` are further lines of
    `[payments]`."""
    async with stripe() as fake:
        text = SETTINGS.replace("auto_top_up = true", f"auto_top_up = {json.dumps(auto)}").replace("{stripe}", fake.url)
        text = text.replace("[payments]\n", f"[payments]\n{settings}\n")
        async with running(settings=text, **more) as house:
            shop = Shop(house, fake)
            await shop.do("accounts.create", name="Acme", id="acme")
            yield shop
            report = await shop.do("ledger.verify")
            assert report["findings"] == 0, [check for check in report["checks"] if check["found"]]
