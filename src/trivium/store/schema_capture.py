"""Bodies of calls (`store/captures.py`), which keys are captured, and what was done to requests: a step of `schema.py`,
never edited."""

from __future__ import annotations

STEP = """
    ALTER TABLE records ADD COLUMN rules TEXT;
    ALTER TABLE keys ADD COLUMN capture INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE keys ADD COLUMN capture_until_ms INTEGER;

    CREATE TABLE captures (
        id TEXT PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        key_id TEXT NOT NULL,
        user_id TEXT,
        organization_id TEXT,
        bytes INTEGER NOT NULL,
        about TEXT NOT NULL,
        request BLOB,
        sent BLOB,
        answer BLOB
    );
    CREATE INDEX captures_by_time ON captures (time_ms);
    CREATE INDEX captures_by_key ON captures (key_id, id);
    CREATE INDEX captures_by_user ON captures (user_id, id);
    CREATE INDEX captures_by_organization ON captures (organization_id, id);
"""
