"""The call to the upstream: through which API, which bytes go where, with which headers."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import lru_cache

import msgspec

from trivium import __version__
from trivium.canon.api import CHAT, EMBEDDINGS, MESSAGES, RESPONSES, Kind, Solo
from trivium.errors import ApiNotServed, DestinationRefused, LossRefused, UpstreamUnreachable
from trivium.metering.prices import DEARER
from trivium.pipeline.adapt import adapted, completed
from trivium.pipeline.call import COUNT_TOKENS, GENERATE, Call, Headers
from trivium.pipeline.deps import Deps
from trivium.pipeline.embed import render_embeddings
from trivium.pipeline.once import for_upstream
from trivium.pipeline.rules import Rules, names_callers
from trivium.pipeline.settle import Run
from trivium.providers.adaptations import (
    AUTO_SETTINGS,
    CUSTOM_SETTINGS,
    CUSTOM_TOOLS,
    FALLBACK_LIMIT,
    NO_PAID_EXTRAS,
    OWN_KEY,
    TRANSLATED,
)
from trivium.providers.matching import row_of
from trivium.providers.members import CACHE_KEY, told_in
from trivium.providers.provider import COUNT_PATHS, PATHS, Provider
from trivium.providers.sigv4 import signed
from trivium.providers.styles import STYLES, Sent
from trivium.providers.traits import family_of, traits_of
from trivium.routing.auto import Resolution
from trivium.routing.catalog import Target
from trivium.settings_providers import TimeoutSettings
from trivium.upstream.client import Timeouts, UpstreamRequest, UpstreamResponse
from trivium.upstream.frames import unframed
from trivium.upstream.masked import MaskedResponse
from trivium.wire.body import members
from trivium.wire.cover import Cover
from trivium.wire.destination import Destination
from trivium.wire.dress import dressed, theirs
from trivium.wire.envelope import origin_tag
from trivium.wire.losses import Losses
from trivium.wire.outputlimit import within
from trivium.wire.request import Request, render, without_costs
from trivium.wire.size import service_tier
from trivium.wire.translate import Translation

_ANY_API = (b"accept", b"openai-beta")
_FORWARDED: dict[Kind, tuple[bytes, ...]] = {MESSAGES: (b"accept", b"anthropic-beta", b"anthropic-version")}
"""What of the client's headers an upstream of the same API may see, beside those that rules pass on: never credentials,
cookies or hop-by-hop headers."""

_OWN = (
    (b"content-type", b"application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", f"trivium/{__version__}".encode()),
)
_NAMED = 5
"""Losses that a refusal names."""
_STEALTH_LOSES = (
    "This model takes no strict calls: what a request loses on its way to it would tell who answers. Send the request "
    "without `x-trivium-strict` and with a key that is not strict, or name another model."
)
"""Of every strict call alike, lost or not: which fields are lost depends on the upstream's API."""
_VIA = (b"via", b"1.1 trivium")
_ANTHROPIC_VERSION = (b"anthropic-version", b"2023-06-01")


_TOOLS = ("tools", "functions")
_NO_TOOLS = (b"[]", b"null")
_LOOK = 40
"""Bytes of a list of tools that show whether there are any."""
_CHOICES = {
    CHAT: (CHAT, RESPONSES, MESSAGES),
    RESPONSES: (RESPONSES, CHAT, MESSAGES),
    MESSAGES: (MESSAGES, RESPONSES, CHAT),
}
"""By the client's API, which of the upstream's is best: its own, else the one that loses least."""


