"""Prometheus' own tool on what a gateway tells, and on the questions of the Grafana dashboard. Where `promtool` is not
on the path, `support_telemetry.lint` has its rules, and `test_e2e_telemetry.py` looks at the names."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CALLS, CHAT, running
from support_telemetry import board_expressions
from trivium.mock import Error, Match, Reply, Rule, Usage

PROMTOOL = shutil.which("promtool")
pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not on the path")
LISTENS = '[telemetry.prometheus]\nlisten = "127.0.0.1:0"'
VALUES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}
"""What Grafana puts in the place of its own words."""


async def promtool(*words: str, stdin: bytes = b"") -> tuple[int, str]:
    """Its status and all that it says."""
    assert PROMTOOL is not None
    pipe = asyncio.subprocess.PIPE
    tool = await asyncio.create_subprocess_exec(
        PROMTOOL, *words, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await tool.communicate(stdin)
    assert tool.returncode is not None
    return tool.returncode, said.decode()


async def test_it_finds_nothing_in_what_a_gateway_tells_that_has_served() -> None:
    rules = (
        Rule(Reply(status=500, error=Error(message="no")), Match(model="broken")),
        Reply(text="Hello there", usage=Usage(input=7, output=3, cache_read=2)),
    )
    models = f'{ALL_APIS}\nmodels = ["m", "broken"]'
    async with running(*rules, settings=LISTENS, provider=models) as house, aiohttp.ClientSession() as session:
        for path, body in CALLS:
            for more in ({}, {"stream": True}, {"model": "broken"}):
                await house.post(path, {**body, **more})
        await house.post("/v1/chat/completions", CHAT, key="tv-wrong")
        listener = house.gateway.telemetry.listener
        assert listener is not None
        async with session.get(f"http://127.0.0.1:{listener.port}/metrics") as answer:
            told = await answer.read()
    assert b'trivium_requests_total{api="messages",model="broken"' in told
    assert await promtool("check", "metrics", stdin=told) == (0, "")


async def test_it_would_have_found_something() -> None:
    bad = b"# HELP x_ms Bad.\n# TYPE x_ms counter\nx_ms 1\n"
    status, said = await promtool("check", "metrics", stdin=bad)
    assert (status, "x_ms" in said) == (3, True)


async def test_each_question_of_the_grafana_dashboard_is_one(tmp_path: Path) -> None:
    expressions = list(board_expressions())
    assert len(expressions) > 40
    assert await _checked(tmp_path, expressions) == (0, [])
    status, wrong = await _checked(tmp_path, [*expressions[:1], "sum(rate(trivium_requests_total[5m])"])
    assert (status, len(wrong)) == (1, 1)


async def _checked(folder: Path, expressions: list[str]) -> tuple[int, list[str]]:
    """As rules; JSON is YAML."""
    rules: list[dict[str, Any]] = []
    for number, expression in enumerate(expressions):
        for word, value in VALUES.items():
            expression = expression.replace(word, value)  # noqa: PLW2901
        rules.append({"record": f"board:question:{number}", "expr": expression})
    file = folder / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "board", "rules": rules}]}))
    status, said = await promtool("check", "rules", str(file))
    return status, [line for line in said.splitlines() if "parse error" in line or "could not parse" in line]
