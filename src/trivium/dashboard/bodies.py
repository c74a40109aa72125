"""What is kept of a request's bodies: a page, and each body as a file. Strangers wrote what is in them: it is text and
nothing else, and a page has as much of it as fits."""

from __future__ import annotations

import contextlib
import html
import json
import re
from typing import Any

import msgspec
from aiohttp import web

from trivium.dashboard.page import SPACE, ask, download, page, space
from trivium.dashboard.render import plain

_ROOM = 64 * 1024
"""Bytes of a page for one body: there are three, and no page is above 300 KB."""
_EVENT = 200
"""Those of an event beside its text."""
_OPEN = 4096
"""Letters up to which a body is not folded."""
_HEAD = 80
_TITLES = {
    "request": "What the client sent",
    "sent": "What went upstream",
    "answer": "What the client got",
}
_FILE = re.compile(r"[^A-Za-z0-9_-]")


class Event(msgspec.Struct, frozen=True):
    name: str
    head: str
    """The beginning of its data."""
    text: str


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """A body as the page has it."""

    part: str
    title: str
    bytes: int
    kept: int
    cut: bool
    text: str
    events: list[Event]
    """Of a stream, in place of the text."""
    open: bool
    whole: bool
    """All that is kept is here."""


def shown(told: dict[str, Any], content_type: str) -> Shown:
    """`told` is a part of what `requests.bodies` answers."""
    events: list[Event] = []
    text, whole = "", True
    if told["part"] == "answer" and content_type.startswith("text/event-stream"):
        events, whole = _events(told["text"])
    else:
        text, whole = _fitting(_pretty(told["text"]), _ROOM)
    is_short = len(text) <= _OPEN and len(events) <= 3
    about = {name: told[name] for name in ("part", "bytes", "kept", "cut")}
    return Shown(**about, title=_TITLES[told["part"]], text=text, events=events, open=is_short, whole=whole)


def _events(stream: str) -> tuple[list[Event], bool]:
    """Those for which there is room, and whether that is all."""
    found: list[Event] = []
    room = _ROOM
    for said in re.split(r"\r?\n\r?\n", stream):
        if not said.strip():
            continue
        lines = said.splitlines()
        names = [line[6:].strip() for line in lines if line.startswith("event:")]
        data = "\n".join(line[5:].strip() for line in lines if line.startswith("data:"))
        event = Event(
            names[0] if names else "data" if data else "comment", (data or said)[:_HEAD], _pretty(data or said)
        )
        room -= _EVENT + _size(event.name) + _size(event.head) + _size(event.text)
        if room < 0:
            return found, False
        found.append(event)
    return found, True


def _pretty(text: str) -> str:
    with contextlib.suppress(ValueError, RecursionError):  # cut, or none
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()


def _fitting(text: str, room: int) -> tuple[str, bool]:
    short = text[:room]
    while _size(short) > room:
        short = short[: len(short) * 3 // 4]
    return short, short == text


def _size(text: str) -> int:
    """Bytes on a page."""
    return len(html.escape(plain(text)).encode())


async def bodies(request: web.Request) -> web.Response:
    here, id = space(request), request.match_info["request"]
    told = await _asked(request, None)
    parts = [shown(one, told["content_type"]) for one in told["parts"]]
    return page(request, "bodies.html", space=here, told=told, parts=parts, id=id)


async def file(request: web.Request) -> web.Response:
    told = await _asked(request, request.match_info["part"])
    (one,) = told["parts"]
    name = f"{_FILE.sub('', told['id'])[:100]}-{one['part']}.txt"
    response = download(one["text"].encode("utf-8", "replace"), name, "text/plain")
    response.headers["content-security-policy"] = "default-src 'none'; sandbox"
    return response


async def _asked(request: web.Request, part: str | None) -> Any:
    """Raises HTTPNotFound where there are none, or not for this visitor."""
    return await ask(request, "requests.bodies", request=request.match_info["request"], part=part)


_PATH = SPACE + "/requests/{request}/bodies"
ROUTES = [web.get(_PATH, bodies), web.get(_PATH + "/{part:request|sent|answer}", file)]
