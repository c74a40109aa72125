"""Every page that lists what an operation lists, as a row: what is shown of it and what can be done about it.

The pages themselves, forms included, are made by `resources.py`. Which rows somebody sees is decided by who may perform
their operations.
"""

from __future__ import annotations

from collections.abc import Mapping

from trivium.dashboard.channels import CHANNELS
from trivium.dashboard.payments import ADD_TO_ACCOUNT, AUTO_FOR_ACCOUNT, FILTERS, FILTERS_IN, PAYMENTS
from trivium.dashboard.people import PEOPLE
from trivium.dashboard.row import EVERYWHERE, NUMBER, Resource
from trivium.dashboard.row import action as _do
from trivium.dashboard.visitor import Kind

SHARED: tuple[Kind, ...] = ("house", "organization")


_KEY = {"key": "id"}
_USD = {"usd": "In USD, as 12.50.", "expires": "A date (its end, UTC); left empty: never."}
_KEY_HELP = {
    "strict": "Calls are refused rather than sent on with a loss.",
    "short_lived": "It expires after 15 minutes.",
    "expires_ms": "UTC; left empty: never.",
    "capture": "The bodies of its calls are kept for some days, where the house does that.",
    "capture_until_ms": "UTC; left empty: until it is switched off.",
    "scopes.apis": "None: all of them.",
    "scopes.models": "One a line, * as wildcard; none: all.",
    "scopes.networks": "Addresses or networks, one a line; none: all.",
    "budget.usd": "In USD; 0 allows nothing that costs.",
    "overlap_hours": "How many hours the present text stays good.",
    "project": "The id of a project, to count and limit by.",
    "organization": "Its id: it pays, and its policy holds.",
    "user": "The id of whose it is; of an organization's key a member, or left empty.",
    "account": "The id of the account that pays, where it is neither the organization's nor the user's.",
}
_MORE_BUDGET = "In USD, in place of what it has for this period. Left empty: all stay as they are; Budgets has them."
_WHOSE: Mapping[str, tuple[Kind, ...]] = {
    "organization": ("house",),
    "user": ("house", "organization"),
    "account": ("house",),
}

