"""What is left of requests that pass as bytes once the envelopes of other upstreams are out of them."""

from __future__ import annotations

import json
from typing import Any

from support_requests import C, M, assistant, call, chat, gave, messages, result, said, text, use, user
from support_vendors import faults
from support_vendors_values import Body
from trivium.canon.api import Api
from trivium.canon.parts import Seal
from trivium.wire.envelope import close
from trivium.wire.losses import Losses
from trivium.wire.request import parse, render, without_reasoning

SEALED = close(Seal("encrypted", "gAAA"), "another", "Hm.")
EMPTY = {"type": "redacted_thinking", "data": close(Seal("plain"), "another", "")}
THINKING = {"type": "enabled", "budget_tokens": 1024}
CLEAR = {"type": "clear_thinking_20251015", "keep": "all"}
OTHER = {"type": "clear_tool_uses_20250919"}


def passed(api: Api, body: Body) -> tuple[Body, list[str]]:
    """The body as an upstream of the same API gets it, and what it lost."""
    rendered = render(parse(api, json.dumps({"model": "m", **body}).encode()), "claude")
    sent: Body = json.loads(rendered.body)
    managed = sent.pop("context_management", None)
    assert faults(api, sent) == []
    return sent | ({"context_management": managed} if "context_management" in body else {}), [
        loss.field for loss in rendered.losses
    ]


def looped(*blocks: Body, **more: Any) -> Body:
    """A loop of calls that goes on, whose first turn begins with these blocks."""
    return messages(user("hi"), said(*blocks, use()), user(result()), thinking=THINKING, **more)


def test_a_text_that_mentions_one_is_no_conversation_to_look_through() -> None:
    """However many signs there are in it that would part values."""
    said = f'"{SEALED}"' + "," * 1_100_000
    sent, lost = passed(Api.RESPONSES, {"input": said, "store": False})
    assert (sent["input"], lost) == (said, [])


class TestThinking:
    """Claude refuses to think on where a turn with calls did not begin with a thought."""

    def test_it_is_off_where_the_turn_was_anothers(self) -> None:
        foreign = {"type": "thinking", "thinking": "Hm.", "signature": SEALED}
        for block in (foreign, EMPTY):
            sent, lost = passed(M, looped(block))
            assert (sent["messages"][1], sent["thinking"]) == (said(use()), {"type": "disabled"})
            assert lost == ["messages[1].content[0]", "thinking"]

    def test_what_nobody_can_read_is_the_upstreams_to_refuse(self) -> None:
        for odd in (["text"], {"a": None}):
            conversation = messages({"role": "user", "content": [{"type": odd}]}, said(EMPTY, use()), user(result()))
            rendered = render(parse(M, json.dumps({"model": "m", "thinking": THINKING, **conversation}).encode()), "up")
            assert json.loads(rendered.body)["messages"][0]["content"] == [{"type": odd}]

    def test_then_no_thoughts_can_be_cleared(self) -> None:
        """As Claude Code asks by default."""
        sent, lost = passed(M, looped(EMPTY, context_management={"edits": [CLEAR]}))
        assert (sent["context_management"], lost[1:]) == (None, ["thinking", "context_management.edits"])
        kept, _ = passed(M, looped(EMPTY, context_management={"edits": [CLEAR, OTHER], "x": 1}))
        assert kept["context_management"] == {"edits": [OTHER], "x": 1}
        untouched, lost = passed(M, looped(EMPTY, context_management={"edits": [OTHER]}))
        assert (untouched["context_management"], lost[1:]) == ({"edits": [OTHER]}, ["thinking"])

    def test_it_stays_on_where_the_turn_is_over(self) -> None:
        over = looped(EMPTY, context_management={"edits": [CLEAR]})
        over["messages"] += [said(text("So")), user("?")]
        sent, lost = passed(M, over)
        assert (sent["thinking"], sent["context_management"]) == (THINKING, {"edits": [CLEAR]})
        assert lost == ["messages[1].content[0]"]


def test_a_list_of_details_in_which_nothing_is_left_goes() -> None:
    ours = {"type": "reasoning.text", "text": "Hm.", "signature": SEALED}
    theirs = {"type": "reasoning.text", "text": "Hm.", "signature": "c2ln"}
    turns = [user("hi"), assistant(None, call(), reasoning_details=[ours]), gave()]
    sent, lost = passed(C, chat(*turns))
    assert (sent["messages"][1], lost) == (assistant(None, call()), ["messages[1].reasoning_details[0]"])
    both = json.dumps({"model": "m", **chat(user("hi"), assistant("So", reasoning_details=[theirs, ours]))}).encode()
    assert json.loads(render(parse(C, both), "n").body)["messages"][1]["reasoning_details"] == [theirs]


def test_a_turn_of_nothing_else_goes_and_others_stay_as_they_are() -> None:
    sent, _ = passed(M, messages(user("hi"), said(EMPTY)))
    assert sent["messages"] == [user("hi")]
    odd = json.dumps({"model": "m", **messages({"role": "user"}, said(EMPTY, text("So")))}).encode()
    assert json.loads(render(parse(M, odd), "n").body)["messages"] == [{"role": "user"}, said(text("So"))]


def test_without_what_anybody_has_sealed_everything_else_stays() -> None:
    detail = {"type": "reasoning.encrypted", "data": "gAAA"}
    turns = chat(user("hi"), assistant("So", call(), reasoning_content="Hm.", reasoning_details=[detail]), gave())
    losses = Losses()
    asked = without_reasoning(parse(C, json.dumps({"model": "m", "x": 1.50, **turns}).encode()), losses)
    kept = chat(user("hi"), assistant("So", call(), reasoning_content="Hm."), gave())
    assert json.loads(asked.body) == {"model": "m", "x": 1.50, **kept}
    assert [loss.field for loss in losses.told()] == ["messages[1].reasoning_details[0]"]
    assert without_reasoning(asked, losses) is asked
