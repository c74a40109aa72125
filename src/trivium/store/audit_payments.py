"""The auditor's questions about payments: what a payment says was booked is what the entries under its keys say."""

from __future__ import annotations

from trivium.store.audit_finding import asked

_ID = "substr(idempotency_key, 9, 28)"
"""Behind `payment:`."""
_OURS = "substr(idempotency_key, 1, 8) = 'payment:'"


def _booked(column: str, sign: str, among: str) -> str:
    """Payments whose column is not the sum of their entries of a sign."""
    return f"""
        SELECT p.id, p.{column}, coalesce(b.nano, 0) FROM payments p LEFT JOIN (
            SELECT {_ID} AS id, account_id, {sign}SUM(amount_nano) AS nano FROM entries
            WHERE {_OURS} AND amount_nano {among} 0 GROUP BY 1, 2
        ) AS b ON b.id = p.id AND b.account_id = p.account_id WHERE p.{column} <> coalesce(b.nano, 0)
    """


PAYMENTS = (
    asked("payments", "was credited otherwise than its entry says", _booked("credited_nano", "", ">")),
    asked("payments", "has given back otherwise than its entries say", _booked("taken_nano", "-", "<")),
    asked(
        "entries",
        "names a payment that is not there",
        f"""
        SELECT e.seq, e.idempotency_key, NULL FROM (SELECT * FROM entries WHERE {_OURS}) AS e
        LEFT JOIN payments p ON p.id = {_ID} AND p.account_id = e.account_id WHERE p.id IS NULL
        """,
    ),
    asked(
        "payments",
        "gave back more than it was credited, or was credited more than was paid",
        """
        SELECT id, credited_nano, taken_nano FROM payments
        WHERE taken_nano > credited_nano OR credited_nano > paid_cents * 10000000
        """,
    ),
)
