"""The tables of payments (`store/payments.py`, `store/auto_top_ups.py`): a step of `schema.py`, never edited."""

from __future__ import annotations

STEP = """
    CREATE TABLE payments (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        account_id TEXT NOT NULL,
        kind TEXT NOT NULL,
        processor TEXT NOT NULL,
        state TEXT NOT NULL,
        asked_cents INTEGER NOT NULL,
        fee_cents INTEGER NOT NULL,
        paid_cents INTEGER NOT NULL DEFAULT 0,
        tax_cents INTEGER NOT NULL DEFAULT 0,
        refunded_cents INTEGER NOT NULL DEFAULT 0,
        lost_cents INTEGER NOT NULL DEFAULT 0,
        dispute TEXT NOT NULL DEFAULT '',
        credited_nano INTEGER NOT NULL DEFAULT 0,
        taken_nano INTEGER NOT NULL DEFAULT 0,
        session TEXT,
        intent TEXT,
        customer TEXT,
        method TEXT,
        problem TEXT,
        made_by TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        changed_ms INTEGER NOT NULL,
        tried_ms INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX payments_by_account ON payments (account_id, seq);
    CREATE INDEX payments_by_intent ON payments (intent);
    CREATE TABLE stray_payments (
        event TEXT PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        ours INTEGER NOT NULL,
        intent TEXT,
        why TEXT NOT NULL,
        content TEXT NOT NULL,
        ended_ms INTEGER,
        note TEXT
    );
    CREATE INDEX stray_payments_by_intent ON stray_payments (intent);
    CREATE TABLE saved_cards (
        account_id TEXT PRIMARY KEY,
        processor TEXT NOT NULL,
        customer TEXT NOT NULL,
        method TEXT,
        words TEXT NOT NULL DEFAULT '',
        saved_ms INTEGER NOT NULL
    );
    CREATE INDEX saved_cards_by_method ON saved_cards (method);
    CREATE TABLE auto_top_ups (
        account_id TEXT PRIMARY KEY,
        enabled INTEGER NOT NULL,
        below_nano INTEGER NOT NULL,
        cents INTEGER NOT NULL,
        month_cents INTEGER NOT NULL,
        failures INTEGER NOT NULL DEFAULT 0,
        not_before_ms INTEGER NOT NULL DEFAULT 0,
        problem TEXT,
        payment_id TEXT,
        set_by TEXT NOT NULL,
        changed_ms INTEGER NOT NULL
    );
"""
