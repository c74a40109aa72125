"""How usage came to be summed over spans of hours and days in place of days alone: a step of `schema.py`, never edited.

What was folded is folded anew, from hours: `store/spans.py`.
"""

from __future__ import annotations

_SUMS = """
    requests INTEGER NOT NULL, usage_unknown INTEGER NOT NULL, input_uncached_tokens INTEGER NOT NULL,
    cache_read_tokens INTEGER NOT NULL, cache_write_5m_tokens INTEGER NOT NULL, cache_write_1h_tokens INTEGER NOT NULL,
    cache_write_other_tokens INTEGER NOT NULL, output_tokens INTEGER NOT NULL, reasoning_tokens INTEGER NOT NULL,
    cost_nano INTEGER NOT NULL, market_cost_nano INTEGER NOT NULL, timed INTEGER NOT NULL, ttfb_us INTEGER NOT NULL,
    total_us INTEGER NOT NULL, ttfb_0 INTEGER NOT NULL, ttfb_1 INTEGER NOT NULL, ttfb_2 INTEGER NOT NULL,
    ttfb_3 INTEGER NOT NULL, ttfb_4 INTEGER NOT NULL, ttfb_5 INTEGER NOT NULL, ttfb_6 INTEGER NOT NULL,
    ttfb_7 INTEGER NOT NULL, ttfb_8 INTEGER NOT NULL, total_0 INTEGER NOT NULL, total_1 INTEGER NOT NULL,
    total_2 INTEGER NOT NULL, total_3 INTEGER NOT NULL, total_4 INTEGER NOT NULL, total_5 INTEGER NOT NULL,
    total_6 INTEGER NOT NULL, total_7 INTEGER NOT NULL, total_8 INTEGER NOT NULL
"""
_CALLERS = "operation, organization_id, key_id, account_id, project_id"
_ANSWERERS = "api, provider, model, public_model, outcome, app"


def _table(name: str, keys: str) -> str:
    """Read in the order of its keys, which is faster without rowids; adding to rows again and again is slower."""
    typed = ", ".join(f"{key} TEXT NOT NULL" for key in keys.split(", "))
    return (
        f"CREATE TABLE {name} (hours INTEGER NOT NULL, from_ms INTEGER NOT NULL, {typed}, {_SUMS},"
        f" PRIMARY KEY (hours, from_ms, {keys})) WITHOUT ROWID;"
    )


STEP = f"""
    DROP TABLE usage_days;
    DROP TABLE usage_days_of_models;
    DROP TABLE usage_days_of_keys;
    DELETE FROM usage_folds;
    ALTER TABLE usage_folds ADD COLUMN days INTEGER NOT NULL DEFAULT 1;
    {_table("usage_spans", f"{_CALLERS}, {_ANSWERERS}")}
    {_table("usage_spans_of_models", f"operation, {_ANSWERERS}")}
    {_table("usage_spans_of_keys", f"{_CALLERS}, public_model, outcome, app")}
"""
