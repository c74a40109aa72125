"""Which limits a call counts in, and what a caller hears who has reached one (behaviour page, section 2). Pure.

A key, its user, the organization that pays and the model each may have limits; a call must have room in all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec

from trivium.errors import RateLimited
from trivium.policy.access import HouseSettings
from trivium.policy.caller import Caller, Limits, matches, names_of
from trivium.policy.counters import Claim, Denial, Taken
from trivium.wire.ratelimits import Kind, Room

Owner = Literal["key", "user", "organization", "model"]

MINUTE_S = 60
NEVER_S = 3600
"""What a caller is told to wait whose request no waiting helps."""
_REMEMBERED = 10_000
_UNITS = {
    "requests": "requests per minute",
    "input_tokens": "input tokens per minute",
    "output_tokens": "output tokens per minute",
    "concurrent": "requests at once",
}
_SETTINGS = {
    "requests": "requests_per_minute",
    "input_tokens": "input_tokens_per_minute",
    "output_tokens": "output_tokens_per_minute",
    "concurrent": "concurrent_requests",
}
"""What a limit is called where it is set."""


class Rule(msgspec.Struct, frozen=True):
    """One limit that a call counts in."""

    kind: Kind
    owner: Owner
    name: str
    """Of the owner; what a model's limit was set for may have wildcards, and counts all that it means together."""
    claim: Claim
    """Of input tokens with amount 0: how many they are only the request tells."""


class Rules:
    """All that a call counts in, with what is needed of it for each call made once."""

    __slots__ = ("_of_counting", "all", "claims", "gauges", "inputs", "of_input", "of_output", "of_requests", "shown")

    def __init__(self, rules: Sequence[Rule] = ()) -> None:
        self.all = tuple(rules)
        self.claims = [rule.claim for rule in rules]
        self.inputs = [place for place, rule in enumerate(rules) if rule.kind == "input_tokens"]
        """Places of the claims whose amount only the request tells."""
        self.of_requests = [rule.claim.key for rule in rules if rule.kind == "requests"]
        self.of_input = [rule.claim.key for rule in rules if rule.kind == "input_tokens"]
        self.of_output = [rule.claim.key for rule in rules if rule.kind == "output_tokens"]
        self.gauges = [rule.claim.key for rule in rules if rule.kind == "concurrent"]
        self.shown = [
            (place, rule.kind, rule.claim.limit)
            for place, rule in enumerate(rules)
            if rule.owner != "model" and rule.kind != "concurrent"
        ]
        """What an answer tells of. How much others use of a model is nobody's business before it stops a call."""
        self._of_counting: Rules | None = None

    def of_counting(self) -> Rules:
        """What a request counts in that asks for no answer but how many tokens it has."""
        if self._of_counting is None:
            self._of_counting = Rules([rule for rule in self.all if rule.kind in _OF_COUNTING])
        return self._of_counting


_OF_COUNTING = ("requests", "concurrent")
_NONE = Rules()


class RuleBook:
    """The rules of callers and models, made once. A caller of whom nothing is said has none, and costs next to nothing
    to ask about."""

    def __init__(self) -> None:
        self._house = HouseSettings()
        self._defaults = False
        self._of_callers: dict[tuple[str, str | None], tuple[Caller, Rules]] = {}
        self._of_models: dict[tuple[str, str, tuple[str, ...]], Rules] = {}
        self._joined: dict[tuple[Rules, Rules], Rules] = {}

    def rules(
        self,
        caller: Caller | None,
        provider: str,
        model: str,
        house: HouseSettings,
        also: tuple[str, ...] = (),
        *,
        of_model: bool = True,
    ) -> Rules | None:
        """What a call by a caller (None: without a key) to a model counts in; None: nothing. `also` are further names
        that the model goes by. Without `of_model` it is none of the house's, whatever it is called."""
        if house is not self._house:
            self._read(house)
        by_model = self._of_model(provider, model, also) if of_model and house.limits_by_model else _NONE
        if caller is None or not (self._defaults or _has_limits(caller)):
            found = by_model
        elif by_model is _NONE:
            found = self._of_caller(caller)
        else:
            found = self._both(self._of_caller(caller), by_model)
        return found if found.all else None

    def _read(self, house: HouseSettings) -> None:
        self._house = house
        self._defaults = bool(house.key_limits or house.user_limits or house.organization_limits)
        self._of_callers.clear()
        self._of_models.clear()
        self._joined.clear()

    def _of_caller(self, caller: Caller) -> Rules:
        place = (caller.id, caller.organization.id if caller.organization else None)
        known = self._of_callers.get(place)
        if known is not None and known[0] is caller:
            return known[1]
        found = Rules(tuple(_caller_rules(caller, self._house)))
        _keep_few(self._of_callers)
        self._of_callers[place] = (caller, found)
        return found

    def _of_model(self, provider: str, model: str, also: tuple[str, ...]) -> Rules:
        known = self._of_models.get((provider, model, also))
        if known is not None:
            return known
        names = names_of(provider, model) + also
        fitting = [one for one in self._house.limits_by_model.items() if matches((one[0],), names)]
        found = Rules([rule for pattern, limits in fitting for rule in _rules("model", pattern, limits)])
        _keep_few(self._of_models)
        self._of_models[provider, model, also] = found = found if found.all else _NONE
        return found

    def _both(self, of_caller: Rules, of_model: Rules) -> Rules:
        known = self._joined.get((of_caller, of_model))
        if known is None:
            _keep_few(self._joined)
            known = self._joined[of_caller, of_model] = Rules(of_caller.all + of_model.all)
        return known


