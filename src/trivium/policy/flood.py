"""Refusals of callers without a key: counted exactly, recorded one by one only up to a rate, so that a flood of them
cannot fill the disk (behaviour page, section 2).

Whom a limit of free models has refused is told all the same, by address: these are few, as each has had its share.
"""

from __future__ import annotations

import msgspec

from trivium.metering.record import TOLD_BY_CLIENT, Record
from trivium.policy.free import LIMIT_REACHED

WINDOW_MS = 60_000
SINGLY = 100
"""Records of their own in each window; the rest of a window becomes one record for each kind of refusal."""
_BACK_MS = 3_600_000
"""A call may have begun before others of which was heard earlier; one so much before them tells that the clock has gone
back."""
MOST_ADDRESSES = 1_000
"""That are told apart in each window."""

_Kind = tuple[str, int, str | None, str, str | None]


class Flood:
    """`admit` each refusal, then store what comes back; `flush` what has been counted so far when it is asked for."""

    def __init__(self, singly: int = SINGLY, window_ms: int = WINDOW_MS) -> None:
        self._singly = singly
        self._window_ms = window_ms
        self._began_ms = 0
        self._seen = 0
        self._counted: dict[_Kind, Record] = {}
        self._addresses: set[str] = set()

    def admit(self, record: Record) -> list[Record]:
        out: list[Record] = []
        if not -_BACK_MS < record.time_ms - self._began_ms < self._window_ms:
            out = self.flush()
            self._began_ms, self._seen = record.time_ms, 0
        self._seen += 1
        if self._seen <= self._singly:
            return [*out, record]
        address = self._told_apart(record)
        kind = (record.api, record.status, record.error_code, record.flags, address)
        first = self._counted.get(kind)
        self._counted[kind] = (
            msgspec.structs.replace(first, requests=first.requests + 1) if first else _anonymous(record, address)
        )
        return out

    def flush(self) -> list[Record]:
        """One record for each kind counted since the last flush; its `requests` says how many it stands for."""
        out, self._counted = list(self._counted.values()), {}
        self._addresses.clear()
        return out

    def _told_apart(self, record: Record) -> str | None:
        """The address, where a limit of free models has refused it."""
        address = record.client_ip
        if address is None or record.flags != LIMIT_REACHED:
            return None
        if len(self._addresses) < MOST_ADDRESSES:
            self._addresses.add(address)
        return address if address in self._addresses else None


def _anonymous(record: Record, address: str | None) -> Record:
    """The first of many, without what was only its own."""
    own = (
        *("client_ip", "client_country", "tls_fingerprint", "client_app", "requested_model"),
        *("prompt_prefix", "system_prompt_prefix", *TOLD_BY_CLIENT),
    )
    told = {**dict.fromkeys(own), "client_ip": address, "system_prompt_length": None}
    return msgspec.structs.replace(record, flags=f"aggregate {record.flags}".rstrip(), **told)
