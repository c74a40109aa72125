"""Whose own key pays for a call, and whether an answer refuses it.

A vendor's 401, 402, 403 and 429 are about the key. Of a gateway's it has to be told apart whom they are about: the key,
or the house's account there.
"""

from __future__ import annotations

import re

import msgspec

from trivium.canon.events import Fault
from trivium.canon.usage import Usage
from trivium.errors import OwnKeyRefused, UpstreamRefusedUs
from trivium.pipeline.refusal import ERROR_BODY, read_some, told
from trivium.pipeline.settle import Run
from trivium.pipeline.shown import hints
from trivium.providers.openrouter import KIND as OPENROUTER
from trivium.providers.openrouter import refused_own
from trivium.providers.rows import Door
from trivium.providers.vendors import VENDORS, Match
from trivium.providers.vercel import refused_keys
from trivium.store.secrets import Secret
from trivium.upstream.client import UpstreamResponse
from trivium.upstream.masked import MaskedResponse, ReadResponse
from trivium.upstream.pause import pause_s
from trivium.wire.fault import ABOUT_KEY, fault_in, is_flagged, status_of
from trivium.wire.lenient import mapping, parse

REFUSALS = ABOUT_KEY | {429}
_ERRS = re.compile(rb'"(?:error|detail|base_resp)"')
_BEGINNING = 2048
"""Bytes of an answer in which it is looked for."""
_CONTENT = ("choices", "content", "output", "data")
"""What answers are made of, by their APIs."""
_SAID = 500
"""Characters of the vendor's own words that are told."""
_TO_DO = {
    401: "It is wrong, expired or revoked: replace it, or remove it.",
    402: "The account behind it has no credit left: add some there.",
    403: "It may not do this: look at its rights, and whether its account has the model.",
    429: "Its limits are reached: wait, or add another key.",
}


class Own(msgspec.Struct, frozen=True):
    """Whose key pays, for which vendor's model."""

    owner: str
    match: Match
    door: Door
    through: str = ""
    """The gateway where the house's own account makes the call, which the key goes along with or is registered for."""
    key: Secret | None = None
    """The one that is being tried."""

    def let_house_pay(self, usage: Usage) -> bool:
        """Whether the gateway there has said that it did not leave it to the key."""
        if self.through == OPENROUTER:
            return usage.is_byok is False or bool(usage.reported_cost and not usage.is_byok)
        return bool(self.through and usage.reported_cost)

    def refused(self, status: int, said: str, tried: int = 1) -> OwnKeyRefused:
        """The error of a call whose key, or the last of whose keys, was refused."""
        title = VENDORS[self.match.vendor].title
        title = title[0].upper() + title[1:]
        before = f" {tried - 1} more before it were refused too." if tried > 1 else ""
        words = said.strip()[:_SAID].rstrip(".") or "no reason given"
        error = OwnKeyRefused(f"[BYOK] {title} refused {self._named()}: {words}. {_TO_DO[status]}{before}")
        error.status = status
        if status != 429:
            error.hints = ((b"x-should-retry", b"false"),)
        return error

    def unreachable(self) -> str:
        """What is said of a call whose key has a base URL where nobody is."""
        return (
            f"[BYOK] The server of {self._named()} cannot be reached. Look whether it runs, and at the key's base URL."
        )

    def _named(self) -> str:
        kind, _, id = self.owner.partition(":")
        whose = "your" if kind == "user" else f"the organization {id}'s"
        key = f" `{self.key.name}`{f' (...{self.key.hint})' if self.key.hint else ''}" if self.key else ""
        return f"{whose} key{key}"


async def judged(
    response: MaskedResponse, own: Own, run: Run, tried: int
) -> tuple[UpstreamResponse, OwnKeyRefused | None]:
    """The response, and whether it refuses the key; then it is closed."""
    status, bad_key = response.status, VENDORS[own.match.vendor].row.bad_key
    if status == 200:
        return await _judged_inside(response, own, run, tried)
    if status not in REFUSALS and not (status == 400 and bad_key):
        return response, None
    body = await read_some(response)
    if status == 400:
        if not re.search(bad_key, body):
            return ReadResponse(response, body), None
        status = 401
    if _is_flagged(status, body, run):
        return ReadResponse(response, body), None
    response.close()
    return response, _refusal(response, own, status, _said(body, run), tried, run=run, fault=told(body, run))


