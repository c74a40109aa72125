"""Embeddings with OpenAI's SDK by way of a scripted upstream. With the embedded model: `test_e2e_local.py`."""

from __future__ import annotations

import base64
import struct
from typing import Any

import openai
import pytest

from gateway import running
from support_sdks import clients
from support_solo import SOLO
from trivium.mock import Error, Reply, Usage

VECTORS = [[0.5, -0.25, 2.0**-20], [1.0, 0.0, 3.0]]


@pytest.mark.parametrize("written", ["float", "base64"])
async def test_the_sdk_gets_the_same_numbers_in_every_way_of_asking(written: Any) -> None:
    async with (
        running(Reply(vectors=VECTORS, usage=Usage(input=12), encoding=written), provider=SOLO) as house,
        clients(house.url, house.key) as on,
    ):
        inputs: list[Any] = ["a", ["a", "b"], [1, 2, 3], [[1, 2], [3]]]
        for input in inputs:
            # By default the SDK asks for base64 and decodes it.
            for encoding in (openai.omit, "float"):
                answer = await on.openai.embeddings.create(model="e-1", input=input, encoding_format=encoding)
                assert [entry.embedding for entry in answer.data] == VECTORS
                assert (answer.usage.prompt_tokens, answer.model) == (12, "e-1")
        plain = await on.openai.embeddings.create(model="e-1", input="a", encoding_format="base64")
        assert base64.b64decode(str(plain.data[0].embedding)) == struct.pack("<3f", *VECTORS[0])
        assert {record["input_uncached_tokens"] for record in await house.records()} == {12}


async def test_the_sdk_raises_what_the_gateway_and_the_upstream_refuse() -> None:
    async with running(Reply(status=429, error=Error()), provider=SOLO) as house, clients(house.url, house.key) as on:
        with pytest.raises(openai.RateLimitError):
            await on.openai.embeddings.create(model="e-1", input="a")
        with pytest.raises(openai.BadRequestError, match="dimensions"):
            await on.openai.embeddings.create(model="e-1", input="a", dimensions=-1)
    async with running() as house, clients(house.url, house.key) as on:
        with pytest.raises(openai.BadRequestError, match="does not serve"):
            await on.openai.embeddings.create(model="m", input="a")
