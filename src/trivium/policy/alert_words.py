"""What a channel is told, in its own form: text for Slack, JSON for programs, a mail. Pure.

All that is found in one evaluation goes out together, by severity: a provider that fails for a hundred apps is one
message, not a hundred.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from trivium.policy.alert_rules import Finding
from trivium.settings_alerts import Severity

VERSION = 1
SHOWN = 20
"""Findings that are told in words; JSON has all."""
_TITLES = 3
"""Of findings in a mail's subject."""
_SPECIAL = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "@\u200b"})
"""What Slack takes for marks of its own (its documentation, "Formatting text for app surfaces"); and `@all`, by which
Mattermost and Rocket.Chat, which take the same, call everybody."""
_MARKS: dict[str, str] = {"page": ":rotating_light:", "ticket": ":ticket:"}


class Message(NamedTuple):
    severity: Severity
    findings: Sequence[Finding]
    time_ms: int
    test: bool = False
    """Only to see whether it arrives."""


class Mail(NamedTuple):
    subject: str
    text: str


def as_slack(message: Message) -> bytes:
    head = f"{_MARKS[message.severity]} {_head(message)}"
    told = [f"*{one.title.translate(_SPECIAL)}*\n{one.text.translate(_SPECIAL)}" for one in message.findings[:SHOWN]]
    return msgspec.json.encode({"text": "\n".join([head, *told, *_rest(message)])})


def as_json(message: Message) -> bytes:
    return msgspec.json.encode(
        {
            "version": VERSION,
            "time_ms": message.time_ms,
            "severity": message.severity,
            "test": message.test,
            "alerts": [_plain(finding) for finding in message.findings],
        }
    )


def as_mail(message: Message) -> Mail:
    """The subject is one line, whatever names say."""
    titles = [one.title for one in message.findings[:_TITLES]]
    more = len(message.findings) - len(titles)
    subject = "; ".join(titles) + (f" and {more} more" if more else "")
    line = "".join(letter if letter.isprintable() else " " for letter in f"[{_head(message)}] {subject}")
    told = [f"{one.title}\n{one.text}\n" for one in message.findings[:SHOWN]]
    return Mail(line[:200], "\n".join([*told, *_rest(message)]))


def _head(message: Message) -> str:
    return f"Trivium {'test of a ' if message.test else ''}{message.severity}"


def _rest(message: Message) -> list[str]:
    more = len(message.findings) - SHOWN
    return [f"And {more} more: `trivium alerts notices` has them."] if more > 0 else []


def _plain(finding: Finding) -> dict[str, Any]:
    names = ("rule", "severity", "key", "title", "text", "facts")
    return {name: getattr(finding, name) for name in names}
