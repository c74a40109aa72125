"""How usage came to be counted by program, project and duration, and by the day: a step of `schema.py`, never edited.

Hours whose records are there are counted anew from them, since what is new is in the records alone. The others stay as
they are, with an empty project and program, and no durations.
"""

from __future__ import annotations

from itertools import pairwise

_OLD_KEYS = "operation, key_id, account_id, organization_id"
_OLD_NAMES = "api, provider, model, public_model, outcome"
_KEYS = f"{_OLD_KEYS}, project_id, {_OLD_NAMES}, app"
_OLD_SUMS = """
    requests, usage_unknown, input_uncached_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
    cache_write_other_tokens, output_tokens, reasoning_tokens, cost_nano, market_cost_nano
"""
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
_TIMED = "ttfb_us IS NOT NULL AND outcome = 'success'"
_PROGRAMS = (
    *("claude-cli", "codex_cli_rs", "codex_exec", "codex_vscode", "opencode", "Kilo-Code", "RooCode", "Cline"),
    *("gemini-cli", "goose", "crush", "aider", "Zed", "Cursor", "GitHubCopilotChat"),
    *("OpenAI", "AsyncOpenAI", "Anthropic", "AsyncAnthropic", "litellm", "langchain", "ai"),
    *("python-requests", "python-httpx", "Python", "node", "axios", "undici", "okhttp", "Go-http-client", "Bun"),
    *("curl", "PostmanRuntime", "Mozilla", "trivium"),
)
"""Those of `metering/apps.py` when this step was made."""
_ERASED = "coalesce((SELECT max(before_ms) FROM erasures), 0)"


def _bands(column: str, first: int) -> str:
    """`first`: the end of the first band, in microseconds."""
    ends = [0, *(first << n for n in range(8)), 1 << 62]
    return ", ".join(
        f"sum(CASE WHEN {_TIMED} AND {column} >= {low} AND {column} < {high} THEN 1 ELSE 0 END)"
        for low, high in pairwise(ends)
    )


def _program() -> str:
    cases = " ".join(
        f"WHEN client_app = '{name}' OR substr(client_app, 1, {len(name) + 1}) = '{name}/' THEN '{name}'"
        for name in _PROGRAMS
    )
    return f"CASE WHEN coalesce(client_app, '') = '' THEN '' {cases} ELSE 'other' END"


def _table(name: str, time: str, keys: str) -> str:
    typed = ", ".join(f"{key} TEXT NOT NULL" for key in keys.split(", "))
    return f"CREATE TABLE {name} ({time} INTEGER NOT NULL, {typed}, {_SUMS}, PRIMARY KEY ({time}, {keys}))"


def _folded(name: str, keys: str) -> str:
    """Read in the order of its keys, which is faster without rowids; adding to rows again and again is slower."""
    return f"{_table(name, 'day_ms', keys)} WITHOUT ROWID;"


STEP = f"""
    {_table("hours", "hour_ms", _KEYS)};
    INSERT INTO hours SELECT hour_ms, {_OLD_KEYS}, '', {_OLD_NAMES}, '', {_OLD_SUMS}, 0, 0, 0{", 0" * 18}
    FROM usage_hours h WHERE hour_ms < {_ERASED} OR NOT EXISTS (
        SELECT 1 FROM records r WHERE r.time_ms >= h.hour_ms AND r.time_ms < h.hour_ms + 3600000
    );
    INSERT INTO hours
    SELECT time_ms - time_ms % 3600000, operation, coalesce(key_id, ''), coalesce(account_id, ''),
        coalesce(organization_id, ''), coalesce(project_id, ''), api, coalesce(provider, ''),
        CASE WHEN upstream_status < 400 OR upstream_status >= 500 THEN coalesce(provider || '/' || upstream_model, '')
        ELSE '' END, coalesce(public_model, ''), outcome, {_program()}, sum(requests),
        sum(CASE WHEN upstream_status = 200 AND usage_known = 0 THEN 1 ELSE 0 END), sum(input_uncached_tokens),
        sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_write_other_tokens),
        sum(output_tokens), sum(reasoning_tokens), sum(cost_nano + coalesce((
            SELECT CAST(sum(after_nano - before_nano) AS BIGINT) FROM rerates WHERE request_id = records.id), 0)),
        sum(coalesce(market_cost_nano, 0)), sum(CASE WHEN {_TIMED} THEN 1 ELSE 0 END),
        sum(CASE WHEN {_TIMED} THEN ttfb_us ELSE 0 END), sum(CASE WHEN {_TIMED} THEN total_us ELSE 0 END),
        {_bands("ttfb_us", 1 << 17)}, {_bands("total_us", 1 << 19)}
    FROM records WHERE time_ms >= {_ERASED} GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12;
    DROP TABLE usage_hours;
    ALTER TABLE hours RENAME TO usage_hours;

    CREATE TABLE usage_folds (day_ms INTEGER PRIMARY KEY, until_ms INTEGER NOT NULL);
    {_folded("usage_days", _KEYS)}
    {_folded("usage_days_of_models", f"operation, {_OLD_NAMES}, app")}
    {_folded("usage_days_of_keys", f"{_OLD_KEYS}, project_id, outcome, app")}
"""
