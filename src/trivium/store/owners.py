"""Who has calls in progress: every run of a gateway is an owner of starts, and what an owner that is no more left open
is an orphan that somebody else has to end.

Where one process owns the database, every other owner is no more. Where several share it, an owner that has not been
seen for `SILENCE_MS` is.
"""

from __future__ import annotations

import msgspec

from trivium.metering.start import Start
from trivium.store import posting
from trivium.store.sql import Database, Row, Writing

SILENCE_MS = 60_000
_MOST = 1_000
"""Orphans that are looked at together."""
_SEEN = """
    INSERT INTO owners (id, started_ms, seen_ms) VALUES (?, ?, ?)
    ON CONFLICT (id) DO UPDATE SET seen_ms = excluded.seen_ms
"""
_COLUMNS = """
    id, time_ms, api, key_id, account_id, hold_nano, requested_model, provider, upstream_model, price_version,
    windows, upstream_id
"""


class Orphan(msgspec.Struct, frozen=True):
    """A call whose gateway ended before it did."""

    start: Start
    windows: posting.Windows
    upstream_id: str | None
    """By which the provider knows it, as far as that was seen."""


def is_here(tx: Writing, owner: str, now_ms: int) -> None:
    """This owner lives."""
    tx.execute(_SEEN, (owner, now_ms, now_ms))


async def orphans(database: Database, owner: str, now_ms: int) -> list[Orphan]:
    """The oldest calls that nobody will end, as seen by an owner. Raises StoreUnavailable."""
    living = f"SELECT id FROM owners WHERE seen_ms > {now_ms - SILENCE_MS}" if database.shared else "SELECT ''"
    rows = await database.ask(
        f"SELECT {_COLUMNS} FROM starts WHERE ended = 0 AND owner <> ? AND owner NOT IN ({living})"
        f" ORDER BY id LIMIT {_MOST}",
        (owner,),
    )
    return [_orphan(row) for row in rows]


async def accounts_with_expired_credits(database: Database, now_ms: int) -> list[str]:
    rows = await database.ask(
        "SELECT DISTINCT account_id FROM lots WHERE remaining_nano > 0 AND expires_ms <= ?", (now_ms,)
    )
    return [account_id for (account_id,) in rows]


def _orphan(row: Row) -> Orphan:
    id, time_ms, api, key_id, account_id, hold, requested, provider, model, version, windows, upstream_id = row
    start = Start(
        id=id,
        time_ms=time_ms,
        api=api,
        key_id=key_id,
        account_id=account_id,
        scopes=(),
        hold_nano=hold,
        requested_model=requested,
        provider=provider,
        upstream_model=model,
        price_version=version,
    )
    return Orphan(start, posting.read_windows(windows), upstream_id)
