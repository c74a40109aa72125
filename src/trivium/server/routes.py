"""Paths of the house (behaviour page, section 1): each API under every prefix by which clients know it."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from trivium.canon.api import Api, Kind
from trivium.pipeline.call import Operation
from trivium.providers.provider import COUNT_PATHS, PATHS

PREFIXES = ("/v1", "/v1/v1", "/api/gateway", "/api/gateway/v1", "/api/openrouter", "/api/openrouter/v1", "/api/v1")
"""`/v1/v1` is what a client makes of a base URL that already ends in `/v1`; `/api/v1` is where Kilo's public sources
ask by now (7.7.7 still asks under `/api/openrouter` and `/api/gateway`)."""
_EVERYWHERE = ("", *PREFIXES)
"""Calls and models also without a prefix: LiteLLM's proxy answers there, and OpenAI's SDKs add none."""


class Route(msgspec.Struct, frozen=True):
    """A model call. The catalogue's paths are listed beside it in `MODELS`."""

    api: Kind
    operation: Operation


_CALLS = {
    **{path: Route(api, Operation.GENERATE) for api, path in PATHS.items()},
    **{path: Route(api, Operation.COUNT_TOKENS) for api, path in COUNT_PATHS.items()},
}

CALLS: Mapping[str, Route] = {
    **{prefix + path: route for prefix in _EVERYWHERE for path, route in _CALLS.items()},
    "/api/fim/completions": _CALLS["/fim/completions"],  # where Kilo's clients ask
}
EXPLAIN = frozenset(prefix + "/explain" for prefix in PREFIXES)
"""What would become of a request (`pipeline/explain.py`)."""
MODELS = frozenset(prefix + "/models" for prefix in _EVERYWHERE)


def tidied(path: str) -> str:
    """The path of a model call or the models, without the slashes that a base URL and a path bring along too many;
    every other path as it is."""
    if path in CALLS:
        return path
    told = re.sub("/+", "/", path).rstrip("/")
    return told if told in CALLS or told in MODELS else path


def model_in_path(path: str) -> str | None:
    """The id in `/models/{id}`, which may contain slashes; None for any other path."""
    head, found, model = path.partition("/models/")
    return model if found and model and head in _EVERYWHERE else None


def asks_for_api(path: str) -> bool:
    """Whether a path is that of a model call, or one that an API has elsewhere: `/v1/completions`,
    `/v1/responses/{id}`."""
    return path in CALLS or path.startswith(_BEHIND)


_BEHIND = tuple(
    prefix + path
    for prefix in PREFIXES
    for path in ("/completions", "/batches", "/files", *(f"{path}/" for path in _CALLS))
)


def api_of(path: str, headers: Mapping[bytes, bytes]) -> Api:
    """Whose shape an error takes where no route says it: by the path's words, else by the client's headers."""
    if "/messages" in path or b"anthropic-version" in headers:
        return Api.MESSAGES
    return Api.RESPONSES if "/responses" in path else Api.CHAT
