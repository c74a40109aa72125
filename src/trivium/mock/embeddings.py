"""Vectors as OpenAI's endpoint answers them: those of the script, or some made of the texts, the same for the same.

They point somewhere and have a length of 1; that texts alike had vectors alike is not to be expected of a double.
"""

from __future__ import annotations

import base64
import hashlib
import math
import struct
from typing import Any

from trivium.mock.asked import Asked
from trivium.mock.script import Model, Reply

_DIMENSION = 3


def embeddings(reply: Reply, asked: Asked, _models: list[Model]) -> dict[str, Any]:
    """The body of an answer."""
    said = asked.json or {}
    encoding = reply.encoding or said.get("encoding_format") or "float"
    size = said.get("dimensions") or _DIMENSION
    vectors = reply.vectors or [_vector(str(text), size) for text in _inputs(said.get("input"))]
    used = reply.usage.whole_input if reply.usage else asked.tokens
    usage = {"prompt_tokens": used, "total_tokens": used, **({} if reply.cost is None else {"cost": reply.cost})}
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": n, "embedding": _written(vector, encoding)}
            for n, vector in enumerate(vectors)
        ],
        "model": reply.model or asked.model,
        **({} if reply.no_usage else {"usage": usage}),
    }


def _inputs(said: Any) -> list[Any]:
    """A text and a list of tokens are one input each."""
    is_list = isinstance(said, list) and not all(isinstance(one, int) for one in said)
    return said if is_list else [said]


def _vector(text: str, size: int) -> list[float]:
    data = b"".join(hashlib.sha256(f"{n} {text}".encode()).digest() for n in range(size * 4 // 32 + 1))
    numbers = [int.from_bytes(four) / 2**31 - 1 for four in zip(*[iter(data[: size * 4])] * 4, strict=True)]
    length = math.sqrt(sum(number * number for number in numbers)) or 1.0
    return [number / length for number in numbers]


def _written(vector: list[float], encoding: str) -> list[float] | str:
    if encoding == "float":
        return vector
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
