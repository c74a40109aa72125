"""A provider that refuses the gateway's own key or account: nothing of it is shown to callers, all of it to the
operator."""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CALLS, CHAT, running
from support_money import BODIES, PATHS
from trivium.mock import Error, Match, Reply, Rule

BROKE = Error(message="Your account acct_1 has no credit left.", type="billing_error")


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_callers_hear_503_and_the_operator_why(status: int, caplog: pytest.LogCaptureFixture) -> None:
    rules = (Rule(Reply(status=status, error=BROKE), Match(model="m")), Rule(Reply(text="Hi")))
    async with running(*rules, provider=ALL_APIS) as house:
        perform = house.gateway.operations.perform
        assert await perform("alerts.show", {}) == []
        with caplog.at_level(logging.ERROR, "trivium.pipeline"):
            for path, body in CALLS:
                for stream in (False, True):
                    answered, said, headers = await house.post(path, {**body, "stream": stream})
                    assert (answered, said["error"]["code"]) == (503, "upstream_unavailable")
                    assert (headers["retry-after"], "acct_1" in str(said)) == ("60", False)
        records = await house.records()
        (alert,) = await perform("alerts.show", {})
        assert [alert[name] for name in ("provider", "status", "message", "calls")] == ["up", status, BROKE.message, 6]
        (line,) = [one.getMessage() for one in caplog.records if one.levelno == logging.ERROR]
        assert line == f"up refuses this gateway's account, status {status}: {BROKE.message}"
        for record in records:
            assert (record["status"], record["upstream_status"], record["outcome"]) == (503, status, "failed")
            assert (record["error_message"], record["told_code"]) == (BROKE.message, "upstream_unavailable")
            assert record["cost_nano"] == 0
        # The list says what is so now: another model is answered, so the account is good again.
        assert (await house.post(PATHS["chat"], {**CHAT, "model": "other"}))[0] == 200
        assert await perform("alerts.show", {}) == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, error=Error(message="You exceeded your current quota.", type="insufficient_quota")),
        Reply(status=400, error=Error(message="Your credit balance is too low to access the Anthropic API.")),
        Reply(error=Error(message="Insufficient Balance", type="billing_error"), status=402),
    ],
)
async def test_an_account_without_credit_is_known_whatever_the_status(reply: Reply) -> None:
    async with running(reply, provider=ALL_APIS) as house:
        for path, body in CALLS:
            status, said, _ = await house.post(path, body)
            assert (status, said["error"]["code"]) == (503, "upstream_unavailable")
        assert [one["calls"] for one in await house.gateway.operations.perform("alerts.show", {})] == [3]


async def test_a_refusal_that_another_route_makes_up_for_is_an_alert_too() -> None:
    routed = '[catalog.models.best]\nroutes = [{ to = "up/first" }, { to = "spare/second" }]\n'
    spare = '[providers.spare]\nbase_url = "{upstream}/v1"\nmodels = ["second"]\n'
    rules = (Rule(Reply(status=402, error=BROKE), Match(model="first")), Rule(Reply(text="Hi")))
    settings = f'{routed}{spare}[models."*/*"]\nfree = true\n'
    async with running(*rules, settings=settings, provider=f'{ALL_APIS}\nmodels = ["first"]') as house:
        assert (await house.post(PATHS["chat"], {**BODIES["chat"], "model": "best"}))[0] == 200
        (alert,) = await house.gateway.operations.perform("alerts.show", {})
        assert (alert["provider"], alert["status"], alert["calls"]) == ("up", 402, 1)


async def test_the_admin_api_has_it() -> None:
    async with running(Reply(status=402, error=BROKE), provider=ALL_APIS) as house:
        await house.post(PATHS["chat"], CHAT)
        made: Any = await house.gateway.operations.perform("admins.create", {"name": "root"})
        headers = {"authorization": "Bearer " + made["credential"]}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{house.url}/admin/v1/alerts", headers=headers) as response,
        ):
            assert response.status == 200
            told = await response.json()
    found = told["data"]
    assert [(one["provider"], one["status"]) for one in found] == [("up", 402)]
