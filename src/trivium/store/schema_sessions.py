"""Who is signed in to the dashboard, and how people may sign in: steps of `schema.py`, never edited."""

from __future__ import annotations

STEP = """
    CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        user_id TEXT,
        way TEXT NOT NULL,
        agent TEXT,
        address TEXT,
        created_ms INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL,
        expires_ms INTEGER NOT NULL
    );
    CREATE INDEX sessions_by_user ON sessions (user_id);
    CREATE TABLE sign_in_links (
        hash BLOB PRIMARY KEY,
        user_id TEXT,
        expires_ms INTEGER NOT NULL
    );
    CREATE TABLE passwords (user_id TEXT PRIMARY KEY, hash TEXT NOT NULL, changed_ms INTEGER NOT NULL);
    CREATE TABLE identities (
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        user_id TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        PRIMARY KEY (issuer, subject)
    );
"""

RIGHTS = "ALTER TABLE sessions ADD COLUMN rights TEXT;"
"""What somebody could do when the session's text was made: another step."""
