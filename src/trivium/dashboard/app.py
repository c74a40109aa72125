"""The dashboard's HTTP application: who comes, what goes wrong, and which page a path is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable
from functools import cache
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import msgspec
from aiohttp import web

from trivium.dashboard import bodies, free, health, home, own, playground, requests, resources, sign_in, usage
from trivium.dashboard.door import Door
from trivium.dashboard.guard import HEADERS, UNKEPT, URL, is_ours, renew_session, session_of
from trivium.dashboard.oidc import Provider
from trivium.dashboard.page import DOOR, OPERATIONS, SETTINGS, VISITOR, meet
from trivium.dashboard.render import STATIC, page
from trivium.dashboard.visitor import Described, visitor_of
from trivium.errors import TriviumError
from trivium.settings_dashboard import DashboardSettings

_LOG = logging.getLogger("trivium.dashboard")
_OPEN = ("/dashboard/sign-in", "/dashboard/static/", "/alive")
_MOST_BYTES = 1024 * 1024
_KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FAILED = "The dashboard failed. The error has been logged."

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def application(door: Door) -> web.Application:
    """Raises Unavailable where the gateway does not answer."""
    app = web.Application(middlewares=[_mended, _signed_in], client_max_size=_MOST_BYTES)
    described = await door.ask("operations.describe", {})
    app[DOOR] = door
    app[OPERATIONS] = msgspec.convert(described, dict[str, Described])
    settings = msgspec.convert(await door.ask("dashboard.settings", {}), DashboardSettings)
    app[SETTINGS], app[URL] = settings, settings.url or ""
    if settings.oidc is not None:
        app[sign_in.PROVIDER] = Provider(settings.oidc)
    app.router.add_get("/alive", _alive)
    app.router.add_get("/dashboard/static/{name:.+}", _static)
    for part in (sign_in, home, usage, free, requests, bodies, playground, own, health, resources):
        app.router.add_routes(part.ROUTES)
    return app


@web.middleware
async def _mended(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Whatever goes wrong becomes a page, and a session's new text reaches the browser with whatever it gets."""
    response = await _answered(request, handler)
    visitor = request.get(VISITOR)
    if visitor is not None and visitor.renewed_ms is not None:
        renew_session(request, response, visitor.token, visitor.renewed_ms)
    return response


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        words = {404: "There is no such page.", 405: "That is not possible here.", 413: "That is too much for a form."}
        return _wrong(request, error.status, words.get(error.status, error.text or error.reason))
    except TriviumError as error:
        if error.status == 401:
            return _to_sign_in(request)
        if error.status >= 500:
            _LOG.warning("%s %s: %s %s", request.method, request.path, error.message, error.detail or "")
        return _wrong(request, error.status, error.message)
    except Exception:
        _LOG.exception("%s %s", request.method, request.path)
        return _wrong(request, 500, _FAILED)


@web.middleware
async def _signed_in(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Finds who asks, and refuses what comes from no page of ours."""
    token = session_of(request)
    if request.path.startswith(_OPEN):
        if request.method == "POST":
            await _check_form(request, None)
        return await handler(request)
    if token is None:
        return _to_sign_in(request)
    if request.method == "POST":
        await _check_form(request, token)
    request[VISITOR] = await visitor_of(request.app[DOOR], token, request.app[OPERATIONS])
    await meet(request)
    return await handler(request)


async def _check_form(request: web.Request, token: str | None) -> None:
    """Raises HTTPForbidden, and HTTPUnsupportedMediaType for what no form of ours is: there are encodings that take
    half a minute for a megabyte."""
    if request.content_type.startswith("multipart/") or (request.charset or "utf-8").lower() != "utf-8":
        raise web.HTTPUnsupportedMediaType
    try:
        sent = request.headers.get("x-csrf-token") or str((await request.post()).get("csrf", ""))
    except UnicodeDecodeError:
        raise web.HTTPBadRequest(text="This form is not UTF-8.") from None
    if not is_ours(request, sent, token):
        raise web.HTTPForbidden(text="This form is too old, or not ours. Go back, load the page again and repeat it.")


def _to_sign_in(request: web.Request) -> web.Response:
    """Where somebody signs in, and from where to come back. The cookie stays: it may be another one by now, which a
    request beside this one has brought."""
    if request.headers.get("hx-request"):  # for a part of a page, which is loaded again as a whole
        return web.Response(status=204, headers={**UNKEPT, "hx-refresh": "true"})
    here = request.path_qs if request.method == "GET" and request.path != "/" else ""
    where = f"/dashboard/sign-in?next={quote(here, safe='')}" if here else "/dashboard/sign-in"
    return web.Response(status=303, headers={**UNKEPT, "location": where})


def _wrong(request: web.Request, status: int, message: str) -> web.Response:
    visitor = request.get(VISITOR)
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Not possible"
    return page(request, "error.html", status=status, visitor=visitor, title=title, message=message)


async def _alive(_: web.Request) -> web.Response:
    """For the gateway, which asks whether this process still turns."""
    return web.Response(status=204)


async def _static(request: web.Request) -> web.Response:
    found = _files().get(request.match_info["name"])
    if found is None:
        raise web.HTTPNotFound
    content, etag, kind = found
    headers = {**HEADERS, "cache-control": "no-cache", "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=content, content_type=kind, charset="utf-8", headers=headers)


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """Content, ETag and type of all there are: a path leads to one of these or nowhere."""
    return {path.relative_to(STATIC).as_posix(): _file(path) for path in STATIC.rglob("*") if path.suffix in _KINDS}


def _file(path: Path) -> tuple[bytes, str, str]:
    content = path.read_bytes()
    return content, f'"{hashlib.sha256(content).hexdigest()[:20]}"', _KINDS[path.suffix]
