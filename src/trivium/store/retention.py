"""What is forgotten: records after a time, and of the records that stay, whatever names a person.

Sums by the hour, the ledger's entries and the starts of calls that have not ended are never erased; of the sums of who
uses free models those go that are about addresses, or about the user. Everything goes in
slices, so that no request waits for long; each slice is a transaction that is whole by itself, and what a run has done
so far stands in `erasures`.
"""

from __future__ import annotations

import msgspec

from trivium.clock import HOUR_MS
from trivium.metering.record import TOLD_BY_CLIENT
from trivium.store.changes import count_up
from trivium.store.key_names import MARK as SECRETS
from trivium.store.sql import Database, Writing
from trivium.store.stretches import WITHIN, each, first

SLICE = 500
"""Records in one transaction."""

PERSONAL = (
    *("client_ip", "client_country", "tls_fingerprint", "client_app", "error_message", "told_message", "user_id"),
    *("prompt_prefix", "system_prompt_prefix", "abuse_reason", "tools_available", "tools_used"),
    *TOLD_BY_CLIENT,
)
"""Columns of records. Errors quote what was sent."""
_NAMED = f"({' OR '.join(f'{name} IS NOT NULL' for name in PERSONAL)})"
_FORGET = f"UPDATE records SET {', '.join(f'{name} = NULL' for name in PERSONAL)} WHERE id = ?"
_ACCOUNT = "SELECT id FROM accounts WHERE id = ? AND kind = 'user'"
_SAID = "(coalesce(before, '') || coalesce(after, ''))"
_FORGET_OWNER = (
    "UPDATE changes SET before = NULL, after = NULL WHERE target = ? AND action LIKE 'users.%'",
    "UPDATE changes SET before = NULL, after = NULL WHERE target IN (SELECT id FROM keys WHERE user_id = ?)",
    "UPDATE changes SET before = NULL, after = NULL WHERE target IN (SELECT id FROM admins WHERE user_id = ?)",
    f"UPDATE changes SET before = NULL, after = NULL WHERE target IN ({_ACCOUNT}) AND action LIKE 'credits.%'"
    """ AND after LIKE '%"note":%'""",
    f"UPDATE entries SET note = NULL WHERE account_id IN ({_ACCOUNT}) AND note IS NOT NULL",
    "DELETE FROM secrets WHERE owner = 'user:' || ?",
    "UPDATE auto_top_ups SET enabled = 0, problem = NULL WHERE account_id = ?",
    "UPDATE payments SET customer = NULL, method = NULL WHERE account_id = ?",
    "UPDATE admins SET name = 'erased' WHERE user_id = ?",
    "DELETE FROM free_use WHERE who = ? AND kind = 'user'",
    "DELETE FROM sessions WHERE user_id = ?",
    "DELETE FROM sign_in_links WHERE user_id = ?",
    "DELETE FROM passwords WHERE user_id = ?",
    "DELETE FROM identities WHERE user_id = ?",
    "UPDATE users SET name = 'erased', email = NULL, blocked_why = NULL WHERE id = ?",
    "UPDATE accounts SET name = 'erased' WHERE id = ? AND kind = 'user'",
)
_OWN_KEYS = (
    "SELECT seq FROM changes WHERE action LIKE 'byok.%'"
    f" AND replace({_SAID}, '\"owner\":\"user:' || ? || '\"', '') <> {_SAID} ORDER BY seq"
)
_WHOSE = {"key": "key_id", "user": "user_id"}
_KNOWN = {
    "key": (
        "SELECT 1 FROM keys WHERE id = ?",
        "SELECT 1 FROM captures WHERE key_id = ?",
    ),
    "user": (
        "SELECT 1 FROM users WHERE id = ?",
        "SELECT 1 FROM accounts WHERE id = ?",
        "SELECT 1 FROM keys WHERE user_id = ?",
        "SELECT 1 FROM captures WHERE user_id = ?",
        "SELECT 1 FROM free_use WHERE kind = 'user' AND who = ?",
    ),
}


class Erased(msgspec.Struct, frozen=True, kw_only=True):
    """What a run erased, or would erase."""

    before_ms: int
    """Requests that arrived before this, milliseconds since the epoch."""
    records: int = 0
    requests: int = 0
    """How many requests the records stood for."""
    starts: int = 0


def before(now_ms: int, keep_ms: int) -> int:
    """The moment before which nothing is kept: a whole hour, since within an hour sums need its records."""
    moment = now_ms - keep_ms
    return moment - moment % HOUR_MS


def due(database: Database, before_ms: int) -> Erased:
    """What `erase` would take away. Blocks; raises StoreUnavailable."""
    statement = "SELECT count(*), coalesce(sum(requests), 0) FROM records WHERE time_ms < ?"
    ((records, requests),) = database.query(statement, (before_ms,))[1]
    statement = "SELECT count(*) FROM starts WHERE ended = 1 AND id IN (SELECT id FROM records WHERE time_ms < ?)"
    ((starts,),) = database.query(statement, (before_ms,))[1]
    return Erased(before_ms=before_ms, records=records, requests=requests, starts=starts)


