"""The tables of alerts (`store/alerts.py`, `store/alert_channels.py`): steps of `schema.py`, never edited."""

from __future__ import annotations

STEP = """
    CREATE TABLE alert_minutes (
        minute INTEGER NOT NULL,
        provider TEXT NOT NULL,
        model TEXT NOT NULL,
        app TEXT NOT NULL,
        calls INTEGER NOT NULL,
        errors INTEGER NOT NULL,
        streams INTEGER NOT NULL,
        slow INTEGER NOT NULL,
        PRIMARY KEY (minute, provider, model, app)
    );
    CREATE TABLE alert_states (name TEXT PRIMARY KEY, content TEXT NOT NULL, time_ms INTEGER NOT NULL);
    CREATE TABLE notices (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        time_ms INTEGER NOT NULL,
        rule TEXT NOT NULL,
        severity TEXT NOT NULL,
        key TEXT NOT NULL,
        title TEXT NOT NULL,
        text TEXT NOT NULL,
        facts TEXT NOT NULL,
        channels TEXT NOT NULL,
        ended_ms INTEGER
    );
    CREATE INDEX notices_by_key ON notices (key, time_ms);
"""
CHANNELS = """
    CREATE TABLE alert_channels (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        content TEXT NOT NULL,
        created_ms INTEGER NOT NULL
    );
"""
