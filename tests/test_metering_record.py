"""The record as other things rely on it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import CHAT, running
from trivium.metering.record import COLUMNS, Outcome, Record
from trivium.mock import Reply
from trivium.pipeline.handle import TRANSFORMS
from trivium.pipeline.once import REPLAYED
from trivium.pipeline.screen import SOFT_BLOCKED, UNREAD
from trivium.pipeline.screening import UNCHECKED
from trivium.policy.free import LIMIT_REACHED


def test_what_is_not_said_is_unknown_and_not_zero() -> None:
    record = Record(id="r", time_ms=1, api="messages", operation="generate", outcome=Outcome.REFUSED, status=401)
    assert (record.requests, record.usage_known, record.is_byok, record.ttfb_us) == (1, False, None, None)


def test_columns_are_the_fields_in_order_and_the_id_comes_first() -> None:
    assert COLUMNS[0] == "id"
    assert len(COLUMNS) == len(set(COLUMNS))
    assert all(name.replace("_", "").isalnum() and name.islower() for name in COLUMNS)


def test_the_page_says_what_each_flag_means() -> None:
    root = Path(__file__).parents[1]
    page = (root / "docs/usage.md").read_text(encoding="utf-8").partition("### Flags")[2].partition("\n## ")[0]
    code = "".join(file.read_text(encoding="utf-8") for file in sorted((root / "src").rglob("*.py")))
    written = set(re.findall(r'flags(?:\.append\(|=|": |: list\[str\] = \[| = \[)"(\w+)"', code))
    named = {SOFT_BLOCKED, UNREAD, UNCHECKED, REPLAYED, LIMIT_REACHED, TRANSFORMS, "clamped_usage", "malformed_events"}
    assert len(written) > 10
    assert sorted(flag for flag in written | named if f"`{flag}`" not in page) == []


@pytest.mark.parametrize(
    "answer",
    [
        {"id": "x" * 50_000, "choices": [{"message": {}, "finish_reason": "stop"}]},
        {"model": "x" * 50_000, "choices": [{"message": {}, "finish_reason": "stop"}]},
        {"choices": [{"message": {}, "finish_reason": "x" * 50_000}]},
        {"error": {"type": "x" * 50_000, "message": "no"}},
        {"choices": [], "usage": {"prompt_tokens": 1}, "service_tier": "x" * 50_000},
        {"choices": [], "usage": {"server_tool_use": {"x" * 50_000: 1}}},
    ],
    ids=["id", "model", "finish", "error", "tier", "tools"],
)
async def test_an_upstream_cannot_fill_the_disk_through_the_records(answer: dict[str, object]) -> None:
    async with running(Reply(body=answer)) as house:
        await house.post("/v1/chat/completions", CHAT)
        record = await house.record()
    assert sum(len(str(value)) for value in record.values()) < 10_000
