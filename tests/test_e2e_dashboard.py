"""The dashboard as a browser finds it: its own process behind the gateway, every page as each role, empty and full."""

from __future__ import annotations

import asyncio
import html
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway import CHAT, Running
from support_dashboard import HOSTILE, Browser, Page, browser, dashboard
from support_dashboard_world import PROVIDER, ROLES, RULES, SETTINGS, World
from support_pace import Watch
from trivium.clock import LAST_MS
from trivium.dashboard.render import NOTHING
from trivium.errors import OperationError
from trivium.mock import Reply
from trivium.server.panel import Pulse

pytestmark = pytest.mark.asyncio(loop_scope="module")
WHOM = ("house", *ROLES, "outsider")
LARGEST = 300 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full() -> AsyncIterator[Running]:
    async with dashboard(SETTINGS, *RULES, provider=PROVIDER) as house:
        await World(house).build()
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def visit(full: Running) -> AsyncIterator[Browser]:
    async with browser(full) as one:
        yield one


async def walked(visit: Browser) -> dict[str, Page]:
    """Every page that links lead to from the first one; what is said about a single row, for one row of each list."""
    found: dict[str, Page] = {}
    waiting, kinds = ["/"], set()
    while waiting:
        path = waiting.pop(0)
        kind = re.sub(r"(id|after|account|only|without|part)=[^&]*|req_\w+|/u/[^/]+", "*", path)
        if path in found or (kind in kinds and kind != path):
            continue
        kinds.add(kind)
        page = found[path] = await visit.get(path)
        where = urlsplit(path).path
        waiting += [where + link if link.startswith("?") else link for link in page.links if not link.startswith("#")]
    return found


@pytest.mark.parametrize("who", WHOM)
async def test_every_page_that_is_offered_is_there_and_harmless(visit: Browser, who: str) -> None:
    await visit.sign_in(None if who == "house" else who)
    pages = await walked(visit)
    assert {path: page.status for path, page in pages.items() if page.status != 200} == {}
    assert len(pages) > {"house": 60, "owner": 40, "admin": 40, "member": 25, "billing": 20, "outsider": 15}[who]
    for path, page in pages.items():
        if page.headers["content-type"].startswith("text/html"):
            assert len(page.text.encode()) < LARGEST, path
            assert "<script>alert" not in page.text, path
            assert "<img" not in page.text, path
            assert "\u202e" not in page.text, path
            assert " style=" not in page.text, path
            assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=\"(?!/dashboard/static/)", page.text), path
        assert "default-src 'none'" in page.headers["content-security-policy"], path
    texts = " ".join(page.words for page in pages.values())
    if who == "house":
        assert HOSTILE[:60] in texts  # it is told, as text
        assert "49txt" not in texts  # and no template


@pytest.mark.parametrize("who", ["house", "outsider"])
async def test_a_new_house_has_every_page_too(who: str) -> None:
    async with dashboard() as house, browser(house) as visit:
        await house.gateway.operations.perform("users.create", {"id": "outsider", "name": "Ann"})
        await visit.sign_in(None if who == "house" else who)
        pages = await walked(visit)
        assert {path: page.status for path, page in pages.items() if page.status != 200} == {}
        first = pages["/"].words
        assert "No call has come in yet." in first
        assert f"curl {house.url}/v1/chat/completions" in first
        assert "export ANTHROPIC_BASE_URL=" in first


HOUSES = ("users", "organizations", "admins", "changes", "prices", "catalogue", "settings", "health", "blocked-domains")


@pytest.mark.parametrize("who", [*ROLES, "outsider"])
async def test_pages_of_others_are_not_there(visit: Browser, who: str) -> None:
    await visit.sign_in(who)
    elsewhere = "/dashboard/o/acme/members" if who == "outsider" else "/dashboard/o/inviting/members"
    for path in (*(f"/dashboard/house/{name}" for name in HOUSES), elsewhere, "/dashboard/o/nix/"):
        assert (await visit.get(path)).status == 404, path
    if who in ("member", "billing"):
        assert (await visit.get("/dashboard/o/acme/upstream-keys")).status == 404
        assert "Save" not in (await visit.get("/dashboard/o/acme/policy")).words


