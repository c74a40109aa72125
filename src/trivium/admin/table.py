"""Every route of the admin API. What is not here cannot be done over HTTP: `backup`, which writes to a path of the
machine, what may take minutes (`retention`, `reconcile`, `ledger.verify`, `prices.rerate`), and what the dashboard's
process does for whoever sits before it (`sessions`, `passwords`, `dashboard`, `operations.describe`)."""

from __future__ import annotations

from typing import Any

from trivium.admin.row import Row


def _row(method: str, path: str, operation: str, does: str, **more: Any) -> Row:
    return Row(method=method, path=path, operation=operation, does=does, **more)


_ORG = "/organizations/{organization}"
_SEEN = {"versioned": True}
_SET = {"content": "settings", "if_match": "version", "versioned": True}
_MADE = {"status": 201}


def _own_keys(owner: str) -> tuple[Row, ...]:
    """Upstream keys of an organization or user. They go in and never come out."""
    path = f"{owner}/upstream-keys"
    other: dict[str, Any] = {"fixed": {"user" if owner == _ORG else "organization": None}}
    return (
        _row("GET", path, "byok.list", "Upstream keys, as much of them as is ever shown.", **other),
        _row("POST", path, "byok.add", "A new upstream key, behind the others for its vendor.", **_MADE, **other),
        _row("PUT", f"{path}/order", "byok.order", "In which order the keys for a vendor are tried.", **other),
        _row("PATCH", f"{path}/{{key}}", "byok.set", "Changes what is sent and leaves the rest.", **other),
        _row("DELETE", f"{path}/{{key}}", "byok.remove", "Ends an upstream key.", **other),
    )


def _payments(owner: str) -> tuple[Row, ...]:
    """What an organization or user buys; there where payments are configured."""
    other: dict[str, Any] = {"fixed": {"user" if owner == _ORG else "organization": None, "account": None}}
    one: dict[str, Any] = {"fixed": {"user" if owner == _ORG else "organization": None}}
    agreed = f"{owner}/auto-top-up"
    return (
        _row("GET", f"{owner}/payments", "payments.list", "What was bought, the newest first.", **other),
        _row(
            "POST", f"{owner}/payments", "payments.checkout", "Begins a payment: the page to pay on.", **_MADE, **other
        ),
        _row("GET", f"{owner}/payments/{{payment}}", "payments.show", "One payment, and what became of it.", **one),
        _row("GET", agreed, "payments.auto.list", "When the saved card is charged by itself.", **other),
        _row("PUT", agreed, "payments.auto.set", "Has the saved card charged when the balance runs low.", **other),
        _row("DELETE", agreed, "payments.auto.off", "Ends that.", **other),
        _row("DELETE", f"{owner}/card", "payments.card.remove", "Forgets the saved card.", **other),
    )


