"""`trivium free`, beside a gateway and alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from support_cli import CommandLine, beside_a_gateway
from test_operations_free_use import call, refusal
from trivium.policy.counters import Claim


@pytest.fixture
def trivium(tmp_path: Path) -> CommandLine:
    return CommandLine(tmp_path)


def test_where_nobody_has_called(trivium: CommandLine) -> None:
    said = trivium("free").stdout
    assert "\n0 addresses\n\n0 callers\n" in said
    assert "'the other day' is no time" in trivium.refusal("free", "--at", "the other day")


async def test_a_running_gateway_tells_what_it_counts(trivium: CommandLine, tmp_path: Path) -> None:
    async with beside_a_gateway(tmp_path) as gateway:
        now = gateway.store.clock.now_ms()
        gateway.store.ledger.end(call(now, 1, client_ip="203.0.113.7", market_cost_nano=1_500_000_000))
        gateway.store.ledger.end(refusal(now, 2, client_ip="203.0.113.7"))
        gateway.store.ledger.end(call(now, 3, client_ip="203.0.113.8", user_id="ann", key_id="key_1"))
        limit = gateway.deps.free.per_ip_per_hour
        await gateway.counters.take([Claim("free:address:203.0.113.7", limit, amount=limit, window_s=3600)])
        gateway.counters.add("free:refused:address:203.0.113.7", 4, 3600)
        said = (await asyncio.to_thread(trivium, "free", "--order", "worth", "--period", "month")).stdout
        told = await asyncio.to_thread(trivium.json, "free")
    lines = said.splitlines()
    assert "2 addresses" in lines
    (row,) = [line for line in lines if line.endswith(f"{limit} of {limit} (hour), refused 4 times")]
    assert row.split()[0] == "203.0.113.0/24"
    assert "1.5" in row
    assert "1 callers" in lines
    assert "ann" in said
    assert told["total"]["market_cost_nano"] == 1_500_000_007
