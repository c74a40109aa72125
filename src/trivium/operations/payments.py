"""Buying credits: a page to pay on, what was paid, and a saved card that is charged when a balance runs low.

Nothing here credits anybody: that is done by what the processor tells (`store/payments.take`), so that no answer of a
browser, and none of ours, is worth money.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec

from trivium.clock import Clock
from trivium.errors import NotFound, OperationError, Unavailable
from trivium.money import nano_text
from trivium.operations.money import ListAccounts, account_of, nano
from trivium.operations.table import (
    Actor,
    Arguments,
    Listed,
    Needs,
    Op,
    Table,
    listed,
)
from trivium.policy.caller import BILLS, Id, Role
from trivium.policy.payments import CENT_NANO, AutoTopUp, Payment, fee_cents
from trivium.settings_payments import PaymentSettings
from trivium.store.accounts import MOST_NANO
from trivium.store.answers import told
from trivium.store.auto_top_ups import Agreed, AutoTopUps, payment_id
from trivium.store.payment_rows import usd as usd_of
from trivium.store.payments import Payments, Stray
from trivium.upstream.payments import Page, Processor, Wanted

_LOG = logging.getLogger("trivium.payments")


class OfAccount(Arguments, frozen=True, kw_only=True):
    """Whose account: that of the organization or user, or the one that is named."""

    organization: Id | None = None
    user: Id | None = None
    account: Id | None = None


class Begin(OfAccount, frozen=True, kw_only=True):
    usd: str
    """Credits to buy."""
    save: bool = False
    """Keep the card, so that it can be charged when the balance runs low."""


class ListPayments(ListAccounts, frozen=True, kw_only=True):
    """The newest first."""


class ShowPayment(Arguments, frozen=True, kw_only=True):
    payment: Id
    organization: Id | None = None
    user: Id | None = None


class ListAgreed(ListAccounts, frozen=True, kw_only=True):
    """Automatic top-ups, by account."""


class Agree(OfAccount, frozen=True, kw_only=True):
    below_usd: str
    """The balance below which the card is charged."""
    usd: str
    """Credits that are bought each time."""
    month_usd: str
    """The most that the card is charged in a month (UTC), with fees."""


class EndAgreed(OfAccount, frozen=True, kw_only=True):
    pass


class ListStrays(Arguments, frozen=True, kw_only=True):
    all: bool = False
    """Also those that wait for nobody."""


class EndStray(Arguments, frozen=True, kw_only=True):
    event: str
    note: str | None = None
    """What was done about it."""


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """Amounts are decimal USD, as in everything below."""

    payment: str
    account: str
    url: str
    """The page to pay on."""
    usd: str
    fee_usd: str


class PaymentRow(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    account_id: str
    kind: str
    """`checkout`: on the processor's page. `auto`: a saved card was charged."""
    status: str
    """`open`, `pending`, `paid`, `failed`, `expired`, `partly refunded`, `refunded`, `disputed` or `lost`."""
    usd: str
    """Credits that were asked for."""
    fee_usd: str
    paid_usd: str
    """All in all."""
    credited_usd: str
    taken_back_usd: str
    created_ms: int
    changed_ms: int
    made_by: str
    processor: str
    session: str | None
    intent: str | None
    problem: str | None


class AgreedRow(msgspec.Struct, frozen=True, kw_only=True):
    account_id: str
    enabled: bool
    below_usd: str
    usd: str
    fee_usd: str
    month_usd: str
    month_charged_usd: str
    card: str | None
    """Null: there is none."""
    payment: str | None
    """The one that is under way."""
    failures: int
    problem: str | None
    set_by: str
    changed_ms: int


class AgreedEnded(msgspec.Struct, frozen=True, kw_only=True):
    account: str


class StrayEnded(msgspec.Struct, frozen=True, kw_only=True):
    event: str


