"""One request of the admin API from its head to its answer, in the order of the checks that callers can rely on:

path - method - size and coding of the body - credential - type of the body - body - arguments - `If-Match` -
`Idempotency-Key` - role (in the operation) - the operation itself.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import Any, Protocol
from weakref import WeakValueDictionary

import msgspec

from trivium.admin.arguments import arguments
from trivium.admin.credential import Asking, Credentials
from trivium.admin.openapi import document
from trivium.admin.reply import Answer, answer, failure, refusal, whole_list
from trivium.admin.routes import Routes
from trivium.admin.row import PREFIX, Route
from trivium.errors import (
    BodyTooLarge,
    FieldInvalid,
    MethodNotAllowed,
    NotJson,
    PathNotFound,
    PreconditionFailed,
    PreconditionMissing,
    TriviumError,
)
from trivium.operations.table import Actor, Op
from trivium.pipeline.call import Body, Reply
from trivium.store.answers import Answered, Keeping
from trivium.store.store import Store

_LOG = logging.getLogger("trivium.admin")
MOST_BYTES = 1024 * 1024
"""Of a body."""
_DESCRIPTION = f"{PREFIX}/openapi.json"
_NUMBER = re.compile("[0-9]{1,15}")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ETAG = re.compile(r'(W/)?"([^"]*)"')


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a request. `headers` are as `by_name` of the pipeline gives them."""

    id: str
    method: str
    path: bytes
    """As it was sent, with its percent-encoding."""
    query: bytes
    headers: Mapping[bytes, bytes]
    client_ip: str | None


class Operations(Protocol):
    """What can be done, and the one way to it."""

    @property
    def table(self) -> Mapping[str, Op]: ...

    def check(self, name: str, arguments: dict[str, Any], actor: Actor) -> None:
        """Whether the actor may. Raises TriviumError."""
        ...

    async def perform(self, name: str, arguments: dict[str, Any], actor: Actor) -> Any:
        """The same, and does it. Raises TriviumError."""
        ...


class Face:
    """`serve` answers whatever lies under `/admin/`."""

    def __init__(self, operations: Operations, store: Store, version: str) -> None:
        """`version` is the gateway's."""
        self._operations = operations
        self._store = store
        self.credentials = Credentials(store.admins, store.clock)
        self.routes = Routes(operations.table)
        self._owners: dict[str, Callable[[str], Awaitable[object]]] = {
            "organization": store.organizations.get,
            "user": store.users.get,
            "account": store.accounts.check,
        }
        """By the name in a path: each raises NotFound for what is not there."""
        self._version = version
        self._under_way: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()
        """By the answer's id: of the same request at once the others wait for the first one's answer."""

    @cached_property
    def description(self) -> bytes:
        """Of the API, as JSON; made when somebody asks."""
        return msgspec.json.encode(document(self.routes.all, self._version))

    async def serve(self, asked: Asked, body: Body, reply: Reply) -> None:
        """Raises nothing but what ends the task: cancellation, where the client left."""
        try:
            told = await self._answer(asked, body)
        except TriviumError as error:
            if error.status >= 500:
                _LOG.warning("admin request %s: %s %s", asked.id, error.message, error.detail or "")
            told = refusal(error)
        except Exception:
            _LOG.exception("admin request %s", asked.id)
            told = failure()
        await reply.start(told.status, _headers(told, asked))
        await reply.end(told.content)

    async def _answer(self, asked: Asked, body: Body) -> Answer:
        path = asked.path.decode("latin-1")
        if path == _DESCRIPTION:
            return self._described(asked)
        there, values = self.routes.at(path)
        if not there:
            raise PathNotFound(f"There is nothing at {path[:200]}. {_DESCRIPTION} describes what there is.")
        method = "GET" if asked.method == "HEAD" else asked.method
        if method == "OPTIONS":
            return Answer(status=204, headers={"allow": _allowed(there)})
        if method not in there:
            return _not_allowed(asked.method, _allowed(there))
        _check_head(asked)
        asking = await self.credentials.authenticate(asked.headers.get(b"authorization"), asked.client_ip)
        route = there[method]
        content = await _read(body, route, asked)
        told = await self._perform(route, values, content, asked, asking)
        if told.etag is not None and method == "GET" and _has(asked.headers.get(b"if-none-match"), told.etag):
            return Answer(status=304, etag=told.etag)
        return told

    def _described(self, asked: Asked) -> Answer:
        """For everybody: it says what any gateway of this version can do, and tools want to read it before they are
        given a credential."""
        if asked.method == "OPTIONS":
            return Answer(status=204, headers={"allow": "GET, HEAD, OPTIONS"})
        if asked.method not in ("GET", "HEAD"):
            return _not_allowed(asked.method, "GET, HEAD, OPTIONS")
        return Answer(status=200, content=self.description)

    async def _perform(
        self, route: Route, values: tuple[str, ...], content: bytes, asked: Asked, asking: Asking
    ) -> Answer:
        query = arguments(route, values, asked.query, content)
        version = None
        if route.row.if_match is not None:
            version = query[route.row.if_match] = _version(asked.headers.get(b"if-match"))
        if asking.actor.house and not route.op.changes:
            for owner in self._owners.keys() & route.in_path:
                await self._owners[owner](query[owner])  # else there is a list of nothing
        key = _idempotency_key(asked.headers.get(b"idempotency-key")) if route.op.changes else None
        if key is None:
            return answer(route, await self._operations.perform(route.row.operation, query, asking.actor))
        if route.takes_key:
            query["idempotency_key"] = f"{asking.actor.id}:{key}"
        self._operations.check(route.row.operation, query, asking.actor)  # also of who is told what was answered before
        keeping = Keeping(
            credential=asking.credential,
            key=key,
            question=msgspec.msgpack.encode((asked.method, asked.path, asked.query, content, version)),
            now_ms=self._store.clock.now_ms(),
            believed_ms=self._store.ledger.believed.now_ms(),
            encode=lambda result: _encoded(route, result),
        )
        lock = self._under_way.setdefault(keeping.id, asyncio.Lock())
        async with lock:
            return await self._once(route, query, asking, keeping)

    async def _once(self, route: Route, query: dict[str, Any], asking: Asking, keeping: Keeping) -> Answer:
        """The answer that is kept, or a new one, kept."""
        kept = await keeping.find(self._store.database)
        if kept is None:
            # What keeps to such keys itself can be asked again, and says whatever it said before.
            changing = nullcontext() if route.takes_key else keeping.active()
            try:
                with changing:
                    told = answer(route, await self._operations.perform(route.row.operation, query, asking.actor))
                with keeping.active():
                    await keeping.complete(self._store.ledger.writer, msgspec.msgpack.encode(told))
                return told
            except Answered as found:
                kept = found.content
        again = msgspec.msgpack.decode(kept, type=Answer)
        return msgspec.structs.replace(again, headers={**again.headers, "idempotent-replayed": "true"})


