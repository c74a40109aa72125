"""The auditor's sums of usage: each hour, by whom and of what, comes to what its records come to by now.

Hours outlive the records. Those of which records may have been erased are not looked at here; `received` has them all.
"""

from __future__ import annotations

from collections.abc import Iterator

from trivium.store.audit_finding import Finding, Skipped, plain
from trivium.store.audit_rows import ERASED_BEFORE, TOKENS
from trivium.store.snapshot import Snapshot

_KEYS = {
    "hour_ms": "time_ms - time_ms % 3600000",
    "operation": "operation",
    "key_id": "coalesce(key_id, '')",
    "account_id": "coalesce(account_id, '')",
    "organization_id": "coalesce(organization_id, '')",
    "api": "api",
    "public_model": "coalesce(public_model, '')",
    "provider": "coalesce(provider, '')",
    "model": """CASE WHEN upstream_status IS NULL OR upstream_status BETWEEN 400 AND 499 THEN ''
        ELSE coalesce(provider || '/' || upstream_model, '') END""",
    "outcome": "outcome",
}
_SUMS = {
    "requests": "requests",
    "usage_unknown": "CASE WHEN upstream_status = 200 AND usage_known = 0 THEN 1 ELSE 0 END",
    **{name: name for name in TOKENS},
    "cost_nano": """cost_nano + coalesce((
        SELECT SUM(after_nano - before_nano) FROM rerates WHERE request_id = records.id), 0)""",
    "market_cost_nano": "coalesce(market_cost_nano, 0)",
}
"""What an hour has of its records."""


_DIFFERENCES = f"""
    SELECT {", ".join(_KEYS)}, {", ".join(f"SUM(of_{name}), SUM({name})" for name in _SUMS)} FROM (
        SELECT {", ".join([*_KEYS, *_SUMS, *(f"0 AS of_{name}" for name in _SUMS)])} FROM usage_hours
        UNION ALL SELECT {", ".join([*_KEYS.values(), *("0" for _ in _SUMS), *_SUMS.values()])} FROM records
    ) AS both_lists WHERE hour_ms >= {ERASED_BEFORE}
    GROUP BY {", ".join(_KEYS)} HAVING {" OR ".join(f"SUM(of_{name}) <> SUM({name})" for name in _SUMS)}
"""
_ERASED = f"SELECT count(*) FROM usage_hours WHERE hour_ms < {ERASED_BEFORE}"


def hours(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """One finding for each figure of an hour."""
    for row in snapshot.rows(_DIFFERENCES):
        where = " ".join(f"{value or '-'}" for value in row[: len(_KEYS)])
        for name, expected, found in zip(_SUMS, row[len(_KEYS) :: 2], row[len(_KEYS) + 1 :: 2], strict=True):
            if expected != found:
                yield Finding(
                    what="is not the sum of its records",
                    where=f"usage_hours {where} {name}",
                    expected=plain(expected),
                    found=plain(found),
                )
    ((erased,),) = snapshot.rows(_ERASED)
    if erased:
        yield Skipped(f"{erased:,} rows of hours whose records are erased")
