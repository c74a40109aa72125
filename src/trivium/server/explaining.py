"""An operator's question what would become of a request, as a call of the pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from trivium import ids
from trivium.canon.api import Api
from trivium.errors import NotFound
from trivium.operations.explain import Explain
from trivium.pipeline.call import Call
from trivium.pipeline.deps import Now
from trivium.pipeline.explain import Explanation, explain
from trivium.store.keys import KeyStore

_WORD: dict[Api, dict[str, Any]] = {
    Api.CHAT: {"messages": [{"role": "user", "content": "Hello"}]},
    Api.RESPONSES: {"input": "Hello"},
    Api.MESSAGES: {"max_tokens": 1024, "messages": [{"role": "user", "content": "Hello"}]},
}


def explainer(now: Now, keys: KeyStore) -> Callable[[Explain], Awaitable[Explanation]]:
    """Explains through the eyes of a key. Raises NotFound."""

    async def told(asked: Explain) -> Explanation:
        caller, deps = None, now.deps
        if asked.key is not None:
            caller = await keys.of_id(asked.key)
            if caller is None:
                raise NotFound(f"There is no live key {asked.key!r}.")
        api = Api.parse(asked.api)
        call = Call(
            id=ids.request_id(),
            api=api,
            headers={name.strip().lower().encode(): value.encode() for name, value in asked.headers.items()},
            client_ip=asked.address,
            time_ms=deps.clock.now_ms(),
            started_ns=deps.clock.monotonic_ns(),
        )
        request = {**({} if asked.request else _WORD[api]), **asked.request}
        if asked.model is not None:
            request["model"] = asked.model
        return await explain(call, caller, msgspec.json.encode(request), deps, to_operator=True)

    return told
