"""OpenRouter in tests, as its documentation has it: API keys and callers' keys of workspaces, and calls that they pay
for. It is a server of its own in the test's event loop.

A call is paid for by the first registered key that its API key may use and that the vendor takes; else, unless one of
these forbids that, by OpenRouter's shared endpoints, which is the account's money.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

MANAGEMENT = "sk-or-management-canary"
WORKSPACE = "550e8400-e29b-41d4-a716-446655440000"
FEE, VENDORS_BILL = 0.0001, 0.002


class OpenRouterDouble:
    """`bad` are keys that vendors refuse, with the status; `failing` maps `METHOD /path` to a status; `forgets` are
    members that `POST /byok` passes over; `calls` are (API key, body, who paid); where
    `untold` is set, only the generation record tells a cost."""

    def __init__(self) -> None:
        self.api_keys: dict[str, dict[str, Any]] = {}
        self.byok: dict[str, dict[str, Any]] = {}
        self.bad: dict[str, int] = {}
        self.failing: dict[str, int] = {}
        self.forgets: set[str] = set()
        self.asked: list[str] = []
        self.untold = False
        self.calls: list[tuple[str, dict[str, Any], str]] = []
        self.url = ""
        self._count = itertools.count(1)
        self._now = datetime.now(UTC)

    def age(self, **by: float) -> None:
        """Everything there has been made so long ago."""
        for one in (*self.api_keys.values(), *self.byok.values()):
            one["created_at"] = (self._now - timedelta(**by)).isoformat()

    def keys_of(self, provider: str) -> list[str]:
        """The callers' keys that are registered for a vendor."""
        return [one["key"] for one in self.byok.values() if one["provider"] == provider]

    async def manage(self, request: web.Request) -> web.Response:
        assert request.headers["authorization"] == f"Bearer {MANAGEMENT}"
        what, id = request.match_info["what"], request.match_info.get("id")
        self.asked.append(f"{request.method} /{what}")
        if status := self.failing.get(self.asked[-1]):
            told = await request.text()
            return web.json_response({"error": {"message": f"no: {told}", "code": status}}, status=status)
        kept = self.api_keys if what == "keys" else self.byok
        if request.method == "DELETE":
            gone = kept.pop(id or "", None)
            return web.json_response({"deleted": True}, status=200 if gone else 404)
        if request.method == "GET":
            assert request.query["workspace_id"] == WORKSPACE
            at = int(request.query["offset"])
            return web.json_response({"data": [_shown(one) for one in [*kept.values()][at : at + 100]]})
        return self._made(what, await request.json())

    def _made(self, what: str, said: dict[str, Any]) -> web.Response:
        number = next(self._count)
        common = {"created_at": self._now.isoformat(), "disabled": False, "label": "sk-...", **said}
        assert said["workspace_id"] == WORKSPACE
        if what == "keys":
            id, key = f"{number:064x}", f"sk-or-v1-canary-{number}"
            self.api_keys[id] = {**common, "hash": id, "key": key, "usage": 0}
            return web.json_response({"key": key, "data": _shown(self.api_keys[id])}, status=201)
        assert set(said["allowed_api_key_hashes"]) <= set(self.api_keys)
        id = f"11111111-2222-3333-4444-{number:012x}"
        filters = dict.fromkeys(("allowed_models", "allowed_user_ids", "allowed_api_key_hashes"))
        row = {"is_fallback": False, "is_byok_only": False, "is_required": False, **filters, **common, "id": id}
        self.byok[id] = row | {name: filters.get(name, False) for name in self.forgets}
        return web.json_response({"data": _shown(self.byok[id])}, status=201)

    async def call(self, request: web.Request) -> web.StreamResponse:
        bearer, body = request.headers["authorization"].removeprefix("Bearer "), await request.json()
        api_key = next((one for one in self.api_keys.values() if one["key"] == bearer), None)
        if api_key is None:
            return web.json_response({"error": {"message": "User not found.", "code": 401}}, status=401)
        (provider,) = body["provider"]["only"]
        mine = [one for one in self.byok.values() if one["provider"] == provider and _may(one, api_key["hash"])]
        refused = 0
        for one in mine:
            if not (refused := self.bad.get(one["key"], 0)):
                return await self._paid(request, body, bearer, one["key"])
        if any(one["is_byok_only"] for one in mine):
            raw = '{"error": {"message": "invalid x-api-key", "type": "authentication_error"}}'
            told = {"provider_name": "Anthropic", "is_byok": True, "raw": raw}
            error = {"message": "Provider returned error", "code": refused, "metadata": told}
            return web.json_response({"error": error}, status=refused, headers={"retry-after": "7"})
        return await self._paid(request, body, bearer, "")

    async def _paid(self, request: web.Request, body: dict[str, Any], bearer: str, by: str) -> web.StreamResponse:
        self.calls.append((bearer, body, by or "the house"))
        details = {"upstream_inference_cost": VENDORS_BILL if by else None}
        cost: dict[str, Any] = {"cost": FEE if by else VENDORS_BILL, "is_byok": bool(by), "cost_details": details}
        cost = {} if self.untold else cost
        if "messages" in body and request.path.endswith("/chat/completions"):
            usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12, **cost}
            choice = {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}
            return web.json_response({"id": "gen-1", "model": body["model"], "choices": [choice], "usage": usage})
        if request.path.endswith("/messages"):
            usage = {"input_tokens": 7, "output_tokens": 5, **cost}
            content = [{"type": "text", "text": "hello"}]
            told = {"id": "gen-1", "type": "message", "role": "assistant", "model": body["model"], "content": content}
            return web.json_response({**told, "stop_reason": "end_turn", "stop_sequence": None, "usage": usage})
        usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12, **cost}
        item: dict[str, Any] = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed"}
        item["content"] = [{"type": "output_text", "text": "hello", "annotations": []}]
        told = {"id": "gen-1", "object": "response", "model": body["model"], "status": "completed", "output": [item]}
        return web.json_response({**told, "created_at": 1, "usage": usage})

    async def generation(self, request: web.Request) -> web.Response:
        bearer = request.headers["authorization"].removeprefix("Bearer ")
        self.asked.append(f"GET /generation {bearer}")
        told = {"id": request.query["id"], "total_cost": FEE, "is_byok": True, "upstream_inference_cost": VENDORS_BILL}
        return web.json_response({"data": {**told, "tokens_prompt": 7, "tokens_completion": 5}})


def _may(one: dict[str, Any], hash: str) -> bool:
    allowed = one["allowed_api_key_hashes"]
    return not one["disabled"] and (allowed is None or hash in allowed)


def _shown(one: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in one.items() if name != "key"}


@contextlib.asynccontextmanager
async def openrouter() -> AsyncIterator[OpenRouterDouble]:
    double, app = OpenRouterDouble(), web.Application()
    app.router.add_route("*", "/api/v1/{what:keys|byok}", double.manage)
    app.router.add_route("DELETE", "/api/v1/{what:keys|byok}/{id}", double.manage)
    for path in ("chat/completions", "responses", "messages"):
        app.router.add_post(f"/api/v1/{path}", double.call)
    app.router.add_get("/api/v1/generation", double.generation)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    double.url = f"http://127.0.0.1:{runner.addresses[0][1]}/api/v1"
    try:
        yield double
    finally:
        await runner.cleanup()