def way_to(call: Call, request: Request, target: Target, apis: Container[Kind], deps: Deps) -> Translation | None:
    """How a call gets to an upstream that speaks these APIs: None where it speaks the client's, unless nobody may know
    who it is, or the model does not take the call there. Raises ApiNotServed."""
    if isinstance(call.api, Solo):
        if call.api not in apis or target.stealth:
            raise _not_served(call.api, target)
        return None
    elsewhere = call.api is CHAT and RESPONSES in apis and _is_for_responses(request, target)
    if call.api in apis and not target.stealth and not elsewhere:
        return None
    api = RESPONSES if elsewhere else next((api for api in _CHOICES[call.api] if api in apis), None)
    if api is None:
        raise _not_served(call.api, target)
    provider, house = target.provider, target.house
    whose = f"{provider.name} {provider.base_url}" if provider.guarded else provider.name
    traits = traits_of(provider.kind, api, target.model)
    if names_callers(provider, deps) and CACHE_KEY in told_in(row_of(provider), api):
        traits = msgspec.structs.replace(traits, cache_key=True)  # who is told the task is told a client's own key
    # Envelopes of a stealth model must not be those of whom it is.
    named = f"{target.model}\n{target.public}" if target.stealth else target.model
    origin = origin_tag(whose, api, named, deps.seal_key)
    family = family_of(target.model) if api is CHAT and not target.stealth else None
    kin = origin_tag("", api, family, deps.seal_key) if family else ""
    called = house.id if house else ""
    to = Destination(api=api, model=target.model, traits=traits, origin=origin, kin=kin, called=called)
    cover = Cover(house.id, hides=house.stealth) if house else None
    return Translation(call.api, to, id=call.id, created=call.time_ms // 1000, cover=cover)


def _is_for_responses(request: Request, target: Target) -> bool:
    """Whether the model would refuse a Chat request and take it in Responses."""
    traits = traits_of(target.provider.kind, CHAT, target.model)
    if not traits.chat or traits.chat_tools:
        return not traits.chat
    said = request.members
    tools = (memoryview(said[name])[:_LOOK].tobytes().translate(None, b" \t\r\n") for name in _TOOLS if name in said)
    if all(some in _NO_TOOLS for some in tools):
        return False
    return bytes(said.get("reasoning_effort", b"")) != b'"none"' or "none" not in traits.efforts


def _not_served(api: Kind, target: Target) -> ApiNotServed:
    return ApiNotServed(f"`{target.public}` does not serve the API `{api.value}`; name another model.", param="model")


def prepare(  # noqa: PLR0917
    call: Call, request: Request, target: Target, way: Translation | None, run: Run, most: int | None = None
) -> bytes:
    """The body for the upstream; with `most`, for an answer of so many tokens at the most. Raises RequestError,
    LossRefused where the caller wants nothing lost."""
    if run.strict and target.stealth:
        raise LossRefused(_STEALTH_LOSES)
    custom, losses = target.custom, Losses()
    came = request
    request, done = _asked(call, request, target, way, run, most, losses)
    api = run.upstream_api = way.api if way else call.api
    said = len(losses)
    asked = request if custom is None else adapted(request, custom, api, losses)
    done += (CUSTOM_TOOLS,) if len(losses) != said else ()
    rules = Rules(call, request, target, api, run, losses)
    if call.api is EMBEDDINGS:
        rendered = render_embeddings(rules.on_request(asked), target)
    elif way is None:
        rendered = render(rules.on_request(asked), target.model, ask_usage=target.provider.stream_usage)
    else:
        verbosity = run.auto.choice.verbosity if run.auto is not None and target.led else None
        rendered = way.request(asked.members, count_only=call.operation is COUNT_TOKENS, verbosity=verbosity)
        way.expect(request.members, wants_usage=request.wants_usage)
        rendered = rules.on_rendered(rendered)
    if custom is not None:
        before, rendered = rendered.body, completed(call, request, api, rendered, custom, losses)
        done += (CUSTOM_SETTINGS,) if rendered.body is not before else ()
    if run.own is not None and run.own.through:
        done += (OWN_KEY,)
    if done:
        run.rules = done + run.rules
    lost = rendered.losses + losses.told()
    if run.auto is not None:
        lost = theirs(came, lost)
    run.losses = lost
    if run.strict and lost:
        why = {loss.field: loss.why for loss in lost[:_NAMED]}
        named = "; ".join(f"`{field}`: {said}" for field, said in why.items())
        raise LossRefused(
            f"`{target.public}` cannot be asked without loss, and the call is strict. {named}.",
            param=lost[0].field,
        )
    if run.capture is not None:
        run.capture.sends(rendered.body)
    run.asked_tier = _dearer_tier(request, api, rendered.body)
    return rendered.body


def _dearer_tier(request: Request, api: Kind, body: bytes) -> str | None:
    """The service tier that the upstream is asked for, if it costs more: one that the client asks for may not cross."""
    if service_tier(request.api, request.members) not in DEARER:
        return None
    sent = service_tier(api, members(body))
    return sent if sent in DEARER else None


def _asked(  # noqa: PLR0917
    call: Call, request: Request, target: Target, way: Translation | None, run: Run, most: int | None, losses: Losses
) -> tuple[Request, tuple[str, ...]]:
    """The request before rules and a translation look at it, and the names of what was done to it until then."""
    done: tuple[str, ...] = ()
    if most is not None:
        before, request = request, within(request, most, target.public, losses)
        done += (FALLBACK_LIMIT,) if request is not before else ()
    if run.auto is not None and target.led:
        before, request = request, _dressed(request, run.auto, target, way)
        done += (AUTO_SETTINGS,) if request is not before else ()
    if _is_paid_by_nobody(call, target, run):
        before, request = request, without_costs(request, losses)
        done += (NO_PAID_EXTRAS,) if request is not before else ()
    return request, done if way is None else (*done, TRANSLATED)


def _is_paid_by_nobody(call: Call, target: Target, run: Run) -> bool:
    """Who calls has no key, or a pattern has made it free, for which no house has decided to pay."""
    if run.key is None or not target.free or target.house is not None:
        return run.key is None
    return target.given_away(run.deps.prices.quote(target.provider, target.model, None, call.time_ms))


def _dressed(request: Request, auto: Resolution, target: Target, way: Translation | None) -> Request:
    """The request with what an auto model asks for; how Responses is asked to reason says a server's Chat."""
    api = CHAT if request.api is RESPONSES else request.api.shape
    traits = traits_of(target.provider.kind, api, target.model) if way is None else None
    return dressed(request, auto.choice, traits)


async def forward(  # noqa: PLR0917
    call: Call, body: bytes, target: Target, way: Translation | None, run: Run, deps: Deps
) -> UpstreamResponse:
    """Sends the request on; returns when the upstream's headers are there. Raises UpstreamError, DestinationRefused."""
    api = way.api if way else call.api
    provider = target.provider.at(api)
    base = provider.base_url if not provider.embedded else await _local_url(deps)
    path, headers = _path(call, api), _headers(call, provider, api, run.headers)
    # The client's means something to its own API alone; the provider's is one of a style (Azure's version).
    query = call.query.decode("latin-1") if way is None and not provider.style else provider.query
    if provider.style:
        counts = call.operation is not GENERATE
        sent = STYLES[provider.style](Sent(path=path, body=body, headers=headers, model=target.model, counts=counts))
        path, body, headers = sent.path, sent.body, sent.headers
    headers += for_upstream(call, target, run)
    if provider.guarded:
        headers.append(_via(call))
    if deps.propagation is not None and provider.name in deps.propagation.to:
        headers += deps.propagation.headers(call.id, call.headers, len(run.journey.tried))
    signing = provider.signing
    further: Headers = []
    if provider.account is not None:
        signing, further = await deps.credentials.of(provider)
        headers += further
    run.queue_us = run.elapsed_us()
    url = f"{base}{path}?{query}" if query else f"{base}{path}"
    if signing is not None:
        headers = signed(signing, "POST", url, headers, body, deps.clock.now_ms())
    response = await _sent(
        UpstreamRequest(
            url=url,
            headers=headers,
            body=body,
            timeouts=_timeouts(provider.timeouts),
            guarded=provider.guarded,
            goes_out=run.goes_out,
            network=provider.network,
        ),
        target,
        run,
        deps,
    )
    if provider.style:
        response = unframed(response)
    if run.limited is not None:
        run.limited.answered(response.status)
    run.ttfb_us = run.elapsed_us()
    run.upstream_status = response.status
    if response.status == 401 and further:
        deps.credentials.refused(provider, further)
    return _masked(response, provider, further) if response.status >= 300 else response


async def _sent(request: UpstreamRequest, target: Target, run: Run, deps: Deps) -> UpstreamResponse:
    """Raises UpstreamError, in which one that cannot be reached is told by whose it is."""
    try:
        return await deps.client.send(request)
    except UpstreamUnreachable as error:
        said = "The upstream cannot be reached. Try again in a moment, or name another model."
        if target.custom is not None:
            said = (
                f"The server of the model `{target.custom.name}` cannot be reached. An admin of the organization whose "
                "it is can look whether it runs, and at its URL."
            )
        elif run.own is not None and request.guarded:
            said = run.own.unreachable()
        raise UpstreamUnreachable(said, detail=error.detail or error.message) from None


def _masked(response: UpstreamResponse, provider: Provider, further: Headers) -> UpstreamResponse:
    """Some quote the key, or the token, that they refuse."""
    tokens = tuple([value.rpartition(b" ")[2] for _, value in further])
    return MaskedResponse(response, secrets) if (secrets := provider.masks + tokens) else response


def _path(call: Call, api: Kind) -> str:
    return COUNT_PATHS[api.shape] if call.operation is COUNT_TOKENS else PATHS[api]


async def _local_url(deps: Deps) -> str:
    if deps.local is None:
        raise UpstreamUnreachable("The embedded model is not running.")
    return await deps.local.base_url()


def _via(call: Call) -> tuple[bytes, bytes]:
    """By which a gateway knows a call that a gateway sent to a user's server: were it to go to one again, a server that
    leads back here could keep a single call going round until there is room for no other. Raises DestinationRefused."""
    if _VIA[1] in call.headers.get(_VIA[0], b""):
        raise DestinationRefused("The call came from a gateway to a user's server, and leads to a user's server again.")
    return _VIA


def _headers(call: Call, provider: Provider, api: Kind, ruled: Sequence[tuple[bytes, bytes]]) -> Headers:
    """Configured headers win over those of rules, and these over the client's of the same name, which mean something to
    its own API alone. A rule takes one of the client's out by giving it no value."""
    configured, sent = provider.named, call.headers
    headers = [*_own_headers(configured)]
    if api is call.api:
        taken = configured.union([name for name, _ in ruled]) if ruled else configured
        for name in _FORWARDED.get(api, _ANY_API):
            if name in sent and name not in taken:
                headers.append((name, sent[name]))
    if ruled:
        headers += [(name, value) for name, value in ruled if value and name not in configured]
    version = _ANTHROPIC_VERSION[0]
    if api is MESSAGES and version not in configured and (api is not call.api or version not in sent):
        headers.append(_ANTHROPIC_VERSION)
    headers += provider.headers
    return headers


@lru_cache(256)
def _own_headers(configured: frozenset[bytes]) -> Headers:
    """Ours beside those of these names that are configured."""
    return [own for own in _OWN if own[0] not in configured]


@lru_cache(256)
def _timeouts(settings: TimeoutSettings) -> Timeouts:
    return Timeouts(connect=settings.connect, first_byte=settings.first_byte, idle=settings.idle)
