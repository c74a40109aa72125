"""Refusals of callers without a key: counted exactly, recorded one by one only up to a rate, so that a flood of them
cannot fill the disk (behaviour page, section 2)."""

from __future__ import annotations

import msgspec

from trivium.metering.record import TOLD_BY_CLIENT, Record

WINDOW_MS = 60_000
SINGLY = 100
"""Records of their own in each window; the rest of a window becomes one record for each kind of refusal."""

_Kind = tuple[str, int, str | None]


class Flood:
    """`admit` each refusal, then store what comes back; `flush` what has been counted so far when it is asked for."""

    def __init__(self, singly: int = SINGLY, window_ms: int = WINDOW_MS) -> None:
        self._singly = singly
        self._window_ms = window_ms
        self._began_ms = 0
        self._seen = 0
        self._counted: dict[_Kind, Record] = {}

    def admit(self, record: Record) -> list[Record]:
        out: list[Record] = []
        if record.time_ms - self._began_ms >= self._window_ms:
            out = self.flush()
            self._began_ms, self._seen = record.time_ms, 0
        self._seen += 1
        if self._seen <= self._singly:
            return [*out, record]
        kind = (record.api, record.status, record.error_code)
        first = self._counted.get(kind)
        self._counted[kind] = (
            msgspec.structs.replace(first, requests=first.requests + 1) if first else _anonymous(record)
        )
        return out

    def flush(self) -> list[Record]:
        """One record for each kind counted since the last flush; its `requests` says how many it stands for."""
        out, self._counted = list(self._counted.values()), {}
        return out


def _anonymous(record: Record) -> Record:
    """The first of many, without what was only its own."""
    own = (*("client_ip", "client_app", "requested_model", "prompt_prefix"), "system_prompt_prefix", *TOLD_BY_CLIENT)
    return msgspec.structs.replace(record, flags="aggregate", system_prompt_length=None, **dict.fromkeys(own))
