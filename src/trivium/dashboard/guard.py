"""What keeps a browser from being turned against whoever sits before it: cookies, tokens of forms, headers.

* A session's cookie is for HTTP alone (no script reads it), `SameSite=Lax`, and over TLS `Secure` under the prefix
  `__Host-`, which no other host and no plain page can set.
* What changes something is a POST from a page of ours: `Origin` and `Sec-Fetch-Site` must not name another, and the
  form carries the token of its session (before there is one: of a cookie that this browser was given).
* The policy allows what we serve ourselves and nothing inline.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from urllib.parse import urlsplit

from aiohttp import web

from trivium.dashboard.visitor import csrf_of

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
UNKEPT = {**HEADERS, "cache-control": "no-store"}
"""Of what is for this visitor at this moment."""
_SESSION, _FORM, _TRY = "trivium_session", "trivium_form", "trivium_try"
_FORM_LASTS = 3600
URL: web.AppKey[str] = web.AppKey("url", str)
"""`[dashboard] url`; empty where it is not set."""


def is_secure(request: web.Request) -> bool:
    return request.headers.get("x-trivium-scheme") == "https"


def base_url(request: web.Request) -> str:
    """The address by which the visitor reaches the gateway."""
    return request.app[URL] or f"{request.headers.get('x-trivium-scheme', 'http')}://{host(request)}"


def host(request: web.Request) -> str:
    return request.headers.get("x-trivium-host", "localhost")


def session_of(request: web.Request) -> str | None:
    return request.cookies.get(_named(request, _SESSION)) or None


def keep_session(request: web.Request, response: web.StreamResponse, token: str, lasts_s: int) -> None:
    _set(request, response, _SESSION, token, lasts_s)
    _drop(request, response, _FORM)


def renew_session(request: web.Request, response: web.StreamResponse, token: str, until_ms: int) -> None:
    """As `keep_session`, unless the answer itself says what becomes of the session."""
    if _named(request, _SESSION) not in response.cookies:
        _set(request, response, _SESSION, token, max(0, until_ms // 1000 - int(time.time())))


def forget_session(request: web.Request, response: web.StreamResponse) -> None:
    _drop(request, response, _SESSION)


def try_of(request: web.Request, state: str) -> str:
    """What this browser keeps of a sign-in with a provider that is under way; it may have several, one in each tab."""
    return request.cookies.get(_named(request, _try(state)), "")


def keep_try(request: web.Request, response: web.StreamResponse, state: str, value: str, lasts_s: int) -> None:
    """No other host may put one here: who could would sign somebody in as somebody else."""
    _set(request, response, _try(state), value, lasts_s)


def forget_try(request: web.Request, response: web.StreamResponse, state: str) -> None:
    _drop(request, response, _try(state))


def _try(state: str) -> str:
    """The name of its cookie, whatever somebody sends as a state."""
    return f"{_TRY}_{hashlib.sha256(state.encode(errors='replace')).hexdigest()[:12]}"


def form_token(request: web.Request) -> tuple[str, str | None]:
    """The token for a form of somebody who is not signed in, and the cookie that it belongs to where this browser has
    none yet (`keep_form`)."""
    if cookie := request.cookies.get(_named(request, _FORM)):
        return csrf_of(cookie), None
    fresh = secrets.token_urlsafe(32)
    return csrf_of(fresh), fresh


def keep_form(request: web.Request, response: web.StreamResponse, cookie: str | None) -> None:
    if cookie is not None:
        _set(request, response, _FORM, cookie, _FORM_LASTS)


def is_ours(request: web.Request, sent: str, token: str | None) -> bool:
    """Whether a POST comes from a page of ours: by what the browser says, and by the token that was sent. `token` is
    the session's; None: nobody is signed in."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    if origin is not None and _place(origin) != (_place(base_url(request)) or None):
        return False
    secret = token or request.cookies.get(_named(request, _FORM))
    return bool(secret) and hmac.compare_digest(sent.encode(errors="replace"), csrf_of(str(secret)).encode())


def _place(url: str) -> str:
    """Host and port; nothing of what is no URL."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


def _named(request: web.Request, name: str) -> str:
    return f"__Host-{name}" if is_secure(request) else name


def _set(request: web.Request, response: web.StreamResponse, name: str, value: str, lasts_s: int) -> None:
    response.set_cookie(
        _named(request, name),
        value,
        max_age=lasts_s,
        path="/",
        httponly=True,
        samesite="Lax",
        secure=is_secure(request),
    )


def _drop(request: web.Request, response: web.StreamResponse, name: str) -> None:
    response.del_cookie(_named(request, name), path="/", httponly=True, samesite="Lax", secure=is_secure(request))
