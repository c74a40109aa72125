"""What becomes of a request: a path becomes a call, the pipeline answers it. Nothing here knows what is in a body."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping

import msgspec

from trivium import ids
from trivium.admin.face import Asked, Face
from trivium.errors import (
    MethodNotAllowed,
    ModelNotFound,
    PathNotFound,
    RequestError,
    StoreUnavailable,
    TriviumError,
    UpgradeRefused,
)
from trivium.pipeline.authenticate import authenticate
from trivium.pipeline.authorize import check_any, named
from trivium.pipeline.bill import is_unsold
from trivium.pipeline.call import Call, Operation, by_name
from trivium.pipeline.deps import Deps, Now
from trivium.pipeline.explain import answer
from trivium.pipeline.free import check_anonymous, find
from trivium.pipeline.handle import handle, refuse, turn_away
from trivium.pipeline.tell import json_headers
from trivium.policy.addresses import client_address, is_proxy
from trivium.policy.edge import UNTOLD, Edge, edge_of, tells
from trivium.routing.catalog import not_found
from trivium.server.cycle import Cycle
from trivium.server.desk import Desk
from trivium.server.metrics import PATH, MetricsPage
from trivium.server.models import anthropic_list, anthropic_model
from trivium.server.panel import Panel, wants_page
from trivium.server.routes import CALLS, EXPLAIN, MODELS, Route, api_of, asks_for_api, model_in_path
from trivium.server.webhook import WebhookDoor
from trivium.telemetry.logs import REQUEST

_PROBES = ("/", "/healthz", "/api/hello")
"""Asked for whether anybody is there; the last by Claude Code."""
_OK = b'{"status":"ok"}'
_NOT_READY = msgspec.json.encode({"status": StoreUnavailable.code})
"""Anybody may ask; where the database lies is for the log."""
_LOG = logging.getLogger(__name__)


class App:
    """Answers the requests of a server. `problem` says why the store cannot do its work; None when it can."""

    def __init__(
        self,
        now: Now,
        problem: Callable[[], Awaitable[str | None]],
        desk: Desk,
        admin: Face | None = None,
        *,
        metrics: MetricsPage | None = None,
        panel: Panel | None = None,
        webhooks: WebhookDoor | None = None,
    ) -> None:
        self._now = now
        self._admin = admin
        self._metrics = metrics
        self._panel = panel
        self._webhooks = webhooks
        self._problem = problem
        self._logged: str | None = None
        self._desk = desk

    def __call__(self, cycle: Cycle) -> Coroutine[None, None, None]:
        """What answers a request."""
        deps, headers, route = self._now.deps, by_name(cycle.headers), CALLS.get(cycle.place.path)
        if route is not None and cycle.method == "POST":
            return handle(_call(cycle, route, headers, deps), cycle, cycle, deps)
        return self._answer(cycle, route, headers, deps)

    async def _answer(self, cycle: Cycle, route: Route | None, headers: Mapping[bytes, bytes], deps: Deps) -> None:
        """To whatever is not a call."""
        path, method = cycle.place.path, cycle.method
        if self._admin is not None and path.startswith("/admin/"):
            await self._admin.serve(_asked(cycle, headers, deps), cycle, cycle)
            return
        if self._metrics is not None and path == PATH:
            await self._metrics.serve(_asked(cycle, headers, deps), cycle)
            return
        if route is None and await self._is_elsewhere(cycle, headers, deps):
            return
        call = _call(cycle, route or Route(api_of(path, headers), Operation.GENERATE), headers, deps)
        try:
            if path in EXPLAIN and method == "POST":
                await answer(call, cycle, cycle, deps)
                return
            status, content = await self._look_up(path, method, call, deps)
        except TriviumError as error:
            posted = route is not None or path in EXPLAIN
            allowed = [(b"allow", b"POST" if posted else b"GET, HEAD")] if isinstance(error, MethodNotAllowed) else []
            if asks_for_api(path) and isinstance(error, MethodNotAllowed | PathNotFound):
                await turn_away(error, call, cycle, allowed, deps)
            else:
                await refuse(error, call, cycle, allowed)
            return
        again = [(b"retry-after", b"1")] if status == StoreUnavailable.status else []
        await cycle.start(status, [*json_headers(content, call), *again])
        await cycle.end(content)

    async def _is_elsewhere(self, cycle: Cycle, headers: Mapping[bytes, bytes], deps: Deps) -> bool:
        """Answers a person's browser, and the processor of payments."""
        if self._panel is not None and wants_page(cycle.method, cycle.place.path, headers):
            asked = _asked(cycle, headers, deps)
            await self._panel.serve(asked, _is_secure(cycle, headers, deps), cycle, cycle)
            return True
        if self._webhooks is not None and cycle.place.path == self._webhooks.path:
            await self._webhooks.serve(_asked(cycle, headers, deps), cycle, cycle)
            return True
        return False

    async def _look_up(self, path: str, method: str, call: Call, deps: Deps) -> tuple[int, bytes]:
        """Status and body of whatever is not a model call. Raises PathNotFound, MethodNotAllowed, and what a caller
        without a key or with a wrong name gets."""
        headers, model, asked = call.headers, model_in_path(path), self._desk.find(path)
        posted = path in CALLS or path in EXPLAIN
        known = posted or path in MODELS or path in (*_PROBES, "/readyz")
        if not known and model is None and asked is None:
            raise PathNotFound(
                f"There is nothing at {path[:200]}. The paths are /v1/chat/completions, /v1/responses, "
                "/v1/messages, /v1/embeddings, /v1/fim/completions and /v1/models."
            )
        if path in CALLS and headers.get(b"upgrade", b"").lower() == b"websocket":
            # Codex tries one first, and at this status goes on over HTTP at once.
            raise UpgradeRefused("There are no WebSockets here; POST to the same path.")
        if posted or method not in ("GET", "HEAD"):
            raise MethodNotAllowed(f"{method} is not possible here; use {'POST' if posted else 'GET'}.")
        if path in _PROBES:
            return 200, _OK
        if path == "/readyz":
            return (200, _OK) if await self._is_ready() else (503, _NOT_READY)
        if asked is not None:
            return 200, msgspec.json.encode(await asked(call))
        return 200, await self._models(model, call, deps)

    async def _is_ready(self) -> bool:
        """What keeps the store from its work is logged once, however often somebody asks."""
        problem = await self._problem()
        if problem != self._logged:
            self._logged = problem
            if problem is not None:
                _LOG.warning("the store is not ready: %s", problem)
        return problem is None

    async def _models(self, model: str | None, call: Call, deps: Deps) -> bytes:
        """All of them, or the one that is named."""
        caller = await authenticate(call.headers, call.client_ip, deps)
        auto = None if model is None else deps.autos.get(model)
        found = None if model is None or auto is not None else find(caller, model, deps)
        if caller is None:
            check_anonymous(model if auto is None else None, found, call.time_ms, deps)
        anthropic, listing = b"anthropic-version" in call.headers, self._desk.listing
        entries = await self._desk.entries(caller, call)
        if auto is not None:
            entry = next((one for one in entries if one.id == auto.id), None)
            if entry is None:
                raise ModelNotFound(f"`{auto.id}` leads to no model that can be had here.", param="model")
            described = listing.model(entry, None, caller, call)
            return anthropic_model(described, entry) if anthropic else msgspec.json.encode(described)
        if found is None or model is None:
            models = await listing.models(entries, caller, call)
            if anthropic:
                return anthropic_list(models, entries, call.query)
            return msgspec.json.encode({"object": "list", "data": models})
        if isinstance(found, RequestError):
            raise found
        with named(model):
            check_any(caller, found, deps)
        if is_unsold(caller, found, call.time_ms, deps):
            raise not_found(model)
        entry = next((one for one in entries if one.id == model), None) or deps.catalog.entry(model, found)
        described = listing.model(entry, found, caller, call)
        return anthropic_model(described, entry) if anthropic else msgspec.json.encode(described)


