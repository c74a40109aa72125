"""What somebody sees of and does about themselves: sessions, the password, invitations."""

from __future__ import annotations

from aiohttp import web

from trivium.dashboard.door import Refusal
from trivium.dashboard.page import SETTINGS, first, page, said_of, see_other, sent, visitor
from trivium.dashboard.visitor import Visitor


async def show(request: web.Request, problem: str = "") -> web.Response:
    asking = visitor(request)
    sessions, invitations = [], []
    if asking.user is not None:
        me = {"user": asking.user["id"]}
        sessions = (await asking.ask("sessions.list", **me, limit=200))["items"]
        invitations = (await asking.ask("invitations.list", **me, limit=200))["items"]
    return page(
        request,
        "own.html",
        status=400 if problem else 200,
        sessions=sessions,
        invitations=invitations,
        passwords=request.app[SETTINGS].passwords and asking.user is not None,
        problem=problem,
        saved=request.query.get("saved", "") if not problem else "",
    )


async def set_password(request: web.Request) -> web.Response:
    asking, told = visitor(request), await sent(request)
    password = first(told, "password")
    if password != first(told, "again"):
        return await show(request, "The two new passwords are not the same.")
    present = first(told, "present") or None
    return await _do(request, "passwords.set", password=password, present=present, user=_user(asking))


async def end_session(request: web.Request) -> web.Response:
    asking, told = visitor(request), await sent(request)
    return await _do(request, "sessions.end", session=first(told, "session"), user=_user(asking))


async def answer_invitation(request: web.Request) -> web.Response:
    asking, told = visitor(request), await sent(request)
    organization, role = first(told, "organization"), first(told, "role")
    about = {"organization": organization, "user": _user(asking)}
    if "accept" in told:
        return await _do(request, "members.accept", role=role, **about)
    return await _do(request, "members.remove", **about)


async def _do(request: web.Request, operation: str, **arguments: str | None) -> web.Response:
    try:
        await visitor(request).ask(operation, **arguments)
    except Refusal as refusal:
        return await show(request, said_of(refusal))
    return see_other("/dashboard/you?saved=1")


def _user(asking: Visitor) -> str:
    if asking.user is None:
        raise web.HTTPNotFound
    return str(asking.user["id"])


ROUTES = [
    web.get("/dashboard/you", show),
    web.post("/dashboard/you/password", set_password),
    web.post("/dashboard/you/session", end_session),
    web.post("/dashboard/you/invitation", answer_invitation),
]
