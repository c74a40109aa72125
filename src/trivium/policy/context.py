"""What a client tells of itself beside its request: which task, session and project a call belongs to, which editor and
machine it comes from, in which mode it works. Headers `x-trivium-...`; Kilo Code's own names mean the same.

Nothing here is believed where it would matter: who pays and which budgets count is a matter of the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

ORGANIZATION = (b"x-trivium-organization", b"x-kilocode-organizationid")
"""Of these the first that is sent says for which organization a user's key is used (`pipeline/authenticate.py`)."""

FEATURES = frozenset(
    {
        "agent-manager",
        "app-builder",
        "auto-triage",
        "autocomplete",
        "autofix",
        "bot",
        "cli",
        "cloud-agent",
        "cloud-agent-web",
        "code-review",
        "code-review-memory",
        "daemon",
        "direct-gateway",
        "discord",
        "embeddings",
        "gastown",
        "github",
        "jetbrains-extension",
        "jetbrains-plugin",
        "kilo-claw",
        "kiloclaw",
        "kiloclaw-embedding",
        "linear",
        "managed-indexing",
        "mobile-chat",
        "openclaw",
        "openclaw-embedding",
        "parallel-agent",
        "scheduled",
        "security-agent",
        "security-remediation",
        "slack",
        "vscode-extension",
        "webhook",
    }
)
"""What a call can be for. A closed list (the public one of Kilo's gateway), so that sums by feature stay readable."""

_LONGEST = 500
"""Characters of a value; the rest is cut."""
_LONGEST_PROJECT = 256
_URL = re.compile(r"(?ai)[a-z][a-z0-9+.-]*://|[\w.-]+@[\w.-]+:")


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """As the client says; None: it does not."""

    mode: str | None = None
    """In lower case, without blanks around it."""
    task: str | None = None
    parent_task: str | None = None
    session: str | None = None
    project: str | None = None
    """Of a git URL the repository's name."""
    editor: str | None = None
    machine: str | None = None
    version: str | None = None
    feature: str | None = None
    """One of `FEATURES`."""


_NAMES: dict[str, tuple[bytes, ...]] = {
    "mode": (b"x-trivium-mode", b"x-kilocode-mode"),
    "task": (b"x-trivium-task", b"x-kilocode-taskid"),
    "parent_task": (b"x-trivium-parent-task", b"x-kilocode-parent-taskid"),
    "session": (b"x-trivium-session", b"x-session-id"),
    "project": (b"x-trivium-project", b"x-kilocode-projectid"),
    "editor": (b"x-trivium-editor", b"x-kilocode-editorname"),
    "machine": (b"x-trivium-machine", b"x-kilocode-machineid"),
    "version": (b"x-trivium-version", b"x-kilocode-version"),
    "feature": (b"x-trivium-feature", b"x-kilocode-feature"),
}
"""Headers by what they tell; of several the first that is sent counts."""
_ALL = frozenset(name for names in _NAMES.values() for name in names)
NOTHING = Context()


def context_of(headers: Mapping[bytes, bytes]) -> Context:
    """Most programs send none of these headers, which is seen at a glance."""
    if _ALL.isdisjoint(headers):
        return NOTHING
    told = {field: first(headers, names) for field, names in _NAMES.items()}
    mode, feature = ((told[name] or "").lower() or None for name in ("mode", "feature"))
    project = _project(told["project"]) if told["project"] else None
    told |= {"mode": mode, "feature": feature if feature in FEATURES else None, "project": project}
    return Context(**told)


def first(headers: Mapping[bytes, bytes], names: tuple[bytes, ...]) -> str | None:
    """The value of the first of these headers that has one, cut to 500 characters."""
    for name in names:
        if value := headers.get(name):
            text = value.decode("utf-8", "replace").strip()[:_LONGEST]
            if text:
                return text
    return None


def _project(said: str) -> str | None:
    """`https://host/owner/name.git` and `git@host:owner/name.git` are the project `name`; a URL can hold a password,
    and the same repository has several."""
    if _URL.match(said):
        path = said.partition("?")[0].partition("#")[0].rstrip("/").removesuffix(".git")
        said = path.replace(":", "/").rpartition("/")[2]
    return said[:_LONGEST_PROJECT] or None
