"""Every page of the dashboard in a real browser, as each role, empty and full: nothing of a stranger runs, nobody else
is asked for anything, axe finds nothing serious, no page is heavy. `make screens` runs it, and keeps some pictures.

Needs Chromium (`TRIVIUM_CHROMIUM`, else the system's) and the packages of `assets/` for development.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from gateway import Running
from support_browser import AXE, Watch, browsing
from support_dashboard import HOSTILE, dashboard
from support_dashboard_world import PROVIDER, ROLES, RULES, SETTINGS, World
from support_stripe import SETTINGS as PAYMENTS
from support_stripe import stripe
from trivium.mock import Error, Reply

pytestmark = [pytest.mark.screens, pytest.mark.asyncio(loop_scope="module")]
PICTURES = os.environ.get("TRIVIUM_SCREENS")
HEAVIEST = 300 * 1024
"""Bytes of a page with all that it loads."""
FINDINGS = """async () => {
    const found = await axe.run(document, { resultTypes: ["violations"] });
    return found.violations.filter((one) => ["serious", "critical"].includes(one.impact))
        .map((one) => one.id + ": " + one.nodes.map((node) => node.html.slice(0, 120)).join(" | "));
}"""
MONEY = ("payments", "auto-top-up")
SEEN = {
    "house": (*MONEY, "stray-payments", "stray-payments/end", "free", "channels", "bodies"),
    "owner": (*MONEY, "payments/new", "auto-top-up/new", "bodies"),
    "member": (*MONEY, "bodies"),
}
"""Pages that must be met, by who walks."""
KEPT = {
    "home": "/",
    "usage": "/dashboard/house/usage",
    "requests": "/dashboard/house/requests",
    "free": "/dashboard/house/free",
    "playground": "/dashboard/house/playground",
    "new-key": "/dashboard/o/acme/keys/new",
    "policy": "/dashboard/o/acme/policy",
    "health": "/dashboard/house/health",
}


@contextlib.asynccontextmanager
async def furnished(*words: str) -> AsyncIterator[Running]:
    async with dashboard(
        SETTINGS, *RULES, provider=PROVIDER.replace(json.dumps(HOSTILE), json.dumps((words or (HOSTILE,))[0]))
    ) as house:
        await World(house, *words).build()
        yield house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def full() -> AsyncIterator[Running]:
    """A house for all tests: what one of them adds is one row more to the others."""
    async with furnished() as house:
        yield house


async def walk(watch: Watch, house: Running) -> dict[str, list[str]]:
    """Faults by page, of all that links lead to: of rows of a list one each."""
    found: dict[str, list[str]] = {}
    waiting, kinds = ["/"], set()
    axe = AXE.read_text(encoding="utf-8")
    while waiting:
        path = waiting.pop(0)
        kind = re.sub(r"(id|after|account|only|without|part)=[^&]*|req_\w+|/u/[^/]+", "*", path)
        if (
            path in found
            or (kind in kinds and kind != path)
            or re.search(r"usage\.(csv|json)|details\.json|sign-out|/bodies/", path)
        ):
            continue
        kinds.add(kind)
        watch.faults = []
        status = await watch.open(house.url + path)
        here = [f"status {status}"] if status != 200 else []
        await watch.page.evaluate(axe)
        here += await watch.page.evaluate(FINDINGS)
        if await watch.page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            here.append("is wider than the window")
        if watch.weight > HEAVIEST:
            here.append(f"{watch.weight} bytes")
        found[path] = here + watch.faults
        hrefs = await watch.page.eval_on_selector_all("a[href]", "all => all.map((one) => one.href)")
        for href in hrefs:
            parts = urlsplit(href)
            waiting.append(f"{parts.path}?{parts.query}" if parts.query else parts.path)
    return found


def lacking(found: dict[str, list[str]], *pages: str) -> list[str]:
    """Of pages, those that the walk did not come by."""
    return [page for page in pages if not any(re.search(rf"/{page}(\?|$)", path) for path in found)]


def faults(found: dict[str, list[str]]) -> str:
    return "\n".join(f"{path}: {fault}" for path, faults in found.items() for fault in faults)


@pytest.mark.parametrize("who", ["house", *ROLES, "outsider"])
async def test_every_page_of_a_full_house(chromium: Any, full: Running, who: str) -> None:
    async with browsing(chromium, full, None if who == "house" else who) as watch:
        found = await walk(watch, full)
        assert faults(found) == ""
        assert len(found) > 12
        assert lacking(found, *SEEN.get(who, ())) == []


@pytest.mark.parametrize("options", [{"color_scheme": "dark"}, {"viewport": {"width": 390, "height": 800}}])
async def test_every_page_in_the_dark_and_on_a_phone(chromium: Any, full: Running, options: dict[str, Any]) -> None:
    async with browsing(chromium, full, "owner", **options) as watch:
        found = await walk(watch, full)
        assert faults(found) == ""


@pytest.mark.parametrize("settings", ["", SETTINGS], ids=["bare", "with all there is"])
async def test_every_page_of_a_new_house(chromium: Any, settings: str) -> None:
    async with dashboard(settings, provider=PROVIDER) as house, browsing(chromium, house, None) as watch:
        found = await walk(watch, house)
        assert faults(found) == ""
        assert lacking(found, "free", "channels", *([*MONEY, "stray-payments"] if settings else [])) == []


async def test_every_page_of_somebody_new(chromium: Any) -> None:
    async with dashboard(SETTINGS, provider=PROVIDER) as house:
        await house.gateway.operations.perform("users.create", {"id": "ann", "name": "Ann"})
        async with browsing(chromium, house, "ann") as watch:
            found = await walk(watch, house)
            assert faults(found) == ""
            assert lacking(found, *MONEY, "payments/new") == []


async def test_without_scripts_every_page_is_whole(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, None, java_script_enabled=False) as watch:
        assert await watch.open(f"{full.url}/dashboard/house/usage") == 200
        assert await watch.page.locator("#by-group").is_visible()
        await watch.page.select_option("#by", "key")
        await watch.page.click("form.filters button")
        assert await watch.page.locator("h2", has_text="By key").is_visible()
        await watch.open(f"{full.url}/dashboard/house/requests")
        assert not await watch.page.locator("a", has_text="Follow live").is_visible()


async def test_filters_say_what_the_figures_are_of_after_going_back(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, None) as watch:
        page = watch.page
        await watch.open(f"{full.url}/dashboard/house/usage")
        await page.select_option("#by", "key")
        await page.wait_for_url("**by=key**")
        await page.go_back(wait_until="load")
        assert await page.locator("h2", has_text="By model").is_visible()
        assert await page.input_value("#by") == "model"
        await watch.open(f"{full.url}/dashboard/house/requests")
        await page.select_option("#q-outcome", "failed")
        await page.click("form.card button.main")
        await page.wait_for_url("**outcome=failed**")
        await page.go_back(wait_until="load")
        assert await page.locator("#rows .tag.success").count() > 0
        assert await page.input_value("#q-outcome") == ""


@pytest.mark.parametrize(
    ("period", "step"), [("day", 3600), ("week", 86_400), ("custom&since=2026-01-01", 28 * 86_400)]
)
async def test_a_bar_is_as_wide_as_what_it_is_of(chromium: Any, full: Running, period: str, step: int) -> None:
    """Less a gap, and what is rounded to pixels."""
    widths = """() => {
        const { since, until } = document.querySelector(".chart").dataset;
        const whole = document.querySelector(".chart .u-over").clientWidth * devicePixelRatio;
        return drawn.filter((width) => width < whole).map((width) => width / whole * (until - since));
    }"""
    async with browsing(chromium, full, None) as watch:
        await watch.page.add_init_script(
            "window.drawn = []; const rect = Path2D.prototype.rect;"
            "Path2D.prototype.rect = function (...at) { drawn.push(at[2]); return rect.apply(this, at); };"
        )
        await watch.open(f"{full.url}/dashboard/house/usage?period={period}")
        found = await watch.page.evaluate(widths)
        assert found
        assert all(0.6 * step < width < 0.75 * step for width in found), found


async def test_the_playground_streams_and_tells_the_cost(chromium: Any) -> None:
    async with furnished() as house, browsing(chromium, house, "owner") as watch:
        for api in ("chat", "responses", "messages"):
            await watch.open(f"{house.url}/dashboard/o/acme/playground")
            await watch.page.select_option("#p-api", api)
            await watch.fill("#p-model", "m")
            await watch.fill("#p-text", HOSTILE)
            await watch.page.click("#p-send")
            await watch.page.locator("#p-told a").wait_for()
            answer = await watch.page.inner_text("#p-answer")
            assert "$0.000810" in await watch.page.inner_text("#p-told"), answer
            assert "Hello <script>" in answer
            assert "data: " in await watch.page.text_content("#p-raw")
            assert "TRIVIUM_KEY" in await watch.page.text_content("#p-curl")
        assert watch.faults == []


@pytest.mark.parametrize("api", ["chat", "responses", "messages"])
async def test_the_playground_shows_an_error_inside_a_whole_answer(chromium: Any, api: str) -> None:
    died = Reply(text=["One", " two", " three"], status=200, error=Error(message="It died."), error_after_events=2)
    async with dashboard(SETTINGS, died, provider=PROVIDER) as house:
        await house.gateway.operations.perform("users.create", {"id": "ann", "name": "Ann"})
        await house.gateway.operations.perform("credits.grant", {"account": "ann", "usd": "1"})
        async with browsing(chromium, house, "ann") as watch:
            await watch.open(f"{house.url}/dashboard/me/playground")
            await watch.page.select_option("#p-api", api)
            await watch.fill("#p-model", "m")
            await watch.page.uncheck("#p-stream")
            await watch.page.click("#p-send")
            await watch.page.locator("#p-told a").wait_for()
            assert await watch.page.inner_text("#p-answer .wrong") == "It died."


async def test_the_playground_says_that_nobody_is_signed_in_any_more(chromium: Any, full: Running) -> None:
    """Before there is a key, and after the answer, whose cost is asked for."""
    perform = full.gateway.operations.perform
    key = (await perform("keys.create", {"name": "typed", "organization": "acme", "user": "owner"}))["key"]
    async with browsing(chromium, full, "owner") as watch:
        await watch.open(f"{full.url}/dashboard/o/acme/playground")
        await watch.page.evaluate("document.querySelector('#p-model').value = 'm'")  # a look into it makes a key
        for session in (await perform("sessions.list", {"user": "owner"}))["items"]:
            await perform("sessions.end", {"session": session["id"]})
        told = watch.page.locator("#p-told", has_text="You are not signed in any more")
        await watch.page.click("#p-send")
        await told.wait_for()
        assert await watch.page.locator("#p-told a").count() == 0
        await watch.fill("#p-key", key)
        await watch.page.click("#p-send")
        await told.locator("a").wait_for()
        assert "Hello" in await watch.page.inner_text("#p-answer")
        assert not [fault for fault in watch.faults if fault.startswith("error: SyntaxError")]


async def test_the_playground_says_of_which_calls_nothing_is_seen_there(chromium: Any, full: Running) -> None:
    """With a key that is nobody's, and with one that is, of somebody else."""
    await full.gateway.operations.perform("users.create", {"id": "zoe", "name": "Zoe"})
    await full.gateway.operations.perform("credits.grant", {"account": "zoe", "usd": "1"})
    theirs = (await full.gateway.operations.perform("keys.create", {"name": "hers", "user": "zoe"}))["key"]
    async with browsing(chromium, full, "owner") as watch:
        for key, answer in (("tv-wrong", "key"), (theirs, "Hello")):
            await watch.open(f"{full.url}/dashboard/me/playground")
            await watch.fill("#p-model", "m")
            await watch.fill("#p-key", key)
            await watch.page.click("#p-send")
            await watch.page.locator("#p-told", has_text="not one of those that are seen here").wait_for()
            assert answer in await watch.page.inner_text("#p-answer")
            assert await watch.page.locator("#p-told a").count() == 0