def newest_ms(database: Database) -> int | None:
    """When the last request came of which there is a record. Blocks; raises StoreUnavailable."""
    newest: int | None = database.query("SELECT max(time_ms) FROM records")[1][0][0]
    return newest


def erase(tx: Writing, before_ms: int, now_ms: int, run: int | None) -> tuple[int | None, Erased]:
    """One slice, the oldest records first: the run it belongs to (None begins one), and what went. Nothing is left when
    nothing went. The run's row says up to which hour something went, and not up to which it was to go: where the clock
    was ahead that would be an hour of which all records are still to come."""
    went = tx.execute(
        "DELETE FROM records WHERE id IN (SELECT id FROM records WHERE time_ms < ? ORDER BY time_ms LIMIT ?)"
        " RETURNING id, requests, time_ms",
        (before_ms, SLICE),
    )
    if not went:
        return run, Erased(before_ms=before_ms)
    starts = tx.executemany("DELETE FROM starts WHERE id = ? AND ended = 1", [(id,) for id, _, _ in went])
    erased = Erased(before_ms=before_ms, records=len(went), requests=sum(row[1] for row in went), starts=starts)
    if run is None:
        ((run,),) = tx.execute(
            "INSERT INTO erasures (time_ms, before_ms, requests, records, starts) VALUES (?, 0, 0, 0, 0) RETURNING seq",
            (now_ms,),
        )
    newest_ms = max(time_ms for _, _, time_ms in went)
    tx.execute(
        "UPDATE erasures SET before_ms = ?, requests = requests + ?, records = records + ?, starts = starts + ?"
        " WHERE seq = ?",
        (newest_ms - newest_ms % HOUR_MS + HOUR_MS, erased.requests, erased.records, erased.starts, run),
    )
    return run, erased


def naming(database: Database, whose: str, id: str, after: str) -> list[str]:
    """The ids of a slice of the records of a `key` or `user` that still tell something personal, those behind `after`.
    Blocks; raises StoreUnavailable."""
    statement = f"SELECT id FROM records WHERE {WITHIN} AND {_WHOSE[whose]} = ? AND {_NAMED} ORDER BY id LIMIT ?"
    return [row[0] for row in first(database, statement, (id, SLICE), after)]


def how_many_name(database: Database, whose: str, id: str) -> int:
    """How many records `naming` finds in all. Blocks; raises StoreUnavailable."""
    statement = f"SELECT count(*) FROM records WHERE {WITHIN} AND {_WHOSE[whose]} = ? AND {_NAMED}"
    return sum(count for (count,) in each(database, statement, (id,)))


def is_known(database: Database, whose: str, id: str) -> bool:
    """Whether anything has or names it: users of tokens have no row of their own. Blocks; raises StoreUnavailable."""
    if any(database.query(f"{statement} LIMIT 1", (id,))[1] for statement in _KNOWN[whose]):
        return True
    return bool(first(database, f"SELECT 1 FROM records WHERE {WITHIN} AND {_WHOSE[whose]} = ? LIMIT 1", (id,)))


def forget(tx: Writing, ids: list[str]) -> int:
    """Makes records tell nothing personal any more; money and counts stay. Returns how many there were."""
    return tx.executemany(_FORGET, [(id,) for id in ids])


def told_of_own_keys(database: Database, user_id: str) -> list[int]:
    """The lines of the log of changes that tell of a user's upstream keys, also of those that are there no more, by
    whose ids nothing else is found. Reads the whole log, for which no writer should wait. Blocks; raises
    StoreUnavailable."""
    return [row[0] for row in database.query(_OWN_KEYS, (user_id,))[1]]


def forget_lines(tx: Writing, seqs: list[int]) -> None:
    """Takes out of lines of the log of changes what was before and after."""
    tx.executemany("UPDATE changes SET before = NULL, after = NULL WHERE seq = ?", [(seq,) for seq in seqs])


def forget_owner(tx: Writing, user_id: str, now_ms: int) -> int:
    """Makes the revoked keys of a user nobody's, ends the user's admin credentials and ways to sign in, removes the own
    upstream keys and the saved card, which is charged no more, and takes names and addresses out of the user, the
    account and the log of changes, save of lines on upstream keys (`told_of_own_keys`). The domain stays, so that whom
    it blocks is blocked. Returns how many live keys still name the user."""
    # The row stays: word of the card that comes later is older than this.
    tx.execute(
        "UPDATE saved_cards SET customer = '', method = NULL, words = '', saved_ms = ? WHERE account_id = ?",
        (now_ms, user_id),
    )
    tx.execute("UPDATE admins SET revoked_ms = ? WHERE user_id = ? AND revoked_ms IS NULL", (now_ms, user_id))
    for statement in _FORGET_OWNER:
        tx.execute(statement, (user_id,))
    count_up(tx, SECRETS)
    tx.execute(
        "UPDATE keys SET user_id = NULL, name = 'erased' WHERE user_id = ? AND revoked_ms IS NOT NULL", (user_id,)
    )
    ((live,),) = tx.execute("SELECT count(*) FROM keys WHERE user_id = ?", (user_id,))
    return int(live)
