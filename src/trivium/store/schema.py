"""The tables, as steps that move a database one version on. Steps are never edited once released.

They are written in SQLite's words; `postgres.py` puts its own in their place. Amounts are integer nanodollars, times
milliseconds since the epoch, JSON is text. Who reads a table and what must hold between tables is in
`docs/architecture.md`, "Money".

Records and starts have rowids, though their ids are unique: SQLite appends such rows to full pages, where a table
without rowids splits its last pages again and again, which takes 2 us more for each call. Databases that
were made before keep them without; no statement can tell.
"""

from __future__ import annotations

from trivium.store import (
    schema_alerts,
    schema_capture,
    schema_free,
    schema_payments,
    schema_sessions,
    schema_spans,
    schema_usage,
)

_FIRST_RECORD = """
    id TEXT PRIMARY KEY, time_ms INTEGER, api TEXT, operation TEXT, outcome TEXT, status INTEGER, key_id TEXT,
    requested_model TEXT, provider TEXT, upstream_api TEXT, upstream_model TEXT, answer_model TEXT,
    upstream_status INTEGER, upstream_id TEXT, stream INTEGER, error_code TEXT, error_message TEXT,
    in_band_error INTEGER, finish_reason TEXT, native_finish_reason TEXT, usage_known INTEGER,
    input_uncached_tokens INTEGER, cache_read_tokens INTEGER, cache_write_5m_tokens INTEGER,
    cache_write_1h_tokens INTEGER, cache_write_other_tokens INTEGER, output_tokens INTEGER, reasoning_tokens INTEGER,
    audio_input_tokens INTEGER, audio_output_tokens INTEGER, image_input_tokens INTEGER, server_tools TEXT,
    service_tier TEXT, reported_cost_usd TEXT, market_cost_usd TEXT, is_byok INTEGER, flags TEXT, losses TEXT,
    max_tokens INTEGER, queue_us INTEGER, ttfb_us INTEGER, first_token_us INTEGER, total_us INTEGER,
    request_bytes INTEGER, response_bytes INTEGER, client_app TEXT, client_ip TEXT, requests INTEGER
"""