async def test_new_requests_appear_by_themselves(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, None) as watch:
        await watch.open(f"{full.url}/dashboard/house/requests?live=1")
        rows = watch.page.locator("#rows tr")
        await rows.first.wait_for()
        before = await rows.count()
        await full.post("/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "x"}]})
        await watch.page.wait_for_function("(n) => document.querySelectorAll('#rows tr').length > n", arg=before)
        assert watch.faults == []


async def test_by_keyboard_alone_a_key_is_made(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, "owner") as watch:
        await watch.open(f"{full.url}/dashboard/o/acme/keys")
        press, page = watch.page.keyboard.press, watch.page
        await press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await press("Enter")
        await press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "New key"
        await press("Enter")
        await page.wait_for_url("**/keys/new")
        await page.focus("#f-name")
        await page.keyboard.type("typed")
        await press("Enter")
        await page.locator("#shown").wait_for()
        assert (await page.inner_text("#shown")).startswith("tv-")


async def test_adding_credit_leads_to_the_page_where_it_is_paid(chromium: Any) -> None:
    """Under our own policy, which lets forms lead nowhere else."""
    async with stripe() as fake, dashboard(PAYMENTS.replace("{stripe}", fake.url)) as house:
        await house.gateway.operations.perform("users.create", {"id": "ann", "name": "Ann"})
        async with browsing(chromium, house, "ann") as watch:
            await watch.open(f"{house.url}/dashboard/me/payments/new")
            await watch.fill("#f-usd", "12.50")
            await watch.page.click("form.card button.main")
            await watch.page.wait_for_url(f"{fake.url}/pay/*")
            assert await watch.page.inner_text("h1") == "Pay 12.50 USD"
            assert not [one for one in watch.faults if "Content Security Policy" in one]


async def test_a_second_click_sends_nothing_again(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, "owner") as watch:
        await watch.open(f"{full.url}/dashboard/o/acme/keys/new")
        await watch.fill("#f-name", "clicked twice")
        sent = """() => {
            let sent = 0;
            addEventListener("submit", (event) => { sent += !event.defaultPrevented; });
            for (let n = 0; n < 2; n++) document.querySelector("form.card button.main").click();
            return sent;
        }"""
        assert await watch.page.evaluate(sent) == 1
        await watch.page.locator("#shown").wait_for()
        listed = await full.gateway.operations.perform("keys.list", {"organization": "acme"})
        assert [key["name"] for key in listed["items"]].count("clicked twice") == 1


async def test_a_page_that_shows_a_key_makes_no_other_when_it_is_loaded_again(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, "owner") as watch:
        await watch.open(f"{full.url}/dashboard/o/acme/keys/new")
        await watch.fill("#f-name", "loaded again")
        await watch.page.click("form.card button.main")
        await watch.page.locator("#shown").wait_for()
        await watch.page.reload()
        assert await watch.page.inner_text("h1") == "Keys"
        listed = await full.gateway.operations.perform("keys.list", {"organization": "acme"})
        assert [key["name"] for key in listed["items"]].count("loaded again") == 1
        assert watch.faults == []


async def test_a_key_and_a_model_that_it_may_use_stand_in_the_lines(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, "owner") as watch:
        page = watch.page
        await watch.open(f"{full.url}/dashboard/o/acme/keys/new")
        await page.fill("#f-name", "for a client")
        await page.click("form.card button.main")
        await page.wait_for_function("() => !/MODEL/.test(document.querySelector('#call-1').textContent)")
        key = await page.inner_text("#shown")
        assert f"Bearer {key}" in await page.inner_text("#call-1")
        await watch.open(f"{full.url}/dashboard/o/acme/")
        assert "YOUR_KEY" in await page.text_content("#setup-1")
        await page.fill("#your-key", key)
        await page.wait_for_function("() => !/MODEL|YOUR_KEY/.test(document.querySelector('#setup-1').textContent)")
        assert key in await page.text_content("#setup-1")
        await watch.open(f"{full.url}/dashboard/o/acme/playground")
        await page.focus("#p-model")
        await page.locator("#p-models option").first.wait_for(state="attached")
        assert watch.faults == []


async def test_a_phone_has_the_menu_behind_a_button(chromium: Any, full: Running) -> None:
    async with browsing(chromium, full, "owner", viewport={"width": 390, "height": 800}) as watch:
        await watch.open(f"{full.url}/dashboard/o/acme/")
        link = watch.page.locator("nav a", has_text="Requests")
        assert not await link.is_visible()
        await watch.page.click("nav .pages summary")
        await link.click()
        await watch.page.wait_for_url("**/requests")
        await watch.page.set_viewport_size({"width": 1280, "height": 800})
        assert await link.is_visible()


@pytest.mark.skipif(PICTURES is None, reason="pictures are kept by `make screens`")
async def test_pictures(chromium: Any) -> None:
    assert PICTURES is not None
    folder = Path(__file__).parents[2] / PICTURES
    folder.mkdir(parents=True, exist_ok=True)
    async with (
        furnished("small", "one") as house,
        browsing(chromium, house, None, viewport={"width": 1100, "height": 700}) as watch,
    ):
        rows = (await house.gateway.operations.perform("requests", {"outcome": "success"}))["items"]
        dear = next(row["id"] for row in rows if row["requested_model"] == "dear")
        for name, path in {**KEPT, "request": f"/dashboard/house/requests/{dear}"}.items():
            await watch.open(house.url + path)
            await watch.page.wait_for_timeout(200)  # for the charts
            await watch.page.screenshot(path=folder / f"{name}.png")
        await watch.page.emulate_media(color_scheme="dark")
        await watch.open(f"{house.url}/dashboard/house/usage")
        await watch.page.wait_for_timeout(200)
        await watch.page.screenshot(path=folder / "usage-dark.png")
        await watch.page.set_viewport_size({"width": 390, "height": 800})
        await watch.open(f"{house.url}/")
        await watch.page.screenshot(path=folder / "home-phone.png")
