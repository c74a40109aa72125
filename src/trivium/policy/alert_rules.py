"""What operators are alerted about: the house's rules, and what follows from them. Pure.

A finding is something that is so in this moment. Whether it is told is `due`'s to say: what was told a while ago is not
told again, a page tells more than a ticket, and what can only be so or not is told once, until it has been otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, NamedTuple

import msgspec

from trivium.canon import wildcard
from trivium.clock import MINUTE_MS
from trivium.money import nano_text, to_nano
from trivium.patterns import matching
from trivium.policy.baseline import Suggestion
from trivium.policy.burn import Burning, Tally, burning
from trivium.policy.caller import Pattern
from trivium.policy.spending import Budget, window_start
from trivium.settings_alerts import Severity

SILENT_MS: Mapping[Severity, int] = {"page": 15 * MINUTE_MS, "ticket": 240 * MINUTE_MS}
"""How long the same is not told again."""
REFUSAL_MS = 5 * MINUTE_MS
"""How long a provider that refused us, and was not called since, is said to refuse us."""
Objective = Annotated[float, msgspec.Meta(ge=0.5, le=0.99999)]
"""The part of calls that has to be good."""
Usd = Annotated[str, matching(r"^[0-9]{1,9}(\.[0-9]{1,9})?\Z", "an amount, as 12.50")]
Percent = Annotated[int, msgspec.Meta(ge=1, le=1000)]
AccountPattern = Annotated[str, matching(r"^(\*|[A-Za-z0-9][A-Za-z0-9._@-]{0,99})\Z", "an account's id, or *")]
_Some = msgspec.Meta(max_length=1000)


class AlertRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What operators are alerted about. Models are `PROVIDER/MODEL`, `*` and `?` as wildcards; of several patterns that
    fit the most precise one counts."""

    errors: bool = True
    """Whether error budgets that burn are told of."""
    objective: Objective = 0.999
    """The part of calls that has to succeed."""
    objectives: Annotated[dict[Pattern, Objective], _Some] = {}
    """The same by model."""
    minimum: Annotated[int, msgspec.Meta(ge=1, le=10**6)] = 10
    """Calls that each window has to have seen."""
    slow_ms: Annotated[dict[Pattern, Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]], _Some] = {}
    """By model: a first token that comes later is slow. What fits no pattern is never slow."""
    slow_objective: Objective = 0.99
    """The part of first tokens that may not be slow."""
    low_balance: Annotated[dict[AccountPattern, Usd], _Some] = {}
    """By account: a balance below is low. `*`: every account that was ever given credits."""
    budgets: Annotated[tuple[Percent, ...], msgspec.Meta(max_length=20)] = (50, 80, 100)
    """Percent of a budget; empty: none is told of."""
    refusals: bool = True
    """Whether it is told that a provider refuses the house's own account."""
    payments: bool = True
    """Whether it is told that a payment has no account, or that a card is charged no more."""
    audit_hours: Annotated[int, msgspec.Meta(ge=0, le=8760)] = 24
    """How often the auditor looks at the ledger; 0: never by itself."""


DEFAULTS = AlertRules()


class Series(NamedTuple):
    """What error budgets are kept for."""

    provider: str
    model: str
    app: str


class Counted(NamedTuple):
    """What a window has seen of a series."""

    calls: int = 0
    errors: int = 0
    streams: int = 0
    """First tokens of successes, where slow ones are looked for."""
    slow: int = 0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    """`errors`, `slow`, `balance`, `budget`, `refusal`, `audit` or `payments`."""
    severity: Severity
    key: str
    """The same for what is the same."""
    title: str
    text: str
    silenced: tuple[tuple[str, int | None], ...]
    """Not told where one of these keys was told, in so many milliseconds or (None) ever."""
    facts: dict[str, Any] = {}


class Told(NamedTuple):
    """When a key was last told."""

    key: str
    time_ms: int