async def test_nobody_sees_anything_without_signing_in(visit: Browser) -> None:
    for path in ("/", "/dashboard", "/dashboard/house/users", "/dashboard/me/keys", "/dashboard/you"):
        told = await visit.get(path)
        assert told.status == 303
        assert told.headers["location"].startswith("/dashboard/sign-in")
        assert told.text == ""
    told = await visit.get("/dashboard/house/users?after=x", hx_request="true")
    assert (told.status, told.headers["hx-refresh"]) == (204, "true")


async def test_programs_that_probe_hear_what_they_always_did(full: Running, visit: Browser) -> None:
    told = await visit.get("/", accept="*/*")
    assert (told.status, told.text) == (200, '{"status":"ok"}')
    told = await visit._ask("HEAD", "/", None, {})
    assert told.status == 200


class TestKeys:
    async def test_a_key_is_made_shown_once_and_works_until_it_is_revoked(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("owner")
        made = await visit.send("/dashboard/o/acme/keys/new", {"name": "fresh", "limits.requests_per_minute": "7"})
        key = re.search(r"<pre id=\"shown\"[^>]*>(tv-\w{43})</pre>", made.text)
        assert key, made.words
        assert key[1] in made.text.partition("Set up a client")[2]
        listed = await visit.get("/dashboard/o/acme/keys")
        assert key[1] not in listed.text
        called, _, _ = await full.post("/v1/chat/completions", {"model": "m", "messages": []}, key=key[1])
        assert called == 200
        (row,) = [one for one in listed.text.split("<tr") if ">fresh<" in one]
        id = re.search(r"edit\?id=(\w+)", row)
        assert id
        edited = await visit.get(f"/dashboard/o/acme/keys/edit?id={id[1]}")
        assert 'value="7"' in edited.text
        gone = await visit.send(f"/dashboard/o/acme/keys/revoke?id={id[1]}")
        assert (gone.status, gone.headers["location"]) == (303, "/dashboard/o/acme/keys")
        called, _, _ = await full.post("/v1/chat/completions", {"model": "m", "messages": []}, key=key[1])
        assert called == 401

    async def test_a_key_that_outlives_all_dates_is_shown(self, full: Running, visit: Browser) -> None:
        """None is made any more."""
        perform, far = full.gateway.operations.perform, {"name": "far", "organization": "acme", "user": "member"}
        with pytest.raises(OperationError):
            await perform("keys.create", {**far, "expires_ms": LAST_MS + 1})
        made = await perform("keys.create", far)
        outlive = "UPDATE keys SET expires_ms = ? WHERE id = ?"
        await full.gateway.store.ledger.writer.run(lambda tx: tx.execute(outlive, (2**53 - 1, made["id"])))
        await visit.sign_in("owner")
        assert str(2**53 - 1) in (await visit.get("/dashboard/o/acme/keys")).words
        path = f"/dashboard/o/acme/keys/edit?id={made['id']}"
        assert (await visit.send(path, {"name": "near"})).status == 303
        assert (await visit.send(f"/dashboard/o/acme/keys/revoke?id={made['id']}")).status == 303

    async def test_only_what_was_changed_is_changed(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        made = await perform("keys.create", {"name": "limited", "limits": {"requests_per_minute": 5}})
        await visit.sign_in()
        path = f"/dashboard/house/keys/edit?id={made['id']}"
        form = {"name": "renamed", "limits.requests_per_minute": "5", "scopes.models": "m\ndear"}
        assert (await visit.send(path, form)).status == 303
        after = await perform("keys.show", {"key": made["id"]})
        assert (after["name"], after["limits"]["requests_per_minute"]) == ("renamed", 5)
        assert after["scopes"]["models"] == ("m", "dear")
        assert (await visit.send(path, {"name": "renamed", "scopes.models": "m\ndear"})).status == 303
        after = await perform("keys.show", {"key": made["id"]})
        assert after["limits"]["requests_per_minute"] is None

    async def test_what_two_change_at_a_time_is_changed_by_both(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        about = {"name": "shared", "organization": "acme", "limits": {"requests_per_minute": 100}}
        id = (await perform("keys.create", about))["id"]
        await visit.sign_in("owner")
        path = f"/dashboard/o/acme/keys/edit?id={id}"
        page = await visit.get(path)
        seen = {"csrf": page.csrf, "shown": page.hidden("shown"), "name": "shared", "limits.requests_per_minute": "100"}
        tightened = {"limits": {"requests_per_minute": 5}, "scopes": {"models": ["up/m"]}}
        await perform("keys.set", {"key": id, **tightened})
        assert (await visit.post(path, {**seen, "name": "renamed"})).status == 303
        after = await perform("keys.show", {"key": id})
        assert (after["name"], after["limits"]["requests_per_minute"]) == ("renamed", 5)
        assert after["scopes"]["models"] == ("up/m",)
        told = await visit.post(path, {**seen, "limits.requests_per_minute": "3"})
        problem = "Somebody else has changed meanwhile: requests per minute. Save again for what is here."
        assert (told.status, told.problem) == (400, problem)
        assert (await perform("keys.show", {"key": id}))["limits"]["requests_per_minute"] == 5
        here = {"name": "renamed", "scopes.models": "up/m", "limits.requests_per_minute": "3"}
        assert all(f'value="{here[name]}"' in told.text for name in ("name", "limits.requests_per_minute"))
        again = {"csrf": told.csrf, "shown": told.hidden("shown"), **here}
        assert (await visit.post(path, again)).status == 303
        after = await perform("keys.show", {"key": id})
        assert (after["limits"]["requests_per_minute"], after["scopes"]["models"]) == (3, ("up/m",))

    async def test_budgets_of_a_key_stay_and_its_form_says_where_they_are(self, full: Running, visit: Browser) -> None:
        budget = {"period": "day", "usd": "5"}
        made = await full.gateway.operations.perform("keys.create", {"name": "with a budget", "budget": budget})
        await visit.sign_in()
        path = f"/dashboard/house/keys/edit?id={made['id']}"
        assert "Left empty: all stay as they are; Budgets has them." in (await visit.get(path)).words
        assert (await visit.send(path, {"name": "renamed"})).status == 303
        assert f"key:{made['id']}" in (await visit.get("/dashboard/house/budgets")).words

    async def test_a_refusal_stands_beside_what_was_typed(self, visit: Browser) -> None:
        await visit.sign_in("member")
        told = await visit.send("/dashboard/me/keys/new", {"name": "  ", "limits.requests_per_minute": "many"})
        assert told.status == 400
        assert told.problem == "requests per minute: expected a number."
        told = await visit.send("/dashboard/me/keys/new", {"name": "x" * 101, "scopes.models": "a\nb"})
        assert told.problem == "A key needs a name of 1 to 100 printable characters."
        assert "x" * 101 in told.text
        assert ">a\nb</textarea>" in told.text


class TestForms:
    @pytest.mark.parametrize(
        ("csrf", "headers"),
        [
            ("", {}),
            ("0" * 48, {}),
            ("mine", {"origin": "https://evil.example"}),
            ("mine", {"origin": "null"}),
            ("mine", {"sec_fetch_site": "cross-site"}),
            ("mine", {"sec_fetch_site": "same-site"}),
        ],
    )
    async def test_what_comes_from_no_page_of_ours_changes_nothing(
        self, full: Running, visit: Browser, csrf: str, headers: dict[str, str]
    ) -> None:
        await visit.sign_in()
        token = (await visit.get("/dashboard/house/blocked-domains/new")).csrf
        form = {"csrf": token if csrf == "mine" else csrf, "domain": "innocent.example"}
        told = await visit.post("/dashboard/house/blocked-domains/new", form, **headers)
        assert told.status == 403
        domains = await full.gateway.operations.perform("domains.list", {})
        assert "innocent.example" not in domains["items"]

    async def test_the_token_of_another_session_is_none(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        async with browser(full) as other:
            await other.sign_in("owner")
            theirs = (await other.get("/dashboard/you")).csrf
        told = await visit.post("/dashboard/house/blocked-domains/new", {"csrf": theirs, "domain": "innocent.example"})
        assert told.status == 403

    async def test_a_form_that_is_too_large_is_refused(self, visit: Browser) -> None:
        await visit.sign_in()
        told = await visit.post("/dashboard/house/users/new", {"name": "x" * 1_100_000})
        assert told.status == 413

    async def test_settings_are_replaced_as_they_were_seen(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("owner")
        path = "/dashboard/o/acme/policy"
        page = await visit.get(path)
        version = re.search(r'name="version" value="(\d+)"', page.text)
        assert version
        form = {"csrf": page.csrf, "version": version[1], "settings.policy.models_allow": "up/m\nup/dear"}
        assert (await visit.post(path, form)).headers["location"] == f"{path}?saved=1"
        shown = await full.gateway.operations.perform("orgs.settings.show", {"organization": "acme"})
        assert shown["settings"]["policy"]["models_allow"] == ("up/m", "up/dear")
        stale = await visit.post(path, {**form, "settings.policy.models_allow": "up/m"})
        assert stale.status == 400
        assert "version" in stale.problem
        again = await visit.get(path)
        assert ">up/m\nup/dear</textarea>" in again.text
        cleared = {"csrf": again.csrf, "version": str(int(version[1]) + 1)}
        assert (await visit.post(path, cleared)).status == 303
        for other in ("", "x", "9" * 5000):
            told = await visit.post(path, {**cleared, "version": other})
            assert (told.status, "Load the page again" in told.problem) == (400, True)

    async def test_upstream_keys_go_in_and_never_come_out(self, visit: Browser) -> None:
        await visit.sign_in("owner")
        form = {"vendor": "anthropic", "name": "mine", "credential.key": "sk-ant-canary-4321"}
        assert (await visit.send("/dashboard/me/upstream-keys/new", form)).status == 303
        page = await visit.get("/dashboard/me/upstream-keys")
        assert "canary" not in page.text
        assert "…4321" in page.words
        refused = await visit.send("/dashboard/me/upstream-keys/new", {**form, "vendor": "nobody"})
        assert refused.status == 400
        assert "canary" not in refused.text


class TestPeople:
    async def test_an_invitation_is_accepted_by_whom_it_is_for(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("member")
        assert "inviting , as member" in (await visit.get("/dashboard/you")).words
        form = {"organization": "inviting", "role": "member", "accept": "1"}
        assert (await visit.send("/dashboard/you/invitation", form, at="/dashboard/you")).status == 303
        assert (await visit.get("/dashboard/o/inviting/members")).status == 200
        leave = {"organization": "inviting", "user": "member"}
        await full.gateway.operations.perform("members.remove", leave)

    async def test_a_role_that_was_taken_is_gone_at_once(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        await perform("users.create", {"id": "passing", "name": "Passing"})
        await perform("members.set", {"organization": "acme", "user": "passing", "role": "admin"})
        await visit.sign_in("passing")
        assert (await visit.get("/dashboard/o/acme/members")).status == 200
        await perform("members.remove", {"organization": "acme", "user": "passing"})
        assert (await visit.get("/dashboard/o/acme/members")).status == 404

    async def test_a_house_admin_makes_a_link_for_a_user(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        told = await visit.send("/dashboard/house/users/sign-in-link?id=outsider", {"minutes": "5"})
        link = re.search(r"<pre id=\"shown\"[^>]*>([^<]+)</pre>", told.text)
        assert link
        assert link[1].startswith(f"{full.url}/dashboard/sign-in?link=tvl-")


class TestUsage:
    async def test_chart_table_and_files_say_the_same(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("owner")
        query = "period=day&by=model&only=key:" + await self._key(full, "owner")
        page = await visit.get(f"/dashboard/o/acme/usage?{query}")
        report = json.loads((await visit.get(f"/dashboard/o/acme/usage.json?{query}")).text)
        assert [row["keys"][0] for row in report["rows"]][:2] == ["up/dear", f"up/{HOSTILE}"]
        assert report["total"]["cost_nano"] == 97_620_000
        assert "$0.0976" in page.words
        charted = [float(value) for value in re.findall(r'data-value="([0-9.]+)">\$', page.text)]
        assert round(sum(charted), 9) == 0.09762
        told = await visit.get(f"/dashboard/o/acme/usage.csv?{query}")
        assert told.headers["content-disposition"].startswith('attachment; filename="usage-')
        assert told.headers["content-type"].startswith("text/csv")
        assert "up/dear" in told.text

    async def test_files_are_of_what_the_page_is_of(self, visit: Browser) -> None:
        await visit.sign_in("owner")
        page = await visit.get("/dashboard/o/acme/usage?period=day&only=model%3Aup%2Fa%23b")
        links = [link for link in page.links if "/usage." in link]
        assert [link.rpartition("&")[2] for link in links] == ["only=model:up/a%23b"] * 2

    async def test_days_are_the_ones_that_were_typed_or_none(self, visit: Browser) -> None:
        await visit.sign_in("owner")
        at = "/dashboard/o/acme/usage"
        page = await visit.get(f"{at}?period=custom&since=1970-01-01&until=1970-01-01")
        assert "1970-01-01 00:00:00 to 1970-01-02 00:00:00, UTC" in page.words
        for query in ("since=31.1.2026", "since=2026-01-01&until=31.1.2026"):
            page = await visit.get(f"{at}?period=custom&{query}")
            assert page.problem == "31.1.2026: expected a date, as 2026-01-31."
            assert "Tokens in" not in page.words
            file = await visit.get(f"{at}.csv?period=custom&{query}")
            assert (file.status, page.problem in file.words) == (400, True)

    async def test_a_group_leads_to_its_calls_alone(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("owner")
        page = await visit.get("/dashboard/o/acme/usage?period=day&by=model")
        (link,) = [link for link in page.links if "only=model%3Aup%2Fdear" in link]
        narrower = await visit.get("/dashboard/o/acme/usage" + link)
        assert "By key" in narrower.words
        assert "$0.2880" in narrower.words

    async def test_what_is_no_filter_is_told(self, visit: Browser) -> None:
        await visit.sign_in("owner")
        told = await visit.get("/dashboard/o/acme/usage?only=nonsense")
        assert told.status == 200
        assert told.problem == "`nonsense` is no filter: expected DIMENSION:VALUE, as in provider:openai."
        assert (await visit.get("/dashboard/o/acme/usage?period=custom&since=x&until=y")).status == 200

    async def test_members_see_their_own(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("member")
        page = await visit.get("/dashboard/o/acme/usage?period=day&by=user")
        assert "Member <script>" in page.words
        assert "Owner <script>" not in page.words

    async def _key(self, full: Running, user: str) -> str:
        listed = await full.gateway.operations.perform("keys.list", {"organization": "acme", "user": user})
        return str(listed["items"][0]["id"])


class TestRequests:
    async def test_they_are_found_by_what_is_asked(self, visit: Browser) -> None:
        await visit.sign_in()
        at = "/dashboard/house/requests"
        assert (await visit.get(at)).text.count('class="tag') >= 14
        assert (await visit.get(f"{at}?outcome=failed")).text.count('class="tag') == 3
        assert "refused 401" in (await visit.get(f"{at}?status=401")).words
        assert "tag success" not in (await visit.get(f"{at}?status=401")).text
        assert (await visit.get(f"{at}?min_cost=0.05")).text.count('class="tag') == 3
        assert (await visit.get(f"{at}?requested=dear")).text.count('class="tag') == 3
        assert "None" in (await visit.get(f"{at}?since=2100-01-01T00:00")).words

    async def test_one_is_a_story(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("member")
        listed = await visit.get("/dashboard/o/acme/requests?requested=dear")
        (link,) = [link for link in listed.links if "/requests/req_" in link]
        told = await visit.get(link)
        for words in ("Time line", "upstream called", "Receipt", "0.096", "Hold", "member <b>"):
            assert words in told.words
        assert "Attempts" not in told.words  # of the house
        async with browser(full) as other:
            await other.sign_in("outsider")
            assert (await other.get(link)).status == 404
            assert (await other.get(link.replace("/o/acme/", "/me/"))).status == 404

    async def test_kept_bodies_are_text_for_those_who_may_read_them(self, full: Running, visit: Browser) -> None:
        whose = {"organization": "acme", "user": "member"}
        made = await full.gateway.operations.perform("keys.create", {"name": "seen", "capture": True, **whose})
        long = [{"role": "user", "content": HOSTILE * 20_000}]
        body = {"model": "m", "messages": long, "stream": True}
        _, _, headers = await full.post("/v1/chat/completions", body, key=made["key"])
        at = f"/dashboard/o/acme/requests/{headers['x-trivium-request-id']}"
        await visit.sign_in("admin")
        story = await visit.get(at)
        assert f"{at}/bodies" in story.links
        assert "bytes asked" in story.words
        assert "those that there are go" in (await visit.get("/dashboard/o/acme/policy")).words
        page = await visit.get(f"{at}/bodies")
        assert len(page.text.encode()) < LARGEST
        assert not any(one in page.text for one in ("<script>alert", "<img", "\u202e", " style="))
        for words in (
            "What the client sent",
            "cut to 262,144",
            "What went upstream",
            "Events",
            '"content": "Hello',
        ):
            assert words in page.words, words
        file = await visit.get(f"{at}/bodies/answer")
        assert file.headers["content-type"] == "text/plain; charset=utf-8"
        assert file.headers["content-disposition"].startswith('attachment; filename="req_')
        assert file.headers["x-content-type-options"] == "nosniff"
        assert "<script>alert(1)" in file.text
        log = await full.gateway.operations.perform("changes.list", {"organization": "acme", "limit": 2})
        assert [(one["actor"], one["after"]["parts"][-1]) for one in log["items"]] == [("admin", "answer")] * 2
        for who, status in (("member", 200), ("billing", 404), ("outsider", 404)):
            async with browser(full) as other:
                await other.sign_in(who)
                assert (await other.get(f"{at}/bodies")).status == status, who
                assert (await other.get(f"{at}/bodies/answer")).status == status, who
        assert (await visit.get(f"{at}/bodies/nothing")).status == 404

    async def test_new_ones_are_told_to_who_asks_again(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("owner")
        at = "/dashboard/o/acme/requests/tail"
        first = await visit.get(at, hx_request="true")
        (again,) = re.findall(r'hx-get="([^"]+)"', first.text)
        quiet = await visit.get(html.unescape(again))
        assert "<tr>" not in quiet.text
        made = await full.gateway.operations.perform("keys.create", {"name": "new", "organization": "acme"})
        await full.post("/v1/chat/completions", {"model": "m", "messages": []}, key=made["key"])
        await full.records()
        told = await visit.get(html.unescape(again))
        assert told.text.count("<tr>") == 1

    async def test_the_playground_gets_a_key_that_ends_by_itself(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("member")
        at = "/dashboard/o/acme/playground"
        token = re.search(r'data-csrf="(\w+)"', (await visit.get(at)).text)
        assert token
        assert (await visit.post(f"{at}/key")).status == 403
        made = json.loads((await visit.post(f"{at}/key", x_csrf_token=token[1])).text)
        status, _, headers = await full.post(
            "/v1/messages", {"model": "m", "max_tokens": 5, "messages": []}, key=made["key"]
        )
        assert status == 200
        await full.records()
        told = json.loads((await visit.get(f"/dashboard/o/acme/requests/{headers['x-trivium-request-id']}/cost")).text)
        assert told == {"cost_nano": 810_000, "estimated": False, "input_tokens": 120, "output_tokens": 30}

    async def test_of_a_call_that_broke_off_tokens_are_unknown_and_its_cost_is_estimated(self) -> None:
        cut = Reply(text=["One", " two", " three"], abort="reset", abort_after_events=3)
        async with dashboard(SETTINGS, cut, provider=PROVIDER) as house, browser(house) as visit:
            await house.gateway.operations.perform("credits.grant", {"account": "default", "usd": "1"})
            _, _, headers = await house.post("/v1/chat/completions", {**CHAT, "stream": True})
            await house.records()
            await visit.sign_in()
            story = f"/dashboard/house/requests/{headers['x-trivium-request-id']}"
            told = json.loads((await visit.get(f"{story}/cost")).text)
            assert (told["input_tokens"], told["output_tokens"], told["estimated"]) == (None, None, True)
            assert told["cost_nano"] > 0
            words = (await visit.get(story)).words
            assert "charged by the house, estimated" in words
            assert f"Tokens {NOTHING} → {NOTHING}" in words


class TestFreeUse:
    async def test_who_uses_how_much_and_who_is_at_the_limit(self, visit: Browser) -> None:
        await visit.sign_in()
        page = await visit.get("/dashboard/house/free")
        assert "127.0.0.0/24" in page.words
        assert "127.0.0.1" not in page.words
        assert "6 of 6 an hour at the limit refused 1" in page.words
        assert "2 of 2 an hour at the limit refused 1" in page.words  # the owner's
        assert "3 of 2,000 a day without a key" in page.words
        assert "At a limit now 2 of 1 address, 2 users or keys" in page.words

    async def test_it_leads_to_the_calls(self, visit: Browser) -> None:
        await visit.sign_in()
        page = await visit.get("/dashboard/house/free")
        links = [link for link in page.links if "/requests?" in link]
        (of_address,) = [link for link in links if "?address=" in link and "flag" not in link and "verdict" not in link]
        assert (await visit.get(of_address)).text.count("/requests/req_") > 7
        for link, rows in (("flag=free_limit", 2), ("verdict=suspect", 6)):
            (path,) = [one for one in links if "?address=" in one and link in one]
            assert (await visit.get(path)).text.count("/requests/req_") == rows, path
        (of_owner,) = [one for one in links if "?user=owner" in one and "flag=" in one]
        assert (await visit.get(of_owner)).text.count("/requests/req_") == 1

    async def test_it_is_sorted_and_of_a_period(self, visit: Browser) -> None:
        await visit.sign_in()
        for order in ("requests", "anonymous", "refused", "suspect", "tokens", "market_cost_nano", "used"):
            page = await visit.get(f"/dashboard/house/free?period=month&order={order}")
            assert page.status == 200
            assert f'aria-sort="descending"><a href="?period=month&amp;order={order}">' in page.text
        owner, member = page.text.index("?user=owner"), page.text.index("?user=member")
        assert owner < member  # has used up the limit
        past = await visit.get("/dashboard/house/free?period=week&on=2020-02-01")
        assert "2020-01-27 00:00:00 to 2020-02-03 00:00:00, UTC" in past.words
        for on in ("1900-01-01", "9999-12-31", "9998-12-31", "x"):
            assert (await visit.get(f"/dashboard/house/free?period=age&on={on}&order=name")).status == 200

    @pytest.mark.parametrize("who", [*ROLES, "outsider"])
    async def test_it_is_the_houses_alone(self, visit: Browser, who: str) -> None:
        await visit.sign_in(who)
        for space in ("house", "me", "o/acme"):
            assert (await visit.get(f"/dashboard/{space}/free")).status == 404
        assert "Free use" not in (await visit.get("/")).words
        if who != "outsider":
            assert "verdict" not in (await visit.get("/dashboard/o/acme/requests")).words
            for search in ("verdict=suspect", "address=0123456789abcdef", "flag=free_limit"):
                assert (await visit.get(f"/dashboard/o/acme/requests?{search}")).status == 404


class TestHouse:
    async def test_what_is_done_about_it_is_done(self, visit: Browser) -> None:
        await visit.sign_in()
        told = await visit.send("/dashboard/house/health/reload", at="/dashboard/house/health")
        assert told.headers["location"] == "/dashboard/house/health?done=1"
        assert (await visit.post("/dashboard/house/health/nothing", {"csrf": told.text})).status == 403

    async def test_what_would_become_of_a_request_is_explained(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        made = await full.gateway.operations.perform("keys.create", {"name": "explained"})
        form = {"model": "m", "api": "chat", "request": "{}", "key": made["id"]}
        told = await visit.send("/dashboard/house/explain", form)
        assert "up/m" in told.words
        told = await visit.send("/dashboard/house/explain", {"model": "m", "api": "chat", "request": "{"})
        assert (told.status, told.problem) == (400, "request: expected JSON.")
        cut = '{"messages": [{"role": "user", "content": "half \\ud83d"}]}'
        told = await visit.send("/dashboard/house/explain", {"model": "m", "api": "chat", "request": cut})
        assert (told.status, told.problem) == (400, "request: expected JSON.")

    async def test_a_price_that_was_asked_for_leads_to_itself(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        dear = {"input": 77, "output": 99}
        await perform("prices.set", {"pattern": "up/broken", "account_id": "acme", "price": dear})
        await visit.sign_in()
        for query in ("account_id=acme", "account_id=acme&model=up/broken"):
            page = await visit.get(f"/dashboard/house/prices?{query}")
            (link,) = [link for link in page.links if "/prices/details?id=up%2Fbroken&" in link]
            assert (page.status, "input: 77" in (await visit.get(link)).words) == (200, True)
            (whole,) = [link for link in (await visit.get(link)).links if "details.json" in link]
            assert json.loads((await visit.get(whole)).text)["price"]["input"] == "77"
        assert "input: 77" not in (await visit.get("/dashboard/house/prices?model=up/broken")).words
        charged = (await perform("requests", {"outcome": "success"}))["items"][0]["price_version"]
        page = await visit.get(f"/dashboard/house/prices?version={charged}")
        (link,) = [link for link in page.links if "/prices/details?" in link]
        assert charged in (await visit.get(link)).words

    async def test_a_list_that_is_told_whole_is_shown_in_parts(self) -> None:
        models = ", ".join(f'"m{number:03}"' for number in range(120))
        async with dashboard(provider=f'apis = ["chat"]\nmodels = [{models}]') as house, browser(house) as visit:
            await visit.sign_in()
            page = await visit.get("/dashboard/house/prices")
            shown = re.findall(r"up/m\d\d\d", page.text)
            while more := [link for link in page.links if link.startswith("?after=")]:
                page = await visit.get("/dashboard/house/prices" + more[0])
                shown += re.findall(r"up/m\d\d\d", page.text)
            assert sorted(set(shown)) == [f"up/m{number:03}" for number in range(120)]

    async def test_a_row_far_down_a_list_can_be_acted_on(self, full: Running, visit: Browser) -> None:
        for number in range(120):
            await full.gateway.operations.perform("domains.block", {"domain": f"d{number:03}.example"})
        await visit.sign_in()
        first = await visit.get("/dashboard/house/blocked-domains")
        assert "d000.example" in first.text
        assert "d119.example" not in first.text
        (more,) = [link for link in first.links if link.startswith("?after=")]
        assert "d060.example" in (await visit.get("/dashboard/house/blocked-domains" + more)).text
        gone = await visit.send("/dashboard/house/blocked-domains/unblock?id=d119.example")
        assert gone.status == 303
        listed = await full.gateway.operations.perform("domains.list", {"after": "d118", "limit": 200})
        assert "d119.example" not in listed["items"]


async def test_the_process_is_started_again_after_its_death(full: Running, visit: Browser) -> None:
    await visit.sign_in()
    panel = full.gateway.panel
    assert panel is not None
    life = panel._life
    assert life is not None
    life.cancel()
    await asyncio.wait([life], timeout=30)
    assert (await visit.get("/")).status == 200


@pytest.mark.skipif(sys.platform != "linux", reason="finds the process by /proc")
async def test_one_that_hangs_is_replaced_and_calls_do_not_notice(
    full: Running, visit: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await visit.sign_in()
    panel = full.gateway.panel
    assert panel is not None
    assert panel._life is not None
    panel._life.cancel()
    await asyncio.wait([panel._life], timeout=30)
    watch = Watch(panel, monkeypatch)
    assert (await visit.get("/")).status == 200
    await watch.stop(_child())
    page = asyncio.create_task(visit.get("/"))
    status, _, _ = await full.post("/v1/chat/completions", CHAT)
    assert (status, page.done()) == (200, False)
    told = await page
    watch.be_patient()
    assert (told.status, "The dashboard is not there" in told.words) == (503, True)
    async with asyncio.timeout(30):
        while (await visit.get("/")).status != 200:  # noqa: ASYNC110 # another process
            await asyncio.sleep(0.05)
    content, _ = await full.gateway.telemetry.scrape("")
    assert b'trivium_dashboard_lost_total{how="hung"} 1.0' in content
    panel._pulse = Pulse()


def _child() -> int:
    """The dashboard's process."""
    ours = [id for task in Path("/proc/self/task").iterdir() for id in (task / "children").read_text().split()]
    (found,) = [id for id in ours if b"trivium.dashboard.child" in Path(f"/proc/{id}/cmdline").read_bytes()]
    return int(found)
