"""What a call counts in limits, from its admission to its end: in those of its caller and of the model that was asked
for, and where it goes on to other models, in theirs."""

from __future__ import annotations

from collections.abc import Container

from trivium.canon.usage import Usage
from trivium.clock import Clock
from trivium.pipeline.call import Headers
from trivium.pipeline.deps import Counters
from trivium.policy.counters import Claim
from trivium.policy.limits import MINUTE_S, Rules

Counted = tuple[tuple[Claim, int], ...]
"""What was counted, and when, in nanoseconds."""
_NONE = Usage()
_OURS = (b"x-ratelimit-", b"anthropic-ratelimit-")


class Limited:
    """One call in the counters. `leave` when it is over, `count` when its tokens are known; each once."""

    def __init__(self, id: str, rules: Rules, input_tokens: int, counters: Counters, clock: Clock) -> None:
        """`input_tokens` is the estimate that is counted in advance."""
        self._id = id
        self._rules = rules
        self._input_tokens = input_tokens
        self._counters = counters
        self._clock = clock
        self._taken_ns = clock.monotonic_ns()
        self._sent = self._taken = False
        """An upstream was given the request; and did not refuse it."""
        self._left: set[str] = set()
        """Limits of models that it has gone on from, in which it stays counted."""
        self._next: Limited | None = None
        """What it counts beside, since it went on to another model."""
        self.headers: Headers = []
        """For the answer."""

    def has(self, key: str) -> bool:
        """Whether it is counted there."""
        mine = key in self._left or any(rule.claim.key == key for rule in self._rules.all)
        return mine or (self._next is not None and self._next.has(key))

    def stays_in(self, keys: Container[str]) -> None:
        """It goes on to another model, which has these limits: of limits of models it counts in no others any more."""
        self._end(Rules([rule for rule in self._rules.all if rule.owner == "model" and rule.claim.key not in keys]))
        if self._next is not None:
            self._next.stays_in(keys)

    def give_back(self) -> None:
        """Limits of models protect the house's accounts: what no upstream was given counts in none of them."""
        if not self._sent:
            self._end(Rules([rule for rule in self._rules.all if rule.owner == "model"]))
        if self._next is not None:
            self._next.give_back()

    def follows(self, further: Limited) -> None:
        """It counts there too."""
        if self._next is None:
            self._next = further
        else:
            self._next.follows(further)

    def forget(self) -> None:
        """Nothing was counted, and nothing will be."""
        self._rules = Rules()

    def withdraw(self) -> None:
        """It goes to another model before it was sent: nothing was counted."""
        self._end(self._rules)

    def _end(self, gone: Rules) -> None:
        """It counts no longer in these of its limits. That an upstream was asked stays counted, and what it was asked
        if it did not refuse that."""
        if gone.gauges:
            self._counters.leave(gone.gauges, self._id)
        if gone.of_requests and not self._sent:
            self._counters.add_to(gone.of_requests, -1, MINUTE_S, self._ago_ms())
        if gone.of_input and not self._taken:
            self._counters.add_to(gone.of_input, -self._input_tokens, MINUTE_S, self._ago_ms())
        if self._sent:
            self._left.update(gone.of_requests)
        if self._taken:
            self._left.update(gone.of_input)
        if gone.all:
            self._rules = Rules([rule for rule in self._rules.all if rule not in gone.all])

    def goes_out(self) -> None:
        """An upstream is being given the request."""
        self._sent = self._taken = True
        if self._next is not None:
            self._next.goes_out()

    def answered(self, status: int) -> None:
        self._taken = status < 300
        if self._next is not None:
            self._next.answered(status)

    def leave(self) -> None:
        """It goes on no longer."""
        if self._rules.gauges:
            self._counters.leave(self._rules.gauges, self._id)
        if self._next is not None:
            self._next.leave()

    def count(self, usage: Usage | None) -> None:
        """The real input in place of the estimate, at the time when that was counted; the output now. Without a usage
        the estimate stays, unless nobody has had the request."""
        if self._next is not None:
            self._next.count(usage)
        if usage is None:
            if self._taken:
                return
            usage = _NONE
        rules = self._rules
        if rules.of_input and (missing := usage.input - self._input_tokens):
            self._counters.add_to(rules.of_input, missing, MINUTE_S, self._ago_ms())
        if rules.of_output and usage.output:
            self._counters.add_to(rules.of_output, usage.output, MINUTE_S, 0)

    def _ago_ms(self) -> int:
        """When it was counted."""
        return (self._clock.monotonic_ns() - self._taken_ns) // 1_000_000


def with_own(passed: Headers, limited: Limited | None) -> Headers:
    """An answer's headers: what the gateway has to say of limits replaces what an upstream says of its own."""
    if limited is None or not limited.headers:
        return passed
    return [header for header in passed if not header[0].startswith(_OURS)] + limited.headers