class PaymentOperations:
    """Must run where the store is owned. `table` is for `Operations`."""

    def __init__(  # noqa: PLR0917
        self,
        payments: Payments,
        autos: AutoTopUps,
        processor: Processor,
        settings: PaymentSettings,
        return_url: str,
        clock: Clock,
    ) -> None:
        """`return_url`: by which people reach the dashboard."""
        self._payments, self._autos, self._processor = payments, autos, processor
        self._settings, self._return_url, self._clock = settings, return_url, clock
        bills = Needs(roles=BILLS, personal=True)
        owners = Needs(roles=frozenset({Role.OWNER}), personal=True)
        self.table: Table = {
            "payments.checkout": Op(arguments=Begin, result=Begun, act=self._begin, needs=bills, changes=True),
            "payments.list": Op(arguments=ListPayments, result=Listed[PaymentRow], act=self._list, needs=bills),
            "payments.show": Op(arguments=ShowPayment, result=PaymentRow, act=self._show, needs=bills),
            "payments.strays": Op(arguments=ListStrays, result=list[Stray], act=self._strays),
            "payments.strays.end": Op(arguments=EndStray, result=StrayEnded, act=self._end_stray, changes=True),
            "payments.card.remove": Op(
                arguments=EndAgreed, result=AgreedEnded, act=self._remove_card, needs=bills, changes=True
            ),
        }
        if settings.auto_top_up:
            self.table |= {
                "payments.auto.list": Op(
                    arguments=ListAgreed, result=Listed[AgreedRow], act=self._list_agreed, needs=bills
                ),
                "payments.auto.set": Op(arguments=Agree, result=AgreedRow, act=self._agree, needs=owners, changes=True),
                "payments.auto.off": Op(
                    arguments=EndAgreed, result=AgreedEnded, act=self._end_agreed, needs=bills, changes=True
                ),
            }

    async def _begin(self, query: Begin, actor: Actor) -> Begun:
        """The page is made first: one that nobody was led to cannot be paid on."""
        account, cents, now = _account(query), self._asked(query.usd), self._clock.now_ms()
        if query.save and not self._settings.auto_top_up:
            raise OperationError("Cards are not kept here: automatic top-ups are not allowed.")
        await self._payments.check(account)
        card = await self._autos.card(account)
        wanted = Wanted(
            payment=payment_id(),
            account=account,
            cents=cents,
            fee_cents=self._fee(cents),
            customer=(card.customer or None) if card is not None and card.processor == self._processor.name else None,
        )
        page = await self._page(wanted, self._back(query), query.save, actor)
        payment = Payment(
            id=wanted.payment,
            account_id=account,
            kind="checkout",
            processor=self._processor.name,
            asked_cents=cents + wanted.fee_cents,
            fee_cents=wanted.fee_cents,
            session=page.session,
            made_by=actor.id,
            created_ms=now,
            changed_ms=now,
        )
        usd, fee = usd_of(cents), usd_of(wanted.fee_cents)
        begun = Begun(payment=payment.id, account=account, url=page.url, usd=usd, fee_usd=fee)
        return await told(lambda _: begun, self._payments.open(payment))

    async def _page(self, wanted: Wanted, back: str, save: bool, actor: Actor) -> Page:
        """What the processor has against us is for the operators alone."""
        try:
            return await self._processor.begin(wanted, f"{back}?payment={wanted.payment}", back, save=save)
        except OperationError as error:
            _LOG.warning("a payment of %s cannot be begun: %s", wanted.account, error.message)
            if actor.house:
                raise
            raise Unavailable(
                "The payment cannot be begun at the moment. Try again later.", detail=error.message
            ) from None

    def _back(self, query: OfAccount) -> str:
        """The dashboard's page of payments, of whose they are."""
        space = "house" if query.user is None else "me"
        space = space if query.organization is None else f"o/{query.organization}"
        return f"{self._return_url}/dashboard/{space}/payments"

    def _asked(self, usd: str) -> int:
        """Cents. Raises OperationError for what cannot be bought at once."""
        cents, least, most = _cents(usd), _cents(self._settings.least_usd), _cents(self._settings.most_usd)
        if not least <= cents <= most:
            raise OperationError(f"From {usd_of(least)} to {usd_of(most)} USD of credits can be bought at once.")
        return cents

    def _fee(self, cents: int) -> int:
        return fee_of(self._settings, cents)

    async def _list(self, query: ListPayments, _: Actor) -> Listed[PaymentRow]:
        whose = account_of(query.organization, query.user)
        found = await self._payments.page(query.account, whose, query.below(), query.limit + 1)
        part = listed(found, query, lambda one: one[0])
        return Listed(items=[_row(payment) for _, payment in part.items], next=part.next)

    async def _show(self, query: ShowPayment, _: Actor) -> PaymentRow:
        whose = account_of(query.organization, query.user)
        return _row(await self._payments.get(query.payment, whose))

    async def _strays(self, query: ListStrays, _: Actor) -> list[Stray]:
        return await self._payments.strays(all=query.all)

    async def _end_stray(self, query: EndStray, actor: Actor) -> StrayEnded:
        ending = self._payments.end_stray(query.event, query.note, actor.id)
        return await told(lambda _: StrayEnded(event=query.event), ending)

    async def _list_agreed(self, query: ListAgreed, _: Actor) -> Listed[AgreedRow]:
        whose = account_of(query.organization, query.user)
        if None not in (whose, query.account) and whose != query.account:
            return Listed(items=[])
        page = query.page()
        found = await self._autos.page(whose or query.account, page.after, page.limit)
        return listed([self._agreed_row(one) for one in found], query, lambda row: row.account_id)

    async def _agree(self, query: Agree, actor: Actor) -> AgreedRow:
        account, cents = _account(query), self._asked(query.usd)
        below, month = nano(query.below_usd), _cents(query.month_usd)
        if below <= 0:
            raise OperationError("The card is charged below a balance of more than 0 USD, so that calls go on.")
        if below > MOST_NANO:
            raise OperationError(f"A balance is at most {nano_text(MOST_NANO)} USD.")
        if month < cents + self._fee(cents):
            raise OperationError("What may be charged in a month is less than a single payment.")
        card = await self._autos.card(account)
        if card is None or card.method is None or card.processor != self._processor.name:
            raise OperationError("No card is saved here yet: buy credits once and have the card kept (`save`).")
        words = card.words or await self._processor.describe(card.method)
        auto = AutoTopUp(
            account_id=account,
            enabled=True,
            below_nano=below,
            cents=cents,
            month_cents=month,
            set_by=actor.id,
            changed_ms=self._clock.now_ms(),
        )
        await self._autos.set(auto, words, card.method)
        return self._agreed_row(await self._autos.get(account))

    async def _end_agreed(self, query: EndAgreed, actor: Actor) -> AgreedEnded:
        account = _account(query)
        return await told(lambda _: AgreedEnded(account=account), self._autos.off(account, actor.id))

    async def _remove_card(self, query: EndAgreed, actor: Actor) -> AgreedEnded:
        """There first: where that fails it can be done again, and what is removed there is told of by webhook."""
        account = _account(query)
        card = await self._autos.card(account)
        if card is not None and card.method is not None:
            await self._processor.forget(card.method)
        return await told(lambda _: AgreedEnded(account=account), self._autos.off(account, actor.id, card=True))

    def _agreed_row(self, agreed: Agreed) -> AgreedRow:
        auto = agreed.auto
        return AgreedRow(
            account_id=auto.account_id,
            enabled=auto.enabled,
            below_usd=nano_text(auto.below_nano),
            usd=usd_of(auto.cents),
            fee_usd=usd_of(self._fee(auto.cents)),
            month_usd=usd_of(auto.month_cents),
            month_charged_usd=usd_of(agreed.month_cents),
            card=agreed.card,
            payment=auto.payment_id,
            failures=auto.failures,
            problem=auto.problem,
            set_by=auto.set_by,
            changed_ms=auto.changed_ms,
        )


