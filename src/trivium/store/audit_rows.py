"""The auditor's questions that one statement answers, in words that SQLite and PostgreSQL both know.

Each returns the rows that are wrong. No statement trusts a constraint: keys may be there twice, and in SQLite any
column may hold anything.
"""

from __future__ import annotations

from trivium.store.audit_finding import Probe, asked

_TOO_MUCH = 10**18
"""A billion USD: nobody's, and small enough that sums of what is left stay integers."""
_LONGEST_CALL_MS = 86_400_000
"""A charge is written when the call ends, its record is erased by when the call began: no call lasts a day."""
ERASED_BEFORE = "coalesce((SELECT MAX(before_ms) FROM erasures), 0)"


def _agree(expected: str, found: str) -> str:
    """Two lists of (key, amount) that must have the same sum for every key."""
    return f"""
        SELECT what, SUM(expected), SUM(found) FROM (
            SELECT what, amount AS expected, 0 AS found FROM ({expected}) AS first
            UNION ALL SELECT what, 0, amount FROM ({found}) AS second
        ) AS both_lists GROUP BY what HAVING SUM(expected) <> SUM(found)
    """


def _absent(table: str, key: str, column: str, other: str, among: str = "1 = 1") -> Probe:
    """Rows that name a row of another table that is not there. `among`: which rows."""
    statement = f"""
        SELECT t.{key}, t.{column}, NULL FROM {table} t LEFT JOIN {other} o ON o.{_KEYS[other]} = t.{column}
        WHERE t.{column} IS NOT NULL AND o.{_KEYS[other]} IS NULL AND {among}
    """
    return asked(table, f"names one of {other} that is not there", statement)


_KEYS = {"accounts": "id", "budgets": "id", "prices": "version"}
TOKENS = (
    "input_uncached_tokens",
    "cache_read_tokens",
    "cache_write_5m_tokens",
    "cache_write_1h_tokens",
    "cache_write_other_tokens",
    "output_tokens",
    "reasoning_tokens",
)
_SIGNED = {"accounts.balance_nano", "entries.amount_nano"}
_NULLABLE = {"records.market_cost_nano", "entries.expires_ms"}


def _amounts(table: str, key: str, *columns: str) -> Probe:
    wrong = {column: _is_no_amount(table, column) for column in columns}
    cases = {
        result: " ".join(f"WHEN {condition} THEN {value}" for value, condition in named)
        for result, named in (
            ("name", [(f"'{column}'", condition) for column, condition in wrong.items()]),
            ("value", list(wrong.items())),
        )
    }
    statement = f"""
        SELECT {key} || ' ' || CASE {cases["name"]} END, NULL, CASE {cases["value"]} END
        FROM {table} WHERE {" OR ".join(wrong.values())}
    """
    return asked(table, "is no amount", statement)


def _is_no_amount(table: str, column: str) -> str:
    """In SQLite words are more than any number, and a cast cuts what is no integer."""
    name = f"{table}.{column}"
    lowest = f"<= -{_TOO_MUCH}" if name in _SIGNED else "< 0"
    missing = "" if name in _NULLABLE else f" OR {column} IS NULL"
    return f"({column} {lowest} OR {column} >= {_TOO_MUCH} OR {column} <> CAST({column} AS BIGINT){missing})"


AMOUNTS = (
    _amounts("accounts", "id", "balance_nano", "held_nano"),
    _amounts("entries", "seq", "amount_nano", "time_ms", "expires_ms"),
    _amounts("lots", "id", "remaining_nano", "expires_ms"),
    _amounts("starts", "id", "hold_nano", "time_ms"),
    _amounts(
        "records", "id", "time_ms", "requests", *TOKENS, "cost_nano", "market_cost_nano", "hold_nano", "exposure_nano"
    ),
    _amounts("budgets", "id", "limit_nano"),
    _amounts("spends", "budget_id || ' ' || window_ms", "window_ms", "spent_nano", "held_nano"),
    _amounts("rerates", "request_id || ' ' || number", "before_nano", "after_nano"),
    _amounts("usage_hours", "hour_ms", "requests", "usage_unknown", *TOKENS, "cost_nano", "market_cost_nano"),
    _amounts("usage_hours", "hour_ms", "timed", "ttfb_us", "total_us"),
    _amounts("erasures", "seq", "before_ms", "requests", "records", "starts"),
)