RESOURCES: tuple[Resource, ...] = (
    Resource(
        path="keys",
        title="Keys",
        one="key",
        group="Use",
        about="API keys. The text of a key is shown once, where it is made.",
        spaces=EVERYWHERE,
        lists="keys.list",
        columns=(
            "name",
            "hint",
            "user_id",
            "project_id",
            "created_ms",
            "last_used_ms",
            "expires_ms",
            "capture",
            "revoked_ms",
        ),
        over=("revoked_ms",),
        filters=("organization", "user"),
        make=_do(
            "new",
            "New key",
            "keys.create",
            asks=(
                *("name", *_WHOSE, "project", "expires_ms", "short_lived", "strict", "scopes", "limits", "budget"),
                *("capture", "capture_until_ms"),
            ),
            asks_in=_WHOSE,
            shows="key",
            help=_KEY_HELP,
        ),
        also=(
            _do(
                "revoke-all",
                "Revoke all",
                "users.revoke_keys",
                spaces=("me",),
                warns="Calls with any key of this user are refused at once, those that organizations pay for too.",
            ),
        ),
        does=(
            _do(
                "edit",
                "Change",
                "keys.set",
                takes=_KEY,
                asks=(
                    *("name", "project", "expires_ms", "strict", "scopes", "limits", "budget"),
                    *("capture", "capture_until_ms"),
                ),
                edits=True,
                help=_KEY_HELP | {"budget.usd": _MORE_BUDGET},
            ),
            _do("rotate", "Rotate", "keys.rotate", takes=_KEY, asks=("overlap_hours",), shows="key", help=_KEY_HELP),
            _do("revoke", "Revoke", "keys.revoke", takes=_KEY, warns="Calls with this key are refused at once."),
        ),
    ),
    Resource(
        path="upstream-keys",
        title="Upstream keys",
        one="upstream key",
        group="Use",
        about="Keys of yours for vendors, which pay for calls to their models. They go in and never come out.",
        spaces=("me", "organization"),
        lists="byok.list",
        columns=("vendor", "name", "hint", "position", "base_url", "enabled", "created_ms"),
        filters=("vendor",),
        make=_do("new", "Add a key", "byok.add", asks=("vendor", "name", "credential", "base_url", "region")),
        does=(
            _do(
                "edit",
                "Change",
                "byok.set",
                takes=_KEY,
                asks=("name", "credential", "base_url", "region", "enabled"),
                edits=True,
                help={"credential": "Left empty: it stays as it is."},
            ),
            _do("remove", "Remove", "byok.remove", takes=_KEY, warns="Calls are not made with it any more."),
        ),
        also=(
            _do(
                "order",
                "Order",
                "byok.order",
                asks=("vendor", "keys"),
                help={"keys": "Ids or names of all keys for the vendor, one a line, the first to be tried first."},
            ),
        ),
    ),
    Resource(
        path="models",
        title="Custom models",
        one="custom model",
        group="Use",
        about="Models on servers of this organization's own.",
        spaces=("organization",),
        lists="models.list",
        columns=("name", "base_url", "model", "apis", "context", "hint", "organizations"),
        id="name",
        make=_do("new", "Add a model", "models.add", asks=None),
        does=(
            _do("edit", "Change", "models.set", takes={"name": "name"}, asks=None, edits=True),
            _do("share", "Share", "models.share", takes={"name": "name"}, asks=("organizations",), edits=True),
            _do("remove", "Remove", "models.remove", takes={"name": "name"}, warns="Its key is removed with it."),
        ),
    ),
    Resource(
        path="budgets",
        title="Budgets",
        one="budget",
        group="Money",
        about="The most that may be spent in a period, and what the present one has seen.",
        spaces=EVERYWHERE,
        lists="budgets.list",
        columns=("scope", "period", "usd", "spent_usd", "held_usd"),
        filters=("organization", "user"),
        make=_do(
            "new",
            "Set a budget",
            "budgets.set",
            asks=("scope", "period", "usd"),
            help={
                "scope": "key:ID, user:ID, account:ID, member:ACCOUNT/USER or project:ORGANIZATION/ID.",
                "usd": "In USD, as 12.50; 0 allows nothing that costs.",
            },
        ),
        does=(_do("remove", "Remove", "budgets.remove", takes={"budget": "id"}, warns="Nothing limits it any more."),),
    ),
    Resource(
        path="accounts",
        title="Accounts",
        one="account",
        group="Money",
        about="Who pays, and what is there to pay with.",
        spaces=EVERYWHERE,
        lists="accounts.list",
        columns=("name", "id", "kind", "balance_usd", "held_usd", "free_usd"),
        link="entries?account={id}",
        filters=FILTERS,
        filters_in=FILTERS_IN,
        make=_do("new", "New account", "accounts.create", asks=("name", "kind", "id")),
        does=(
            ADD_TO_ACCOUNT,
            AUTO_FOR_ACCOUNT,
            _do(
                "grant",
                "Grant",
                "credits.grant",
                takes={"account": "id"},
                asks=("usd", "expires", "note"),
                help=_USD,
            ),
            _do(
                "top-up",
                "Top up",
                "credits.top_up",
                takes={"account": "id"},
                asks=("usd", "note"),
                help=_USD,
            ),
            _do(
                "adjust",
                "Adjust",
                "credits.adjust",
                takes={"account": "id"},
                asks=("usd", "overdraw", "note"),
                help={"usd": "In USD; less than 0 takes away.", "overdraw": "Even if there is less than that."},
            ),
        ),
    ),
    Resource(
        path="entries",
        title="Account entries",
        one="entry",
        group="Money",
        about="What changed balances, the newest first.",
        spaces=EVERYWHERE,
        lists="credits.entries",
        columns=("time_ms", "account_id", "kind", "usd", "request_id", "expires_ms", "note"),
        id=NUMBER,
        filters=FILTERS,
        filters_in=FILTERS_IN,
        does=(
            _do(
                "refund",
                "Refund",
                "credits.refund",
                takes={"request": "request_id"},
                asks=("usd", "note"),
                help={"usd": "In USD; left empty: all of the charge."},
            ),
        ),
    ),
    *PAYMENTS,
    Resource(
        path="prices",
        title="Prices",
        one="price",
        group="Models",
        about="What models cost, in USD for a million tokens, and where each price comes from.",
        spaces=("house",),
        lists="prices.show",
        columns=("model", "source", "price", "markup_ppm", "free", "context"),
        id="model",
        filters=("model", "account_id", "at_ms", "version"),
        make=_do(
            "new",
            "Set a price",
            "prices.set",
            asks=("pattern", "price", "markup_ppm", "account_id", "effective_ms", "note", "remove"),
            help={
                "pattern": "As provider/model; * and ? as wildcards.",
                "price": 'USD per million tokens, as {"input": 3, "output": 15}.',
                "markup_ppm": "Millionths on top: 50000 is 5%.",
                "account_id": "The id of the account it is for; left empty: for all.",
                "effective_ms": "UTC; left empty: at once.",
                "remove": "End what was set for this pattern.",
            },
        ),
    ),
    *PEOPLE,
    Resource(
        path="catalogue",
        title="Catalogue",
        one="model",
        group="Models",
        about="Every name of a model, and where it leads.",
        spaces=("house",),
        lists="catalog.models",
        columns=("id", "routes", "free", "context", "output_limit", "takes"),
        filters=("provider",),
        make=_do("refresh", "Ask providers now", "catalog.refresh", asks=("provider", "force")),
    ),
    Resource(
        path="admins",
        title="Admin credentials",
        one="credential",
        group="House",
        about="Credentials of operators for the admin API. They are no API keys.",
        spaces=("house",),
        lists="admins.list",
        columns=("name", "hint", "user_id", "created_ms", "expires_ms", "revoked_ms"),
        over=("revoked_ms",),
        make=_do(
            "new",
            "New credential",
            "admins.create",
            asks=("name", "user", "expires_ms"),
            shows="credential",
            help={"user": "Whose roles it has; left empty: it may do everything.", "expires_ms": "UTC."},
        ),
        does=(_do("revoke", "Revoke", "admins.revoke", takes={"admin": "id"}, warns="It ends at once."),),
    ),
    Resource(
        path="changes",
        title="Audit log",
        one="change",
        group="House",
        about="Who changed what, the newest first.",
        spaces=SHARED,
        lists="changes.list",
        columns=("time_ms", "actor", "action", "target", "change", "organization_id"),
        id=NUMBER,
        compares=("before", "after"),
        filters=("organization",),
    ),
    Resource(
        path="notices",
        title="Notices",
        one="notice",
        group="Alerts",
        about="Alerts that were told, the newest first.",
        spaces=("house",),
        lists="alerts.notices",
        columns=("time_ms", "severity", "title", "text", "channels", "ended_ms"),
        id=NUMBER,
    ),
    CHANNELS,
)
BY_PATH = {one.path: one for one in RESOURCES}
