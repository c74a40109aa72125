"""The auditor's sums of budgets: each period of a budget holds what its open calls hold, and has spent what those cost
that ended.

Which budgets count a call stands in its start. Where starts were erased, what a period has spent can only be said not
to be less than what is left of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import msgspec

from trivium.store.audit_finding import Finding, Skipped
from trivium.store.audit_rows import ERASED_BEFORE
from trivium.store.snapshot import Snapshot

_COUNTED = """
    SELECT s.windows, MIN(s.id), CAST(SUM(CASE WHEN s.ended = 0 THEN s.hold_nano ELSE 0 END) AS BIGINT),
    CAST(SUM(coalesce(r.cost_nano, 0) + coalesce(t.more, 0)) AS BIGINT)
    FROM starts s LEFT JOIN records r ON r.id = s.id
    LEFT JOIN (SELECT request_id, SUM(after_nano - before_nano) AS more FROM rerates GROUP BY request_id) AS t
    ON t.request_id = s.id
    WHERE s.windows IS NOT NULL GROUP BY s.windows
"""
_SPENDS = """
    SELECT budget_id, coalesce(CAST(window_ms AS BIGINT), 0), coalesce(CAST(held_nano AS BIGINT), 0),
    coalesce(CAST(spent_nano AS BIGINT), 0) FROM spends
"""
_windows = msgspec.json.Decoder(tuple[tuple[str, int], ...])


def spends(snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """Each budget and period by the starts that name it."""
    held: defaultdict[tuple[str, int], int] = defaultdict(int)
    spent: defaultdict[tuple[str, int], int] = defaultdict(int)
    for text, start, holds, costs in snapshot.rows(_COUNTED):
        try:
            windows = _windows.decode(text)
        except (msgspec.MsgspecError, TypeError):
            yield Finding(what="names budgets that cannot be read", where=f"starts {start}", found=str(text))
            continue
        for window in windows:
            held[window] += holds
            spent[window] += costs
    yield from _compared(snapshot, held, spent)


def _compared(
    snapshot: Snapshot, held: dict[tuple[str, int], int], spent: dict[tuple[str, int], int]
) -> Iterator[Finding | Skipped]:
    ((erased_before,),) = snapshot.rows(f"SELECT CAST({ERASED_BEFORE} AS BIGINT)")
    partly = 0
    for budget_id, window_ms, said_held, said_spent in snapshot.rows(_SPENDS):
        window, where = (budget_id, window_ms), f"spends {budget_id} {window_ms}"
        holds, costs = held.pop(window, 0), spent.pop(window, 0)
        if said_held != holds:
            yield Finding(what="holds something else than its open calls", where=where, expected=holds, found=said_held)
        erased = window_ms < erased_before
        partly += erased
        if said_spent < costs or (said_spent != costs and not erased):
            yield Finding(what="spent something else than its calls", where=where, expected=costs, found=said_spent)
    for budget_id, window_ms in [window for window in held if held[window] or spent[window]]:
        yield Finding(what="is counted by calls and not there", where=f"spends {budget_id} {window_ms}")
    if partly:
        yield Skipped(f"what {partly:,} periods spent on calls whose records are erased")
