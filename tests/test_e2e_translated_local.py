"""The real embedded model behind each of its APIs alone: every SDK gets words through each translation, and the records
tell the tokens that it saw."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway import running
from support_sdks import STREAMED, WAYS, clients, recorded
from support_translated import APIS
from trivium.upstream.local import LocalModel
from trivium.upstream.local_model import MODEL

ABSENT = LocalModel(Path()).available()
pytestmark = pytest.mark.skipif(ABSENT is not None, reason=ABSENT or "")

PATIENCE = 60.0
"""Seconds for what takes two: the machine may be busy."""


async def test_all_sdks_get_words_through_every_translation_and_the_records_tell_their_tokens(tmp_path: Path) -> None:
    model = LocalModel(tmp_path)
    await model.start()
    try:
        await model.wait_ready(PATIENCE)
        await _ask_in_all_directions(model.base_url)
    finally:
        await model.stop()
        shutil.rmtree(tmp_path / "cache")  # the weights are large


async def _ask_in_all_directions(url: str) -> None:
    """One provider for each API of the model's server."""
    tables = [f'[providers.{api}]\nbase_url = "{url}/v1"\napis = ["{api}"]\nmodels = ["{MODEL}"]\n' for api in APIS]
    async with running(settings="".join(tables)) as house, clients(house.url, house.key) as on:
        for upstream in APIS:
            ways = [way for way in WAYS if "sync" not in way and not way.startswith(upstream)]
            for way in ways:
                seen = await WAYS[way](on, f"{upstream}/{MODEL}")
                record = (await house.records())[0]
                case = (upstream, way)
                assert (case, bool(seen.text.strip())) == (case, True)
                assert (case, *recorded(record)) == (case, *seen[1:])
                assert (record["outcome"], record["provider"]) == ("success", upstream)
                assert record["stream"] == way.endswith(STREAMED)
