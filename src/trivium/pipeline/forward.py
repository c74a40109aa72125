"""The call to the upstream: which bytes go where, with which headers."""

from __future__ import annotations

from functools import lru_cache

from trivium import __version__
from trivium.canon.api import Api
from trivium.config import TimeoutSettings
from trivium.errors import ApiMismatch, UpstreamUnreachable
from trivium.pipeline.call import Call, Headers, Operation
from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.providers.provider import COUNT_PATHS, PATHS, Provider
from trivium.routing.catalog import Target
from trivium.upstream.client import Timeouts, UpstreamRequest, UpstreamResponse
from trivium.wire.request import Request, render

_FORWARDED = (b"accept", b"anthropic-beta", b"anthropic-version", b"openai-beta")
"""What of the client's headers an upstream may see: never credentials, cookies or hop-by-hop headers."""

_OWN = (
    (b"content-type", b"application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", f"trivium/{__version__}".encode()),
)
_ANTHROPIC_VERSION = (b"anthropic-version", b"2023-06-01")


def check_route(call: Call, target: Target) -> None:
    """Raises ApiMismatch where the upstream does not speak the API of the call."""
    apis = target.provider.apis
    if call.api not in apis:
        spoken = ", ".join(PATHS[api] for api in Api if api in apis)
        raise ApiMismatch(
            f"`{target.model}` is served by `{target.provider.name}`, which does not speak this API. "
            f"Call it through {spoken}.",
            param="model",
        )


async def forward(call: Call, request: Request, target: Target, run: Run, deps: Deps) -> UpstreamResponse:
    """Sends the request on; returns when the upstream's headers are there. Raises UpstreamError."""
    rendered = render(request, target.model)
    run.losses = rendered.losses
    provider = target.provider
    base = await _base_url(provider, deps)
    paths = PATHS if call.operation is Operation.GENERATE else COUNT_PATHS
    query = f"?{call.query.decode('latin-1')}" if call.query else ""
    run.queue_us = run.elapsed_us()
    response = await deps.client.send(
        UpstreamRequest(
            url=f"{base}{paths[call.api]}{query}",
            headers=_headers(call, provider),
            body=rendered.body,
            timeouts=_timeouts(provider.timeouts),
        )
    )
    run.ttfb_us = run.elapsed_us()
    run.upstream_status = response.status
    return response


async def _base_url(provider: Provider, deps: Deps) -> str:
    if not provider.embedded:
        return provider.base_url
    if deps.local is None:
        raise UpstreamUnreachable("The embedded model is not running.")
    return await deps.local.base_url()


def _headers(call: Call, provider: Provider) -> Headers:
    """Configured headers win over the client's of the same name."""
    configured = {name for name, _ in provider.headers}
    passed = [(name, call.headers[name]) for name in _FORWARDED if name in call.headers and name not in configured]
    if call.api is Api.MESSAGES and b"anthropic-version" not in call.headers:
        passed.append(_ANTHROPIC_VERSION)
    return [*(own for own in _OWN if own[0] not in configured), *passed, *provider.headers]


@lru_cache(256)
def _timeouts(settings: TimeoutSettings) -> Timeouts:
    return Timeouts(connect=settings.connect, first_byte=settings.first_byte, idle=settings.idle)