def _encoded(route: Route, value: Any) -> bytes | None:
    """The answer, where what a change returned is what the operation answers with."""
    kind, values = route.op.result, [value]
    if (item := whole_list(kind)) is not None and isinstance(value, list):
        kind, values = item, value
    if not (isinstance(kind, type) and all(isinstance(one, kind) for one in values)):
        return None
    return msgspec.msgpack.encode(answer(route, msgspec.to_builtins(value)))


def _headers(told: Answer, asked: Asked) -> list[tuple[bytes, bytes]]:
    named = {
        "x-trivium-request-id": asked.id,
        "cache-control": "private, no-cache" if told.etag else "no-store",
        "x-content-type-options": "nosniff",
        **told.headers,
    }
    if told.status not in (204, 304):
        named |= {"content-type": "application/json", "content-length": str(len(told.content))}
    if told.etag is not None:
        named["etag"] = told.etag
    if told.status == 401:
        named["www-authenticate"] = 'Bearer realm="trivium admin"'
    return [(name.encode(), value.encode("latin-1", "replace")) for name, value in named.items()]


def _allowed(there: Mapping[str, Route]) -> str:
    return ", ".join([*there, *(["HEAD"] if "GET" in there else []), "OPTIONS"])


def _not_allowed(method: str, allowed: str) -> Answer:
    told = refusal(MethodNotAllowed(f"{method[:20]} is not possible here; there are {allowed}."))
    return msgspec.structs.replace(told, headers={"allow": allowed})


def _check_head(asked: Asked) -> None:
    """By what the head announces, so that nothing need be read. Raises BodyTooLarge, NotJson."""
    announced = asked.headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > MOST_BYTES:
        raise _too_large()
    if asked.headers.get(b"content-encoding", b"identity").strip().lower() not in (b"identity", b""):
        raise NotJson("The body is compressed. Send it as it is.", param="Content-Encoding")


async def _read(body: Body, route: Route, asked: Asked) -> bytes:
    """Raises BodyTooLarge, BodyTimeout, NotJson."""
    kind = asked.headers.get(b"content-type", b"application/json").partition(b";")[0].strip().lower()
    if route.has_body and kind != b"application/json":
        raise NotJson("The body must be JSON: `Content-Type: application/json`.", param="Content-Type")
    content = bytearray()
    more = True
    while more:
        chunk, more = await body.read()
        content += chunk
        if len(content) > MOST_BYTES:
            raise _too_large()
    return bytes(content)


def _too_large() -> BodyTooLarge:
    return BodyTooLarge(f"The body is larger than {MOST_BYTES} bytes, the most that is accepted here.")


def _version(if_match: bytes | None) -> int | None:
    """Raises PreconditionMissing, PreconditionFailed, FieldInvalid. None: whichever version there is."""
    if if_match is None:
        raise PreconditionMissing(
            "These settings are replaced whole: say in `If-Match` which version yours were made from, by its ETag; or"
            " `*` for whichever there is.",
            param="If-Match",
        )
    text = if_match.decode("latin-1").strip()
    if text == "*":
        return None
    found = _ETAG.fullmatch(text)
    if found is None:
        raise FieldInvalid('`If-Match` is no ETag, which looks like "7".', param="If-Match")
    if found[1] or not _NUMBER.fullmatch(found[2]):
        raise PreconditionFailed("`If-Match` has no ETag that these settings ever had.", param="If-Match")
    return int(found[2])


def _has(if_none_match: bytes | None, etag: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or b"").decode("latin-1").split(",")]
    return etag in tags or tags == ["*"]


def _idempotency_key(header: bytes | None) -> str | None:
    """Raises FieldInvalid."""
    if header is None:
        return None
    key = header.decode("latin-1").strip()
    if not _KEY.fullmatch(key):
        raise FieldInvalid("An Idempotency-Key has 1 to 255 visible ASCII characters.", param="Idempotency-Key")
    return key
