"""Who says what."""

from __future__ import annotations

from conformance.feature import Feature, Like, M
from conformance.features.words import HELLO, HI, MORE, asks, same_turns, spoken, turns
from trivium.mock import Reply

_TEXT = 'Grüße, 三, \u2028 "quoted" \U0001f600.'
_LEADING = [{"role": "developer", "content": "Be brief."}, HI]
_LATE = {"role": "system", "content": "Be brief."}
_LATE_TURNS = [HI, HELLO, _LATE, MORE]


def _said(role: str, text: str, kind: str) -> dict[str, object]:
    return {"role": role, "content": [{"type": kind, "text": text}]}


_MESSAGES = [_said("user", "hi", "text"), _said("assistant", "Hello.", "text"), _said("user", "Go on.", "text")]
_ITEMS = [
    _said("user", "hi", "input_text"),
    _said("assistant", "Hello.", "output_text"),
    _said("user", "Go on.", "input_text"),
]
_MARKED = {"role": "user", "content": [{"type": "text", "text": Like("Be brief")}, {"type": "text", "text": "Go on."}]}
_LATE_ITEM = _said("system", "Be brief.", "input_text")

CONVERSATION = [
    Feature(
        name="text",
        asks=same_turns({"role": "user", "content": _TEXT}),
        told=turns(
            [{"role": "user", "content": _TEXT}],
            [_said("user", _TEXT, "input_text")],
            [_said("user", _TEXT, "text")],
        ),
        reply=Reply(text=_TEXT),
        heard=spoken(_TEXT),
    ),
    Feature(
        name="several turns",
        asks=same_turns(HI, HELLO, MORE),
        told=turns([HI, HELLO, MORE], _ITEMS, _MESSAGES),
    ),
    Feature(
        name="system prompt",
        asks=asks({"messages": [_LATE, HI]}, {"instructions": "Be brief."}, {"system": "Be brief."}),
        told={M: {"system": [{"type": "text", "text": "Be brief."}]}},
    ),
    Feature(
        name="developer role",
        asks=turns(_LEADING, _LEADING),
        told=asks(
            {"messages": _LEADING}, {"instructions": "Be brief."}, {"system": [{"type": "text", "text": "Be brief."}]}
        ),
    ),
    Feature(
        name="developer role",
        asks=turns(_LEADING, _LEADING),
        told=asks(
            {"messages": [_LATE, HI]},
            {"instructions": "Be brief."},
            {"system": [{"type": "text", "text": "Be brief."}]},
        ),
        upstreams="strangers",
    ),
    Feature(
        name="system message in mid-conversation",
        asks=same_turns(*_LATE_TURNS),
        told=turns(_LATE_TURNS, [*_ITEMS[:2], _LATE_ITEM, _ITEMS[2]], [*_MESSAGES[:2], _MARKED]),
    ),
    Feature(
        name="system message in mid-conversation",
        asks=turns(_LATE_TURNS, _LATE_TURNS, [*_MESSAGES[:2], _LATE, MORE]),
        told=turns([_LATE, HI, HELLO, MORE], [*_ITEMS[:2], _LATE_ITEM, _ITEMS[2]], [*_MESSAGES[:2], _MARKED]),
        upstreams="strangers",
    ),
    Feature(
        name="a turn of the assistant's at the end, to be gone on with",
        asks=same_turns(HI, HELLO),
        told=turns([HI, HELLO], _ITEMS[:2], _MESSAGES[:2]),
    ),
    Feature(
        name="a turn of the assistant's at the end, to be gone on with",
        asks=same_turns(HI, HELLO),
        told=turns([HI, HELLO], _ITEMS[:2], [*_MESSAGES[:2], {"role": "user", "content": [{"text": "Continue."}]}]),
        upstreams="thinkers",
    ),
]
