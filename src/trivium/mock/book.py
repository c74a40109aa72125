"""The book of the play: which reply a request gets, and how often each rule has spoken."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from trivium.mock.asked import GENERATING, Asked
from trivium.mock.script import Error, Match, Reply, Script

_LONGEST_ECHO = 200

_CONDITIONS: dict[str, Callable[[Any, Asked], bool]] = {
    "api": lambda wanted, asked: bool(asked.dialect == wanted),
    "path": lambda wanted, asked: fnmatchcase(asked.path, wanted),
    "model": lambda wanted, asked: fnmatchcase(asked.model, wanted),
    "stream": lambda wanted, asked: asked.stream is wanted,
    "contains": lambda wanted, asked: wanted.encode() in asked.body,
    "tool": lambda wanted, asked: wanted in asked.tools,
    "has_tool_result": lambda wanted, asked: asked.has_tool_result is wanted,
    "turn": lambda wanted, asked: bool(asked.turn == wanted),
    "query": lambda wanted, asked: wanted.items() <= asked.query.items(),
    "headers": lambda wanted, asked: all(asked.headers.get(name.lower()) == value for name, value in wanted.items()),
}


class Book:
    """A script being played. `choose` is the only thing that moves it on."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._met = [0] * len(script.rules)
        self._used = [0] * len(script.rules)
        self._sought: dict[str, tuple[float, int]] = {}
        """By the id of a generation: when it was first asked for, and how often."""

    def choose(self, asked: Asked) -> tuple[int | None, Reply]:
        """The position of the rule that answers (None: no rule) and its reply."""
        fitting = [n for n, rule in enumerate(self._script.rules) if fits(rule.match, asked)]
        for n in fitting:
            self._met[n] += 1
        chosen = next((n for n in fitting if self._is_due(n)), None)
        if chosen is None:
            return None, self._remembered(asked) if asked.endpoint == "generation" else _unruled(self._script, asked)
        self._used[chosen] += 1
        return chosen, self._script.rules[chosen].reply

    def _remembered(self, asked: Asked) -> Reply:
        """The generation record that is asked for, once it has appeared."""
        id = asked.query.get("id", "")
        found = next((generation for generation in self._script.generations if generation.id == id), None)
        if found is not None:
            first, asks = self._sought.setdefault(id, (asked.arrived, 0))
            self._sought[id] = (first, asks + 1)
            if asks >= found.after_asks and (asked.arrived - first) * 1000 >= found.after_ms:
                return Reply(body={"data": {"id": id, **found.record}})
        return Reply(status=404, error=Error(message=f"Generation {id} not found"))

    def _is_due(self, n: int) -> bool:
        rule = self._script.rules[n]
        left = rule.times is None or self._used[n] < rule.times
        return left and rule.match.nth in (None, self._met[n])


def fits(match: Match, asked: Asked) -> bool:
    """Whether all conditions hold but `nth`, which is not about the request."""
    if match.path is None and asked.endpoint not in GENERATING:
        return False
    wanted = ((name, getattr(match, name)) for name in _CONDITIONS)
    return all(_CONDITIONS[name](value, asked) for name, value in wanted if value is not None)


def _unruled(script: Script, asked: Asked) -> Reply:
    if asked.endpoint == "unknown":
        return Reply(status=404, error=Error(message=f"The scripted upstream has nothing at {asked.path}."))
    if asked.endpoint not in GENERATING:
        return Reply()
    if asked.json is None:
        return Reply(status=400, error=Error(message="The body is not a JSON object."))
    return script.default or Reply(text=f"You said: {asked.user_text[:_LONGEST_ECHO]}")
