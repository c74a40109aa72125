"""A provider that refuses the gateway's own key or account: nothing of it is shown to callers, all of it to the
operator."""

from __future__ import annotations

import logging
from typing import Any

import aiohttp
import pytest

from gateway import ALL_APIS, CALLS, CHAT, running
from support_hooks import Hook, MailServer
from support_money import BODIES, PATHS
from test_pipeline_own import OPEN, SONNET, at, people
from trivium.mock import Error, Match, Reply, Rule

BROKE = Error(message="Your account acct_1 has no credit left.", type="billing_error")


@pytest.mark.parametrize("status", [401, 402, 403])
async def test_callers_hear_503_and_the_operator_why(status: int, caplog: pytest.LogCaptureFixture) -> None:
    refuses, fails = (
        Rule(Reply(status=status, error=BROKE), Match(model="m")),
        Rule(Reply(status=500), Match(model="x")),
    )
    async with running(refuses, fails, Reply(text="Hi"), provider=ALL_APIS) as house:
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
        # The list says what is so now: a failure says nothing of the account, that another model is answered does.
        assert (await house.post(PATHS["chat"], {**CHAT, "model": "x"}))[0] == 500
        assert len(await perform("alerts.show", {})) == 1
        assert (await house.post(PATHS["chat"], {**CHAT, "model": "other"}))[0] == 200
        assert await perform("alerts.show", {}) == []


@pytest.mark.parametrize(
    "reply",
    [
        Reply(status=429, error=Error(message="You exceeded your current quota.", type="insufficient_quota")),
        Reply(status=400, error=Error(message="Your credit balance is too low to access the Anthropic API.")),
        Reply(error=Error(message="Insufficient Balance", type="billing_error"), status=402),
        Reply(status=400, error=Error(message="You have reached your specified API usage limits. You will regain ...")),
        Reply(status=400, error=Error(message="Access denied, please ...", type="Arrearage", code="Arrearage")),
    ],
)
async def test_an_account_without_credit_is_known_whatever_the_status(reply: Reply) -> None:
    async with running(reply, provider=ALL_APIS) as house:
        for path, body in CALLS:
            status, said, _ = await house.post(path, body)
            assert (status, said["error"]["code"]) == (503, "upstream_unavailable")
        assert [one["calls"] for one in await house.gateway.operations.perform("alerts.show", {})] == [3]


async def test_what_a_client_says_of_accounts_is_no_refusal_of_ours() -> None:
    """A provider repeats the words of whose request it refuses."""
    message = "Invalid value: 'insufficient balance'. Supported values are: 'low', 'medium', and 'high'."
    async with running(Reply(status=400, error=Error(message=message)), provider=ALL_APIS) as house:
        for path, body in CALLS:
            status, said, headers = await house.post(path, body)
            assert (status, said["error"]["message"]) == (400, message)
            assert "x-should-retry" not in headers
        assert await house.gateway.operations.perform("alerts.show", {}) == []


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


async def test_what_burns_reaches_a_webhook_slack_and_a_mailbox() -> None:
    """From the clients' calls to what people read, through the gateway's own parts."""
    channels = """
[alerts.slack.chat]
url = "{slack}"
[alerts.webhooks.desk]
url = "{desk}"
[alerts.email.people]
host = "127.0.0.1"
port = {port}
security = "none"
sender = "trivium@gw.test"
to = ["ops@ops.test"]
"""
    rules = (Rule(Reply(status=500, error=BROKE), Match(model="m")), Rule(Reply(text="Hi")))
    async with Hook() as slack, Hook() as desk, MailServer() as mail:
        text = channels.replace("{slack}", slack.url).replace("{desk}", desk.url).replace("{port}", str(mail.port))
        provider = f'{ALL_APIS}\nmodels = ["m", "other"]'
        async with running(*rules, settings=text, provider=provider) as house:
            alerting, perform = house.gateway.alerting, house.gateway.operations.perform
            await perform("alerts.rules.set", {"settings": {"minimum": 1}})  # whatever minutes the calls fall into
            for _ in range(12):
                await house.post(PATHS["chat"], CHAT, headers={"user-agent": "opencode/1.0 linux"})
                await house.post(PATHS["chat"], {**CHAT, "model": "other"}, headers={"user-agent": "unheard-of/1"})
            house.gateway.telemetry.families()  # hands records over, which a scrape would do
            await alerting.count()
            minute = house.gateway.store.clock.now_ms() // 60_000 + 1
            await alerting.evaluate(minute)
            await alerting.evaluate(minute)  # its turn is over
            found = await perform("alerts.notices", {})
            states = await perform("alerts.channels", {})
        (notice,) = found["items"]
        assert notice["title"] == "Errors: up/m for opencode"
        assert notice["channels"] == ("chat", "desk", "people")
        assert (notice["facts"]["bad"], notice["facts"]["calls"]) == (12, 12)
        assert [one["problem"] for one in states] == [None] * 3
        assert slack.bodies[0]["text"].startswith(":rotating_light: Trivium page\n*Errors: up/m for opencode*")
        assert [one["title"] for one in desk.bodies[0]["alerts"]] == ["Errors: up/m for opencode"]
        assert "Subject: [Trivium page] Errors: up/m for opencode" in mail.mails[0]
        assert (len(slack.bodies), len(desk.bodies), len(mail.mails)) == (1, 1, 1)


