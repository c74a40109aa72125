"""The first match of a route (behaviour page, section 7): the caller's own upstream key for the model's vendor.

An organization's keys where an organization pays, else the user's. Several are tried in turn, as long as the vendor
refuses them (401, 402, 403, 429) and before the client has had anything. Then its refusal is told, with whose key it
was and what to do: no key of the house's ever takes the place of one that is bad. Calls of owners without keys pass by.
"""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress

import msgspec

from trivium.canon.api import FIM, Api, Kind, Solo
from trivium.errors import (
    ApiNotServed,
    ModelAmbiguous,
    ModelNotFound,
    OwnKeyUnreadable,
    SecretUnreadable,
    UpstreamError,
)
from trivium.pipeline.bill import is_free_route
from trivium.pipeline.call import Call
from trivium.pipeline.custom import custom_target, send_custom
from trivium.pipeline.deps import Deps
from trivium.pipeline.forward import forward
from trivium.pipeline.own_key import Own, judged, judged_at_gateway, judged_at_openrouter
from trivium.pipeline.preferences import OPTIONS, PROVIDER
from trivium.pipeline.settle import Run
from trivium.policy.caller import Caller
from trivium.providers.credential import Credential
from trivium.providers.openrouter import KIND as OPENROUTER
from trivium.providers.openrouter import KeptCredential, only, openrouter_id, registered
from trivium.providers.provider import Provider
from trivium.providers.rows import Door
from trivium.providers.solo import OWN_ALONE, filler
from trivium.providers.vendor_names import Beside, known_as, spellings
from trivium.providers.vendors import (
    GATEWAYS,
    VENDORS,
    Match,
    door_of,
    match,
    match_served,
    provider_of,
    with_key,
)
from trivium.providers.vercel import vercel_id, vercel_options
from trivium.routing.catalog import Target
from trivium.routing.names import alias_names
from trivium.store.secrets import SealedSecret, Secret
from trivium.upstream.client import UpstreamResponse
from trivium.upstream.deadline import due
from trivium.upstream.masked import MaskedResponse
from trivium.wire import body as json_body
from trivium.wire.fields import decoded
from trivium.wire.lenient import mapping
from trivium.wire.translate import Translation

_NONE: Mapping[str, bool] = {}
_VERCEL = "vercel"
_KEEPS_TO: frozenset[str] = frozenset()
_IDS = {_VERCEL: vercel_id, OPENROUTER: openrouter_id}
"""The gateways that calls with own keys may go through, and what a model is called there."""


def own_owner(caller: Caller) -> str | None:
    """Whose keys count for a caller's calls."""
    if caller.organization is not None:
        return f"organization:{caller.organization.id}"
    return f"user:{caller.user_id}" if caller.user_id is not None else None


def own_vendors(caller: Caller, deps: Deps) -> Mapping[str, bool]:
    """The vendors for which the caller's calls have own keys."""
    owner = own_owner(caller)
    return deps.own.vendors(owner) if owner is not None else _NONE


def route_of(caller: Caller, name: str, api: Kind, deps: Deps) -> tuple[Own | None, Target]:
    """Where a name leads, and whose own key pays there, if one does: to a custom model, else as the catalogue has it.
    Raises ModelNotFound, ModelAmbiguous, ApiNotServed."""
    custom = custom_target(caller, name, deps)
    if api is FIM and custom is None:
        return _filling_route(caller, name, deps)
    if not own_vendors(caller, deps):
        return None, custom or deps.catalog.resolve(name)
    try:
        target = custom or deps.catalog.resolve(name)
    except (ModelNotFound, ModelAmbiguous):
        own = _own_route(caller, name, None, api, deps)
        if own is None:
            raise
        return own
    return _own_route(caller, name, target, api, deps) or (None, target)