async def _judged_inside(
    response: MaskedResponse, own: Own, run: Run, tried: int
) -> tuple[UpstreamResponse, OwnKeyRefused | None]:
    """The same of a whole answer that is an error in spite of its status, as MiniMax's are. Streams are not looked at,
    nor what begins as no error does."""
    told = next((value for name, value in response.headers if name == b"content-type"), b"")
    if not told.lower().startswith(b"application/json"):
        return response, None
    try:
        body = await response.read()
        if not _ERRS.search(body[:_BEGINNING]):
            return ReadResponse(response, body), None
        while len(body) < ERROR_BODY and (chunk := await response.read()):
            body += chunk
    except BaseException:
        response.close()
        raise
    fault = _fault(body)
    if fault is None or (status := status_of(fault)) not in REFUSALS or is_flagged(fault):
        return ReadResponse(response, body), None
    response.close()
    return response, _refusal(response, own, status, fault.message, tried, run=run, fault=fault)


def _fault(body: bytes) -> Fault | None:
    """The error that is all there is of an answer."""
    try:
        said = parse(body)
    except ValueError:
        return None
    return fault_in(said) if not any(mapping(said).get(name) for name in _CONTENT) else None


def _refusal(
    response: UpstreamResponse, own: Own, status: int, said: str, tried: int, *, run: Run, fault: Fault | None = None
) -> OwnKeyRefused:
    refusal = own.refused(status, said, tried)
    refusal.detail = refusal.message
    if status == 429:
        told = pause_s(response.headers, run.deps.clock.now_ms(), fault)
        refusal.retry_after = 1 if told is None else told
        if not own.through:  # a gateway's are of the house's account there
            refusal.hints = hints(response.headers)
    return refusal


async def judged_at_openrouter(
    response: MaskedResponse, own: Own, run: Run, tried: int
) -> tuple[UpstreamResponse, OwnKeyRefused | None]:
    """As `judged`, of what OpenRouter passes on from the vendor. Raises UpstreamRefusedUs where it is the house that it
    refuses."""
    status, bad_key = response.status, VENDORS[own.match.vendor].row.bad_key
    if status not in REFUSALS and not (status == 400 and bad_key):
        return response, None
    body = await read_some(response)
    if _is_flagged(status, body, run):
        return ReadResponse(response, body), None
    said = refused_own(body)
    if said is not None and (status in REFUSALS or re.search(bad_key, body)):
        response.close()
        return response, _refusal(response, own, status if status in REFUSALS else 401, said, tried, run=run)
    if status in ABOUT_KEY:
        response.close()
        raise UpstreamRefusedUs(
            f"OpenRouter, through which this gateway calls {VENDORS[own.match.vendor].title}, refused this gateway's "
            "account there, or the key has come to what it may cost that account in a month. Its operator has to look.",
            detail=_said(body, run),
            retry_after=60,
        )
    return ReadResponse(response, body), None


async def judged_at_gateway(response: MaskedResponse, own: Own, run: Run) -> UpstreamResponse:
    """The response, unless it refuses the key, or the house. Raises OwnKeyRefused, UpstreamRefusedUs."""
    if response.status not in REFUSALS:
        return response
    body = await read_some(response)
    refused = [status for status in refused_keys(body) if status in REFUSALS]
    if _is_flagged(response.status, body, run) or (not refused and response.status not in ABOUT_KEY):
        return ReadResponse(response, body)
    response.close()
    said = _said(body, run)
    if refused:
        raise _refusal(response, own, refused[-1], said, len(refused), run=run)
    title = VENDORS[own.match.vendor].title
    raise UpstreamRefusedUs(
        f"The gateway that leads to {title} refused the call. Whether it refused this gateway's account, which its "
        f"operator has to look at, or the own key for {title} cannot be told.",
        detail=said,
        retry_after=60,
    )


def _said(body: bytes, run: Run) -> str:
    """The vendor's own words."""
    fault = told(body, run)
    return fault.message if fault and body.strip() else body[:_SAID].decode(errors="replace")


def _is_flagged(status: int, body: bytes, run: Run) -> bool:
    """It is what the request says that was refused, and no key."""
    return status == 403 and (fault := told(body, run)) is not None and is_flagged(fault)