def refusal(rules: Rules, denial: Denial) -> RateLimited:
    """What a caller hears who has reached one of these limits: which, of whom, and when to come back."""
    claim, retry_after = denial.claim, denial.retry_after
    rule = next(rule for rule in rules.all if rule.claim.key == claim.key)
    limit = f"The limit of {claim.limit:,} {_UNITS[rule.kind]} of {_whose(rule)}"
    wait = f"Try again in {retry_after} second{'s' if retry_after > 1 else ''}."
    if max(1, claim.amount) > claim.limit:
        retry_after = NEVER_S
        shorter = f"is smaller than this request, which has about {claim.amount:,}. Send a shorter one."
        said = f"{limit} {shorter if claim.limit else 'allows no request.'}"
    elif rule.kind == "input_tokens":
        room = f"{denial.used:,} are used, and this request has about {claim.amount:,}"
        said = f"{limit} has too little room: {room}. {wait}"
    elif rule.kind == "concurrent":
        said = f"{limit} is reached. Send the next one when one has ended."
    else:
        said = f"{limit} is reached. {wait}"
    error = RateLimited(said, retry_after=retry_after)
    error.facts |= {"limit": _SETTINGS[rule.kind], "limit_of": rule.owner}
    return error


def rooms(rules: Rules, taken: Taken) -> dict[Kind, Room]:
    """Of each kind the limit that is nearest to being reached, or was."""
    found: dict[Kind, Room] = {}
    uses = taken.uses
    for place, kind, limit in rules.shown:
        use = uses[place]
        remaining = limit - use.used
        known = found.get(kind)
        if known is None or remaining < known.remaining:
            found[kind] = Room(limit, remaining if remaining > 0 else 0, use.resets_ms)
    if taken.denial is not None:
        claim = taken.denial.claim
        rule, use = next(pair for pair in zip(rules.all, uses, strict=True) if pair[0].claim.key == claim.key)
        found[rule.kind] = Room(claim.limit, max(0, claim.limit - use.used), use.resets_ms)
    return found


def _caller_rules(caller: Caller, house: HouseSettings) -> Iterator[Rule]:
    yield from _rules("key", caller.id, _filled(caller.limits, house.key_limits))
    if caller.user_id is not None:
        yield from _rules("user", caller.user_id, _filled(caller.user_limits, house.user_limits))
    if (organization := caller.organization) is not None:
        limits = _filled(organization.settings.limits, house.organization_limits)
        yield from _rules("organization", organization.id, limits)


def _filled(own: Limits, others: Limits) -> Limits:
    """Each limit by itself: who sets one of its own must not be rid of those that the house gives everybody."""
    said = {name: value for name in Limits.__struct_fields__ if (value := getattr(own, name)) is not None}
    return msgspec.structs.replace(others, **said)


def _rules(owner: Owner, name: str, limits: Limits) -> Iterator[Rule]:
    windowed: tuple[tuple[Kind, int | None, int, int], ...] = (
        ("requests", limits.requests_per_minute, 1, MINUTE_S),
        ("input_tokens", limits.input_tokens_per_minute, 0, MINUTE_S),
        ("output_tokens", limits.output_tokens_per_minute, 0, MINUTE_S),
        ("concurrent", limits.concurrent_requests, 1, 0),
    )
    for kind, limit, amount, window_s in windowed:
        if limit is not None:
            yield Rule(kind, owner, name, Claim(f"{kind}:{owner}:{name}", limit, amount, window_s))


def _has_limits(caller: Caller) -> bool:
    organization = caller.organization
    return bool(caller.limits or caller.user_limits or (organization is not None and organization.settings.limits))


def _whose(rule: Rule) -> str:
    match rule.owner:
        case "key":
            return "this API key"
        case "user":
            return f"the user {rule.name}"
        case "organization":
            return f"the organization {rule.name}"
        case "model":
            return f"the model {rule.name}"


def _keep_few(remembered: dict[Any, Any]) -> None:
    if len(remembered) >= _REMEMBERED:
        remembered.clear()
