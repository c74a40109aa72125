"""When providers are asked for their models, what of that is believed, and what operators see of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support_pace import Later
from support_wait import until
from trivium.canon.api import Api
from trivium.errors import NotFound, UpstreamUnreachable
from trivium.operations import lists
from trivium.operations.lists import ListSource, ModelLists, Refresh
from trivium.operations.table import OPERATOR, Arguments
from trivium.providers.provider import Provider
from trivium.store.lists import ListFiles
from trivium.upstream.client import Headers, UpstreamRequest, UpstreamResponse


class Answer:
    def __init__(self, status: int, body: bytes, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self._body = body

    async def read(self) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        pass


class Vendor:
    """A client whose upstreams say what `says` is: a number of models, a body, or an error."""

    def __init__(self) -> None:
        self.waits: dict[str, asyncio.Event] = {}
        """By what stands in a request, until when its answer waits."""
        self.says: int | str | Exception = 3
        self.etag: bytes | None = None
        self.asked: list[UpstreamRequest] = []

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        self.asked.append(request)
        said = f"{request.url} {request.headers}"
        if (wait := next((event for word, event in self.waits.items() if word in said), None)) is not None:
            await wait.wait()
            return Answer(200, b'{"data":[{"id":"late"}]}', [])
        if isinstance(self.says, Exception):
            raise self.says
        headers = [(b"etag", self.etag)] if self.etag else []
        if self.etag and (b"if-none-match", self.etag) in request.headers:
            return Answer(304, b"", headers)
        if isinstance(self.says, str):
            return Answer(200, self.says.encode(), headers)
        entries = [{"id": f"m{n}"} for n in range(self.says)]
        return Answer(200, json.dumps({"data": entries}).encode(), headers)

    async def close(self) -> None:
        pass


class House:
    def __init__(self, folder: Path) -> None:
        self.vendor = Vendor()
        self.clock = Later()
        self.folder = folder
        self.learned = 0
        self.broken = False
        self.start()

    def start(self) -> None:
        """As a gateway that starts over the same folder."""
        self.lists = ModelLists(self.vendor, ListFiles(self.folder / "lists"), self.clock, self._learned)

    async def serve(self, *providers: Provider, refresh_s: float = 3600) -> None:
        self.lists.commit(await self.lists.plan(providers or (UP,)), refresh_s)

    async def refresh(self, provider: str | None = None, *, force: bool = False) -> ListSource:
        (told,) = await self.lists.table["catalog.refresh"].act(Refresh(provider=provider, force=force), OPERATOR)
        assert isinstance(told, ListSource)
        return told

    async def sources(self) -> list[Any]:
        return list(await self.lists.table["catalog.sources"].act(Arguments(), OPERATOR))

    @property
    def count(self) -> int | None:
        known = self.lists.known.get("up")
        return None if known is None else len(known)

    async def _learned(self) -> None:
        if self.broken:
            raise RuntimeError
        self.learned += 1


UP = Provider(name="up", base_url="http://up/v1", apis=frozenset(Api))
SLOW = msgspec.structs.replace(UP, name="slow", base_url="http://slow/v1")
NEW = msgspec.structs.replace(UP, name="new", base_url="http://new/v1")


def keyed(key: str) -> Provider:
    return msgspec.structs.replace(UP, headers=((b"authorization", key.encode()),))


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


async def asked(house: House, looks: Iterable[float]) -> list[int]:
    """How often the provider was asked in all, after so many seconds each."""
    looked = asyncio.Event()
    running = asyncio.create_task(house.lists.run(looked))
    counts = []
    for seconds in looks:
        house.clock.ahead_s += seconds
        looked.clear()
        house.lists._woken.set()
        await asyncio.wait_for(looked.wait(), 10)
        counts.append(len(house.vendor.asked))
    running.cancel()
    return counts


async def test_providers_are_asked_at_once_and_again_after_an_hour_more_or_less(house: House) -> None:
    await house.serve()
    assert await asked(house, [0, 3_200, 800, 60, 4_000]) == [1, 1, 2, 2, 3]
    assert house.learned == 1  # it said the same each time


async def test_after_a_failure_they_are_asked_sooner_and_later_with_each_that_follows(house: House) -> None:
    house.vendor.says = UpstreamUnreachable("The upstream cannot be reached.", detail="refused")
    await house.serve()
    assert await asked(house, [0, 17, 17, 17, 67]) == [1, 2, 2, 3, 4]
    (source,) = await house.sources()
    assert (source.failures, source.problem) == (4, "The upstream cannot be reached. refused")
    assert source.failed_ms is not None
    house.vendor.says = 2
    source = await house.refresh()
    assert (source.failures, source.problem, source.origin, source.models) == (0, None, "provider", 2)


async def test_a_failure_is_never_waited_for_longer_than_a_refresh(house: House) -> None:
    house.vendor.says = ValueError("no list")
    await house.serve(refresh_s=60)
    for _ in range(20):
        source = await house.refresh()
    assert source.next_s is not None
    assert 50 <= source.next_s <= 66


async def test_news_that_could_not_be_told_are_told_with_the_next_answer(house: House) -> None:
    house.broken = True
    house.vendor.etag = b'"a"'
    await house.serve()
    with pytest.raises(RuntimeError):
        await house.refresh()
    assert house.learned == 0
    house.broken = False
    await house.refresh()  # the provider says that its list is the same
    assert house.learned == 1


async def test_whoever_asks_for_a_refresh_and_leaves_stops_nothing(house: House) -> None:
    house.vendor.waits["up"] = answers = asyncio.Event()
    await house.serve()
    asking = asyncio.create_task(house.refresh())
    await asyncio.sleep(0.01)
    asking.cancel()
    answers.set()
    await until(lambda: house.learned == 1)


async def test_one_that_does_not_answer_keeps_nobody_waiting_and_is_forgotten_where_it_is_removed(house: House) -> None:
    answering = house.vendor.waits["slow"] = asyncio.Event()
    looked = asyncio.Event()
    await house.serve(UP, SLOW)
    running = asyncio.create_task(house.lists.run(looked))
    await until(lambda: house.count == 3 and house.learned == 1)
    house.vendor.says = 4
    assert (await house.refresh("up")).models == 4
    assert not looked.is_set()
    await house.serve(UP, NEW)
    await until(lambda: set(house.lists.known) == {"up", "new"})
    answering.set()
    await until(looked.is_set)
    assert set(house.lists.known) == {"up", "new"}
    assert sorted(file.name for file in (house.folder / "lists").iterdir()) == ["new.json", "up.json"]
    running.cancel()


async def test_what_is_told_to_an_old_key_is_not_taken_and_the_new_one_is_asked_at_once(house: House) -> None:
    answering = house.vendor.waits["old"] = asyncio.Event()
    await house.serve(keyed("old"))
    running = asyncio.create_task(house.lists.run(asyncio.Event()))
    await until(lambda: len(house.vendor.asked) == 1)
    await house.serve(keyed("new"))
    answering.set()
    await until(lambda: house.count is not None)
    assert (house.count, len(house.vendor.asked)) == (3, 2)
    running.cancel()


async def test_a_shorter_refresh_holds_at_once(house: House) -> None:
    await house.serve(refresh_s=3600)
    await house.refresh()
    await house.serve(refresh_s=60)
    (source,) = await house.sources()
    assert source.next_s is not None
    assert source.next_s <= 60


async def test_a_copy_that_is_gone_is_written_again_when_its_list_is_confirmed(house: House) -> None:
    house.vendor.etag = b'"v1"'
    await house.serve()
    await house.refresh()
    (copy,) = (house.folder / "lists").iterdir()
    content = copy.read_bytes()
    copy.unlink()
    assert (await house.refresh()).learned_ms is not None
    assert copy.read_bytes() == content


async def test_a_copy_that_could_not_be_written_is_written_when_its_list_is_confirmed(house: House) -> None:
    house.vendor.etag = b'"v1"'
    folder = house.folder / "lists"
    folder.touch()
    await house.serve()
    await house.refresh()
    folder.unlink()
    await house.refresh()
    assert [file.name for file in folder.iterdir()] == ["up.json"]


async def test_a_list_that_is_known_is_not_sent_again(house: House) -> None:
    house.vendor.etag = b'W/"v1"'
    await house.serve()
    first = await house.refresh()
    again = await house.refresh()
    assert (b"if-none-match", b'W/"v1"') in house.vendor.asked[-1].headers
    assert (again.models, again.problem, again.learned_ms) == (3, None, first.learned_ms)
    house.vendor.etag, house.vendor.says = b'"v2"', 4
    assert (await house.refresh()).models == 4


@pytest.mark.parametrize("etag", [b"no-quotes", b'"a\r\nx: y"', b'"' + b"x" * 300 + b'"', b'"\xff"'])
async def test_an_etag_that_is_none_is_not_sent_back(house: House, etag: bytes) -> None:
    house.vendor.etag = etag
    await house.serve()
    await house.refresh()
    await house.refresh()
    assert all(name != b"if-none-match" for name, _ in house.vendor.asked[-1].headers)


async def test_a_gateway_that_starts_while_the_provider_is_away_has_its_last_list(house: House) -> None:
    house.vendor.etag = b'"v1"'
    await house.serve()
    await house.refresh()
    house.start()
    house.vendor.says = UpstreamUnreachable("The upstream cannot be reached.")
    await house.serve()
    assert house.count == 3
    source = await house.refresh()
    assert (source.origin, source.models, source.failures) == ("disk", 3, 1)
    house.vendor.says = 3
    assert (await house.refresh()).problem is None
    assert (b"if-none-match", b'"v1"') in house.vendor.asked[-1].headers


@pytest.mark.parametrize(("before", "after"), [(3, 0), (40, 0), (40, 19), (10, 4)])
async def test_a_list_that_is_suddenly_far_shorter_does_not_replace_a_good_one_unsaid(
    house: House, before: int, after: int, caplog: pytest.LogCaptureFixture
) -> None:
    house.vendor.says = before
    await house.serve()
    await house.refresh()
    house.vendor.says = after
    source = await house.refresh()
    assert (source.models, source.withheld) == (before, after)
    assert source.problem == f"its list has {after} models all at once, after {before}"
    assert "`trivium models refresh up --force` takes it" in caplog.text
    assert house.learned == 1
    house.start()  # nor is the copy replaced
    await house.serve()
    assert house.count == before
    source = await house.refresh(force=True)
    assert (source.models, source.withheld, source.problem, house.learned) == (after, None, None, 2)


@pytest.mark.parametrize("believed", [True, False])
async def test_neither_does_one_whose_prices_are_suddenly_gone_where_they_are_believed(
    house: House, believed: bool
) -> None:
    def priced(price: str | None) -> str:
        return json.dumps({"data": [{"id": f"m{n}", "pricing": {"prompt": price, "completion": price}} for n in "ab"]})

    house.vendor.says = priced("0.000001")
    await house.serve(msgspec.structs.replace(UP, lists_prices=believed))
    await house.refresh()
    house.vendor.says = priced("-1")
    source = await house.refresh()
    assert source.problem == ("its list has 0 prices all at once, after 2" if believed else None)
    assert [model.price is not None for model in house.lists.known["up"]] == [believed] * 2
    assert (await house.refresh(force=True)).problem is None
    assert [model.price for model in house.lists.known["up"]] == [None] * 2


@pytest.mark.parametrize(("before", "after"), [(40, 20), (9, 1), (0, 0), (1, 2)])
async def test_other_changes_are_taken(house: House, before: int, after: int) -> None:
    house.vendor.says = before
    await house.serve()
    await house.refresh()
    house.vendor.says = after
    source = await house.refresh()
    assert (source.models, source.withheld, source.problem) == (after, None, None)


NESTED = f'{{"data":[{{"id":"a"}},{{"id":"b","n":{"[" * 100_000}{"]" * 100_000}}}]}}'


@pytest.mark.parametrize("damaged", ["", "{", "<html>", '{"data":{}}', NESTED])
async def test_a_damaged_list_replaces_none(house: House, damaged: str) -> None:
    await house.serve()
    await house.refresh()
    house.vendor.says = damaged
    source = await house.refresh()
    assert (source.models, source.origin, source.failures) == (3, "provider", 1)
    assert source.problem
    assert ("its list is nested too deeply" in source.problem) == (damaged == NESTED)
    assert house.count == 3


async def test_who_is_not_asked_is_shown_too_and_cannot_be_refreshed(house: House) -> None:
    fixed = msgspec.structs.replace(UP, name="fixed", models=("a", "b"))
    inside = msgspec.structs.replace(UP, name="local", models=("c",), embedded=True)
    await house.serve(UP, fixed, inside)
    told = [(one.provider, one.origin, one.models) for one in await house.sources()]
    assert told == [("up", "nothing", 0), ("fixed", "configuration", 2), ("local", "inside", 1)]
    with pytest.raises(NotFound, match="no provider 'fixed' that is asked"):
        await house.refresh("fixed")


async def test_under_another_configuration_lists_stay_where_the_address_stays(house: House) -> None:
    house.vendor.etag = b'"v1"'
    await house.serve()
    await house.refresh()
    other_key = msgspec.structs.replace(UP, headers=((b"authorization", b"Bearer other"),))
    await house.serve(other_key)
    assert house.count == 3
    await house.refresh()  # whoever holds another key may see another list
    assert all(name != b"if-none-match" for name, _ in house.vendor.asked[-1].headers)
    assert (b"authorization", b"Bearer other") in house.vendor.asked[-1].headers
    await house.serve(msgspec.structs.replace(UP, base_url="http://elsewhere/v1"))
    assert "up" not in house.lists.known
    await house.serve(msgspec.structs.replace(UP, models=("m",)))
    assert dict(house.lists.known) == {}


async def test_who_follows_asks_nobody_and_takes_the_copies_of_whoever_asks(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lists, "_FOLLOWED", 0.01)
    follower = House(house.folder)
    await house.serve()
    await follower.serve()
    looked = asyncio.Event()
    following = asyncio.create_task(follower.lists.follow(looked))
    await looked.wait()
    for count in (3, 5):
        house.vendor.says = count
        await house.refresh()
        async with asyncio.timeout(30):
            while follower.count != count:  # noqa: ASYNC110 # of a file
                await asyncio.sleep(0.01)
    (source,) = await follower.sources()
    assert (source.origin, source.models) == ("disk", 5)
    assert follower.vendor.asked == []
    for file in (house.folder / "lists").iterdir():
        file.unlink()
    await asyncio.sleep(0.05)
    assert (follower.count, follower.learned) == (5, 2)  # what is gone is no news
    following.cancel()
