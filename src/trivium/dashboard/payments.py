"""Pages about payments, as rows: there where payments are configured, since their operations are there alone."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from trivium.dashboard.row import EVERYWHERE, Resource, action
from trivium.dashboard.visitor import Kind

OWN: tuple[Kind, ...] = ("me", "organization")
FILTERS = ("account", "organization", "user")
FILTERS_IN: Mapping[str, tuple[Kind, ...]] = {"organization": ("house",), "user": ("house",)}
"""Of a list by account: elsewhere the space says whose they are, and nobody else's are there."""
_ACCOUNT = {"account": "account_id"}
_BUY_HELP = {
    "usd": "Credits to buy, in USD, as 12.50.",
    "save": "Keep the card, so that it can be charged when the balance runs low.",
}
_ACCOUNT_OF_ROW = {"account": "id"}
_WARNS = "The saved card is charged without asking again."
_TERMS = ("below_usd", "usd", "month_usd")
_TERMS_HELP = {
    "below_usd": "The saved card is charged when the balance is below this, in USD.",
    "usd": "Credits that are bought each time, in USD.",
    "month_usd": "The most that the card is charged in a month (UTC), with fees, in USD.",
}
_ADD = action("new", "Add credit", "payments.checkout", asks=("usd", "save"), help=_BUY_HELP, leads="url", spaces=OWN)
_AUTO = action("new", "Set it up", "payments.auto.set", asks=_TERMS, help=_TERMS_HELP, warns=_WARNS, spaces=OWN)
ADD_TO_ACCOUNT = replace(_ADD, path="add-credit", takes=_ACCOUNT_OF_ROW)
"""Of the list of accounts, as is the next."""
AUTO_FOR_ACCOUNT = replace(_AUTO, path="auto-top-up", label="Automatic top-up", takes=_ACCOUNT_OF_ROW)

PAYMENTS = (
    Resource(
        path="payments",
        title="Payments",
        one="payment",
        group="Money",
        about="Credits that were bought, the newest first. They are on the account once the bank has paid.",
        spaces=EVERYWHERE,
        lists="payments.list",
        filters=FILTERS,
        filters_in=FILTERS_IN,
        columns=(
            *("created_ms", "account_id", "status", "usd", "fee_usd", "credited_usd", "taken_back_usd"),
            *("kind", "made_by", "problem"),
        ),
        make=_ADD,
    ),
    Resource(
        path="auto-top-up",
        title="Automatic top-up",
        one="automatic top-up",
        group="Money",
        about="When the saved card is charged by itself. A card is saved with a payment, where that is wished.",
        spaces=EVERYWHERE,
        lists="payments.auto.list",
        filters=FILTERS,
        filters_in=FILTERS_IN,
        columns=(*("account_id", "enabled", *_TERMS, "month_charged_usd", "card", "payment", "problem"),),
        id="account_id",
        make=_AUTO,
        does=(
            action(
                "off",
                "Switch off",
                "payments.auto.off",
                takes=_ACCOUNT,
                only={"enabled": True},
            ),
            action(
                "remove-card",
                "Remove card",
                "payments.card.remove",
                takes=_ACCOUNT,
                warns="It is not charged any more. The next payment may save another one.",
            ),
        ),
    ),
    Resource(
        path="stray-payments",
        title="Stray payments",
        one="event",
        group="Money",
        about="Money that came for no account here: what the processor told, and why nobody has it.",
        spaces=("house",),
        lists="payments.strays",
        filters=("all",),
        columns=("time_ms", "event", "why", "content"),
        id="event",
        over=("ended_ms",),
        does=(
            action(
                "end",
                "Seen to",
                "payments.strays.end",
                takes={"event": "event"},
                asks=("note",),
                help={"note": "What was done about it."},
            ),
        ),
    ),
)