_KINDS = "'grant', 'top_up', 'charge', 'refund', 'expiry', 'adjustment'"
_OVERRUN = "(' ' || e.flags || ' ') LIKE '% overrun %'"

ENTRIES = (
    asked(
        "entries",
        "is of no kind that there is",
        f"SELECT seq, NULL, kind FROM entries WHERE kind NOT IN ({_KINDS})",
    ),
    asked(
        "entries",
        "has not the sign of its kind",
        """
        SELECT seq, kind, amount_nano FROM entries WHERE amount_nano = 0
        OR (kind IN ('grant', 'top_up', 'refund') AND amount_nano < 0)
        OR (kind IN ('charge', 'expiry') AND amount_nano > 0)
        """,
    ),
    asked(
        "entries",
        "is a charge under another key than its request's",
        """
        SELECT seq, 'charge:' || request_id, idempotency_key FROM entries
        WHERE kind = 'charge' AND (request_id IS NULL OR idempotency_key <> 'charge:' || request_id)
        """,
    ),
    asked(
        "entries",
        "ends a lot and is no expiry, or is one and ends none",
        "SELECT seq, kind, lot FROM entries WHERE (kind = 'expiry') <> (lot IS NOT NULL)",
    ),
    asked(
        "entries",
        "expires and is no grant",
        "SELECT seq, NULL, expires_ms FROM entries WHERE kind <> 'grant' AND expires_ms IS NOT NULL",
    ),
    asked(
        "entries",
        "is flagged as an overrun and is no charge or adjustment that takes",
        f"""
        SELECT e.seq, NULL, e.flags FROM entries e
        WHERE (e.kind NOT IN ('charge', 'adjustment') OR e.amount_nano > 0) AND {_OVERRUN}
        """,
    ),
    asked(
        "entries",
        "overran its hold and is not flagged, or is flagged and did not",
        f"""
        SELECT e.seq, s.hold_nano, -e.amount_nano FROM entries e JOIN starts s ON s.id = e.request_id
        WHERE e.kind = 'charge' AND (-e.amount_nano > s.hold_nano) <> ({_OVERRUN})
        """,
    ),
    _absent("entries", "seq", "account_id", "accounts"),
)

BALANCES = (
    asked(
        "accounts",
        "the balance is not the sum of the entries",
        _agree(
            "SELECT account_id AS what, SUM(amount_nano) AS amount FROM entries GROUP BY account_id",
            "SELECT id AS what, balance_nano AS amount FROM accounts",
        ),
    ),
)

HOLDS = (
    asked(
        "accounts",
        "what is held is not the sum of the holds of calls in flight",
        _agree(
            """
            SELECT account_id AS what, SUM(hold_nano) AS amount FROM starts
            WHERE ended = 0 AND account_id IS NOT NULL GROUP BY account_id
            """,
            "SELECT id AS what, held_nano AS amount FROM accounts",
        ),
    ),
    _absent("starts", "id", "account_id", "accounts"),
)

LOTS = (
    _absent("lots", "id", "account_id", "accounts"),
    asked(
        "lots",
        "comes from no grant that expires",
        """
        SELECT l.id, 'a grant', e.kind FROM lots l LEFT JOIN entries e ON e.idempotency_key = l.id
        WHERE e.seq IS NULL OR e.kind <> 'grant' OR e.expires_ms IS NULL
        """,
    ),
)

_CHARGE_OF = "c.kind = 'charge' AND c.idempotency_key = 'charge:' ||"