def fee_of(settings: PaymentSettings, cents: int) -> int:
    """What is paid on top of so many cents of credits."""
    return fee_cents(cents, settings.fee_percent, _cents(settings.fee_usd))


def _account(query: OfAccount) -> str:
    """Raises OperationError where nobody is named or two are, NotFound where it is not theirs who are."""
    whose = account_of(query.organization, query.user)
    if whose is None and query.account is None:
        raise OperationError("Whose account? Name an organization, a user or the account.")
    if whose is not None and query.account not in (None, whose):
        raise NotFound(f"There is no account {query.account!r} of {whose!r}.")
    return whose or query.account or ""


def _cents(usd: str) -> int:
    """Raises OperationError for what is no amount in whole cents."""
    cents, rest = divmod(nano(usd), CENT_NANO)
    if rest:
        raise OperationError("What is paid is in whole cents.")
    return cents


def _row(payment: Payment) -> PaymentRow:
    said: dict[str, Any] = {
        "usd": usd_of(payment.asked_cents - payment.fee_cents),
        "fee_usd": usd_of(payment.fee_cents),
        "paid_usd": usd_of(payment.paid_cents),
        "credited_usd": nano_text(payment.credited_nano),
        "taken_back_usd": nano_text(payment.taken_nano),
        "status": payment.status,
    }
    same = {name: getattr(payment, name) for name in PaymentRow.__struct_fields__ if name not in said}
    return PaymentRow(**same, **said)
