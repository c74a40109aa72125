"""Reasoning in Chat, which the API's owner has no words for: `reasoning_details` of OpenRouter, with its seals, and the
plain `reasoning_content` and `reasoning` of everybody else. They repeat each other.

A detail comes whole or in fragments of one index, text first and the signature last in a fragment of its own (wire
notes, section 10). What is left of a detail without its text and index is its seal.
"""

from __future__ import annotations

from typing import Any

import msgspec

from trivium.canon.parts import Reasoning, Seal
from trivium.wire.envelope import DETAIL, MARK, open_
from trivium.wire.lenient import is_shallow, mapping, sequence, text

_TEXT = "reasoning.text"
MEMBERS = ("reasoning_content", "reasoning", "reasoning_details")
"""Where reasoning lies. Each may be a string: the last is one where opencode's models are set up so."""
_encode = msgspec.json.Encoder(order="sorted", decimal_format="number").encode
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


def reasoning_of(message: dict[str, Any], at: str) -> list[Reasoning]:
    """What an assistant's message in a request says of its reasoning."""
    plain = next(filter(None, (text(message.get(name)) for name in MEMBERS)), "")
    details = merged(sequence(message.get("reasoning_details")))
    if not details:
        return [Reasoning(plain, f"{at}.reasoning_content")] if plain else []
    texts = [text_of(detail) for detail in details]
    if plain and not any(texts):
        texts[0] = plain
    where = f"{at}.reasoning_details"
    return [
        Reasoning(said, f"{where}[{place}]", _seal_of(detail, said))
        for place, (detail, said) in enumerate(zip(details, texts, strict=True))
    ]


def placed(message: dict[str, Any], told: str, place: str) -> dict[str, Any]:
    """An assistant's message with its plain reasoning where the upstream takes it (`Traits.reasoning_member`)."""
    if place != "thinking":
        return {**message, place: told}
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if content and type(content) is str else sequence(content)
    return {**message, "content": [{"type": "thinking", "thinking": [{"type": "text", "text": told}]}, *parts]}


def merged(details: list[Any]) -> list[dict[str, Any]]:
    """Details in one piece each. A fragment goes on with the one before it if type and index are the same."""
    whole: list[dict[str, Any]] = []
    texts: list[list[str]] = []
    for detail in map(mapping, details):
        last = whole[-1] if whole else {}
        same = last.get("type") == detail.get("type") == _TEXT and last.get("index") == detail.get("index")
        if same and not last.get("signature"):
            last.update((key, value) for key, value in detail.items() if value is not None)
            texts[-1].append(text(detail.get("text")))
        elif detail:
            whole.append({**detail})
            texts.append([text(detail.get("text"))])
    for detail, pieces in zip(whole, texts, strict=True):
        if len(pieces) > 1:
            detail["text"] = "".join(pieces)
    return whole


def text_of(detail: dict[str, Any]) -> str:
    return text(detail.get("text")) or text(detail.get("summary"))


def is_sealed(detail: dict[str, Any]) -> bool:
    return bool(text(detail.get("signature")) or text(detail.get("data")))


def seal(detail: dict[str, Any]) -> Seal:
    """The seal of a detail as its provider made it."""
    kept = {
        key: value
        for key, value in detail.items()
        if key not in ("text", "summary", "index") and value is not None and is_shallow(value)
    }
    return Seal(DETAIL, _encode(kept).decode())


def unsealed(seal: Seal) -> dict[str, msgspec.Raw]:
    """What is left of a detail without text and index; nothing where a client made the seal up."""
    try:
        return _members.decode(seal.data)
    except (ValueError, RecursionError):
        return {}


def _seal_of(detail: dict[str, Any], said: str) -> Seal | None:
    for key in ("signature", "data"):
        if (sealed := text(detail.get(key))).startswith(MARK):
            return open_(sealed, said, DETAIL)
    return seal(detail) if is_sealed(detail) else None
