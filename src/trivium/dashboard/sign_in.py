"""Signing in and out: by a link that is good once, a password, or an OpenID provider (`oidc.py`).

A link leads to a page with a button and is used up by that, not by being looked at: programs that preview links do not
sign in. Each sign-in makes a new session, and ends the one that the browser had before.
"""

from __future__ import annotations

import contextlib
from typing import Any

from aiohttp import web

from trivium.dashboard import render
from trivium.dashboard.door import Refusal
from trivium.dashboard.guard import (
    base_url,
    forget_session,
    forget_try,
    form_token,
    keep_form,
    keep_session,
    keep_try,
    session_of,
    try_of,
)
from trivium.dashboard.oidc import LASTS_S, Provider, fresh, packed, unpacked
from trivium.dashboard.page import DOOR, SETTINGS, see_other, visitor
from trivium.errors import OperationError

_CALLBACK = "/dashboard/sign-in/callback"
PROVIDER: web.AppKey[Provider] = web.AppKey("provider", Provider)


async def ask(request: web.Request) -> web.Response:
    """Who was sent here for a text of the session that another request has just renewed is sent back."""
    where, link = _safe(request.query.get("next", "")), request.query.get("link", "")
    if where and not link and await _is_signed_in(request):
        return see_other(where)
    return _page(request, link=link, next=where)


async def _is_signed_in(request: web.Request) -> bool:
    if (token := session_of(request)) is None:
        return False
    try:
        await request.app[DOOR].ask("sessions.person", {}, token)
    except Refusal:
        return False
    return True


async def by_link(request: web.Request) -> web.Response:
    form = await request.post()
    return await _open(request, "sessions.open_by_link", {"token": str(form.get("link", ""))})


async def by_password(request: web.Request) -> web.Response:
    form = await request.post()
    told = {"login": str(form.get("login", "")), "password": str(form.get("password", ""))}
    return await _open(request, "sessions.open_by_password", told)


async def to_provider(request: web.Request) -> web.Response:
    """Raises HTTPNotFound where none is configured."""
    provider = _provider(request)
    one = fresh(_safe(request.query.get("next", "")))
    response = see_other(await provider.address(one, base_url(request) + _CALLBACK))
    keep_try(request, response, one.state, packed(one), LASTS_S)
    return response


async def from_provider(request: web.Request) -> web.Response:
    provider, settings = _provider(request), request.app[SETTINGS].oidc
    assert settings is not None
    state = request.query.get("state", "")
    try:
        one = unpacked(try_of(request, state))
        found = await provider.identity(one, dict(request.query), base_url(request) + _CALLBACK)
    except OperationError as error:
        response = _page(request, problem=error.message, status=400)
    else:
        told = {"issuer": settings.issuer, "subject": found.subject, "email": found.email, "name": found.name}
        response = await _open(request, "sessions.open_by_identity", told, one.next)
    forget_try(request, response, state)
    return response


async def leave(request: web.Request) -> web.Response:
    await visitor(request).ask("sessions.leave")
    response = see_other("/dashboard/sign-in")
    forget_session(request, response)
    return response


async def _open(request: web.Request, operation: str, told: dict[str, Any], next: str | None = None) -> web.Response:
    """Signs in, or says why not."""
    form = await request.post() if request.method == "POST" else {}
    where = _safe(str(form.get("next", "")) if next is None else next)
    arriving = {
        "agent": request.headers.get("user-agent", "")[:300] or None,
        "address": request.headers.get("x-trivium-address") or None,
    }
    try:
        opened = await request.app[DOOR].ask(operation, {**told, **arriving})
    except Refusal as refusal:
        status = refusal.status if refusal.status in (401, 403, 429) else 400
        return _page(request, problem=refusal.message, status=status, next=where, login=told.get("login", ""))
    if (before := session_of(request)) is not None:
        with contextlib.suppress(Refusal):  # one that has ended already
            await request.app[DOOR].ask("sessions.leave", {}, before)
    response = see_other(where or "/")
    lasts_ms = opened["session"]["expires_ms"] - opened["session"]["created_ms"]
    keep_session(request, response, opened["token"], lasts_ms // 1000)
    return response


def _page(request: web.Request, *, status: int = 200, **values: Any) -> web.Response:
    token, cookie = form_token(request)
    settings = request.app[SETTINGS]
    shown = {"link": "", "next": "", "login": "", "problem": "", **values}
    response = render.page(
        request,
        "sign_in.html",
        status=status,
        csrf=token,
        passwords=settings.passwords,
        provider=settings.oidc.name if settings.oidc else "",
        signed_in=session_of(request) is not None,
        **shown,
    )
    keep_form(request, response, cookie)
    return response


def _provider(request: web.Request) -> Provider:
    settings = request.app[SETTINGS].oidc
    if settings is None:
        raise web.HTTPNotFound
    return request.app[PROVIDER]


def _safe(where: str) -> str:
    """A path of ours, or nothing: no address of anybody else, however it is written."""
    ours = where.startswith("/dashboard/") and not where.startswith("/dashboard/sign-")
    return where if ours and "\\" not in where and where.isprintable() and "//" not in where else ""


ROUTES = [
    web.get("/dashboard/sign-in", ask),
    web.post("/dashboard/sign-in/link", by_link),
    web.post("/dashboard/sign-in/password", by_password),
    web.get("/dashboard/sign-in/provider", to_provider),
    web.get(_CALLBACK, from_provider),
    web.post("/dashboard/sign-out", leave),
]
