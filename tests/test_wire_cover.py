"""What the cover of a house model lets through, event by event."""

from __future__ import annotations

from decimal import Decimal

from trivium.canon import events as ev
from trivium.canon.parts import Citation, Seal
from trivium.canon.usage import Usage
from trivium.wire.cover import Cover

USAGE = Usage(
    input_uncached=5,
    output=2,
    server_tools={"acme": 1},
    service_tier="acme",
    reported_cost=Decimal(1),
    market_cost=Decimal(2),
    is_byok=True,
    generation_id="acme",
)


def through(cover: Cover, event: ev.Event) -> ev.Event:
    (out,) = cover.events([event])
    return out


def test_a_house_model_is_told_under_its_own_name_and_without_costs() -> None:
    cover = Cover("house/m", hides=False)
    assert through(cover, ev.Begin("id", "acme")) == ev.Begin("id", "house/m")
    told = through(cover, ev.UsageReport(USAGE))
    assert told == ev.UsageReport(
        Usage(input_uncached=5, output=2, server_tools={"acme": 1}, service_tier="acme"),
    )
    for event in (ev.ToolCallBegin(0, "id", "f"), ev.Finish(ev.FinishReason.STOP, "acme"), ev.TextDelta("x", 0, [1])):
        assert through(cover, event) == event


def test_of_a_stealth_model_only_the_answer_itself_is_told() -> None:
    cover = Cover("house/m", hides=True)
    assert through(cover, ev.Begin("id", "acme", restarted=True)) == ev.Begin(None, "house/m", restarted=True)
    assert through(cover, ev.UsageReport(USAGE)) == ev.UsageReport(Usage(input_uncached=5, output=2))
    assert through(cover, ev.TextDelta("x", 3, [{"token": "x"}])) == ev.TextDelta("x", 3)
    assert through(cover, ev.ToolCallBegin(1, "acme", "f", namespace="acme")) == ev.ToolCallBegin(1, "", "f")
    assert through(cover, ev.Finish(ev.FinishReason.STOP, "acme", "acme")) == ev.Finish(ev.FinishReason.STOP, None)
    content: list[ev.Event] = [
        ev.ReasoningDelta("hm"),
        ev.RefusalDelta("no"),
        ev.ToolCallDelta(1, "{}"),
        ev.Cited(0, Citation("http://a")),
        ev.ReasoningSeal(0, Seal("signature", "x")),
        ev.End(),
    ]
    assert cover.events(content) == content


def test_words_of_the_request_may_come_back() -> None:
    cover = Cover("house/m", hides=True)
    cover.stops, cover.namespaces = ("END",), {"files"}
    finish = ev.Finish(ev.FinishReason.STOP, None, "END")
    assert through(cover, finish) == finish
    assert through(cover, ev.ToolCallBegin(1, "x", "f", namespace="files")) == ev.ToolCallBegin(
        1, "", "f", namespace="files"
    )
