"""Requests that pass as bytes, freed of what their upstream cannot open.

A conversation that began with an upstream of another API holds reasoning in envelopes. When it goes on with an upstream
of the client's own API, nobody there can open them, and a vendor refuses what looks like a seal and is none. They are
looked for with one byte search; only a request that has some is read.

What is no envelope was sealed by an upstream of the client's API. Which one cannot be seen, so that all of it goes
along; where several routes lead to a model, one may refuse what another has sealed, and is asked once more without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from trivium.canon.api import Api
from trivium.wire.body import Members
from trivium.wire.draft import CONVERSATION, Draft
from trivium.wire.envelope import MARK
from trivium.wire.lenient import mapping, sequence, text
from trivium.wire.losses import Losses
from trivium.wire.unthinking import chain_is_thought, thinks_by_budget, without_thinking

_SEARCHED = b'"' + MARK.encode()
_RARE = MARK.encode()[0]
"""A single byte is found ten times as fast as several, and as a number faster still: `in` takes bytes for one first,
and an exception for its answer. Few bodies have it."""
_WHY = "reasoning of an upstream with another API: only its origin takes it back"
_REFUSED = "this provider refuses what another has sealed; asked once more without it"
_UNTHOUGHT = "the last turn with calls came without thinking that this model would take back"


def without_envelopes(api: Api, body: bytes, members: Members, losses: Losses) -> dict[str, bytes]:
    """The members to put in place of those that hold envelopes, as JSON; none as a rule. Raises InvalidJson."""
    if _RARE not in body or _SEARCHED not in body:
        return {}
    return _cleaned(api, members, _Lost(_is_ours, _WHY, losses), losses)


def without_seals(api: Api, members: Members, losses: Losses) -> dict[str, bytes]:
    """The same for all reasoning that an upstream has refused. Raises InvalidJson."""
    return _cleaned(api, members, _Lost(_is_reasoning, _REFUSED, losses), losses)


def _is_ours(said: dict[str, Any]) -> bool:
    return any(text(said.get(name)).startswith(MARK) for name in ("signature", "data", "encrypted_content"))


def _is_reasoning(said: dict[str, Any]) -> bool:
    return text(said.get("type")).startswith(("reasoning", "thinking", "redacted_thinking"))


class _Lost(NamedTuple):
    """Which entries of a conversation go, and what is said of it."""

    means: Callable[[dict[str, Any]], bool]
    why: str
    losses: Losses

    def has(self, entry: Any, at: str) -> bool:
        if not self.means(mapping(entry)):
            return False
        self.losses.add(at, self.why)
        return True


def _cleaned(api: Api, members: Members, lost: _Lost, losses: Losses) -> dict[str, bytes]:
    name, draft = CONVERSATION[api], Draft(api, members, losses)
    after = _CLEANERS[api](draft.entries(name), lost)
    draft.put_entries(name, after)
    if not draft.changed:
        return {}
    changes = {name: draft.raw(name)}
    if api is Api.MESSAGES and thinks_by_budget(members) and not chain_is_thought(after):
        changes |= without_thinking(members, _UNTHOUGHT, losses)
    return changes


def _chat(messages: list[Any], lost: _Lost) -> list[Any]:
    return [_without(message, "reasoning_details", f"messages[{n}]", lost) for n, message in enumerate(messages)]


def _messages(messages: list[Any], lost: _Lost) -> list[Any]:
    cleaned = [_without(message, "content", f"messages[{n}]", lost) for n, message in enumerate(messages)]
    return [after for before, after in zip(messages, cleaned, strict=True) if after is before or "content" in after]


def _without(message: Any, name: str, at: str, lost: _Lost) -> Any:
    """The message without the entries of one of its lists that go, and without a list of nothing else."""
    entries = sequence(mapping(message).get(name))
    kept = [entry for place, entry in enumerate(entries) if not lost.has(entry, f"{at}.{name}[{place}]")]
    if len(kept) == len(entries):
        return message
    return {**message, name: kept} if kept else {key: said for key, said in message.items() if key != name}


def _responses(items: list[Any], lost: _Lost) -> list[Any]:
    return [item for place, item in enumerate(items) if not lost.has(item, f"input[{place}]")]


_CLEANERS: dict[Api, Callable[[list[Any], _Lost], list[Any]]] = {
    Api.CHAT: _chat,
    Api.RESPONSES: _responses,
    Api.MESSAGES: _messages,
}