def _filling_route(caller: Caller, name: str, deps: Deps) -> tuple[Own | None, Target]:
    """What fills in the middle by this name: with the caller's own key if there is one, else with the house's. Raises
    ApiNotServed, ModelNotFound."""
    found = filler(deps.catalog.aliases.get(name, name))
    if found is None:
        raise ApiNotServed("Only models of `mistralai/` fill in the middle; name one of those.", param="model")
    having = own_vendors(caller, deps)
    if found.vendor in having:
        return _with_own_key(caller, name, Match(found.vendor, found.model), having, FIM, deps)
    if not found.house:
        title = VENDORS[found.vendor].title
        raise ApiNotServed(f"`{name[:100]}` fills in the middle with an own key for {title} alone.", param="model")
    with suppress(ModelNotFound, ModelAmbiguous):
        target = deps.catalog.resolve(name)
        if target.routed is not None and any(FIM in one.provider.apis for one in deps.catalog.routes(target)):
            return None, target
    for provider in deps.catalog.providers.values():
        if FIM in provider.apis and provider.kind not in OWN_ALONE:
            also = known_as(found.vendor, found.model) + (alias_names(name) if name in deps.catalog.aliases else ())
            listed = deps.catalog.lists(provider.name, found.model)
            return None, Target(provider, found.model, also=also, listed=listed)
    raise ModelNotFound("This gateway has nobody who fills in the middle.", param="model")


def of_own_key(caller: Caller, name: str, target: Target | None, api: Kind, deps: Deps) -> Target | None:
    """Where a name leads that the house has at `target`, if own keys pay for it."""
    own = _own_route(caller, name, target, api, deps)
    return own[1] if own is not None else None


def _own_route(caller: Caller, name: str, target: Target | None, api: Kind, deps: Deps) -> tuple[Own, Target] | None:
    if target is not None and target.free and is_free_route(target, deps.clock.now_ms(), deps):
        return None  # the house's models are its business, and what it gives away nobody need pay
    having = own_vendors(caller, deps)
    named = deps.catalog.aliases.get(name, name)
    found = match(named, having)
    if found is None and target is not None:
        found = match_served(target.provider.kind, target.provider.name, target.model, having)
    if found is None:
        return None
    own, own_target = _with_own_key(caller, name, found, having, api, deps)
    if isinstance(api, Solo) and api not in own_target.provider.apis:
        return None  # its vendor has no such API, so that whoever else serves the model may
    return own, own_target


def _with_own_key(  # noqa: PLR0917
    caller: Caller, name: str, found: Match, having: Mapping[str, bool], api: Kind, deps: Deps
) -> tuple[Own, Target]:
    own_url = having[found.vendor]
    door = door_of(found.vendor, found.model, api, own_url=own_url)
    provider, model = _way(found, door, api, deps, own_url=own_url)
    through = provider.kind if provider.kind in GATEWAYS and provider.kind != found.vendor else ""
    also = _names(found, having, deps, at_vercel=through == _VERCEL)
    if name in deps.catalog.aliases:
        also += alias_names(name)
    own = Own(own_owner(caller) or "", found, door, through)
    return own, Target(provider, model, also=also, listed=deps.catalog.lists(provider.name, model))


def _names(found: Match, having: Mapping[str, bool], deps: Deps, *, at_vercel: bool) -> tuple[str, ...]:
    """All by which lists may mean the model: a function of the model alone, not of the name that led to it."""
    catalog, spaces = deps.catalog, VENDORS[found.vendor].namespaces or (found.vendor,)
    others = [provider for provider in catalog.providers.values() if provider.name not in having]
    beside = Beside(
        gateways=tuple(provider.name for provider in others if provider.kind in GATEWAYS),
        own=tuple(provider.name for provider in others if provider.kind in spaces),
        at_vercel=at_vercel,
    )
    listed = dict.fromkeys((*spellings(found.vendor, found.model), *known_as(found.vendor, found.model)))
    names = known_as(found.vendor, found.model, beside)
    return names + tuple(name for one in listed for name in catalog.names_at_providers(one))


def _way(found: Match, door: Door, api: Kind, deps: Deps, *, own_url: bool) -> tuple[Provider, str]:
    """The provider that is called, and its id of the model."""
    own = provider_of(found.vendor, door, own_url=own_url)
    if (via := deps.byok.via.get(found.vendor)) in _IDS:
        for provider in deps.catalog.providers.values():
            if provider.kind == via and (isinstance(api, Api) or api in provider.apis):
                # The vendor behind it has agreed on nothing with the house.
                collects = provider.collects_data or own.collects_data
                changes = {"byok": True, "collects_data": collects, "retains_data": True, "honours": _KEEPS_TO}
                changes["charges_fee"] = via == OPENROUTER
                return msgspec.structs.replace(provider, **changes), _IDS[via](found)
    return own, found.model