def fitting(patterns: Mapping[str, Any], provider: str, model: str) -> Any:
    """The value of the most precise pattern that fits; None where none does."""
    name = f"{provider}/{model}"
    fits = [pattern for pattern in patterns if wildcard.fitting(pattern)(name)]
    return patterns[max(fits, key=wildcard.precision)] if fits else None


def with_suggestions(rules: AlertRules, suggested: Iterable[Suggestion]) -> AlertRules:
    """What a baseline suggests, beside what the rules say of other models."""
    objectives, slow_ms = dict(rules.objectives), dict(rules.slow_ms)
    for one in suggested:
        if one.objective is not None:
            objectives[one.model] = one.objective
        if one.slow_ms is not None:
            slow_ms[one.model] = one.slow_ms
    return msgspec.structs.replace(rules, objectives=objectives, slow_ms=slow_ms)


def error_findings(seen: Mapping[Series, Mapping[int, Counted]], rules: AlertRules) -> list[Finding]:
    """`seen`: by series and minutes of a window."""
    found = []
    for series, windows in seen.items():
        tallies = {span: Tally(window.calls, window.errors) for span, window in windows.items()}
        objective = fitting(rules.objectives, series.provider, series.model) or rules.objective
        if burns := burning(tallies, objective, rules.minimum):
            found.append(_burn("errors", series, burns, objective, "failed"))
    return found


def slow_findings(seen: Mapping[Series, Mapping[int, Counted]], rules: AlertRules) -> list[Finding]:
    found = []
    for series, windows in seen.items():
        limit = fitting(rules.slow_ms, series.provider, series.model)
        tallies = {span: Tally(window.streams, window.slow) for span, window in windows.items()}
        if limit is not None and (burns := burning(tallies, rules.slow_objective, rules.minimum)):
            words = f"had their first token after more than {limit} ms"
            found.append(_burn("slow", series, burns, rules.slow_objective, words, limit_ms=limit))
    return found


def _burn(rule: str, series: Series, burns: Burning, objective: float, words: str, **more: Any) -> Finding:
    of = f"{series.provider}/{series.model} for {series.app}"
    severity, seen = burns.rule.severity, burns.seen
    keys = {one: f"{rule}:{one}:{'|'.join(series)}" for one in SILENT_MS}
    silenced = [(keys[severity], SILENT_MS[severity])]
    if severity == "ticket":
        silenced.append((keys["page"], SILENT_MS["page"]))
    return Finding(
        rule=rule,
        severity=severity,
        key=keys[severity],
        title=f"{'Errors' if rule == 'errors' else 'Slow first tokens'}: {of}",
        text=f"{seen.bad} of {seen.calls} calls ({100 * seen.bad / seen.calls:.3g} %) {words} in {burns.rule.long}"
        f" minutes: {_times(burns.rate)} times what an objective of {100 * objective:.6g} % leaves room for.",
        silenced=tuple(silenced),
        facts={
            **series._asdict(),
            "calls": seen.calls,
            "bad": seen.bad,
            "burn_rate": round(burns.rate, 3),
            "threshold": burns.rule.tenths / 10,
            "minutes": [burns.rule.long, burns.rule.short],
            "objective": objective,
            **more,
        },
    )


def _times(rate: float) -> str:
    return f"{rate:.3g}" if rate < 100 else f"{rate:.0f}"


class Balance(NamedTuple):
    account: str
    nano: int


def balance_findings(balances: Iterable[Balance], rules: AlertRules) -> list[Finding]:
    """Of accounts that `low_balance` names, or that were ever given credits."""
    found = []
    for one in balances:
        least = rules.low_balance.get(one.account, rules.low_balance.get("*"))
        if least is None or one.nano >= to_nano(Decimal(least)):
            continue
        text = f"{one.account} has {nano_text(one.nano)} USD left, less than {least}."
        facts = {"account": one.account, "usd": nano_text(one.nano), "below_usd": least}
        found.append(once("balance", "ticket", f"balance:{one.account}", f"Low balance: {one.account}", text, facts))
    return found


