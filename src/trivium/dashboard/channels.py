"""The page on channels of alerts, a row of `table.py`: each kind has forms of its own, of the settings that it has."""

from __future__ import annotations

from typing import Any

from trivium.dashboard.row import Action, Resource

_ONE = {"channel": "name"}
_OURS = {"source": "kept"}
_ALL = ("severities", "rules", "timeout")
_ASKS = {
    "slack": ("url",),
    "webhook": ("url", "headers"),
    "email": ("host", "port", "security", "sender", "to", "login", "password"),
}
_LABELS = {"slack": "Add Slack", "webhook": "Add a webhook", "email": "Add e-mail"}
_HELP = {
    "name": "1 to 100 of a-z, 0-9, dots, dashes and underscores, a letter or digit first.",
    "url": "It is sealed, and never shown again.",
    "headers": 'They are sealed, and never shown again. As {"authorization": "Bearer ..."}.',
    "rules": "What it is told of.",
    "severities": "A page is for now, a ticket for the next working day.",
    "host": "Needed: the mail server, as smtp.example.com.",
    "security": "Left empty: starttls.",
    "sender": "Needed: the address that alerts come from.",
    "login": "Left empty: the server asks for none.",
    "timeout": "Seconds for each step; left empty: 10, of mail 20.",
    "enabled": "Without this it is told nothing.",
    "port": "Left empty: 587 with starttls, 465 with tls, 25 with none.",
    "to": "Needed: addresses, one a line.",
    "password": "It is sealed, and never shown again.",
}
_KEPT = {
    "url": "Left empty: it stays as it is.",
    "headers": "All of them; left empty they stay as they are, {} takes them away.",
    "timeout": "Seconds for each step.",
    "login": "Left empty there is no password either.",
    "password": "Left empty: it stays as it is.",
}


def _add(kind: str) -> Action:
    return Action(
        path=f"new-{kind}",
        label=_LABELS[kind],
        operation="alerts.channels.add",
        asks=("name", *_ASKS[kind], *_ALL, "enabled"),
        help=_HELP,
        fixed={"kind": kind},
    )


def _edit(kind: str) -> Action:
    return _change(
        f"edit-{kind}",
        "Change",
        asks=(*_ASKS[kind], *_ALL),
        edits=True,
        help=_HELP | _KEPT,
        only={**_OURS, "kind": kind},
    )


def _change(path: str, label: str, operation: str = "alerts.channels.set", **more: Any) -> Action:
    return Action(path=path, label=label, operation=operation, takes=_ONE, **{"only": _OURS, **more})


CHANNELS = Resource(
    path="channels",
    title="Channels",
    one="channel",
    group="Alerts",
    about="Where alerts go, and whether the last one arrived. Those of the configuration file are changed there.",
    spaces=("house",),
    lists="alerts.channels",
    columns=("name", "kind", "where", "severities", "rules", "enabled", "source", "problem"),
    id="name",
    also=tuple(map(_add, _ASKS)),
    does=(
        _change("test", "Send a test", "alerts.channels.test", only={}, tells=True),
        *map(_edit, _ASKS),
        _change("pause", "Pause", fixed={"enabled": False}, only={**_OURS, "enabled": True}),
        _change("resume", "Resume", fixed={"enabled": True}, only={**_OURS, "enabled": False}),
        _change("remove", "Remove", "alerts.channels.remove", warns="What is sealed for it is removed with it."),
    ),
)