def send(  # noqa: PLR0917
    call: Call, body: bytes, target: Target, way: Translation | None, run: Run, deps: Deps
) -> Coroutine[None, None, UpstreamResponse]:
    """As `forward`, with the caller's own keys where these pay, and in the time that the client gives. Raises
    OwnKeyRefused, OwnKeyUnreadable too."""
    if run.own is not None:
        sending = _send_paid(call, body, target, way, run.own, run, deps)
    elif target.custom is not None:
        sending = send_custom(call, body, target.custom, way, run, deps)
    else:
        sending = forward(call, body, target, way, run, deps)
    return sending if run.deadline is None else due(sending, run.deadline)


async def _send_paid(  # noqa: PLR0917
    call: Call, body: bytes, target: Target, way: Translation | None, own: Own, run: Run, deps: Deps
) -> UpstreamResponse:
    sealed = await deps.own.keys(own.owner, own.match.vendor)
    if not sealed:
        raise OwnKeyUnreadable("[BYOK] The key for this call was removed just now. Send the call again.")
    if own.through == _VERCEL:
        keys = [(one.shown, _opened(one, own, deps)) for one in sealed]
        secrets = [secret for _, credential in keys for secret in credential.secrets()]
        sent = await forward(call, _with_options(body, own, keys), target, way, run, deps)
        return await judged_at_gateway(MaskedResponse(sent, secrets), own, run)
    judge = judged
    if own.through == OPENROUTER:
        body, judge = _with_vendor(body, own), judged_at_openrouter
    refusal: UpstreamError | None = None
    tried = 0
    for one in sealed:
        credential = _opened(one, own, deps)
        run.own = own = msgspec.structs.replace(own, key=one.shown)
        for provider in _called(target.provider, own, one.shown, credential):
            tried += 1
            if own.through:
                run.target = msgspec.structs.replace(target, provider=provider)  # who can be asked about the call
            sent = await forward(call, body, Target(provider, target.model), way, run, deps)
            answer, refusal = await judge(MaskedResponse(sent, credential.secrets()), own, run, tried)
            if refusal is None:
                return answer
    raise refusal or _not_registered(own)


def _called(provider: Provider, own: Own, shown: Secret, credential: KeptCredential) -> list[Provider]:
    """The provider as it is called with one of the keys, at each address that is tried; none where a key that has to be
    registered is not."""
    if own.through:
        registration = credential.at_openrouter
        return [registered(provider, registration)] if registration is not None and shown.base_url is None else []
    return with_key(provider, own.door, credential, base_url=shown.base_url, region=shown.region)


def _not_registered(own: Own) -> OwnKeyUnreadable:
    title = VENDORS[own.match.vendor].title
    return OwnKeyUnreadable(
        f"[BYOK] The key for {title} is not registered at OpenRouter at the moment, through which this gateway calls "
        f"{title}. It tries to register it again; the log of its operator says why it could not."
    )


def _opened(sealed: SealedSecret, own: Own, deps: Deps) -> KeptCredential:
    try:
        return msgspec.json.decode(deps.own.plain(sealed), type=KeptCredential)
    except SecretUnreadable as error:
        raise OwnKeyUnreadable(
            f"[BYOK] The stored key for {VENDORS[own.match.vendor].title} cannot be opened at the moment. The operator "
            "of this gateway has to put back what it was sealed with.",
            detail=error.message,
        ) from None


def _with_vendor(body: bytes, own: Own) -> bytes:
    """The body with nobody but the key's vendor to be asked, as OpenRouter is told that."""
    found = json_body.members(body)
    said = mapping(decoded(found.get(PROVIDER, b"null"), PROVIDER))
    return json_body.patch(body, found, {PROVIDER: msgspec.json.encode(only(own.match.vendor, said))})


def _with_options(body: bytes, own: Own, keys: Sequence[tuple[Secret, Credential]]) -> bytes:
    """The body with the keys in it, as Vercel takes them, beside what rules have said there. A client's own
    `providerOptions` was refused before."""
    told = [(credential, shown.base_url, shown.region) for shown, credential in keys]
    options = vercel_options(own.match.vendor, told)
    found = json_body.members(body)
    said = mapping(decoded(found.get(OPTIONS, b"null"), OPTIONS))
    gateway = {name: value for name, value in mapping(said.get("gateway")).items() if name != "order"}
    both = {**said, "gateway": {**gateway, **mapping(options["gateway"])}}
    return json_body.patch(body, found, {OPTIONS: msgspec.json.encode(both)})
