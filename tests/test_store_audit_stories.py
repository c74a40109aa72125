"""The auditor believes every story that agrees with itself, and finds any one cell that was damaged."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from support_audit import HOUR, INPUT, MIDNIGHT, Row, Story, a_story, audited, findings


def _start(story: Story, account: str, size: int) -> None:
    if story.free(account) >= size * INPUT:
        story.start(account, size * INPUT, ("bgt_1", "bgt_2")[: size % 3])


def _end(story: Story, size: int, outcome: str) -> None:
    if open_calls := story.open_calls():
        story.end(open_calls[size % len(open_calls)], (size // 3, size // 7), outcome=outcome)


def _later(story: Story, act: Callable[[str, int], Any], size: int, once: tuple[str, ...]) -> None:
    """To a call that cost something and was not touched by such entries."""
    touched = {row["request_id"] for row in story.rows["entries"] if row["kind"] in once}
    for row in story.rows["records"]:
        if row["cost_nano"] and row["id"] not in touched:
            act(row["id"], min(size, row["cost_nano"]))
            return


ACTIONS: list[Callable[[Story, str, int], Any]] = [
    lambda story, account, size: story.grant(account, size),
    lambda story, account, size: story.grant(account, size, lasts=size % 5 * HOUR + 1),
    lambda story, account, size: story.top_up(account, size),
    lambda story, account, size: story.adjust(account, size),
    lambda story, account, size: story.adjust(account, -size),
    lambda story, account, size: story.refuse(size % 9 + 1),
    lambda story, account, size: story.expire(account),
    _start,
    _start,
    lambda story, account, size: _end(story, size, "success"),
    lambda story, account, size: _end(story, size, "aborted"),
    lambda story, account, size: _end(story, 5 * size, "failed"),
    lambda story, account, size: _later(story, story.refund, size, ("refund", "adjustment")),
    lambda story, account, size: _later(story, lambda id, _: story.rerate(id), size, ("adjustment",)),
    lambda story, account, size: setattr(story, "now", story.now + size * 10_000),
]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    story = Story()
    accounts = [story.account("ann"), story.account("bob")]
    for name in ("bgt_1", "bgt_2"):
        story.budget(name)
    story.top_up("ann", 10**7)
    steps = st.tuples(st.sampled_from(ACTIONS), st.sampled_from(accounts), st.integers(1, 2_000))
    for act, account, size in draw(st.lists(steps, max_size=40)):
        act(story, account, size)
    return story


@settings(deadline=None, max_examples=150)
@given(stories(), st.none() | st.integers(0, 30_000_000))
def test_no_story_that_agrees_with_itself_is_doubted(story: Story, erased: int | None) -> None:
    if erased is not None:
        story.erase(min(story.now, MIDNIGHT + erased))
    assert findings(story) == []


ALWAYS: Callable[[Row], bool] = lambda row: True  # noqa: E731


def _has_ended(row: Row) -> bool:
    return bool(row["ended"])


def _holds(row: Row) -> bool:
    return not row["ended"] and bool(row["hold_nano"])


def _called(row: Row) -> bool:
    return row["upstream_status"] is not None


def _costs(row: Row) -> bool:
    return bool(row["cost_nano"])


COVERED: dict[str, dict[str, Callable[[Row], bool]]] = {
    "accounts": {
        "id": lambda row: bool(row["balance_nano"] or row["held_nano"]),
        "balance_nano": ALWAYS,
        "held_nano": ALWAYS,
    },
    "entries": {
        "account_id": ALWAYS,
        "kind": ALWAYS,
        "amount_nano": ALWAYS,
        "idempotency_key": lambda row: row["kind"] == "charge" or row["expires_ms"] is not None,
        "request_id": lambda row: row["kind"] in ("charge", "refund"),
        "lot": ALWAYS,
        "expires_ms": ALWAYS,
        "flags": lambda row: row["flags"] == "overrun" and row["kind"] == "charge",
    },
    "lots": {"id": ALWAYS, "account_id": ALWAYS, "expires_ms": ALWAYS, "remaining_nano": ALWAYS, "seq": ALWAYS},
    "starts": {
        "id": _has_ended,
        "time_ms": _has_ended,
        "key_id": _has_ended,
        "organization_id": _has_ended,
        "api": _has_ended,
        "account_id": _holds,
        "hold_nano": ALWAYS,
        "windows": lambda row: row["windows"] is not None and _holds(row),
        "price_version": _has_ended,
        "ended": ALWAYS,
        "owner": lambda row: not row["ended"],
    },
    "records": {
        "id": _called,
        "time_ms": _called,
        **dict.fromkeys(
            ("api", "operation", "outcome", "key_id", "account_id", "provider", "public_model", "requests"), ALWAYS
        ),
        "organization_id": ALWAYS,
        **dict.fromkeys(("input_uncached_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens"), ALWAYS),
        **dict.fromkeys(("cache_write_5m_tokens", "cache_write_1h_tokens", "cache_write_other_tokens"), ALWAYS),
        "upstream_model": _called,
        "payer": ALWAYS,
        "cost_nano": ALWAYS,
        "market_cost_nano": ALWAYS,
        "cost_source": ALWAYS,
        "price_version": ALWAYS,
        "markup_ppm": _costs,
        "hold_nano": ALWAYS,
        "project_id": ALWAYS,
        "ttfb_us": lambda row: row["outcome"] == "success",
        "total_us": lambda row: row["outcome"] == "success",
    },
    "budgets": {},
    "spends": {
        "budget_id": ALWAYS,
        "window_ms": lambda row: bool(row["spent_nano"] or row["held_nano"]),
        "spent_nano": ALWAYS,
        "held_nano": ALWAYS,
    },
    "prices": {"version": ALWAYS, "content": ALWAYS},
    "rerates": {
        "request_id": ALWAYS,
        "number": ALWAYS,
        "price_version": ALWAYS,
        "markup_ppm": ALWAYS,
        "before_nano": ALWAYS,
        "after_nano": ALWAYS,
    },
    "usage_hours": {},
}
"""Single cells whose damage is found, and in which rows. `usage_hours` is covered whole, but for the names of
programs, which records do not keep."""
UNCOVERED = {
    "accounts": {"kind", "name", "created_ms"},
    "entries": {"seq", "time_ms", "note"},
    "starts": {"payer", "requested_model", "provider", "upstream_model", "upstream_id", "public_model"},
    "budgets": {"id", "scope", "period", "limit_nano", "created_ms", "ended_ms", "house_nano"},
    "prices": {"provider", "model", "source", "first_ms"},
    "rerates": {"time_ms"},
    "records": {
        "status", "requested_model", "upstream_api", "answer_model", "upstream_status", "upstream_id", "stream",
        "error_code", "error_message", "in_band_error", "finish_reason", "native_finish_reason", "usage_known",
        "audio_input_tokens", "audio_output_tokens", "image_input_tokens", "server_tools", "service_tier",
        "reported_cost_usd", "market_cost_usd", "is_byok", "flags", "losses", "max_tokens", "queue_us",
        "first_token_us", "request_bytes", "response_bytes", "client_app", "client_ip", "user_id", "exposure_nano",
        "content_bytes", "prompt_prefix", "system_prompt_prefix", "system_prompt_length",
        "abuse_verdict", "abuse_reason", "task_id", "parent_task_id", "session_id", "client_project",
        "editor", "machine_id", "client_version", "feature", "mode", "told_code", "told_message", "routing",
        "auto_model", "auto_mode", "resolved_model", "rules", "model_listed", "inference_provider",
        "client_country", "tls_fingerprint", "tools_available", "tools_used", "runs", "image_output_tokens",
    },
}  # fmt: skip
"""What nothing else in the database tells. Tables that no check reads: keys, owners, price_overrides; of `erasures`,
`requests` is covered and no more."""


def _columns(connection: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]


@pytest.mark.parametrize("table", [table for table in COVERED if table != "usage_hours"])
def test_every_column_is_covered_or_said_not_to_be(table: str) -> None:
    columns = _columns(Story().stored(), table)
    assert sorted([*COVERED[table], *UNCOVERED.get(table, ())]) == sorted(columns)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_single_damaged_cell_is_found(data: st.DataObject) -> None:
    connection = data.draw(stories()).stored()
    table = data.draw(st.sampled_from(sorted(COVERED)))
    names = _columns(connection, table)
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(f"SELECT * FROM {table}")]
    whole = {name: ALWAYS for name in names if name != "app"}
    covered = whole if table == "usage_hours" else COVERED[table]
    cells = [(row, column) for row in rows for column, there in covered.items() if there(row)]
    assume(cells)
    row, column = data.draw(st.sampled_from(cells))
    value: Any = "x"
    if isinstance(row[column], int) or column in ("expires_ms", "market_cost_nano", "markup_ppm"):
        # Less than a doubled price may be lost in the rounding.
        steps = [10**6] if column == "markup_ppm" else [-HOUR, -1, 1, 10**6, HOUR, 10**12]
        value = (row[column] or 0) + data.draw(st.sampled_from(steps))
    where = " AND ".join(f"{name} IS ?" for name in names)
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (value, *row.values()))
    assert findings(connection) != []


@settings(deadline=None, max_examples=300)
@given(st.data(), st.sampled_from([None, "x", "", b"\xff", 1.5, float("inf"), -(2**63), "[[", '{"a":"b"}']))
def test_whatever_a_cell_holds_the_auditor_comes_to_an_end(data: st.DataObject, value: Any) -> None:
    connection = a_story().stored()
    table = data.draw(st.sampled_from(sorted(COVERED)))
    column = data.draw(st.sampled_from(_columns(connection, table)))
    with contextlib.suppress(sqlite3.IntegrityError):
        connection.execute(f"UPDATE {table} SET {column} = ?", (value,))
    audited(connection)