ROWS: tuple[Row, ...] = (
    _row("GET", "/admins", "admins.list", "The operators' credentials, revoked ones too."),
    _row("POST", "/admins", "admins.create", "A new credential; its text is in this answer alone.", **_MADE),
    _row("DELETE", "/admins/{admin}", "admins.revoke", "Ends a credential at once."),
    _row("GET", "/organizations", "orgs.list", "Organizations; with `user`, those that this user is a member of."),
    _row("POST", "/organizations", "orgs.create", "A new organization, with an account of the same id.", **_MADE),
    _row("GET", _ORG, "orgs.show", "One organization."),
    _row("PATCH", _ORG, "orgs.rename", "Gives it another name."),
    _row("GET", f"{_ORG}/settings", "orgs.settings.show", "Its policy and limits.", **_SEEN),
    _row("PUT", f"{_ORG}/settings", "orgs.settings.set", "Replaces all of them.", **_SET),
    _row("GET", f"{_ORG}/members", "members.list", "Who is a member, and as what."),
    _row("PUT", f"{_ORG}/members/{{user}}", "members.set", "Invites somebody, or gives a member another role."),
    _row("POST", f"{_ORG}/members/{{user}}/accept", "members.accept", "Who is invited becomes a member."),
    _row("DELETE", f"{_ORG}/members/{{user}}", "members.remove", "Ends a membership, and its keys with it."),
    _row("GET", f"{_ORG}/projects", "projects.list", "Its projects."),
    _row("POST", f"{_ORG}/projects", "projects.create", "A new project.", **_MADE),
    _row("DELETE", f"{_ORG}/projects/{{project}}", "projects.remove", "Ends a project; its keys go on."),
    _row("GET", f"{_ORG}/keys", "keys.list", "Its API keys, revoked ones too."),
    _row("POST", f"{_ORG}/keys", "keys.create", "A new API key; its text is in this answer alone.", **_MADE),
    _row("GET", f"{_ORG}/keys/{{key}}", "keys.show", "One API key."),
    _row("PATCH", f"{_ORG}/keys/{{key}}", "keys.set", "Changes what is sent and leaves the rest."),
    _row("POST", f"{_ORG}/keys/{{key}}/rotate", "keys.rotate", "Gives it a new text; the old one is good for a while."),
    _row("DELETE", f"{_ORG}/keys/{{key}}", "keys.revoke", "Ends an API key at once."),
    _row("GET", f"{_ORG}/accounts", "accounts.list", "Its account, with the balance.", fixed={"user": None}),
    _row("GET", f"{_ORG}/entries", "credits.entries", "What changed its balance, newest first.", fixed={"user": None}),
    _row("GET", f"{_ORG}/budgets", "budgets.list", "Its budgets: its own, and those of its members, projects, keys."),
    _row("PUT", f"{_ORG}/budgets", "budgets.set", "Sets the budget of a scope and period."),
    _row("DELETE", f"{_ORG}/budgets/{{budget}}", "budgets.remove", "Ends a budget."),
    _row("GET", f"{_ORG}/usage", "usage", "What its calls came to, by what `by` names."),
    _row("GET", f"{_ORG}/usage/report", "usage.report", "The same for people: of a period, with shares and times."),
    _row("GET", f"{_ORG}/usage/csv", "usage.csv", "The same as a table for spreadsheets."),
    _row("GET", f"{_ORG}/requests", "requests", "Its calls, the newest first."),
    _row("GET", f"{_ORG}/requests/search", "requests.search", "Calls by time and filters, the newest first."),
    _row("GET", f"{_ORG}/requests/tail", "requests.tail", "Calls that have ended since the last look."),
    _row("GET", f"{_ORG}/requests/{{request}}/story", "requests.story", "What became of one call, from its beginning."),
    _row("GET", f"{_ORG}/overview", "overview", "Today's figures, and what is going on now."),
    _row("GET", f"{_ORG}/requests/{{request}}/bodies", "requests.bodies", "What is kept of its bodies; noted."),
    _row("GET", f"{_ORG}/requests/{{request}}/receipt", "receipt", "What one of its calls was charged for."),
    _row("GET", f"{_ORG}/changes", "changes.list", "Who changed what in it, the newest first."),
    *_own_keys(_ORG),
    _row("GET", f"{_ORG}/models", "models.list", "Its custom models."),
    _row("POST", f"{_ORG}/models", "models.add", "A new custom model; its key goes in and never comes out.", **_MADE),
    _row("PATCH", f"{_ORG}/models/{{name}}", "models.set", "Changes what is sent and leaves the rest."),
    _row("PUT", f"{_ORG}/models/{{name}}/organizations", "models.share", "To whose callers it is shown besides."),
    _row("DELETE", f"{_ORG}/models/{{name}}", "models.remove", "Ends a custom model, and its key with it."),
    _row("GET", "/users", "users.list", "All users."),
    _row("POST", "/users", "users.create", "A new user, with an account of the same id.", **_MADE),
    _row("POST", "/blocked-users", "users.block", "Blocks all of these users, or none where one is not there."),
    _row("GET", "/users/{user}", "users.show", "One user."),
    _row("GET", "/users/{user}/invitations", "invitations.list", "Memberships that wait for the user's consent."),
    _row("PATCH", "/users/{user}", "users.set", "Changes what is sent and leaves the rest."),
    _row("POST", "/users/{user}/unblock", "users.unblock", "Lets a user in again."),
    _row("POST", "/users/{user}/revoke-keys", "users.revoke_keys", "Ends all API keys of a user at once."),
    _row("POST", "/users/{user}/reset-tokens", "tokens.reset", "Ends all of a user's tokens of the trusted issuer."),
    *_own_keys("/users/{user}"),
    _row("GET", "/blocked-domains", "domains.list", "E-mail domains whose users are blocked."),
    _row("PUT", "/blocked-domains/{domain}", "domains.block", "Blocks the users of a domain."),
    _row("DELETE", "/blocked-domains/{domain}", "domains.unblock", "Lets them in again."),
    _row("GET", "/keys", "keys.list", "API keys: all, or those of `organization` or `user`."),
    _row("POST", "/keys", "keys.create", "A new API key; its text is in this answer alone.", **_MADE),
    _row("GET", "/keys/{key}", "keys.show", "One API key."),
    _row("PATCH", "/keys/{key}", "keys.set", "Changes what is sent and leaves the rest."),
    _row("POST", "/keys/{key}/rotate", "keys.rotate", "Gives it a new text; the old one is good for a while."),
    _row("DELETE", "/keys/{key}", "keys.revoke", "Ends an API key at once."),
    _row("GET", "/settings", "settings.show", "The house's gates and limits.", **_SEEN),
    _row("PUT", "/settings", "settings.set", "Replaces all of them.", **_SET),
    _row("GET", "/changes", "changes.list", "Who changed what, the newest first."),
    _row("POST", "/explain", "explain", "What would become of a request, without a call to anybody."),
    _row("GET", "/routes", "routes.show", "How the routes of models with several routes do."),
    _row("GET", "/limits", "limits.show", "Where limits are counted, and whether Redis does its part."),
    _row("GET", "/free-use", "free.use", "Who uses free models, how much, and how near to the limits."),
    _row("GET", "/abuse", "abuse.status", "What was judged to be abuse since the start, and how the classifier does."),
    _row("GET", "/alerts", "alerts.show", "Providers that refuse the house's own account at the moment."),
    _row("GET", "/alerts/rules", "alerts.rules.show", "What operators are alerted about.", **_SEEN),
    _row("PUT", "/alerts/rules", "alerts.rules.set", "Replaces all of it.", **_SET),
    _row("GET", "/alerts/baseline", "alerts.baseline", "Which rules the past suggests, by model."),
    _row("POST", "/alerts/baseline", "alerts.baseline.take", "Makes what the past suggests part of the rules."),
    _row("GET", "/alerts/notices", "alerts.notices", "What was told, the newest first."),
    _row("GET", "/alerts/channels", "alerts.channels", "Where alerts go, and whether they arrived."),
    _row(
        "POST", "/alerts/channels", "alerts.channels.add", "A new channel; secrets go in and never come out.", **_MADE
    ),
    _row("PATCH", "/alerts/channels/{channel}", "alerts.channels.set", "Changes what is sent and leaves the rest."),
    _row("DELETE", "/alerts/channels/{channel}", "alerts.channels.remove", "Ends a channel, and its secrets with it."),
    _row("POST", "/alerts/channels/{channel}/test", "alerts.channels.test", "Sends a test, and tells the answer."),
    _row("POST", "/alerts/test", "alerts.test", "Sends a test through one channel or all."),
    _row("GET", "/secrets", "secrets.status", "How many secrets lie under which key-encryption key."),
    _row("POST", "/secrets/rotate", "secrets.rotate", "Puts all of them under the current one."),
    _row("GET", "/accounts", "accounts.list", "Accounts, with their balances."),
    _row("POST", "/accounts", "accounts.create", "A new account.", **_MADE),
    _row("GET", "/accounts/{account}/entries", "credits.entries", "What changed its balance, the newest first."),
    _row("POST", "/accounts/{account}/grants", "credits.grant", "Gives credits, which may expire.", **_MADE),
    _row("POST", "/accounts/{account}/top-ups", "credits.top_up", "Adds credits that were paid for.", **_MADE),
    _row("POST", "/accounts/{account}/adjustments", "credits.adjust", "Adds credits or takes some away.", **_MADE),
    _row("POST", "/requests/{request}/refunds", "credits.refund", "Gives back a charge or a part of it.", **_MADE),
    *_payments(_ORG),
    *_payments("/users/{user}"),
    _row("GET", "/payments", "payments.list", "What was bought, the newest first."),
    _row("GET", "/payments/strays", "payments.strays", "Payments that belong to no account here."),
    _row("POST", "/payments/strays/{event}/end", "payments.strays.end", "Somebody has seen to one."),
    _row("GET", "/payments/{payment}", "payments.show", "One payment, and what became of it."),
    _row("GET", "/auto-top-ups", "payments.auto.list", "When saved cards are charged by themselves."),
    _row("POST", "/accounts/{account}/payments", "payments.checkout", "Begins a payment.", **_MADE),
    _row("GET", "/budgets", "budgets.list", "Budgets, with what their present period has seen."),
    _row("PUT", "/budgets", "budgets.set", "Sets the budget of a scope and period."),
    _row("DELETE", "/budgets/{budget}", "budgets.remove", "Ends a budget."),
    _row("GET", "/usage", "usage", "What calls came to, by what `by` names."),
    _row("GET", "/usage/report", "usage.report", "The same for people: of a period, with shares and times."),
    _row("GET", "/usage/csv", "usage.csv", "The same as a table for spreadsheets."),
    _row("GET", "/requests", "requests", "Calls, the newest first."),
    _row("GET", "/requests/search", "requests.search", "Calls by time and filters, the newest first."),
    _row("GET", "/requests/tail", "requests.tail", "Calls that have ended since the last look."),
    _row("GET", "/requests/{request}/story", "requests.story", "What became of one call, from its beginning."),
    _row("GET", "/overview", "overview", "Today's figures, and what is going on now."),
    _row("GET", "/requests/{request}/bodies", "requests.bodies", "What is kept of its bodies; noted."),
    _row("GET", "/requests/{request}/receipt", "receipt", "What a call was charged for."),
    _row("GET", "/catalog/models", "catalog.models", "Every name of a model, and where it leads."),
    _row("GET", "/catalog/sources", "catalog.sources", "Where each provider's models are known from, and how it went."),
    _row("POST", "/catalog/refresh", "catalog.refresh", "Asks providers for their models now."),
    _row("GET", "/config", "config.show", "Which configuration holds, and what became of the last one."),
    _row("POST", "/config/reload", "config.reload", "Reads the configuration file again."),
    _row("GET", "/prices", "prices.show", "What models cost: all that are listed, or one."),
    _row("PUT", "/prices", "prices.set", "Sets a price or a markup, or ends those that were set."),
    _row("GET", "/prices/history", "prices.history", "Which prices a model's calls were charged with."),
    _row("GET", "/prices/diff", "prices.diff", "How prices differ from what was last charged with."),
)
