"""Several keys of one provider: calls are spread over them, and one that fails rests while the others answer."""

from __future__ import annotations

import re
from typing import Any

from gateway import CHAT, Running, running
from trivium.mock import Error, Match, Reply, Rule

KEYS = "key = 'sk-a'\nkeys = ['sk-b', 'sk-c']"


def refusing(key: str, status: int, **headers: str) -> Rule:
    return Rule(
        Reply(status=status, error=Error(message="no"), headers=headers),
        Match(headers={"authorization": f"Bearer {key}"}),
    )


def used(house: Running) -> list[str]:
    return [dict(one.headers)["authorization"].removeprefix("Bearer sk-") for one in house.upstream.requests]


async def ask(house: Running, session: str) -> tuple[int, Any]:
    status, said, _ = await house.post("/v1/chat/completions", CHAT, headers={"x-trivium-session": session})
    return status, said


async def test_sessions_are_spread_over_the_keys_and_each_stays_with_its_own() -> None:
    async with running(provider=KEYS) as house:
        for session in range(30):
            for _ in range(2):
                assert (await ask(house, f"s{session}"))[0] == 200
        keys = used(house)
    assert keys[::2] == keys[1::2]
    assert set(keys) == {"a", "b", "c"}
    assert min(map(keys.count, "abc")) >= 8


async def test_a_key_at_its_limit_rests_and_the_others_answer() -> None:
    async with running(refusing("sk-a", 429, **{"retry-after": "60"}), provider=KEYS) as house:
        for session in range(20):
            assert (await ask(house, f"s{session}"))[0] == 200
        keys = used(house)
        records = await house.records()
    assert keys.count("a") == 1
    assert len(keys) == 21
    (moved,) = [record for record in records if "tried" in (record["routing"] or "")]
    assert "up/m#1" in moved["routing"]
    assert moved["outcome"] == "success"


async def test_a_key_that_is_refused_is_no_callers_business() -> None:
    async with running(refusing("sk-a", 401), refusing("sk-b", 403), provider=KEYS) as house:
        answers = [await ask(house, f"s{session}") for session in range(12)]
    assert [status for status, _ in answers] == [200] * 12


async def test_where_no_key_is_good_the_last_ones_error_is_told() -> None:
    async with running(*(refusing(f"sk-{key}", 429) for key in "abc"), provider=KEYS) as house:
        status, _ = await ask(house, "s")
        assert sorted(used(house)) == ["a", "b", "c"]
    assert status == 429


async def test_explain_tells_the_keys_by_number() -> None:
    async with running(provider=KEYS) as house:
        _, told, _ = await house.post("/v1/explain", CHAT)
        assert house.upstream.requests == []
    assert sorted(one["route"] for one in told["routes"]) == ["up/m#1", "up/m#2", "up/m#3"]
    assert "sk-" not in str(told)


async def test_keys_of_a_route_of_the_catalogue_come_before_the_next_route() -> None:
    settings = '[catalog.models.best]\nroutes = [{ to = "up/m" }, { to = "other/n" }]\n'
    other = '[providers.other]\nbase_url = "http://127.0.0.1:9/v1"\nmodels = ["n"]\n'
    free = '[models."*/*"]\nfree = true\n'
    async with running(
        refusing("sk-a", 500), refusing("sk-b", 500), settings=settings + other + free, provider=KEYS
    ) as house:
        status, _, _ = await house.post("/v1/chat/completions", {**CHAT, "model": "best"})
        _, told, _ = await house.post("/v1/explain", {**CHAT, "model": "best"})
    assert status == 200
    assert [one["route"].partition("#")[0] for one in told["routes"]] == ["up/m", "up/m", "up/m", "other/n"]


async def test_a_route_all_of_whose_keys_rest_comes_behind_the_next_and_says_so() -> None:
    settings = '[catalog.models.best]\nroutes = [{ to = "up/m" }, { to = "other/n" }]\n[routing]\nfailures = 1\n'
    other = '[providers.other]\nbase_url = "{upstream}/v1"\nmodels = ["n"]\n[models."*/*"]\nfree = true\n'
    refused = [refusing(f"sk-{key}", 429, **{"retry-after": "60"}) for key in "abc"]
    async with running(*refused, settings=settings + other, provider=KEYS) as house:
        body = {**CHAT, "model": "best"}
        assert [(await house.post("/v1/chat/completions", body))[0] for _ in range(2)] == [200, 200]
        _, told, _ = await house.post("/v1/explain", body)
        records = await house.records()
    first, *resting = [(one["route"], re.sub(r"for \d+ s", "a while", one["why"])) for one in told["routes"]]
    assert first == ("other/n", "the first route that does not rest")
    rests = "it rests a while: only when no other is left"
    assert sorted(resting) == [(f"up/m#{key}", f"{rests}; key {key} of 3") for key in (1, 2, 3)]
    assert '"why":"the first route that does not rest"' in records[0]["routing"]


async def test_a_key_that_rests_says_so() -> None:
    async with running(refusing("sk-a", 429, **{"retry-after": "60"}), provider=KEYS) as house:
        for session in range(6):
            assert (await ask(house, f"s{session}"))[0] == 200
        _, told, _ = await house.post("/v1/explain", CHAT)
    assert [one["route"] for one in told["routes"]][-1] == "up/m#1"
    assert ["it rests" in one["why"] for one in told["routes"]] == [False, False, True]
