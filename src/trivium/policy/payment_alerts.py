"""What operators are alerted about of payments. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from trivium.policy.alert_rules import AlertRules, Finding, once
from trivium.settings_alerts import Severity

SILENT_MS = 3_600_000
"""After a card was charged, until it is strange that the processor has not told of it."""


class Trouble(NamedTuple):
    """Something that somebody has to see to."""

    kind: Literal["stray", "stopped", "silent"]
    """Money for nobody; a card that is charged no more; a charge that no webhook has told of."""
    of: str
    """The event, account or payment, by its id."""
    why: str


_WORDS: dict[str, tuple[Severity, str, str]] = {
    "stray": ("page", "A payment has no account", "`trivium payments strays` shows it."),
    "stopped": ("ticket", "An automatic top-up was switched off", "Its owner has to agree to it anew."),
    "silent": ("page", "A payment is not told of", "The card was charged; do webhooks arrive?"),
}


def payment_findings(troubles: Iterable[Trouble], rules: AlertRules) -> list[Finding]:
    found = []
    for one in troubles if rules.payments else ():
        severity, title, hint = _WORDS[one.kind]
        facts = {"kind": one.kind, "of": one.of, "why": one.why}
        text = f"{one.why} {hint}"
        found.append(once("payments", severity, f"payments:{one.kind}:{one.of}", f"{title}: {one.of}", text, facts))
    return found
