"""Any model through any of the three APIs, from the browser itself: it calls the gateway as every client does, with a
key that the reader has, or one that is made for a quarter of an hour."""

from __future__ import annotations

from aiohttp import web

from trivium.dashboard.door import Refusal
from trivium.dashboard.guard import UNKEPT, base_url
from trivium.dashboard.page import SPACE, page, space, visitor, whose_of

_MODELS = 200


async def show(request: web.Request) -> web.Response:
    asking, here = visitor(request), space(request)
    models: list[str] = []
    if asking.house:
        models = [row["id"] for row in (await asking.ask("catalog.models", limit=_MODELS))["items"]]
    makes = asking.may("keys.create", here)
    return page(request, "playground.html", space=here, models=models, url=base_url(request), makes_keys=makes)


async def make_key(request: web.Request) -> web.Response:
    """One that ends by itself."""
    asking, here = visitor(request), space(request)
    whose = whose_of(asking, here, "keys.create")
    try:
        made = await asking.ask("keys.create", name="playground", short_lived=True, **whose)
    except Refusal as refusal:
        return web.json_response({"error": refusal.message}, status=refusal.status, headers=UNKEPT)
    return web.json_response({"key": made["key"], "expires_ms": made["expires_ms"]}, headers=UNKEPT)


ROUTES = [
    web.get(SPACE + "/playground", show),
    web.post(SPACE + "/playground/key", make_key),
]
