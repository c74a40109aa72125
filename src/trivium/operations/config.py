"""The configuration of a running gateway: what of a new one holds at once, and what waits for the next start."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from trivium.operations.table import Actor, Arguments, Op, Table, telling
from trivium.settings import Settings
from trivium.settings_payments import PaymentSettings

_FIXED: dict[str, tuple[str, ...]] = {
    "server": ("host", "port", "keep_alive", "shutdown_grace", "workers"),
    "storage": ("data", "url", "retention"),
    "upstream": ("client", "max_connections"),
    "local": ("enabled", "start"),
    "security": ("allow_networks", "deny_networks", "allow_http"),
    "secrets": ("keys",),
    "limits": ("redis_url", "redis_timeout"),
    "admin": ("enabled",),
    "dashboard": ("enabled", "rest_minutes"),
    "log": ("format", "requests"),
    "telemetry": ("max_models", "prometheus", "events", "otel"),
    "alerts": ("apps", "slack", "webhooks", "email"),
    "payments": PaymentSettings.__struct_fields__,
    "idempotency": ("hours", "max_answer_bytes", "max_total_bytes", "organizations"),
}
"""What is built once: sockets, pools, the store, and what these are opened with."""


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the file when it was read."""

    at_ms: int
    trigger: str
    """`start`, `file` (it has changed), `SIGHUP`, or who asked."""
    applied: bool
    changed: tuple[str, ...] = ()
    """The sections that are others now."""
    needs_restart: tuple[str, ...] = ()
    """Settings of the file that hold from the next start on."""
    problem: str | None = None
    """Why all is as before."""


class ConfigStatus(msgspec.Struct, frozen=True, kw_only=True):
    file: str | None
    """Null: there was none at the start, and none is looked for."""
    loaded: Reload
    """The last time that it was taken."""
    last: Reload
    """The last time that it was read, taken or not."""


def held(present: Settings, wanted: Settings) -> tuple[Settings, tuple[str, ...]]:
    """The new settings with what cannot change left as it is, and the names of what was left."""
    left: list[str] = []
    parts = {}
    for section, names in _FIXED.items():
        now, then = getattr(present, section), getattr(wanted, section)
        kept = {name: getattr(now, name) for name in names if getattr(now, name) != getattr(then, name)}
        if kept:
            parts[section] = msgspec.structs.replace(then, **kept)
            left += [f"{section}.{name}" for name in kept]
    return msgspec.structs.replace(wanted, **parts), tuple(left)


def differing(present: Settings, after: Settings) -> tuple[str, ...]:
    """The sections that are not the same."""
    names = (field.name for field in msgspec.structs.fields(Settings) if field.name != "source")
    return tuple(name for name in names if getattr(present, name) != getattr(after, name))


def config_table(reload: Callable[[str], Awaitable[Reload]], status: Callable[[], ConfigStatus]) -> Table:
    """`reload` raises OperationError where the file is not taken, StoreUnavailable where it cannot be now."""

    async def again(_: Arguments, actor: Actor) -> Reload:
        return await reload(actor.id)

    return {
        "config.show": telling(ConfigStatus, status),
        "config.reload": Op(arguments=Arguments, result=Reload, act=again),
    }
