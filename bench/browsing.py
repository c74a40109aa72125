"""A browser of the dashboard as far as HTTP goes: it signs in with a link, keeps its cookies, and reads pages.

    .venv/bin/python bench/browsing.py LINK [PAUSE]

By hand, or beside other measurements, it goes from page to page until it is ended, with PAUSE seconds between two
pages, and says after each how many that were.
"""
# ruff: noqa: T201 # says how far it is

from __future__ import annotations

import html
import re
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from itertools import cycle
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from stage import BenchError

_CSRF = re.compile(r'name="csrf" value="([^"]+)"')
_LINK = re.compile(r'href="([^"]+)"')
_FILE = re.compile(r'(?:src|href)="(/dashboard/static/[^"]+)"')
_ONE_OF_MANY = re.compile(r"(id|after|account|only|without|part|on|order)=[^&]*|req_\w+")
_SPACE = re.compile(r"/dashboard/([ou])/[^/?]+")
_NO_PAGE = re.compile(r"sign-out|/static/|usage\.(csv|json)")


class Page(NamedTuple):
    status: int
    body: bytes
    seconds: float

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")


class Browser:
    """Somebody who is signed in. One connection, no redirects. Raises BenchError where the link is not good."""

    def __init__(self, link: str) -> None:
        parts = urlsplit(link)
        self._connection = HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        self._cookies: dict[str, str] = {}
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._files: dict[str, int] = {}
        found = _CSRF.search(self.get(f"{parts.path}?{parts.query}").text)
        if found is None:
            raise BenchError("the page to sign in at has no form")
        form = {"csrf": html.unescape(found[1]), "link": parts.query.partition("link=")[2]}
        answer = self._ask("POST", "/dashboard/sign-in/link", urlencode(form))
        if answer.status != 303:
            raise BenchError(f"cannot sign in: {answer.status}\n{answer.text[:2000]}")

    def get(self, path: str) -> Page:
        return self._ask("GET", path)

    def weight(self, page: Page) -> int:
        """Bytes of a page with the files that it names."""
        paths = set(_FILE.findall(page.text))
        for path in paths - self._files.keys():
            self._files[path] = len(self.get(path).body)
        return len(page.body) + sum(self._files[path] for path in paths)

    def walk(self) -> Iterator[str]:
        """The paths of all that links lead to: of rows of a list one each, of organizations and of users one."""
        waiting, seen, spaces = ["/"], set[str](), dict[str, str]()
        for path in waiting:
            if (found := _SPACE.match(path)) is not None and found[0] != spaces.setdefault(found[1], found[0]):
                continue
            kind = _ONE_OF_MANY.sub("*", path)
            if kind in seen or _NO_PAGE.search(path):
                continue
            seen.add(kind)
            page = self.get(path)
            if page.status == 200:
                yield path
            links = [urlsplit(html.unescape(link)) for link in _LINK.findall(page.text)]
            here = urlsplit(path).path
            waiting += [
                f"{link.path or here}?{link.query}" if link.query else link.path
                for link in links
                if not link.netloc and (link.path.startswith("/") or (link.query and not link.path))
            ]

    def _ask(self, method: str, path: str, form: str | None = None) -> Page:
        headers = {
            "accept": "text/html",
            "cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()),
        }
        if form is not None:
            headers |= {"content-type": "application/x-www-form-urlencoded", "origin": self._origin}
        began = time.perf_counter()
        self._connection.request(method, path, form, headers)
        answer = self._connection.getresponse()
        body = answer.read()
        seconds = time.perf_counter() - began
        for header in answer.headers.get_all("set-cookie") or ():
            name, _, value = header.partition(";")[0].partition("=")
            self._cookies[name] = value
        return Page(answer.status, body, seconds)


def main(link: str, pause: float = 0.0) -> None:
    browser = Browser(link)
    paths = list(browser.walk())
    print("ready 0", flush=True)
    for number, path in enumerate(cycle(paths), 1):
        if (status := browser.get(path).status) != 200:
            raise BenchError(f"{path}: {status}")
        print(number, flush=True)
        time.sleep(pause)


if __name__ == "__main__":
    main(sys.argv[1], *map(float, sys.argv[2:3]))
