"""Cards that may be charged later, as the processor names them: one an account. No number of a card is ever here.

A row stays when its card is removed, with the time as the processor's clock has it: what is told of the card again
afterwards, as it may be, does not bring it back.
"""

from __future__ import annotations

import msgspec

from trivium.store.sql import Database, Writing

_COLUMNS = "account_id, processor, customer, method, words, saved_ms"
_SAVE = f"""
    INSERT INTO saved_cards ({_COLUMNS}) VALUES (?, ?, ?, ?, '', ?)
    ON CONFLICT (account_id) DO UPDATE SET processor = excluded.processor, customer = excluded.customer,
    method = excluded.method, words = '', saved_ms = excluded.saved_ms WHERE excluded.saved_ms > saved_cards.saved_ms
    RETURNING account_id
"""


class SavedCard(msgspec.Struct, frozen=True, kw_only=True):
    account_id: str
    processor: str
    customer: str
    method: str | None
    """None: it was removed."""
    words: str
    """As `visa 4242`; empty where nobody has asked yet."""
    saved_ms: int


async def card_of(database: Database, account_id: str) -> SavedCard | None:
    """Raises StoreUnavailable."""
    rows = await database.ask(f"SELECT {_COLUMNS} FROM saved_cards WHERE account_id = ?", (account_id,))
    return SavedCard(**dict(zip(SavedCard.__struct_fields__, rows[0], strict=True))) if rows else None


def save(tx: Writing, account_id: str, processor: str, customer: str, method: str, at_ms: int) -> bool:  # noqa: PLR0917
    """False: something newer is known of it."""
    return bool(tx.execute(_SAVE, (account_id, processor, customer, method, at_ms)))


def removed(tx: Writing, method: str, at_ms: int) -> list[str]:
    """The accounts that it was the card of."""
    rows = tx.execute(
        "UPDATE saved_cards SET method = NULL, words = '', saved_ms = ? WHERE method = ? AND saved_ms <= ?"
        " RETURNING account_id",
        (at_ms, method, at_ms),
    )
    return [row[0] for row in rows]


def remove(tx: Writing, account_id: str) -> bool:
    """By its owner: what the processor tells from now on is newer. False: there is none."""
    rows = tx.execute(
        "UPDATE saved_cards SET method = NULL, words = '', saved_ms = saved_ms + 1 WHERE account_id = ?"
        " AND method IS NOT NULL RETURNING account_id",
        (account_id,),
    )
    return bool(rows)


def call(tx: Writing, account_id: str, method: str, words: str) -> bool:
    """False: it is not there any more."""
    rows = tx.execute(
        "UPDATE saved_cards SET words = ? WHERE account_id = ? AND method = ? RETURNING account_id",
        (words, account_id, method),
    )
    return bool(rows)
