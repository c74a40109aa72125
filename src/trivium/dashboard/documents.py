"""Pages about settings as a whole, and the parts of the page on how the house does: a row each."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from trivium.dashboard.row import Action
from trivium.dashboard.visitor import Kind


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Settings that are shown and replaced as one."""

    path: str
    title: str
    about: str
    spaces: tuple[Kind, ...]
    shows: str
    sets: str
    group: str = "House"
    help: Mapping[str, str] = {}


DOCUMENTS: tuple[Document, ...] = (
    Document(
        path="settings",
        title="Gates and limits",
        about="What is open to whom, and the limits of those who have none of their own.",
        spaces=("house",),
        shows="settings.show",
        sets="settings.set",
        help={
            "settings.apis": 'As {"messages": {"open_to": "admins"}}.',
            "settings.models": 'As {"openai/*": {"open_to": "named", "organizations": ["acme"]}}; * as wildcard.',
            "settings.limits_by_model": 'As {"openai/*": {"output_tokens_per_minute": 400000}}, which count together.',
        },
    ),
    Document(
        path="alerts",
        title="Rules",
        about="What operators are alerted about. Channels are where they are told, Baseline suggests thresholds.",
        spaces=("house",),
        shows="alerts.rules.show",
        group="Alerts",
        sets="alerts.rules.set",
        help={
            "settings.errors": "Calls of a provider, model and client app fail faster than the objective allows.",
            "settings.refusals": "A provider refuses the house's own key or account.",
            "settings.slow_objective": "The part of streams whose first token has to be in time, as 0.99.",
            "settings.objective": "The part of calls that has to succeed, as 0.999.",
            "settings.objectives": 'By model, as {"openai/*": 0.99}.',
            "settings.minimum": "Calls that each window has to have seen.",
            "settings.slow_ms": 'By model, from how many milliseconds on a first token is slow, as {"openai/*": 5000}.',
            "settings.low_balance": 'By account, in USD, as {"acme": "5"}; *: all that were given credits.',
            "settings.budgets": "Percent of a budget.",
            "settings.payments": "Payments without an account; cards that are charged no more.",
            "settings.audit_hours": "How often the ledger's auditor looks; 0: never by itself.",
        },
    ),
    Document(
        path="policy",
        title="Policy and limits",
        about="What this organization's calls may reach.",
        spaces=("organization",),
        shows="orgs.settings.show",
        sets="orgs.settings.set",
        help={
            "settings.forbid_capture": "No bodies of calls are kept, whatever keys say; those that there are go.",
            "settings.policy.models_allow": "One a line, * as wildcard; none: all.",
            "settings.policy.models_deny": "One a line, * as wildcard; even if they are allowed above.",
            "settings.policy.providers_deny": "One a line; their routes are not taken.",
            "settings.policy.default_model": "Proposed to clients that ask which model to use.",
            "settings.policy.providers_allow": "One a line; none: all.",
            "settings.policy.zdr": "Only providers that keep nothing at all.",
            "settings.policy.data_collection": "deny: no provider that keeps prompts or learns from them.",
        },
    ),
)


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the page on how the house does."""

    title: str
    operation: str
    columns: tuple[str, ...] = ()
    """Of a list; of an object all members are shown."""
    empty: str = "None."
    actions: tuple[Action, ...] = ()


PANELS: tuple[Panel, ...] = (
    Panel(title="Alerts", operation="alerts.show", empty="No provider refuses the house's own account."),
    Panel(
        title="Alert channels",
        operation="alerts.channels",
        columns=("name", "kind", "where", "severities", "rules", "enabled", "problem"),
        empty="There is none: nothing is counted for alerts.",
        actions=(Action(path="test-alerts", label="Send a test through all", operation="alerts.test"),),
    ),
    Panel(title="Routes", operation="routes.show", empty="No model has several routes that were called."),
    Panel(
        title="Providers' lists of models",
        operation="catalog.sources",
        columns=("provider", "origin", "models", "confirmed_ms", "failures", "problem", "url"),
    ),
    Panel(title="Abuse", operation="abuse.status"),
    Panel(title="Limits", operation="limits.show"),
    Panel(
        title="Secrets",
        operation="secrets.status",
        actions=(
            Action(path="rotate-secrets", label="Put all of them under the current key", operation="secrets.rotate"),
            Action(path="new-secret", label="Under a new one", operation="secrets.rotate", fixed={"new": True}),
        ),
    ),
    Panel(
        title="Configuration",
        operation="config.show",
        actions=(Action(path="reload", label="Read the file again", operation="config.reload"),),
    ),
)


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """An operation that is asked with a form and changes nothing."""

    path: str
    title: str
    about: str
    operation: str
    group: str = "House"
    spaces: tuple[Kind, ...] = ("house",)
    asks: tuple[str, ...] | None = None
    help: Mapping[str, str] = {}
    then: Action | None = None
    """What can be done with the answer, by an operation with the same arguments."""
    leads: str = ""
    """To which page that leads."""


QUESTIONS: tuple[Question, ...] = (
    Question(
        path="explain",
        title="Explain",
        about="What would become of a request, without a call to anybody.",
        operation="explain",
        group="Models",
        asks=("model", "api", "key", "address", "request", "headers"),
        help={
            "model": "As a client would name it; left empty: the one in the request.",
            "key": "Its id; left empty: a caller without a key.",
            "address": "From where it is called, for a key that is bound to networks.",
            "request": "The body, as JSON.",
            "headers": 'As {"x-trivium-mode": "plan"}.',
        },
    ),
    Question(
        path="baseline",
        title="Baseline",
        about="Which objectives and thresholds for slow first tokens the past suggests, by model.",
        operation="alerts.baseline",
        group="Alerts",
        help={"days": "How far back."},
        then=Action(path="take", label="Take these into the rules", operation="alerts.baseline.take"),
        leads="alerts",
    ),
    Question(
        path="price-history",
        title="Price history",
        about="Which prices a model's calls were charged with.",
        operation="prices.history",
        group="Models",
        help={"model": "As the catalogue names it: provider/model."},
    ),
    Question(
        path="price-changes",
        title="Price changes",
        about="How prices differ from what was last charged with.",
        operation="prices.diff",
        group="Models",
        help={"a": "A version; left empty: what was last charged with.", "b": "Left empty: what holds now."},
    ),
)
