"""What an operator has to look at: providers that refuse the house's own account. Counters over values.

A provider stands here from its first refusal until it answers again, or is removed. `raised` says when it is time for a
line in the log: once a minute for each provider, for a refused account refuses every call.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

_QUIET_MS = 60_000
LONGEST = 500


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Of one provider. Times are milliseconds since the epoch."""

    provider: str
    status: int | None
    """The last that it answered with."""
    message: str
    """Its own words then."""
    calls: int
    """That it has refused."""
    since_ms: int
    last_ms: int


class Alerts:
    def __init__(self) -> None:
        self.standing: dict[str, Alert] = {}
        """By the provider's name."""
        self._fresh: dict[str, Alert] = {}
        self._logged_ms: dict[str, int] = {}
        self._providers: Container[str] | None = None
        """Those that there are; None: nobody has said yet."""

    def raised(self, provider: str, status: int | None, message: str, now_ms: int) -> bool:
        """A provider refused a call of ours; whether that should be logged."""
        before = self.standing.get(provider)
        refused = Alert(
            provider=provider,
            status=status,
            message=message[:LONGEST],
            calls=before.calls + 1 if before is not None else 1,
            since_ms=before.since_ms if before is not None else now_ms,
            last_ms=now_ms,
        )
        if self._providers is None or provider in self._providers:
            self.standing[provider] = self._fresh[provider] = refused
        last = self._logged_ms.get(provider)
        if last is not None and now_ms - last < _QUIET_MS:
            return False
        self._logged_ms[provider] = now_ms
        return True

    def answered(self, provider: str) -> None:
        """It serves us again."""
        self.standing.pop(provider, None)

    def keep(self, providers: Container[str]) -> None:
        """Forgets all others, also what the last calls to them still hear: who is not configured any more will never
        answer again."""
        self._providers = providers
        self.standing = {name: alert for name, alert in self.standing.items() if name in providers}

    def drain(self) -> list[Alert]:
        """Who has refused us since the last time, also who has served us again since."""
        fresh, self._fresh = self._fresh, {}
        return list(fresh.values())

    def all(self) -> list[Alert]:
        """The newest first."""
        return sorted(self.standing.values(), key=lambda alert: alert.last_ms, reverse=True)