CHARGES = (
    asked(
        "request",
        "is charged more than once",
        """
        SELECT request_id, 1, count(*) FROM entries WHERE kind = 'charge' AND request_id IS NOT NULL
        GROUP BY request_id HAVING count(*) > 1
        """,
    ),
    asked(
        "records",
        "is not charged what it cost",
        f"""
        SELECT r.id, -r.cost_nano, c.amount_nano FROM records r LEFT JOIN entries c ON {_CHARGE_OF} r.id
        WHERE r.account_id IS NOT NULL AND r.cost_nano <> 0 AND (c.seq IS NULL OR c.amount_nano <> -r.cost_nano)
        """,
    ),
    asked(
        "records",
        "is charged to another account",
        f"""
        SELECT r.id, r.account_id, c.account_id FROM records r JOIN entries c ON {_CHARGE_OF} r.id
        WHERE r.account_id <> c.account_id
        """,
    ),
    asked(
        "records",
        "is charged and cost nothing, or nobody's account",
        f"""
        SELECT r.id, 0, c.amount_nano FROM entries c JOIN records r ON r.id = c.request_id
        WHERE {_CHARGE_OF} r.id AND (r.account_id IS NULL OR r.cost_nano = 0)
        """,
    ),
    asked(
        "entries",
        "charges a request that is not there and was not erased",
        f"""
        SELECT c.seq, c.request_id, NULL FROM entries c LEFT JOIN records r ON r.id = c.request_id
        WHERE c.kind = 'charge' AND r.id IS NULL AND c.time_ms >= {ERASED_BEFORE} + {_LONGEST_CALL_MS}
        """,
    ),
)

REFUNDS = (
    asked(
        "request",
        "got back more than it and later prices cost, or on another account",
        """
        SELECT request_id, charged, refunded FROM (
            SELECT request_id, account_id, SUM(CASE WHEN kind = 'refund' THEN amount_nano ELSE 0 END) AS refunded,
            SUM(CASE WHEN kind IN ('charge', 'adjustment') THEN -amount_nano ELSE 0 END) AS charged
            FROM entries WHERE request_id IN (SELECT request_id FROM entries WHERE kind = 'refund')
            GROUP BY request_id, account_id
        ) AS given WHERE refunded > charged
        """,
    ),
    asked(
        "entries",
        "refunds no request",
        "SELECT seq, 'a request', NULL FROM entries WHERE kind = 'refund' AND request_id IS NULL",
    ),
)

_RERATE = "'rerate:' || t.request_id || ':' || t.number"

RERATES = (
    asked(
        "request",
        "was not paid for as its last price says, less what was given back",
        """
        SELECT t.request_id, CASE WHEN t.after_nano > coalesce(e.refunded, 0)
        THEN t.after_nano - coalesce(e.refunded, 0) ELSE 0 END, coalesce(e.paid, 0)
        FROM rerates t LEFT JOIN records r ON r.id = t.request_id LEFT JOIN (
            SELECT request_id, -SUM(amount_nano) AS paid,
            SUM(CASE WHEN kind = 'refund' THEN amount_nano ELSE 0 END) AS refunded
            FROM entries WHERE request_id IN (SELECT request_id FROM rerates) GROUP BY request_id
        ) AS e ON e.request_id = t.request_id
        WHERE (r.account_id IS NOT NULL OR e.request_id IS NOT NULL)
        AND NOT EXISTS (SELECT 1 FROM rerates o WHERE o.request_id = t.request_id AND o.number > t.number)
        AND coalesce(e.paid, 0) <> CASE WHEN t.after_nano > coalesce(e.refunded, 0)
        THEN t.after_nano - coalesce(e.refunded, 0) ELSE 0 END
        """,
    ),
    asked(
        "entries",
        "corrects what was not priced anew",
        f"""
        SELECT e.seq, NULL, e.idempotency_key FROM entries e
        LEFT JOIN rerates t ON t.request_id = e.request_id AND {_RERATE} = e.idempotency_key
        WHERE substr(e.idempotency_key, 1, 7) = 'rerate:' AND (t.number IS NULL OR e.kind <> 'adjustment')
        """,
    ),
    asked(
        "rerates",
        "begins with what the request never cost",
        """
        SELECT t.request_id || ' ' || t.number, r.cost_nano, t.before_nano
        FROM rerates t JOIN records r ON r.id = t.request_id
        WHERE t.before_nano <> r.cost_nano AND NOT EXISTS (
            SELECT 1 FROM rerates o
            WHERE o.request_id = t.request_id AND o.number = t.number - 1 AND o.after_nano = t.before_nano
        )
        """,
    ),
)

