"""What an upstream says is never a page of the gateway's address, where people are signed in to the dashboard."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import CALLS, running
from trivium.mock import Error, Reply

TEXT = "<script>alert(1)</script>"
BLANKS = " " * 8192 + TEXT


@pytest.mark.parametrize(("path", "body"), CALLS)
@pytest.mark.parametrize(
    "kind",
    [
        *("text/html", "application/xhtml+xml", "TEXT/HTML; charset=utf-8", ""),
        *("application/json, text/html", "application/jsonx"),  # of several kinds a browser takes the last
    ],
)
@pytest.mark.parametrize(
    "reply",
    [
        {"text": TEXT},
        {"status": 400, "error": Error(message=TEXT)},
        {"body": BLANKS},  # passed on as it comes, since blanks keep connections alive
    ],
)
async def test_nobody_reads_markup(path: str, body: dict[str, Any], kind: str, reply: dict[str, Any]) -> None:
    async with running(Reply(**reply, headers={"content-type": kind})) as house:
        _, _, headers = await house.post(path, body)
        assert headers["content-type"] == "application/json"


async def test_nor_in_a_stream() -> None:
    async with running(Reply(text=TEXT, headers={"content-type": "text/event-stream, text/html"})) as house:
        _, _, headers = await house.post(CALLS[0][0], {**CALLS[0][1], "stream": True})
        assert headers["content-type"] == "text/event-stream"


async def test_what_is_data_keeps_its_name() -> None:
    for kind in ("application/json; charset=utf-8", "Application/JSON", "application/json"):
        async with running(Reply(text="hi", headers={"content-type": kind})) as house:
            _, _, headers = await house.post(*CALLS[0])
            assert headers["content-type"] == kind
