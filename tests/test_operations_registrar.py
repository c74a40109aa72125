"""Own keys whose vendor is called through OpenRouter are registered there, and nothing else is."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from support_openrouter import MANAGEMENT, WORKSPACE, OpenRouterDouble, openrouter
from test_pipeline_own import CREDITS, KEY, OTHER, People, people
from trivium import config
from trivium.errors import Conflict, OperationError, SecretUnreadable
from trivium.mock import Reply
from trivium.providers.openrouter import KeptCredential
from trivium.server.parts import check_whole
from trivium.settings import Settings
from trivium.store.envelopes import Keyring

VIA = f"""{CREDITS}[byok.via]
anthropic = "openrouter"
openai = "openrouter"
[byok.openrouter]
management_key = "{MANAGEMENT}"
workspace = "{WORKSPACE}"
[providers.openrouter]
key = "house-key"
models = []
base_url = "URL"
"""


@contextlib.asynccontextmanager
async def at_openrouter(*rules: Reply) -> AsyncIterator[tuple[People, OpenRouterDouble]]:
    """Ann, in a house that calls Anthropic and OpenAI through OpenRouter. `rules` are those of its other provider."""
    async with openrouter() as there, people(*rules, settings=VIA.replace("URL", there.url)) as ann:
        yield ann, there


async def bring(ann: People, key: str = KEY, vendor: str = "anthropic", **what: Any) -> dict[str, Any]:
    return await ann.bring(vendor, key, base_url=None, **what)


async def kept(ann: People) -> list[KeptCredential]:
    """What is sealed here."""
    secrets = ann.house.gateway.store.secrets
    return [msgspec.json.decode(secrets.plain(one), type=KeptCredential) for one in await secrets.every(["anthropic"])]


async def agree(ann: People, there: OpenRouterDouble) -> bool:
    """Each key that is kept has its own API key there, and nothing else is there."""
    registered = [one.at_openrouter for one in await kept(ann)]
    hashes = {one.hash for one in registered if one}
    return (
        None not in registered
        and hashes == set(there.api_keys)
        and {one.credential_id for one in registered if one} == set(there.byok)
    )


async def test_a_key_is_registered_for_an_api_key_of_its_own_and_never_replaced() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        ((hash, api_key),) = there.api_keys.items()
        (credential,) = there.byok.values()
        (sealed,) = await kept(ann)
    assert (credential["provider"], credential["key"], credential["workspace_id"]) == ("anthropic", KEY, WORKSPACE)
    assert credential["allowed_api_key_hashes"] == [hash]
    assert (credential["is_byok_only"], credential["is_required"], credential["is_fallback"]) == (True, True, False)
    assert (api_key["limit"], api_key["limit_reset"], api_key["include_byok_in_limit"]) == (5.0, "monthly", False)
    assert sealed.at_openrouter is not None
    assert (sealed.key, sealed.at_openrouter.api_key) == (KEY, api_key["key"])


async def test_what_becomes_of_a_key_here_becomes_of_it_there() -> None:
    async with at_openrouter() as (ann, there):
        added = await bring(ann)
        await bring(ann, OTHER, organization="acme")
        assert await agree(ann, there)
        who = {"user": "ann", "key": added["id"]}
        await ann.perform("byok.set", {**who, "name": "renamed"})
        assert there.keys_of("anthropic") == [KEY, OTHER]
        await ann.perform("byok.set", {**who, "credential": {"key": "sk-own-third-one"}})
        assert sorted(there.keys_of("anthropic")) == sorted([OTHER, "sk-own-third-one"])
        await ann.perform("byok.set", {**who, "enabled": False})
        assert there.keys_of("anthropic") == [OTHER]
        await ann.perform("byok.set", {**who, "credential": {"key": KEY}})
        assert there.keys_of("anthropic") == [OTHER]  # it is still switched off
        await ann.perform("byok.set", {**who, "enabled": True})
        assert sorted(there.keys_of("anthropic")) == sorted([OTHER, KEY])
        assert await agree(ann, there)
        await ann.perform("byok.remove", who)
        assert there.keys_of("anthropic") == [OTHER]
        assert await agree(ann, there)


async def test_an_api_key_goes_before_the_key_that_pays_for_it_and_comes_after_nobody() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        await ann.perform("byok.remove", {"user": "ann", "key": "main"})
    assert there.asked == ["POST /keys", "POST /byok", "DELETE /keys", "DELETE /byok"]


@pytest.mark.parametrize("failing", ["POST /keys", "POST /byok"])
async def test_that_openrouter_refuses_is_told_and_nothing_is_kept_anywhere(failing: str) -> None:
    async with at_openrouter() as (ann, there):
        there.failing[failing] = 400
        with pytest.raises(OperationError) as told:
            await bring(ann)
        assert await ann.perform("byok.list", {"user": "ann"}) == []
    assert told.value.message.startswith("OpenRouter refused (status 400): no: ")
    assert not there.api_keys
    assert not there.byok
    for secret in (KEY, MANAGEMENT, "sk-or-v1-canary"):
        assert secret not in f"{told.value.message} {told.value.detail}"


@pytest.mark.parametrize("forgotten", ["is_byok_only", "allowed_api_key_hashes"])
async def test_a_server_that_would_let_somebody_else_pay_registers_nothing(forgotten: str) -> None:
    async with at_openrouter() as (ann, there):
        there.forgets = {forgotten}
        with pytest.raises(OperationError, match="did not keep the key to its owner alone"):
            await bring(ann)
        assert await ann.perform("byok.list", {"user": "ann"}) == []
    assert (there.api_keys, there.byok) == ({}, {})


async def test_a_change_that_fails_here_leaves_nothing_there() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        with pytest.raises(Conflict):
            await bring(ann, OTHER)
        assert there.keys_of("anthropic") == [KEY]
        await bring(ann, OTHER, name="second")
        with pytest.raises(Conflict):
            await ann.perform(
                "byok.set", {"user": "ann", "key": "second", "name": "main", "credential": {"key": "sk-own-third-one"}}
            )
        assert there.keys_of("anthropic") == [KEY, OTHER]
        assert await agree(ann, there)


async def test_what_could_not_be_removed_there_is_removed_later(caplog: pytest.LogCaptureFixture) -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        there.failing["DELETE /keys"] = 500
        with caplog.at_level(logging.WARNING):
            await ann.perform("byok.remove", {"user": "ann", "key": "main"})
        assert there.keys_of("anthropic") == [KEY]
        there.failing.clear()
        await ann.house.gateway.registrar.reconcile()
        assert there.keys_of("anthropic") == [KEY]  # it might be what another gateway is about to keep
        there.age(minutes=20)
        await ann.house.gateway.registrar.reconcile()
    assert (there.api_keys, there.byok) == ({}, {})
    assert "is removed later" in caplog.text
    assert "canary" not in caplog.text


async def test_what_a_crash_left_there_alone_goes_and_what_others_have_there_stays() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        registrar = ann.house.gateway.registrar
        await registrar.registered("anthropic", KeptCredential(key="sk-own-of-a-crash"))
        theirs = {"name": "theirs", "workspace_id": WORKSPACE, "allowed_api_key_hashes": []}
        there._made("keys", dict(theirs))
        there._made("byok", {**theirs, "provider": "openai", "key": "sk-theirs"})
        there.age(hours=1)
        await registrar.reconcile()
        assert there.keys_of("anthropic") == [KEY]
        assert there.keys_of("openai") == ["sk-theirs"]
        assert len(there.api_keys) == 2


@pytest.mark.parametrize("lost", ["all", "api_keys", "byok", "limit", "disabled", "opened"])
async def test_what_is_not_there_as_it_should_be_is_registered_anew(lost: str) -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        for kind in ("api_keys", "byok"):
            if lost in ("all", kind):
                getattr(there, kind).clear()
        for key in there.api_keys.values():
            key["limit"] = 500 if lost == "limit" else key["limit"]
        for one in there.byok.values():
            one["disabled"] = lost == "disabled"
            one["is_byok_only"] = lost != "opened"
        await ann.house.gateway.registrar.reconcile()
        assert there.keys_of("anthropic") == [KEY]
        assert await agree(ann, there)


async def test_keys_from_before_are_registered_and_those_of_afterwards_removed() -> None:
    async with openrouter() as there:
        text = VIA.replace("URL", there.url)
        direct = text.replace('anthropic = "openrouter"\n', "")
        async with people(settings=direct) as ann:
            await bring(ann)
            house = ann.house.gateway
            assert there.api_keys == {}
            await house.apply(_as(house.settings, text))
            await house.registrar.reconcile()
            assert there.keys_of("anthropic") == [KEY]
            assert await agree(ann, there)
            there.age(hours=1)
            await house.apply(_as(house.settings, direct))
            await house.registrar.reconcile()
            assert (there.api_keys, there.byok) == ({}, {})


def _as(now: Settings, text: str) -> Settings:
    """The settings with the other `[byok]` of a text."""
    return msgspec.structs.replace(now, byok=config.parse(text).byok)


async def test_while_a_key_cannot_be_opened_nothing_is_removed() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        there.age(hours=1)
        secrets = ann.house.gateway.store.secrets
        secrets.ring, ring = Keyring([("other", b"k" * 32)]), secrets.ring
        await ann.house.gateway.registrar.reconcile()
        assert there.keys_of("anthropic") == [KEY]
        await ann.perform("byok.set", {"user": "ann", "key": "main", "enabled": False})
        with pytest.raises(SecretUnreadable):
            await ann.perform("byok.set", {"user": "ann", "key": "main", "enabled": True})
        secrets.ring = ring
        await ann.house.gateway.registrar.reconcile()
    assert there.api_keys == {}


async def test_the_look_goes_on_after_openrouter_was_not_there(caplog: pytest.LogCaptureFixture) -> None:
    async with at_openrouter() as (ann, there):
        registrar = ann.house.gateway.registrar
        await bring(ann)
        there.api_keys.clear()
        there.failing["GET /keys"] = 503
        with caplog.at_level(logging.ERROR):
            looking = asyncio.create_task(registrar.run())
            async with asyncio.timeout(30):
                while "may differ" not in caplog.text:  # noqa: ASYNC110 # written by the code under test
                    await asyncio.sleep(0.005)
                there.failing.clear()
                registrar.soon()
                while not there.api_keys:  # noqa: ASYNC110 # filled by the server
                    await asyncio.sleep(0.005)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
    assert MANAGEMENT not in caplog.text


async def test_openrouter_knows_no_base_url_of_ones_own() -> None:
    async with at_openrouter() as (ann, there):
        with pytest.raises(OperationError, match="knows no base URL of your own"):
            await ann.bring("anthropic", base_url="https://example.org/v1")
        await bring(ann)
        with pytest.raises(OperationError, match="knows no base URL of your own"):
            await ann.perform("byok.set", {"user": "ann", "key": "main", "base_url": "https://example.org/v1"})
        assert there.keys_of("anthropic") == [KEY]


async def test_many_keys_are_listed_page_by_page() -> None:
    async with at_openrouter() as (ann, there):
        await bring(ann)
        for number in range(150):
            name = {"name": f"theirs {number}", "workspace_id": WORKSPACE}
            there.api_keys = {f"{number:064x}": {**name, "hash": f"{number:064x}", "key": "k"}} | there.api_keys
        there.age(hours=1)
        before = set(there.api_keys)
        await ann.house.gateway.registrar.reconcile()
    assert set(there.api_keys) == before


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('anthropic = "openrouter"', 'bedrock = "openrouter"', "OpenRouter takes no keys for this vendor"),
        ("[byok.openrouter]", "[x]", "x: unknown section"),
        ("[providers.openrouter]", '[providers.other]\ntype = "openai-compatible"', "needs a provider of the type `op"),
        (MANAGEMENT, "env:NOT_THERE", "the environment variable NOT_THERE is not set"),
        (WORKSPACE, "default", "byok.openrouter.workspace"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path: Any, old: str, new: str, said: str) -> None:
    with pytest.raises(Exception, match=said):
        text = VIA.replace("URL", "https://openrouter.ai/api/v1").replace(old, new)
        check_whole(config.parse(text + "[local]\nenabled = false\n[auto]\nenabled = false\n"), tmp_path, {})


def test_without_a_place_to_register_keys_nothing_goes_through_openrouter(tmp_path: Any) -> None:
    text = '[byok.via]\nanthropic = "openrouter"\n[providers.openrouter]\nkey = "house-key"\n[auto]\nenabled = false\n'
    with pytest.raises(Exception, match=r"needs `\[byok.openrouter\]`, which says where keys are registered"):
        check_whole(config.parse(text), tmp_path, {})