async def test_a_refusal_is_told_though_another_model_was_answered_since() -> None:
    rules = (Rule(Reply(status=402, error=BROKE), Match(model="m")), Rule(Reply(text="Hi")))
    async with Hook() as hook:
        settings = f'[alerts.webhooks.a]\nurl = "{hook.url}"\n'
        async with running(*rules, settings=settings, provider=ALL_APIS) as house:
            for model in ("m", "other"):
                await house.post(PATHS["chat"], {**CHAT, "model": model})
            assert await house.gateway.operations.perform("alerts.show", {}) == []
            await house.gateway.alerting.count()
            await house.gateway.alerting.evaluate(house.gateway.store.clock.now_ms() // 60_000 + 1)
        (told,) = hook.bodies
        assert [(one["rule"], one["facts"]["status"]) for one in told["alerts"]] == [("refusal", 402)]


async def test_calls_with_a_callers_key_are_no_ones_errors_but_its_own() -> None:
    """Not even where a model of the house answers in their place."""
    async with Hook() as hook:
        settings = f'{OPEN}[alerts.webhooks.a]\nurl = "{hook.url}"\n'
        broken, good = at("anthropic", Reply(status=500)), Rule(Reply(text="Hi"))
        async with people(broken, good, settings=settings, provider=f'{ALL_APIS}\nmodels = ["m"]') as ann:
            await ann.bring("anthropic")
            headers = {"user-agent": "curl/8"}
            await ann.house.post(PATHS["chat"], {**CHAT, "model": SONNET}, headers=headers)
            fallback = {**CHAT, "model": SONNET, "trivium_fallbacks": ["up/m"]}
            status, _, _ = await ann.house.post(PATHS["chat"], fallback, headers=headers)
            last, first = await ann.house.records()
            ann.house.gateway.telemetry.families()
            rows = ann.house.gateway.alerting.minutes.drain()
    assert (status, first["payer"], last["payer"], '"own":true' in last["routing"]) == (200, "byok", "free", True)
    assert [(series, tuple(counts)) for _, series, counts in rows] == [(("up", "m", "curl"), (1, 0, 0, 0))]


async def test_without_a_channel_nothing_is_counted_for_alerts() -> None:
    async with running(Reply(text="Hi"), provider=ALL_APIS) as house:
        assert await house.gateway.operations.perform("alerts.test", {}) == []
        await house.post(PATHS["chat"], CHAT)
        house.gateway.telemetry.families()
        assert house.gateway.alerting.minutes.drain() == []


async def test_the_auditor_is_asked_through_the_operation() -> None:
    async with Hook() as hook:
        settings = f'[alerts.webhooks.a]\nurl = "{hook.url}"\n'
        async with running(Reply(text="Hi"), settings=settings, provider=ALL_APIS) as house:
            await house.post(PATHS["chat"], CHAT)
            alerting, store = house.gateway.alerting, house.gateway.store
            minute = store.clock.now_ms() // 60_000
            await alerting.evaluate(minute)
            assert alerting._auditing is not None
            await alerting._auditing
            audited = await store.alerts.audited()
            assert audited is not None
            assert (audited.findings, audited.problem) == (0, None)
            with store.database.transaction() as tx:
                tx.execute("UPDATE usage_hours SET requests = requests + 1")
                tx.execute("UPDATE alert_states SET time_ms = 0, content = '{\"findings\":0}' WHERE name = 'audited'")
            await alerting.evaluate(minute + 1)
            await alerting._auditing
            await alerting.evaluate(minute + 2)
        (told,) = hook.bodies
        assert told["alerts"][0]["rule"] == "audit"
        assert told["alerts"][0]["text"].startswith("2 findings in received, hours")
