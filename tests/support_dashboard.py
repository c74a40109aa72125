"""People before the dashboard of a running gateway, and a house in which they find something.

`full` makes an organization `acme` with a member of each role, whatever each page lists, and calls of all outcomes.
Names were chosen by strangers: each holds `HOSTILE`.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec

from gateway import Running, running
from trivium.mock import Reply, Rule
from trivium.server import control

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>'{{7*7}}\u202etxt.exe"
SHORT = '<b>"&\u202e'
"""The same where there is little room."""
ROLES = ("owner", "admin", "member", "billing")
HTML = {"accept": "text/html"}
_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_HREF = re.compile(r'href="([^"]+)"')


class Page(msgspec.Struct, frozen=True):
    status: int
    text: str
    headers: dict[str, str]
    cookies: list[str]

    @property
    def words(self) -> str:
        """What is read on it."""
        return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", self.text)).split())

    @property
    def csrf(self) -> str:
        found = _CSRF.search(self.text)
        assert found, self.text
        return found[1]

    def hidden(self, name: str) -> str:
        """What a form of it has with it."""
        found = re.search(rf'name="{name}" value="([^"]*)"', self.text)
        assert found, self.text
        return html.unescape(found[1])

    @property
    def links(self) -> list[str]:
        return [html.unescape(found) for found in _HREF.findall(self.text)]

    @property
    def problem(self) -> str:
        found = re.search(r'role="alert"><bdi>(.*?)</bdi>', self.text, re.DOTALL)
        return html.unescape(found[1]) if found else ""


class Browser:
    """A browser as far as HTTP goes: it keeps cookies and follows no redirect."""

    def __init__(self, house: Running, session: aiohttp.ClientSession) -> None:
        self.house = house
        self._session = session

    async def get(self, path: str, **headers: str) -> Page:
        return await self._ask("GET", path, None, headers)

    async def post(self, path: str, form: dict[str, Any] | str | None = None, **headers: str) -> Page:
        """A form as it is, without the token that a page's form has."""
        return await self._ask("POST", path, form or {}, {"origin": self.house.url, **headers})

    async def send(self, path: str, form: dict[str, Any] | None = None, at: str | None = None) -> Page:
        """The form of a page, filled in."""
        page = await self.get(at or path)
        assert page.status == 200, page
        return await self.post(path, {"csrf": page.csrf, **(form or {})})

    async def sign_in(self, user: str | None = None) -> Page:
        made = await self.house.gateway.operations.perform("sessions.link", {"user": user})
        page = await self.get(f"/dashboard/sign-in?link={made['token']}")
        return await self.post("/dashboard/sign-in/link", {"csrf": page.csrf, "link": made["token"]})

    def cookies(self) -> dict[str, str]:
        return {cookie.key: cookie.value for cookie in self._session.cookie_jar}

    async def _ask(self, method: str, path: str, form: Any, headers: dict[str, str]) -> Page:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = self._session.request(
            method, self.house.url + path, data=form, headers={**HTML, **named}, allow_redirects=False
        )
        async with asked as answer:
            text = await answer.text()
            told = {name.lower(): value for name, value in answer.headers.items()}
            return Page(answer.status, text, told, answer.headers.getall("set-cookie", []))


@contextlib.asynccontextmanager
async def dashboard(settings: str = "", *rules: Rule | Reply, **more: Any) -> AsyncIterator[Running]:
    """A gateway with its own door open, as `trivium up` has it."""
    async with running(*rules, settings=settings, **more) as house:
        door = await control.serve(house.gateway.folder, house.gateway.operations.perform, house.gateway.sessions.actor)
        try:
            yield house
        finally:
            door.close()


@contextlib.asynccontextmanager
async def browser(house: Running) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(house, session)
