"""What the dashboard reaches, for whom, and that what is done there is done to whom it was meant, once."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from gateway import CHAT, Running
from support_dashboard import Browser, browser, dashboard
from support_dashboard_world import SETTINGS
from trivium.admin.table import ROWS
from trivium.dashboard import resources
from trivium.dashboard.documents import DOCUMENTS, PANELS, QUESTIONS
from trivium.dashboard.row import Resource
from trivium.dashboard.table import RESOURCES

pytestmark = pytest.mark.asyncio(loop_scope="module")
LARGEST = 180 * 1024
"""Bytes of a page alone: the files that all pages load are a good hundred KB."""
ELSEWHERE = {
    "keys.show": "one of a list in full",
    "orgs.show": "the space of an organization",
    "payments.show": "one of a list in full",
    "users.show": "the space of a user",
    "receipt": "a part of the story",
    "requests": "home, and the search",
    "usage": "sums of the usage page without shares and times",
    **dict.fromkeys(
        (
            "free.use",
            "usage.report",
            "usage.csv",
            "overview",
            "requests.bodies",
            "requests.search",
            "requests.tail",
            "requests.story",
        ),
        "",
    ),
}
"""Operations that no row names, since a page is made for them or another says the same."""
LEFT_OUT = {
    "orgs.create": {"settings"},  # set on the page of its policy
    "credits.top_up": {"expires"},  # only granted credits do
    "credits.adjust": {"expires"},
    "alerts.test": {"channel"},  # all at once
}
PAGING = {"after", "limit", "version", "idempotency_key"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full() -> AsyncIterator[Running]:
    async with dashboard(SETTINGS, provider='models = ["m"]') as house:
        perform = house.gateway.operations.perform
        for id in ("ann", "bob", "cat"):
            await perform("users.create", {"id": id, "name": id.title(), "email": f"{id}@acme.example"})
        await perform("orgs.create", {"id": "acme", "name": "Acme", "owner": "ann"})
        for id in ("bob", "cat"):
            await perform("members.set", {"organization": "acme", "user": id, "role": "member"})
        yield house


@pytest_asyncio.fixture(loop_scope="module")
async def visit(full: Running) -> AsyncIterator[Browser]:
    async with browser(full) as one:
        yield one


class TestReach:
    """Everything that the admin API can do."""

    async def test_every_operation_and_all_that_it_takes_has_a_page(self, full: Running) -> None:
        described = await full.gateway.operations.perform("operations.describe", {})
        reached: dict[str, set[str]] = {}
        for operation, names in _offered(lambda operation: _names(described, operation)):
            reached.setdefault(operation, set()).update(names)
        missing = {}
        for operation in {row.operation for row in ROWS} - ELSEWHERE.keys():
            lacks = _names(described, operation) - PAGING - LEFT_OUT.get(operation, set())
            if operation not in reached or lacks - reached[operation]:
                missing[operation] = lacks - reached.get(operation, set())
        assert missing == {}, missing

    async def test_the_house_does_for_a_user_what_the_user_could(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        assert "/dashboard/u/bob/" in (await visit.get("/dashboard/house/users")).links
        home = await visit.get("/dashboard/u/bob/")
        assert "In view Bob" in home.words
        assert "In view Acme" in (await visit.get("/dashboard/o/acme/")).words
        assert (await visit.get("/dashboard/o/nowhere/")).status == 404
        form = {"vendor": "openai", "name": "main", "credential.key": "sk-canary-12345678"}
        assert (await visit.send("/dashboard/u/bob/upstream-keys/new", form)).status == 303
        (kept,) = await full.gateway.operations.perform("byok.list", {"user": "bob"})
        assert kept["name"] == "main"
        assert (await visit.get("/dashboard/u/nobody/")).status == 404
        await visit.sign_in("ann")
        assert (await visit.get("/dashboard/u/bob/")).status == 404
        assert (await visit.get("/dashboard/u/ann/keys")).status == 404

    async def test_the_house_makes_keys_for_others(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        form = {"name": "for bob", "organization": "acme", "user": "bob"}
        assert (await visit.send("/dashboard/house/keys/new", form)).status == 200
        await visit.sign_in("ann")
        asked = await visit.get("/dashboard/o/acme/keys/new")
        assert ('name="user"' in asked.text, 'name="account"' in asked.text) == (True, False)
        assert (await visit.send("/dashboard/o/acme/keys/new", {"name": "for cat", "user": "cat"})).status == 200
        listed = await full.gateway.operations.perform("keys.list", {"organization": "acme"})
        assert {(key["name"], key["user_id"]) for key in listed["items"]} == {("for bob", "bob"), ("for cat", "cat")}
        only = await visit.get("/dashboard/o/acme/keys?user=cat")
        assert ("for cat" in only.words, "for bob" in only.words) == (True, False)

    async def test_owners_rename_what_is_theirs(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("ann")
        assert (await visit.send("/dashboard/o/acme/members/rename", {"name": "Acme & Sons"})).status == 303
        assert "Acme & Sons" in (await visit.get("/dashboard/o/acme/members")).words
        await visit.sign_in("bob")
        assert (await visit.get("/dashboard/o/acme/members/rename")).status == 404

    async def test_one_ends_all_of_ones_own_keys(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        await perform("users.create", {"id": "dan", "name": "Dan"})
        made = await perform("keys.create", {"name": "lost", "user": "dan"})
        await visit.sign_in("dan")
        assert (await visit.send("/dashboard/me/keys/revoke-all")).status == 303
        assert (await full.post("/v1/chat/completions", CHAT, key=made["key"]))[0] == 401

    async def test_an_invitation_is_accepted_by_the_house_too(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        await perform("users.create", {"id": "eve", "name": "Eve"})
        await visit.sign_in("ann")
        assert (await visit.send("/dashboard/o/acme/members/new", {"user": "eve", "role": "member"})).status == 303
        assert "accept?id=eve" not in (await visit.get("/dashboard/o/acme/members")).text
        await visit.sign_in("eve")
        assert "Invitations" not in (await visit.get("/dashboard/me/")).words  # they are on the page about oneself
        await visit.sign_in()
        assert "accept?id=eve" in (await visit.get("/dashboard/o/acme/members")).text
        assert (await visit.send("/dashboard/u/eve/invitations/accept?id=acme")).status == 303
        listed = (await perform("members.list", {"organization": "acme"}))["items"]
        assert next(one["accepted_ms"] for one in listed if one["user_id"] == "eve") is not None

    async def test_a_verdict_leads_to_its_calls_for_the_house_alone(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        at = "/dashboard/house/requests"
        assert "Abuse verdict" in (await visit.get(at)).words
        assert (await visit.get(f"{at}?verdict=hard_block")).problem == ""
        await visit.sign_in("ann")
        assert "Abuse verdict" not in (await visit.get("/dashboard/o/acme/requests")).words
        assert (await visit.get("/dashboard/o/acme/requests?verdict=hard_block")).status == 404


def _offered(names: Any) -> list[tuple[str, set[str]]]:
    """What pages ask with, by operation."""
    found = []
    for one in RESOURCES:
        found.append((one.lists, {*one.filters, *_whose(one)}))
        for action in (*([one.make] if one.make else []), *one.also, *one.does):
            asked = names(action.operation) if action.asks is None else action.asks
            found.append((action.operation, {*action.takes, *action.fixed, *asked, *_whose(one)}))
    for document in DOCUMENTS:
        found += [(document.shows, {"organization"}), (document.sets, {"settings", "organization"})]
    for panel in PANELS:
        found += [(panel.operation, set()), *((action.operation, set(action.fixed)) for action in panel.actions)]
    found += [(one.operation, names(one.operation) if one.asks is None else set(one.asks)) for one in QUESTIONS]
    found += [(one.then.operation, names(one.operation)) for one in QUESTIONS if one.then]
    return found


def _whose(one: Resource) -> list[str]:
    """What its spaces say."""
    return [name for kind, name in (("me", "user"), ("organization", "organization")) if kind in one.spaces]


def _names(described: Any, operation: str) -> set[str]:
    schema = described[operation]["arguments"]
    return set(schema["$defs"][schema["$ref"].rpartition("/")[2]]["properties"])


class TestWhatIsDone:
    async def test_a_member_removes_nobody_by_the_row_of_another(self, full: Running, visit: Browser) -> None:
        await visit.sign_in("bob")
        page = await visit.get("/dashboard/o/acme/members")
        assert re.findall(r"members/remove\?id=(\w+)", page.text) == ["bob"]
        assert (await visit.post("/dashboard/o/acme/members/remove?id=cat", {"csrf": page.csrf})).status == 404
        listed = await full.gateway.operations.perform("members.list", {"organization": "acme"})
        assert {"bob", "cat"} <= {one["user_id"] for one in listed["items"]}

    @pytest.mark.parametrize("action", ["grant", "top-up", "adjust"])
    async def test_credits_that_are_sent_twice_are_given_once(self, full: Running, visit: Browser, action: str) -> None:
        await visit.sign_in()
        at, before = f"/dashboard/house/accounts/{action}?id=acme", await self._balance(full)
        once = await self._send_twice(visit, at, "10")
        assert await self._balance(full) - before == 10
        again = await visit.send(at, {"usd": "11", "once": once})
        assert (again.status, "was used for another" in again.problem) == (400, True)

    async def test_a_refund_that_is_sent_twice_is_given_once(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        await perform("credits.grant", {"account": "acme", "usd": "10"})
        key = await perform("keys.create", {"name": "k", "organization": "acme"})
        assert (await full.post("/v1/chat/completions", CHAT, key=key["key"]))[0] == 200
        entries = (await perform("credits.entries", {"account": "acme"}))["items"]
        charge = next(entry for entry in entries if entry["kind"] == "charge")
        await visit.sign_in()
        before = await self._balance(full)
        await self._send_twice(visit, f"/dashboard/house/entries/refund?id={charge['seq']}", "0.000001")
        assert await self._balance(full) - before == pytest.approx(0.000001)

    async def test_an_entry_is_found_however_many_came_after_it(
        self, full: Running, visit: Browser, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(resources, "_MOST_PARTS", 1)
        perform = full.gateway.operations.perform
        old = (await perform("credits.entries", {"account": "acme"}))["items"][0]["seq"]
        for _ in range(51):
            await perform("credits.grant", {"account": "acme", "usd": "0.01"})
        await visit.sign_in()
        assert (await visit.get(f"/dashboard/house/entries/details?id={old}")).status == 200
        assert (await visit.get(f"/dashboard/house/entries/details?id={old + 10**6}")).status == 404

    async def _send_twice(self, visit: Browser, at: str, usd: str) -> str:
        """One form; by what it is known."""
        page = await visit.get(at)
        once = re.search(r'name="once" value="([^"]+)"', page.text)
        assert once
        for _ in range(2):
            sent = await visit.post(at, {"csrf": page.csrf, "once": once[1], "usd": usd})
            assert sent.status == 303
        return once[1]

    async def _balance(self, full: Running) -> float:
        listed = await full.gateway.operations.perform("accounts.list", {"account": "acme"})
        return float(listed["items"][0]["balance_usd"])

    async def test_a_search_that_cannot_be_meant_finds_nothing(self, visit: Browser) -> None:
        await visit.sign_in()
        at = "/dashboard/house/requests"
        for query, problem in (
            ("status=abc", "status: expected a number."),
            ("min_cost=nan", "min cost: expected a number."),
            ("since=yesterday", "yesterday: expected a date and a time, as 2026-01-31T09:30."),
            ("min_cost=-1", "min cost: expected a number of at least 0."),
        ):
            told = await visit.get(f"{at}?{query}")
            assert (told.problem, told.text.count('class="tag')) == (problem, 0)


class TestSize:
    async def test_pages_about_huge_settings_stay_small(self, full: Running, visit: Browser) -> None:
        perform = full.gateway.operations.perform
        await perform("orgs.create", {"id": "huge", "name": "Huge"})
        names = [f"provider/{'x' * 80}-{number}" for number in range(1000)]
        version = 0
        for number in range(12):
            settings = {"policy": {"models_allow": names[number:]}}
            version = (await perform("orgs.settings.show", {"organization": "huge"}))["version"]
            await perform("orgs.settings.set", {"organization": "huge", "settings": settings, "version": version})
        await visit.sign_in()
        for path in ("house/changes", "o/huge/changes", "house/organizations", "o/huge/policy"):
            page = await visit.get(f"/dashboard/{path}")
            assert (page.status, len(page.text.encode()) < LARGEST) == (200, True), path
        log = await visit.get("/dashboard/o/huge/changes")
        assert names[10] in log.words  # what the last change took away
        assert names[11] not in log.words
        (newest, *_) = [link for link in log.links if "/changes/details?" in link]
        assert len((await visit.get(newest)).text.encode()) < LARGEST
        whole = json.loads((await visit.get(newest.replace("/details?", "/details.json?"))).text)
        assert whole["after"]["policy"]["models_allow"] == names[11:]

    async def test_years_are_drawn_by_months(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        made = await full.gateway.operations.perform("keys.create", {"name": "one", "user": "cat"})
        assert (await full.post("/v1/chat/completions", CHAT, key=made["key"]))[0] == 402
        await full.records()
        page = await visit.get("/dashboard/house/usage?period=custom&since=2020-01-01")
        assert "By model" in page.words
        assert re.findall(r'data-day="\d{4}-\d\d-(\d\d)">\d{4}-\d\d<', page.text) == ["01"]

    async def test_filters_that_are_long_are_not_in_every_link(self, full: Running, visit: Browser) -> None:
        await visit.sign_in()
        long = "without=" + "+".join(f"key:{'x' * 90}{n}" for n in range(6))
        short = await visit.get("/dashboard/house/usage?by=outcome")
        assert any("only=outcome" in link for link in short.links)
        page = await visit.get(f"/dashboard/house/usage?by=outcome&{long}")
        assert not any("only=outcome" in link for link in page.links)
        assert (await visit.get("/dashboard/house/usage?only=model:%22a+b%22")).problem == ""
