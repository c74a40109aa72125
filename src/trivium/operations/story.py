"""The story of one request: who asked what, which way it went and why, how long each part took, and what it cost.

Made from the record, the start, the account's entries and the price. Whoever is not of the house sees of each what
`seen.py` lets it see; the way and the attempts are the house's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from trivium.errors import NotFound
from trivium.metering.cost import ReceiptRow
from trivium.metering.record import TOKENS, TOLD_BY_CLIENT
from trivium.money import nano_text
from trivium.operations.receipts import receipt_for
from trivium.operations.reports import RequestRow
from trivium.operations.seen import is_lent, is_secret, seen
from trivium.providers.adaptations import WHAT
from trivium.store import settled
from trivium.store.captures import CaptureAbout
from trivium.store.names import names_of
from trivium.store.store import Store
from trivium.store.whose import Whose

_T = TypeVar("_T")


class Named(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    name: str | None


class Who(msgspec.Struct, frozen=True, kw_only=True):
    key: Named | None
    user: Named | None
    organization: Named | None
    project: Named | None
    account: Named | None
    """Whose balance was charged."""
    client_app: str | None
    client_ip: str | None
    client_country: str | None
    """This and the next as a trusted proxy tells them."""
    tls_fingerprint: str | None
    told: dict[str, str]
    """What the client says of itself."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    api: str
    operation: str
    stream: bool
    requested_model: str | None
    auto_model: str | None
    auto_mode: str | None
    resolved_model: str | None
    """What an auto model chose."""
    provider: str | None
    inference_provider: str | None
    """Whom a provider that is a gateway itself says it asked."""
    upstream_api: str | None
    upstream_model: str | None
    answer_model: str | None
    """The model that the upstream says it was."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    route: str
    status: int | None
    code: str | None
    why: str | None
    ms: int | None


class RefusedRoute(msgspec.Struct, frozen=True, kw_only=True):
    route: str
    why: str


class Route(msgspec.Struct, frozen=True, kw_only=True):
    why: str | None
    """Why the one that answered, or was tried last, was taken; null where there was no choice."""
    refused: tuple[RefusedRoute, ...]
    """Those that the call could not take."""
    rested: tuple[RefusedRoute, ...]
    """Those that came behind all others, since they rested when it began."""


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    what: str
    """`received`, `upstream_called`, `first_byte`, `first_token` or `ended`."""
    at_ms: float
    """Since it was received."""


class LossTold(msgspec.Struct, frozen=True, kw_only=True):
    field: str
    why: str


class RuleTold(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was done to the request on its way to the upstream."""

    name: str
    what: str


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    code: str | None
    message: str | None
    in_band: bool
    """It came inside a 200 answer."""


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    budget: str
    since_ms: int
    """The beginning of its period."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    usd: str
    ended: bool
    budgets: tuple[Counted, ...]
    """Which count the call."""


class EntryTold(msgspec.Struct, frozen=True, kw_only=True):
    seq: int
    kind: str
    usd: str
    time_ms: int
    flags: str


class Story(msgspec.Struct, frozen=True, kw_only=True):
    request: RequestRow  # type: ignore[valid-type]
    who: Who
    asked: Asked
    route: Route | None
    """Null for whoever is not of the house, as are the attempts."""
    attempts: tuple[Attempt, ...] | None
    """In their order; the last one is what became of the request."""
    timeline: tuple[Moment, ...]
    tokens: dict[str, int] | None
    """Null where nobody knows them."""
    receipt: tuple[ReceiptRow, ...]
    rules: tuple[RuleTold, ...]
    """What was done to the request; of several attempts to the last one's."""
    losses: tuple[LossTold, ...]
    captured: CaptureAbout | None
    """What is kept of its bodies (`requests.bodies`); null: nothing."""
    error: Fault | None
    hold: Hold | None
    """Null where none was kept."""
    entries: tuple[EntryTold, ...]
    """What the request changed a balance by."""


