"""Events for an HTTP service: in batches, bounded, told again where that may help, and never in anybody's way."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from support_records import record
from support_wait import until
from trivium.errors import UpstreamUnreachable
from trivium.metering.record import COLUMNS
from trivium.settings_telemetry import EventSettings
from trivium.telemetry import events as events_module
from trivium.telemetry.events import Events
from trivium.telemetry.hub import Ended


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "_FIRST_PAUSE", 0.0)


class Service:
    """Answers with these statuses in turn, then with 200; None: it is not there."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.bodies: list[bytes] = []
        self.kinds: set[str] = set()

    async def post(self, content: bytes, kind: str) -> int:
        self.kinds.add(kind)
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            raise UpstreamUnreachable("The upstream cannot be reached.")
        if status < 300:
            self.bodies.append(content)
        return status

    @property
    def events(self) -> list[dict[str, Any]]:
        return [event for body in self.bodies for event in json.loads(body)["events"]]


def events(service: Service, **settings: Any) -> Events:
    return Events(EventSettings(url="http://events.test/", **settings), service.post)


def ended(*ids: str, **fields: Any) -> list[Ended]:
    return [Ended(record(id, **fields), None) for id in ids]


async def test_an_event_has_the_columns_of_the_record_that_say_something() -> None:
    service = Service()
    sending = events(service)
    sending.take(
        ended(
            "a",
            provider="up",
            cost_nano=7,
            client_ip="10.1.2.3",
            prompt_prefix="hello",
            losses='[["a","b"]]',
            server_tools='{"web_search":2}',
        )
    )
    await sending.flush()
    (event,) = service.events
    assert json.loads(service.bodies[0])["version"] == 1
    assert service.kinds == {"application/json"}
    assert (event["id"], event["provider"], event["cost_nano"], event["losses"]) == ("a", "up", 7, [["a", "b"]])
    assert event["server_tools"] == {"web_search": 2}
    assert event.keys() < set(COLUMNS)
    assert event.keys().isdisjoint({"client_ip", "prompt_prefix", "error_code"})


async def test_an_operator_chooses_what_is_left_out() -> None:
    service = Service()
    sending = events(service, omit=("key_id",))
    sending.take(ended("a", client_ip="10.1.2.3", key_id="key_1"))
    await sending.flush()
    assert service.events[0]["client_ip"] == "10.1.2.3"
    assert "key_id" not in service.events[0]


async def test_lines_are_lines() -> None:
    service = Service()
    sending = events(service, format="ndjson")
    sending.take(ended("a", "b", error_message="two\nlines"))
    await sending.flush()
    assert [json.loads(line)["id"] for line in service.bodies[0].splitlines()] == ["a", "b"]
    assert service.kinds == {"application/x-ndjson"}


async def test_batches_are_whole_and_go_out_without_waiting() -> None:
    service = Service()
    sending = events(service, batch=2, interval=3600)
    running = asyncio.create_task(sending.run())
    sending.take(ended("a", "b", "c"))
    await until(lambda: len(service.bodies) >= 2)
    running.cancel()
    assert [len(json.loads(body)["events"]) for body in service.bodies] == [2, 1]


async def test_a_few_wait_no_longer_than_the_interval() -> None:
    service = Service()
    sending = events(service, batch=100, interval=0.01)
    running = asyncio.create_task(sending.run())
    sending.take(ended("a"))
    await until(lambda: service.bodies)
    running.cancel()


@pytest.mark.parametrize("passing", [None, 408, 429, 500, 503])
async def test_what_may_pass_is_tried_again(passing: int | None) -> None:
    service = Service(passing, passing)
    sending = events(service)
    sending.take(ended("a"))
    await sending.flush()
    assert [event["id"] for event in service.events] == ["a"]
    assert sending.counts == {"sent": 1, "dropped": 0, "failed": 0}


@pytest.mark.parametrize(("statuses", "asked"), [((400,), 1), ((302,), 1), ((500,) * 9, 4)])
async def test_what_does_not_pass_is_given_up_and_counted(
    statuses: tuple[int, ...], asked: int, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(*statuses)
    sending = events(service, batch=1)
    sending.take(ended("a"))
    await sending.flush()
    assert len(statuses) - len(service.statuses) == asked
    assert sending.counts == {"sent": 0, "dropped": 0, "failed": 1}
    assert [one.getMessage() for one in caplog.records] == [f"the service for events takes none: status {statuses[0]}"]


async def test_a_service_that_stays_away_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    sending = events(Service(*[400] * 3, 200, 400), batch=1)
    sending.take(ended("a", "b", "c", "d", "e"))
    await sending.flush()
    assert len(caplog.records) == 2  # it had taken some in between
    assert sending.counts == {"sent": 1, "dropped": 0, "failed": 4}


async def test_what_waits_is_bounded_and_the_oldest_go() -> None:
    service = Service()
    sending = events(service, queue=2)
    sending.take(ended("a", "b", "c", "d", "e"))
    await sending.flush()
    assert [event["id"] for event in service.events] == ["d", "e"]
    ((_, sent), (_, dropped), (_, failed)) = sending.family().points
    assert (sent, dropped, failed) == (2, 3, 0)


async def test_an_ending_gateway_sends_what_is_left() -> None:
    service = Service()
    sending = events(service)
    running = asyncio.create_task(sending.run())
    await asyncio.sleep(0)
    sending.take(ended("a"))
    await sending.close(5)
    running.cancel()
    assert [event["id"] for event in service.events] == ["a"]


async def test_what_is_under_way_at_the_end_arrives_once() -> None:
    service, came, answers = Service(), asyncio.Event(), asyncio.Event()

    async def post(content: bytes, kind: str) -> int:
        came.set()
        await answers.wait()
        return await service.post(content, kind)

    sending = Events(EventSettings(url="http://events.test/", batch=2), post)
    running = asyncio.create_task(sending.run())
    sending.take(ended("a", "b", "c"))
    await came.wait()
    closing = asyncio.create_task(sending.close(5))
    await asyncio.sleep(0)
    answers.set()
    await closing
    running.cancel()
    assert [event["id"] for event in service.events] == ["a", "b", "c"]
    assert sending.counts == {"sent": 3, "dropped": 0, "failed": 0}


async def test_a_service_that_never_answers_keeps_no_gateway_from_ending() -> None:
    async def never(content: bytes, kind: str) -> int:
        await asyncio.Event().wait()
        return 200

    sending = Events(EventSettings(url="http://events.test/", batch=1), never)
    running = asyncio.create_task(sending.run())
    sending.take(ended("a", "b"))
    await asyncio.sleep(0.01)
    await sending.close(0.01)
    running.cancel()
    assert sending.counts == {"sent": 0, "dropped": 2, "failed": 0}


async def test_secrets_of_strangers_do_not_go_along() -> None:
    service = Service()
    sending = events(service)
    sending.take(ended("a", requested_model="tv-0123456789ABCDEF", error_message='bad key "sk-abcdefghij0123456789"'))
    await sending.flush()
    assert (service.events[0]["requested_model"], service.events[0]["error_message"]) == ("***", 'bad key "***"')