class Spent(NamedTuple):
    """A period of a budget."""

    budget: Budget
    window_ms: int
    nano: int


def budget_findings(spent: Iterable[Spent], rules: AlertRules, now_ms: int) -> list[Finding]:
    """The highest threshold that each budget has reached in its present period."""
    steps, found = sorted(set(rules.budgets), reverse=True), []
    for one in spent:
        budget = one.budget
        if budget.limit_nano <= 0 or window_start(budget.period, now_ms) != one.window_ms:
            continue
        reached = next((step for step in steps if one.nano * 100 >= step * budget.limit_nano), None)
        if reached is None:
            continue
        of = f"budget:{budget.id}:{one.window_ms}"
        text = (
            f"{nano_text(one.nano)} of {nano_text(budget.limit_nano)} USD are spent"
            f" ({'in total' if budget.period == 'total' else 'this ' + budget.period})."
        )
        found.append(
            Finding(
                rule="budget",
                severity="ticket",
                key=f"{of}:{reached}",
                title=f"Budget of {budget.scope}: {reached} % reached",
                text=text,
                silenced=tuple((f"{of}:{step}", None) for step in steps if step >= reached),
                facts={
                    "budget": budget.id,
                    "scope": budget.scope,
                    "period": budget.period,
                    "percent": reached,
                    "spent_usd": nano_text(one.nano),
                    "limit_usd": nano_text(budget.limit_nano),
                },
            )
        )
    return found


class Refusing(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that refused the house's own account, as a gateway has written it down."""

    provider: str
    status: int | None
    message: str
    last_ms: int


def refusal_findings(refusing: Iterable[Refusing], rules: AlertRules, now_ms: int) -> list[Finding]:
    found = []
    for one in refusing if rules.refusals else ():
        if abs(now_ms - one.last_ms) > REFUSAL_MS:  # far ahead: by a clock that was wrong
            continue
        key, status = f"refusal:{one.provider}", one.status or "none"
        found.append(
            Finding(
                rule="refusal",
                severity="page",
                key=key,
                title=f"{one.provider} refuses this gateway's account",
                text=f"Status {status}: {one.message}",
                silenced=((key, SILENT_MS["page"]),),
                facts={"provider": one.provider, "status": one.status, "message": one.message},
            )
        )
    return found


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What the auditor said last."""

    findings: int
    failed: tuple[str, ...] = ()
    """Checks that found something."""
    problem: str | None = None
    """Why it could not look."""
    time_ms: int = 0


def audit_findings(audited: Audited | None) -> list[Finding]:
    if audited is None or not (audited.findings or audited.problem):
        return []
    text = (
        audited.problem
        or f"{audited.findings} findings in {', '.join(audited.failed)}: `trivium ledger verify` has them."
    )
    facts = {"findings": audited.findings, "problem": audited.problem}
    return [once("audit", "page", "audit", "The ledger's auditor fails", text, facts)]


def once(rule: str, severity: Severity, key: str, title: str, text: str, facts: dict[str, Any]) -> Finding:  # noqa: PLR0917
    """Of what is told once, until it has been otherwise."""
    silenced = ((key, None),)
    return Finding(rule=rule, severity=severity, key=key, title=title, text=text, silenced=silenced, facts=facts)


LASTING = ("balance", "audit", "payments")
"""Rules whose findings end: what of them is so no more may be told anew."""


def due(found: Sequence[Finding], told: Iterable[Told], now_ms: int) -> list[Finding]:
    """Which findings have to be told now, pages first. `told` has what was, of all keys that silence one of them."""
    last: dict[str, int] = {}
    for one in told:
        last[one.key] = max(one.time_ms, last.get(one.key, one.time_ms))
    chosen: dict[str, Finding] = {}
    for finding in sorted(found, key=lambda one: one.severity != "page"):
        silent = any(
            key in chosen or (key in last and (span is None or now_ms - last[key] < span))
            for key, span in finding.silenced
        )
        if not silent:
            chosen[finding.key] = finding
    return list(chosen.values())
