"""Vectors of the scripted upstream."""

from __future__ import annotations

import base64
import math
import struct
from typing import Any

import aiohttp
import pytest

from trivium.mock import Match, Reply, Rule, Script, ScriptedUpstream, Usage


async def ask(script: Script, **body: Any) -> dict[str, Any]:
    async with (
        ScriptedUpstream(script) as upstream,
        aiohttp.ClientSession() as session,
        session.post(f"{upstream.url}/v1/embeddings", json={"model": "e", "input": "a", **body}) as response,
    ):
        answer: dict[str, Any] = await response.json()
        return answer


@pytest.mark.parametrize(("input", "count"), [("a", 1), (["a", "b"], 2), ([1, 2, 3], 1), ([[1], [2, 3]], 2)])
async def test_each_input_has_a_vector_of_length_one_and_the_same_text_the_same(input: Any, count: int) -> None:
    first, again = [await ask(Script(), input=input, dimensions=40) for _ in range(2)]
    vectors = [entry["embedding"] for entry in first["data"]]
    assert first == again
    assert [(len(vector), round(math.hypot(*vector), 9)) for vector in vectors] == [(40, 1.0)] * count
    assert len({tuple(vector) for vector in vectors}) == count


async def test_the_script_says_vectors_figures_and_how_they_are_written() -> None:
    reply = Reply(vectors=[[0.5, -1]], encoding="base64", usage=Usage(input=7), cost=0.1, model="other")
    answer = await ask(Script(rules=[Rule(reply, Match(model="e"))]))
    assert answer["data"][0]["embedding"] == base64.b64encode(struct.pack("<2f", 0.5, -1)).decode()
    assert (answer["usage"], answer["model"]) == ({"prompt_tokens": 7, "total_tokens": 7, "cost": 0.1}, "other")
    assert "usage" not in await ask(Script(default=Reply(no_usage=True)))
