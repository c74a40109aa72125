"""The table of who uses free models (`store/free_use.py`): a step of `schema.py`, never edited."""

from __future__ import annotations

STEP = """
    CREATE TABLE free_use (
        span TEXT NOT NULL,
        begin_ms INTEGER NOT NULL,
        kind TEXT NOT NULL,
        who TEXT NOT NULL,
        network TEXT NOT NULL,
        requests INTEGER NOT NULL,
        anonymous INTEGER NOT NULL,
        refused INTEGER NOT NULL,
        suspect INTEGER NOT NULL,
        input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        market_cost_nano INTEGER NOT NULL,
        PRIMARY KEY (span, begin_ms, kind, who)
    ) WITHOUT ROWID;
    CREATE INDEX free_use_by_who ON free_use (who);
"""
