"""Channels of alerts that are set while the gateway runs: by the admin API and by the dashboard's page, at once."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import aiohttp

from gateway import ALL_APIS, CHAT, Running, running
from support_admin import Operator
from support_dashboard import browser, dashboard
from support_hooks import Hook, MailServer
from support_money import PATHS
from support_records import keep, record
from trivium.mock import Error, Reply

HERE = '[security]\nallow_http = true\nallow_networks = ["127.0.0.1/32"]\n'
FAILS = Reply(status=500, error=Error(message="broken"))
PATH = "/alerts/channels"


@contextlib.asynccontextmanager
async def failing(settings: str = HERE) -> AsyncIterator[Operator]:
    """An operator of a gateway whose provider fails."""
    async with (
        running(FAILS, settings=settings, provider=f'{ALL_APIS}\nmodels = ["m"]') as house,
        aiohttp.ClientSession() as session,
    ):
        operator = await Operator(house, session, None).of_user(None, "house")
        await house.gateway.operations.perform("alerts.rules.set", {"settings": {"minimum": 1}})
        yield operator


async def minute(house: Running, at: int) -> None:
    """Calls that fail, and the look at them that a minute's end brings."""
    for _ in range(3):
        await house.post(PATHS["chat"], CHAT)
    house.gateway.telemetry.families()  # hands records over, which a scrape would do
    await house.gateway.alerting.count()
    await house.gateway.alerting.evaluate(house.gateway.store.clock.now_ms() // 60_000 + at)


async def test_a_channel_is_told_from_the_moment_it_is_there_until_it_is_paused_or_removed() -> None:
    async with Hook(body="no_service") as hook, failing() as ask:
        house, secret = ask.house, "services/secret-path"
        assert house.gateway.alerting.channels.open == []
        made = await ask.made(PATH, {"name": "ops", "kind": "slack", "url": hook.url})
        assert (made["where"], made["source"], made["enabled"]) == (
            hook.url.replace("services/secret-", "..."),
            "kept",
            True,
        )
        await minute(house, 1)
        assert hook.bodies[0]["text"].startswith(":rotating_light: Trivium page\n*Errors: up/m for other*")
        (notice,) = (await ask("GET", "/alerts/notices")).body["data"]
        assert notice["channels"] == ["ops"]
        told = await ask("POST", f"{PATH}/ops/test")
        assert told.body == {"channel": "ops", "problem": None, "answer": "status 200: no_service"}
        assert "This is a test" in hook.bodies[1]["text"]
        await ask.made(f"{PATH}/ops", {"enabled": False}, method="PATCH")
        await minute(house, 16)
        assert len(hook.bodies) == 2
        await ask.made(f"{PATH}/ops", {"enabled": True}, method="PATCH")
        await minute(house, 17)
        assert len(hook.bodies) == 3
        listed = await ask("GET", PATH)
        removed = await ask("DELETE", f"{PATH}/ops")
        log = await ask("GET", "/changes")
        for answer in (made, listed.raw, removed.raw, log.raw, told.raw):
            assert secret not in str(answer)
        assert [one["action"] for one in log.body["data"]][:4] == [
            "alerts.channels.remove", "alerts.channels.set", "alerts.channels.set", "alerts.channels.add",
        ]  # fmt: skip
        await minute(house, 18)
        assert (len(hook.bodies), (await ask("GET", PATH)).body["data"]) == (3, [])
        house.gateway.telemetry.families()
        assert house.gateway.alerting.minutes.drain() == []  # nobody is there to be told


async def test_each_rule_goes_where_it_is_wanted_and_the_answer_of_a_test_is_shown() -> None:
    async with Hook() as desk, Hook(404, body="no such hook") as gone, MailServer() as mail, failing() as ask:
        await ask.made(PATH, {"name": "desk", "kind": "webhook", "url": desk.url, "rules": ["budget"]})
        await ask.made(PATH, {"name": "gone", "kind": "webhook", "url": gone.url, "headers": {"X-Key": "hook-secret"}})
        people = {"host": "127.0.0.1", "port": mail.port, "security": "none", "sender": "gw@gw.test"}
        await ask.made(PATH, {"name": "people", "kind": "email", "to": ["ops@ops.test"], "rules": ["errors"], **people})
        await minute(ask.house, 1)
        assert (desk.bodies, len(gone.bodies), len(mail.mails)) == ([], 1, 1)
        assert gone.headers[0]["x-key"] == "hook-secret"
        (notice,) = (await ask("GET", "/alerts/notices")).body["data"]
        assert notice["channels"] == ["people"]
        states = {one["name"]: one for one in (await ask("GET", PATH)).body["data"]}
        assert {name: one["problem"] for name, one in states.items()} == {
            "desk": None, "gone": "status 404: no such hook", "people": None,
        }  # fmt: skip
        assert (states["gone"]["header_names"], states["people"]["to"]) == (["X-Key"], ["ops@ops.test"])
        tested = (await ask("POST", "/alerts/test", {})).body["data"]
        assert [(one["channel"], one["answer"]) for one in tested] == [
            ("desk", "status 200"), ("gone", "status 404: no such hook"), ("people", "250 fine"),
        ]  # fmt: skip


async def test_what_cannot_be_is_refused_in_words() -> None:
    file = '[alerts.slack.file]\nurl = "http://127.0.0.1:9/services/file-secret"\n'
    async with failing(file) as ask:
        hook = {"name": "a", "kind": "webhook", "url": "https://hooks.example.com/x"}
        for more, status, words in (
            ({"url": "https://169.254.169.254/latest"}, 400, "its address is not allowed here (metadata)"),
            ({"url": "https://127.0.0.1/x"}, 400, "(loopback)"),
            ({"url": "http://hooks.example.com/x"}, 400, "only https"),
            ({"name": "A b"}, 400, "name"),
            ({"name": "file"}, 409, "The configuration has a channel 'file'"),
            ({"headers": {"a": "b\r\nc: d"}}, 400, "headers"),
            ({"kind": "email", "to": ["a@b.test,c@d.test"]}, 400, "to"),
            ({"kind": "email", "sender": "a@b.test\nBcc: c@d.test"}, 400, "sender"),
            ({"rules": ["nonsense"]}, 400, "rules"),
        ):
            told = await ask("POST", PATH, hook | more)
            assert (told.status, words in told.body["error"]["message"]) == (status, True), told
        await ask.made(PATH, hook)
        assert (await ask("POST", PATH, hook)).status == 409
        assert (await ask("PATCH", f"{PATH}/file", {"enabled": False})).status == 409
        assert (await ask("DELETE", f"{PATH}/nobody")).status == 404
        assert (await ask("POST", f"{PATH}/nobody/test")).status == 404
        (first, second) = (await ask("GET", PATH)).body["data"]
        assert [(one["name"], one["source"]) for one in (first, second)] == [("file", "configuration"), ("a", "kept")]
        assert (first["where"], first["created_ms"]) == ("http://127.0.0.1:9/...cret", None)
        nobody = await (await ask.of_user(await _user(ask)))("GET", PATH)
        assert nobody.status == 403


async def _user(ask: Operator) -> str:
    made: dict[str, Any] = await ask.made("/users", {"name": "Ann"})
    return str(made["id"])


async def test_a_server_that_quotes_the_secret_is_not_quoted() -> None:
    async with Hook(403, body="bad token hook-secret-1234 for /services/secret-path") as hook, failing() as ask:
        headers = {"authorization": "Token hook-secret-1234"}
        await ask.made(PATH, {"name": "a", "kind": "webhook", "url": hook.url, "headers": headers})
        told = await ask("POST", f"{PATH}/a/test")
        assert told.body["answer"] == "status 403: bad token *** for /***"


async def test_nor_where_it_quotes_a_part_of_it_or_is_cut_within_it() -> None:
    async with Hook(404, body="no /services/secret-path") as hook, failing() as ask:
        query = "?token=hook-token-1234&to=x"
        await ask.made(PATH, {"name": "a", "kind": "webhook", "url": hook.url + query})
        for said in ("no /services/secret-path", "token=hook-token-1234&amp;to=x", "x" * 180 + hook.url):
            hook.body = said
            told = (await ask("POST", f"{PATH}/a/test")).body["answer"]
            assert "***" in told
            assert not any(part in told for part in ("secret", "hook-token", hook.url[:18])), told


async def test_the_page_suggests_rules_of_the_past_and_takes_them() -> None:
    async with dashboard() as house, browser(house) as visit:
        now = house.gateway.store.clock.now_ms()
        told: dict[str, Any] = {"time_ms": now, "provider": "up", "upstream_model": "m", "payer": "house"}
        own = [record(f"o{n}", **told | {"payer": "byok_fee", "outcome": "failed", "status": 500}) for n in range(90)]
        calls = [record(f"r{n}", **told, first_token_us=400_000 + n) for n in range(200)]
        keep(house.gateway.store.database, *calls, *own)
        await visit.sign_in()
        answer = await visit.send("/dashboard/house/baseline", {"days": "7"})
        assert "first token objective slow up/m 200 0 200 401 ms 0.9999 510 ms" in answer.words
        taken = await visit.post("/dashboard/house/baseline/take", {"csrf": answer.csrf, "days": "7"})
        assert (taken.status, taken.headers["location"]) == (303, "/dashboard/house/alerts?saved=1")
        rules = (await house.gateway.operations.perform("alerts.rules.show", {}))["settings"]
        assert (rules["objectives"], rules["slow_ms"]) == ({"up/m": 0.9999}, {"up/m": 510})
        assert (await visit.post("/dashboard/house/explain/take", {"csrf": answer.csrf})).status == 404


async def test_the_page_does_all_of_it() -> None:
    file = '[alerts.slack.file]\nurl = "http://127.0.0.1:9/services/file-secret"\n'
    async with Hook(body="taken, thanks") as hook, dashboard(HERE + file) as house, browser(house) as visit:
        await visit.sign_in()
        page, secret = "/dashboard/house/channels", "secret-path"
        form = {"name": "ops", "url": hook.url, "headers": '{"x-key": "hook-secret"}', "rules": ["errors", "audit"]}
        refused = await visit.send(f"{page}/new-webhook", form | {"url": "https://10.0.0.1/secret-path"})
        assert (refused.status, "(private)" in refused.problem, secret in refused.text) == (400, True, False)
        made = await visit.send(f"{page}/new-webhook", form | {"enabled": "on", "severities": ["page"]})
        assert (made.status, made.headers.get("location")) == (303, page), made.words
        listed = await visit.get(page)
        assert secret not in listed.text
        (row,) = [one for one in listed.text.split("<tr") if ">ops<" in one]
        assert ("errors, audit" in row, "...path" in row, "edit-webhook?id=ops" in row) == (True, True, True)
        (theirs,) = [one for one in listed.text.split("<tr") if ">file<" in one]
        assert ("configuration" in theirs, "edit-" in theirs, "remove" in theirs) == (True, False, False)
        tested = await visit.send(f"{page}/test?id=ops")
        assert "status 200: taken, thanks" in tested.words
        assert hook.headers[0]["x-key"] == "hook-secret"
        edit = await visit.get(f"{page}/edit-webhook?id=ops")
        assert secret not in edit.text and "hook-secret" not in edit.text
        shown = {"rules": ["errors", "audit"], "severities": ["page"], "timeout": "10"}
        changed = await visit.send(f"{page}/edit-webhook?id=ops", shown | {"timeout": "5"})
        assert changed.status == 303, changed.words
        assert (await visit.send(f"{page}/pause?id=ops")).status == 303
        (one,) = [one for one in await house.gateway.operations.perform("alerts.channels", {}) if one["name"] == "ops"]
        assert (one["timeout"], one["enabled"], one["rules"]) == (5, False, ("errors", "audit"))
        await visit.send(f"{page}/test?id=ops")
        assert hook.headers[1]["x-key"] == "hook-secret"
        assert "pause?id=ops" not in (await visit.get(page)).text
        assert (await visit.send(f"{page}/resume?id=ops")).status == 303
        assert (await visit.send(f"{page}/remove?id=ops")).status == 303
        assert ">ops<" not in (await visit.get(page)).text
        mail = {"name": "people", "host": "mx.example.com", "sender": "a@b.example", "to": "x@c.example\ny@c.example"}
        login = {"security": "tls", "login": "me", "password": "mail-secret", "enabled": "on"}
        assert (await visit.send(f"{page}/new-email", mail | login)).status == 303
        assert "mail-secret" not in (await visit.get(f"{page}/edit-email?id=people")).text