MIGRATIONS = (
    f"""
    CREATE TABLE records ({_FIRST_RECORD});
    CREATE INDEX records_by_time ON records (time_ms);
    CREATE TABLE keys (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        hint TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        revoked_ms INTEGER
    );
    """,
    "ALTER TABLE keys ADD COLUMN strict INTEGER NOT NULL DEFAULT 0;",
    """
    ALTER TABLE keys ADD COLUMN account_id TEXT;
    ALTER TABLE keys ADD COLUMN user_id TEXT;
    ALTER TABLE keys ADD COLUMN project_id TEXT;

    ALTER TABLE records ADD COLUMN account_id TEXT;
    ALTER TABLE records ADD COLUMN user_id TEXT;
    ALTER TABLE records ADD COLUMN project_id TEXT;
    ALTER TABLE records ADD COLUMN payer TEXT;
    ALTER TABLE records ADD COLUMN cost_nano INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE records ADD COLUMN market_cost_nano INTEGER;
    ALTER TABLE records ADD COLUMN cost_source TEXT;
    ALTER TABLE records ADD COLUMN price_version TEXT;
    ALTER TABLE records ADD COLUMN markup_ppm INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE records ADD COLUMN hold_nano INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE records ADD COLUMN exposure_nano INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE records ADD COLUMN content_bytes INTEGER NOT NULL DEFAULT 0;

    CREATE TABLE accounts (
        id TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        balance_nano INTEGER NOT NULL DEFAULT 0,
        held_nano INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        account_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        amount_nano INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        idempotency_key TEXT NOT NULL UNIQUE,
        request_id TEXT,
        lot TEXT,
        expires_ms INTEGER,
        flags TEXT NOT NULL DEFAULT '',
        note TEXT
    );
    CREATE INDEX entries_by_account ON entries (account_id, seq);
    CREATE TABLE lots (
        id TEXT PRIMARY KEY,
        account_id TEXT NOT NULL,
        expires_ms INTEGER NOT NULL,
        remaining_nano INTEGER NOT NULL,
        seq INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX lots_by_account ON lots (account_id, expires_ms);
    CREATE TABLE starts (
        id TEXT PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        owner TEXT NOT NULL,
        key_id TEXT,
        account_id TEXT,
        payer TEXT,
        hold_nano INTEGER NOT NULL,
        windows TEXT,
        api TEXT NOT NULL,
        requested_model TEXT,
        provider TEXT,
        upstream_model TEXT,
        price_version TEXT,
        upstream_id TEXT,
        ended INTEGER NOT NULL DEFAULT 0
    );
    CREATE TABLE owners (id TEXT PRIMARY KEY, seen_ms INTEGER NOT NULL, since TEXT NOT NULL);
    CREATE TABLE budgets (
        id TEXT PRIMARY KEY,
        scope TEXT NOT NULL,
        period TEXT NOT NULL,
        limit_nano INTEGER NOT NULL,
        created_ms INTEGER NOT NULL,
        ended_ms INTEGER
    );
    CREATE TABLE spends (
        budget_id TEXT NOT NULL,
        window_ms INTEGER NOT NULL,
        spent_nano INTEGER NOT NULL DEFAULT 0,
        held_nano INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (budget_id, window_ms)
    );
    CREATE TABLE prices (
        version TEXT PRIMARY KEY,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        source TEXT NOT NULL,
        content TEXT NOT NULL,
        first_ms INTEGER NOT NULL
    );
    CREATE TABLE price_overrides (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        pattern TEXT NOT NULL,
        account_id TEXT,
        effective_ms INTEGER NOT NULL,
        content TEXT,
        markup_ppm INTEGER,
        note TEXT,
        created_ms INTEGER NOT NULL
    );
    CREATE TABLE rerates (
        request_id TEXT NOT NULL,
        number INTEGER NOT NULL,
        price_version TEXT NOT NULL,
        time_ms INTEGER NOT NULL,
        before_nano INTEGER NOT NULL,
        after_nano INTEGER NOT NULL,
        PRIMARY KEY (request_id, number)
    );
    CREATE TABLE usage_hours (
        hour_ms INTEGER NOT NULL,
        operation TEXT NOT NULL,
        key_id TEXT NOT NULL,
        account_id TEXT NOT NULL,
        api TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        outcome TEXT NOT NULL,
        requests INTEGER NOT NULL,
        usage_unknown INTEGER NOT NULL,
        input_uncached_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_write_5m_tokens INTEGER NOT NULL,
        cache_write_1h_tokens INTEGER NOT NULL,
        cache_write_other_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        cost_nano INTEGER NOT NULL,
        market_cost_nano INTEGER NOT NULL,
        PRIMARY KEY (hour_ms, operation, key_id, account_id, api, provider, model, outcome)
    );
    CREATE TABLE erasures (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        time_ms INTEGER NOT NULL,
        before_ms INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        records INTEGER NOT NULL,
        starts INTEGER NOT NULL
    );
    INSERT INTO usage_hours
    SELECT time_ms - time_ms % 3600000, operation, coalesce(key_id, ''), '', api, coalesce(provider, ''),
        CASE WHEN upstream_status < 400 OR upstream_status >= 500 THEN coalesce(provider || '/' || upstream_model, '')
        ELSE '' END, outcome, sum(requests),
        sum(CASE WHEN upstream_status = 200 AND usage_known = 0 THEN 1 ELSE 0 END), sum(input_uncached_tokens),
        sum(cache_read_tokens), sum(cache_write_5m_tokens), sum(cache_write_1h_tokens), sum(cache_write_other_tokens),
        sum(output_tokens), sum(reasoning_tokens), 0, 0
    FROM records GROUP BY 1, 2, 3, 4, 5, 6, 7, 8;
    """,
    """
    CREATE TABLE users (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        email TEXT UNIQUE,
        domain TEXT,
        staff INTEGER NOT NULL DEFAULT 0,
        limits TEXT NOT NULL DEFAULT '{}',
        created_ms INTEGER NOT NULL,
        blocked_ms INTEGER,
        blocked_why TEXT,
        token_pepper TEXT
    );
    CREATE TABLE organizations (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        settings TEXT NOT NULL DEFAULT '{}',
        version INTEGER NOT NULL DEFAULT 1,
        created_ms INTEGER NOT NULL
    );
    CREATE TABLE memberships (
        organization_id TEXT NOT NULL,
        user_id TEXT NOT NULL,
        role TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        accepted_ms INTEGER,
        PRIMARY KEY (organization_id, user_id)
    );
    CREATE INDEX memberships_by_user ON memberships (user_id);
    CREATE TABLE projects (
        id TEXT NOT NULL,
        organization_id TEXT NOT NULL,
        name TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (organization_id, id)
    );
    CREATE TABLE blocked_domains (domain TEXT PRIMARY KEY, created_ms INTEGER NOT NULL);
    INSERT INTO users (id, name, created_ms)
    SELECT user_id, user_id, min(created_ms) FROM keys WHERE user_id IS NOT NULL GROUP BY user_id;
    INSERT INTO accounts (id, kind, name, created_ms)
    SELECT id, 'user', name, created_ms FROM users WHERE true ON CONFLICT (id) DO NOTHING;

    ALTER TABLE keys ADD COLUMN expires_ms INTEGER;
    ALTER TABLE keys ADD COLUMN scopes TEXT;
    ALTER TABLE keys ADD COLUMN limits TEXT;
    ALTER TABLE keys ADD COLUMN ceiling TEXT;
    ALTER TABLE keys ADD COLUMN last_used_ms INTEGER;
    CREATE INDEX keys_by_account ON keys (account_id, id);
    CREATE INDEX keys_by_user ON keys (user_id, id);
    CREATE TABLE retired_keys (hash BLOB PRIMARY KEY, key_id TEXT NOT NULL, until_ms INTEGER NOT NULL);
    CREATE INDEX retired_keys_by_key ON retired_keys (key_id);

    ALTER TABLE budgets ADD COLUMN house_nano INTEGER;
    UPDATE budgets SET house_nano = limit_nano;

    ALTER TABLE starts ADD COLUMN organization_id TEXT;
    ALTER TABLE records ADD COLUMN organization_id TEXT;
    ALTER TABLE records ADD COLUMN prompt_prefix TEXT;
    ALTER TABLE records ADD COLUMN system_prompt_prefix TEXT;
    ALTER TABLE records ADD COLUMN system_prompt_length INTEGER;
    ALTER TABLE records ADD COLUMN abuse_verdict TEXT;
    ALTER TABLE records ADD COLUMN abuse_reason TEXT;
    ALTER TABLE records ADD COLUMN task_id TEXT;
    ALTER TABLE records ADD COLUMN parent_task_id TEXT;
    ALTER TABLE records ADD COLUMN session_id TEXT;
    ALTER TABLE records ADD COLUMN client_project TEXT;
    ALTER TABLE records ADD COLUMN editor TEXT;
    ALTER TABLE records ADD COLUMN machine_id TEXT;
    ALTER TABLE records ADD COLUMN client_version TEXT;
    ALTER TABLE records ADD COLUMN feature TEXT;
    ALTER TABLE records ADD COLUMN mode TEXT;
    ALTER TABLE records ADD COLUMN public_model TEXT;
    ALTER TABLE records ADD COLUMN told_code TEXT;
    ALTER TABLE records ADD COLUMN told_message TEXT;
    ALTER TABLE starts ADD COLUMN public_model TEXT;
    CREATE TABLE hours (
        hour_ms INTEGER NOT NULL,
        operation TEXT NOT NULL,
        key_id TEXT NOT NULL,
        account_id TEXT NOT NULL,
        organization_id TEXT NOT NULL,
        api TEXT NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        public_model TEXT NOT NULL,
        outcome TEXT NOT NULL,
        requests INTEGER NOT NULL,
        usage_unknown INTEGER NOT NULL,
        input_uncached_tokens INTEGER NOT NULL,
        cache_read_tokens INTEGER NOT NULL,
        cache_write_5m_tokens INTEGER NOT NULL,
        cache_write_1h_tokens INTEGER NOT NULL,
        cache_write_other_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL,
        reasoning_tokens INTEGER NOT NULL,
        cost_nano INTEGER NOT NULL,
        market_cost_nano INTEGER NOT NULL,
        PRIMARY KEY (
            hour_ms, operation, key_id, account_id, organization_id, api, provider, model, public_model, outcome
        )
    );
    INSERT INTO hours
    SELECT hour_ms, operation, key_id, account_id, '', api, provider, model, '', outcome, requests, usage_unknown,
        input_uncached_tokens, cache_read_tokens, cache_write_5m_tokens, cache_write_1h_tokens,
        cache_write_other_tokens, output_tokens, reasoning_tokens, cost_nano, market_cost_nano
    FROM usage_hours;
    DROP TABLE usage_hours;
    ALTER TABLE hours RENAME TO usage_hours;

    ALTER TABLE rerates ADD COLUMN markup_ppm INTEGER;

    CREATE TABLE settings (name TEXT PRIMARY KEY, content TEXT NOT NULL, version INTEGER NOT NULL);
    CREATE TABLE changes (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        time_ms INTEGER NOT NULL,
        actor TEXT NOT NULL,
        action TEXT NOT NULL,
        organization_id TEXT,
        target TEXT NOT NULL,
        before TEXT,
        after TEXT
    );
    CREATE INDEX changes_by_organization ON changes (organization_id, seq);
    CREATE TABLE admins (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        name TEXT NOT NULL,
        hint TEXT NOT NULL,
        user_id TEXT,
        created_ms INTEGER NOT NULL,
        expires_ms INTEGER,
        revoked_ms INTEGER
    );
    CREATE TABLE answers (
        id BLOB PRIMARY KEY,
        question BLOB NOT NULL,
        sealed BLOB,
        time_ms INTEGER NOT NULL
    );
    CREATE INDEX answers_by_time ON answers (time_ms);
    CREATE TABLE secrets (
        id TEXT PRIMARY KEY,
        owner TEXT NOT NULL,
        vendor TEXT NOT NULL,
        name TEXT NOT NULL,
        position INTEGER NOT NULL,
        base_url TEXT,
        region TEXT,
        enabled INTEGER NOT NULL DEFAULT 1,
        hint TEXT NOT NULL,
        key_version TEXT NOT NULL,
        wrapped_key BLOB NOT NULL,
        sealed BLOB NOT NULL,
        created_ms INTEGER NOT NULL
    );
    CREATE TABLE secret_keys (version TEXT PRIMARY KEY, proof BLOB NOT NULL);
    CREATE INDEX secrets_by_owner ON secrets (owner, vendor, position);
    CREATE INDEX secrets_by_key ON secrets (key_version, id);
    CREATE TABLE custom_models (
        id TEXT PRIMARY KEY,
        organization_id TEXT NOT NULL,
        name TEXT NOT NULL,
        content TEXT NOT NULL,
        shown_to TEXT NOT NULL DEFAULT '[]',
        created_ms INTEGER NOT NULL
    );
    CREATE UNIQUE INDEX custom_models_by_name ON custom_models (organization_id, name);
    """,
    "ALTER TABLE records ADD COLUMN routing TEXT;",
    """
    ALTER TABLE records ADD COLUMN auto_model TEXT;
    ALTER TABLE records ADD COLUMN auto_mode TEXT;
    ALTER TABLE records ADD COLUMN resolved_model TEXT;
    """,
    schema_usage.STEP,
    schema_sessions.STEP,
    schema_alerts.STEP,
    schema_spans.STEP,
    schema_alerts.CHANNELS,
    schema_sessions.RIGHTS,
    schema_free.STEP,
    schema_payments.STEP,
    schema_capture.STEP,
    "ALTER TABLE records ADD COLUMN model_listed INTEGER;",
    "ALTER TABLE records ADD COLUMN inference_provider TEXT;",
    """
    ALTER TABLE records ADD COLUMN client_country TEXT;
    ALTER TABLE records ADD COLUMN tls_fingerprint TEXT;
    """,
    """
    ALTER TABLE records ADD COLUMN tools_available TEXT;
    ALTER TABLE records ADD COLUMN tools_used TEXT;
    """,
    "CREATE INDEX changes_by_target ON changes (target);",
    "ALTER TABLE records ADD COLUMN runs TEXT;",
    "ALTER TABLE records ADD COLUMN image_output_tokens INTEGER;",
)
