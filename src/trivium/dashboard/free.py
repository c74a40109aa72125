"""Who uses free models, how much, and how near to the limits: for the house."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from aiohttp import web

from trivium.clock import dated, dated_ms
from trivium.dashboard.door import Refusal
from trivium.dashboard.forms import MINUTES
from trivium.dashboard.page import SPACE, ask, page, query_of, said_of, space

PERIODS = {"day": "a day", "week": "a week", "month": "a month"}
COLUMNS = {
    "used": "of the limits, now",
    "requests": "requests",
    "anonymous": "without a key",
    "refused": "refused",
    "suspect": "suspect",
    "tokens": "tokens",
    "market_cost_nano": "given away",
}
"""What the lists can be ordered by."""
LIMITS = {
    "per_ip_per_hour": "an hour",
    "anonymous_per_ip_per_day": "a day without a key",
    "per_user_per_hour": "an hour",
    "per_user_per_day": "a day",
}
_LAST = 253_370_764_800_000
"""The year 9999 has no month behind it."""


async def show(request: web.Request) -> web.Response:
    here, asked = space(request), _asked(request)
    told, problem = None, ""
    try:
        told = await ask(request, "free.use", **_arguments(asked))
    except Refusal as refusal:
        problem = said_of(refusal)
    return page(
        request,
        "free.html",
        space=here,
        asked=asked,
        told=told,
        problem=problem,
        periods=PERIODS,
        columns=COLUMNS,
        limits=LIMITS,
        ordered=lambda order: query_of({**asked, "order": order}),
        calls=lambda one, **more: _calls(told, one, **more),
    )


def _asked(request: web.Request) -> dict[str, str]:
    """What the form says; what it cannot mean is as if it were left out."""
    query = request.query
    period, order = query.get("period", "day"), query.get("order", "requests")
    return {
        "period": period if period in PERIODS else "day",
        "on": query.get("on", "") if _day_ms(query.get("on", "")) is not None else "",
        "order": order if order in COLUMNS else "requests",
    }


def _arguments(asked: dict[str, str]) -> dict[str, Any]:
    at_ms = _day_ms(asked["on"])
    return {"period": asked["period"], "order": asked["order"], **({} if at_ms is None else {"at_ms": at_ms})}


def _day_ms(text: str) -> int | None:
    try:
        found = dated_ms(text, "%Y-%m-%d")
    except ValueError:
        return None
    return found if 0 <= found < _LAST else None


def _calls(told: Any, one: dict[str, Any], **more: str) -> str:
    """The query for the requests of somebody in the period, refused ones too."""
    times = {name: dated(told[f"{name}_ms"], MINUTES) for name in ("since", "until")}
    return urlencode({one["kind"]: one["id"], **times, **more})


ROUTES = [web.get(SPACE + "/free", show)]