def _new_id() -> str:
    """Of a request; whatever its task writes into the log bears it."""
    id = ids.request_id()
    REQUEST.set(id)
    return id


def _call(cycle: Cycle, route: Route, headers: Mapping[bytes, bytes], deps: Deps) -> Call:
    return Call(
        id=_new_id(),
        api=route.api,
        operation=route.operation,
        query=cycle.place.query,
        headers=headers,
        client_ip=_client_ip(cycle, deps),
        edge=_edge(cycle, headers, deps) if deps.proxies else UNTOLD,
        time_ms=deps.clock.now_ms(),
        started_ns=deps.clock.monotonic_ns(),
        kilo=cycle.place.path.startswith("/api/"),
    )


def _asked(cycle: Cycle, headers: Mapping[bytes, bytes], deps: Deps) -> Asked:
    return Asked(
        id=_new_id(),
        method=cycle.method,
        path=cycle.place.raw_path,
        query=cycle.place.query,
        headers=headers,
        client_ip=_client_ip(cycle, deps),
    )


def _peer(cycle: Cycle) -> str | None:
    client = cycle.connection.client
    return client[0] if client else None


def _edge(cycle: Cycle, headers: Mapping[bytes, bytes], deps: Deps) -> Edge:
    return edge_of(headers) if tells(headers) and is_proxy(_peer(cycle), deps.proxies) else UNTOLD


def _client_ip(cycle: Cycle, deps: Deps) -> str | None:
    peer = _peer(cycle)
    if not deps.proxies:
        return peer
    hops = [value for name, value in cycle.headers if name == b"x-forwarded-for"]
    return client_address(peer, b",".join(hops) if hops else None, deps.proxies)


def _is_secure(cycle: Cycle, headers: Mapping[bytes, bytes], deps: Deps) -> bool:
    """Whether the browser speaks TLS: to us, or to a proxy of ours that says so."""
    told = headers.get(b"x-forwarded-proto") == b"https" and is_proxy(_peer(cycle), deps.proxies)
    return cycle.connection.secure or told
