"""Posting to a URL of the operator's: what is taken, what may be tried again, what may not."""

from __future__ import annotations

import asyncio

import pytest

from support_hooks import Hook
from trivium.policy.destinations import Destinations
from trivium.upstream.guard import Guard
from trivium.upstream.http1 import Http1Client
from trivium.upstream.webhook import Problem, Taken, Webhook


@pytest.mark.parametrize(
    ("status", "passing"), [(200, None), (204, None), (302, False), (404, False), (429, True), (503, True)]
)
async def test_only_2xx_is_taken(status: int, passing: bool | None) -> None:
    client = Http1Client()
    async with Hook(status) as hook:
        problem = await Webhook(client, hook.url, [(b"x-key", b"s")], 5).post(b'{"a":1}')
        assert hook.bodies == [{"a": 1}]
        assert hook.headers[0]["x-key"] == "s"
        assert hook.headers[0]["content-type"] == "application/json"
    await client.close()
    assert problem == (Taken(f"status {status}") if passing is None else Problem(f"status {status}", passing))


async def test_nobody_there_may_pass() -> None:
    client = Http1Client()
    async with Hook() as hook:
        url = hook.url
    problem = await Webhook(client, url, [], 5).post(b"{}")
    await client.close()
    assert isinstance(problem, Problem)
    assert problem.passing


async def test_silence_is_not_waited_for_without_end() -> None:
    client = Http1Client()
    async with Hook(None) as hook:
        problem = await asyncio.wait_for(Webhook(client, hook.url, [], 0.05).post(b"{}"), 5)
    await client.close()
    assert isinstance(problem, Problem)
    assert problem.passing


async def test_how_an_answer_begins_is_told_on_one_line() -> None:
    client = Http1Client()
    said = "invalid\r\n\tpayload \x1b[31m" + "x" * 500
    async with Hook(400, body=said) as hook:
        answer = await Webhook(client, hook.url, [], 5).post(b"{}")
    await client.close()
    assert answer == Problem(("status 400: invalid payload ?[31m" + "x" * 500)[:212], passing=False)


async def test_a_guarded_one_is_posted_nowhere_else() -> None:
    client = Http1Client(guard=Guard(Destinations(http=True)))
    async with Hook() as hook:
        answer = await Webhook(client, hook.url, [], 5, guarded=True).post(b"{}")
    await client.close()
    assert hook.bodies == []
    assert isinstance(answer, Problem)
    assert ("does not connect to it" in answer.why, "loopback" in answer.why, answer.passing) == (True, True, False)