def story_of(store: Store, id: str, whose: Whose, *, house: bool) -> Story:
    """Blocks. Raises NotFound, StoreUnavailable."""
    row = store.request(id, whose)
    if row is None:
        raise NotFound(f"There is no request {id!r}.")
    shown = row if house else seen(row)
    return Story(
        request=msgspec.convert(shown, RequestRow),
        who=_who(store, shown),
        asked=msgspec.convert({name: shown[name] for name in Asked.__struct_fields__}, Asked, strict=False),
        route=_route(row) if house else None,
        attempts=_attempts(row) if house else None,
        timeline=_timeline(row),
        tokens={name: shown[column] for column, name in TOKENS.items()} if row["usage_known"] else None,
        receipt=tuple(receipt_for(store.prices, row, house=house)),
        rules=tuple(RuleTold(name=name, what=WHAT.get(name, "")) for name in (shown["rules"] or "").split()),
        losses=_losses(shown),
        captured=_captured(store, row, house=house),
        error=_error(shown),
        hold=_hold(store, id),
        entries=tuple(
            EntryTold(seq=seq, kind=kind, usd=nano_text(nano), time_ms=time_ms, flags=flags)
            for seq, kind, nano, time_ms, flags in settled.entries(store.database, id)
        ),
    )


def _who(store: Store, row: Mapping[str, Any]) -> Who:
    organization = row["organization_id"]

    def named(what: str) -> Named | None:
        if (id := row[f"{what}_id"]) is None:
            return None
        return Named(id=id, name=names_of(store.database, what, [id], organization).get(id))

    return Who(
        **{what: named(what) for what in ("key", "user", "organization", "project", "account")},
        client_app=row["client_app"],
        client_ip=row["client_ip"],
        client_country=row["client_country"],
        tls_fingerprint=row["tls_fingerprint"],
        told={name: row[name] for name in TOLD_BY_CLIENT if row[name] is not None},
    )


class _Journey(msgspec.Struct, frozen=True):
    """The column `routing` (`pipeline/journey.py`)."""

    why: str | None = None
    tried: tuple[Attempt, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    rested: tuple[tuple[str, str], ...] = ()


def _read(text: str | None, kind: type[_T]) -> _T | None:
    """JSON of a column; None where nothing stands there, or something that we did not write."""
    try:
        return msgspec.json.decode(text, type=kind) if text else None
    except (msgspec.MsgspecError, UnicodeError):
        return None


def _route(row: Mapping[str, Any]) -> Route:
    told = _read(row["routing"], _Journey) or _Journey()
    refused, rested = (
        tuple([RefusedRoute(route=route, why=why) for route, why in some]) for some in (told.refused, told.rested)
    )
    return Route(why=told.why, refused=refused, rested=rested)


def _attempts(row: Mapping[str, Any]) -> tuple[Attempt, ...]:
    tried = (_read(row["routing"], _Journey) or _Journey()).tried
    if row["provider"] is None or row["queue_us"] is None:
        return tried
    took = row["total_us"] // 1000 - row["queue_us"] // 1000 - sum(one.ms or 0 for one in tried)
    last = Attempt(
        route=f"{row['provider']}/{row['upstream_model']}",
        status=row["upstream_status"],
        code=row["error_code"],
        why=row["error_message"],
        ms=max(0, took),
    )
    return (*tried, last)


def _losses(row: Mapping[str, Any]) -> tuple[LossTold, ...]:
    told = _read(row["losses"], list[tuple[str, str]]) or []
    return tuple(LossTold(field=field, why=why) for field, why in told)


def _timeline(row: Mapping[str, Any]) -> tuple[Moment, ...]:
    told = {
        "received": 0,
        "upstream_called": row["queue_us"],
        "first_byte": row["ttfb_us"],
        "first_token": row["first_token_us"],
        "ended": row["total_us"],
    }
    return tuple(Moment(what=what, at_ms=us / 1000) for what, us in told.items() if us is not None)


def _captured(store: Store, row: Mapping[str, Any], *, house: bool) -> CaptureAbout | None:
    about = store.captures.about(row["id"])
    if about is None or house or not (is_secret(row) or is_lent(row)):
        return about
    return msgspec.structs.replace(about, sent=None)


def _error(row: Mapping[str, Any]) -> Fault | None:
    if row["error_code"] is None and row["error_message"] is None:
        return None
    return Fault(code=row["error_code"], message=row["error_message"], in_band=bool(row["in_band_error"]))


def _hold(store: Store, id: str) -> Hold | None:
    if (start := settled.start(store.database, id)) is None:
        return None
    nano, ended, windows = start
    budgets = tuple(Counted(budget=budget, since_ms=since) for budget, since in windows)
    return Hold(usd=nano_text(nano), ended=ended, budgets=budgets)