STARTS = (
    asked(
        "starts",
        "has neither ended nor is it open",
        "SELECT id, '0 or 1', ended FROM starts WHERE ended NOT IN (0, 1)",
    ),
    asked(
        "starts",
        "ended without a record",
        """
        SELECT s.id, 'a record', NULL FROM starts s LEFT JOIN records r ON r.id = s.id
        WHERE s.ended = 1 AND r.id IS NULL
        """,
    ),
    asked(
        "starts",
        "is open and has a record",
        "SELECT s.id, 1, s.ended FROM starts s JOIN records r ON r.id = s.id WHERE s.ended = 0",
    ),
    asked(
        "starts",
        "is open, and no gateway that lives or may be mourned has it",
        """
        SELECT s.id, o.since, s.owner FROM starts s LEFT JOIN owners o ON o.id = s.owner
        WHERE s.ended = 0 AND (o.id IS NULL OR s.id < o.since)
        """,
    ),
    asked(
        "starts",
        "held something else than its record says",
        # A call that was given up before it heard of its hold knows of none.
        """
        SELECT s.id, r.hold_nano, s.hold_nano FROM starts s JOIN records r ON r.id = s.id
        WHERE s.hold_nano <> r.hold_nano AND (r.hold_nano <> 0 OR r.cost_nano <> 0 OR r.upstream_status IS NOT NULL)
        """,
    ),
    asked(
        "starts",
        "is of another call than its record: time, API, key or organization",
        """
        SELECT s.id, r.time_ms || ' ' || r.api || ' ' || coalesce(r.key_id, '-') || ' '
        || coalesce(r.organization_id, '-'),
        s.time_ms || ' ' || s.api || ' ' || coalesce(s.key_id, '-') || ' ' || coalesce(s.organization_id, '-')
        FROM starts s JOIN records r ON r.id = s.id
        WHERE s.time_ms <> r.time_ms OR s.api <> r.api OR coalesce(s.key_id, '') <> coalesce(r.key_id, '')
        OR coalesce(s.organization_id, '') <> coalesce(r.organization_id, '')
        """,
    ),
    asked(
        "records",
        "reached an upstream, or held, without a start",
        # Records of before there were starts name no payer.
        """
        SELECT r.id, 'a start', NULL FROM records r LEFT JOIN starts s ON s.id = r.id
        WHERE s.id IS NULL AND ((r.upstream_status IS NOT NULL AND r.payer IS NOT NULL) OR r.hold_nano <> 0)
        """,
    ),
)

PAYERS = (
    asked(
        "records",
        "is paid for by nobody that there is",
        "SELECT id, NULL, payer FROM records WHERE payer NOT IN ('house', 'byok', 'byok_fee', 'free', 'promotion')",
    ),
    asked(
        "records",
        "costs something and the house does not pay for it",
        # A fee is charged where the gateway that takes it says that the caller's own key paid for the rest.
        """
        SELECT id, 0, cost_nano FROM records WHERE cost_nano <> 0 AND coalesce(payer, '') <> 'house'
        AND NOT (coalesce(payer, '') = 'byok_fee' AND coalesce(is_byok, 0) = 1 AND cost_source = 'reported')
        """,
    ),
    asked(
        "records",
        "costs something and does not say how that is known",
        """
        SELECT id, 'reported, computed or estimated', cost_source FROM records
        WHERE coalesce(cost_source, CASE WHEN cost_nano = 0 THEN 'reported' ELSE '' END)
        NOT IN ('reported', 'computed', 'estimated')
        """,
    ),
)

BUDGETS = (
    _absent("spends", "window_ms", "budget_id", "budgets"),
    asked(
        "budgets",
        "a scope has several budgets of one period; setting it leaves one",
        """
        SELECT scope || ' ' || period, 1, count(*) FROM budgets WHERE ended_ms IS NULL
        GROUP BY scope, period HAVING count(*) > 1
        """,
    ),
)

RECEIVED = (
    asked(
        "requests",
        "the hours do not count what was recorded and erased",
        _agree(
            """
            SELECT 'in all' AS what, SUM(requests) AS amount FROM records
            UNION ALL SELECT 'in all', SUM(requests) FROM erasures
            """,
            "SELECT 'in all' AS what, SUM(requests) AS amount FROM usage_hours",
        ),
    ),
)

PRICES = (
    _absent("records", "id", "price_version", "prices"),
    # A new price may be written a moment later than a hold that waits for nothing.
    _absent("starts", "id", "price_version", "prices", among="t.ended = 1"),
    _absent("rerates", "request_id", "price_version", "prices"),
)
