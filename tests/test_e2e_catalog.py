"""A gateway over its folder, from one day to the next: what it knows of models whose provider is away."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from trivium import config
from trivium.mock import Model, Script, ScriptedUpstream
from trivium.server.deps import Gateway

RECORDED = Path(__file__).parents[2] / "shared" / "wire" / "recordings" / "models" / "openrouter"
OPENROUTER = {
    "name": "Maker: One",
    "context_length": 200_000,
    "pricing": {"prompt": "0.000003", "completion": "0.000015"},
    "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
    "top_provider": {"max_completion_tokens": 64_000},
    "supported_parameters": ["tools"],
}
VERCEL = {
    "name": "One",
    "context_window": 200_000,
    "max_tokens": 64_000,
    "type": "language",
    "tags": ["tool-use", "vision"],
    "pricing": {"input": "0.000003", "output": "0.000015"},
}


async def opened(folder: Path, url: str, said: str = "lists_prices = true") -> Gateway:
    text = f'[local]\nenabled = false\n[providers.up]\nbase_url = "{url}/v1"\n{said}\n'
    gateway = Gateway(config.parse(text), folder, {})
    await gateway.open()
    return gateway


def known(gateway: Gateway) -> list[Any]:
    """What is known of each model, price included."""
    up, deps = gateway.providers["up"], gateway.deps
    return [(entry, deps.prices.quote(up, entry.id, None, 10**13)) for _, entry in deps.catalog.models]


@pytest.mark.parametrize("shape", [OPENROUTER, VERCEL], ids=["openrouter", "vercel"])
async def test_models_and_prices_are_there_while_the_provider_is_away(tmp_path: Path, shape: dict[str, Any]) -> None:
    async with ScriptedUpstream(Script(models=[Model("maker/one", extra=shape), Model("maker/two")])) as upstream:
        url = upstream.url
        first = await opened(tmp_path, url)
        await first.operations.perform("catalog.refresh", {})
        before = known(first)
        await first.close()
    second = await opened(tmp_path, url)  # where nobody listens any more
    (source,) = await second.operations.perform("catalog.refresh", {})
    assert (source["origin"], source["models"], source["failures"]) == ("disk", 2, 1)
    assert known(second) == before
    assert second.deps.catalog.resolve("maker/one").provider.name == "up"
    await second.close()
    ((entry, quote), _) = before
    assert (entry.context, entry.output_limit, entry.takes, entry.parameters) == (
        200_000, 64_000, ("text", "image"), ("tools",)
    )  # fmt: skip
    assert (quote.price.rates.input, quote.price.rates.output) == (3 * 10**9, 15 * 10**9)


async def test_a_list_in_who_knows_which_unit_makes_no_price(tmp_path: Path) -> None:
    together = {"pricing": {"hourly": 0, "input": 0.003, "output": 0.003, "base": 0, "finetune": 0}}
    async with ScriptedUpstream(Script(models=[Model("maker/one", extra=together)])) as upstream:
        for said, price in (("", None), ("lists_prices = true", 3_000 * 10**9)):
            gateway = await opened(tmp_path, upstream.url, said)
            await gateway.operations.perform("catalog.refresh", {})
            ((_, quote),) = known(gateway)
            await gateway.close()
            assert (quote and quote.price.rates.input) == price


@pytest.mark.skipif(not RECORDED.exists(), reason="needs recorded lists of models, which are kept elsewhere")
async def test_a_recorded_list_of_openrouter_survives_a_restart_whole(tmp_path: Path) -> None:
    entries = [
        entry for file in sorted(RECORDED.glob("*/response.json")) for entry in json.loads(file.read_bytes())["data"]
    ]
    models = [
        Model(entry["id"], extra={name: value for name, value in entry.items() if name != "id"})
        for entry in {entry["id"]: entry for entry in entries}.values()
    ]
    async with ScriptedUpstream(Script(models=models)) as upstream:
        first = await opened(tmp_path, upstream.url)
        await first.operations.perform("catalog.refresh", {})
        before = known(first)
        await first.close()
        second = await opened(tmp_path, upstream.url)
        assert known(second) == before
        await second.close()
    assert len(before) == len(models) > 1
    assert all(quote is not None and quote.source == "list" for _, quote in before)
