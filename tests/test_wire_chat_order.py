"""What Mistral's models want to stand between results of tools and the user's next word."""

from __future__ import annotations

from typing import Any

import pytest

from support_requests import (
    PNG,
    C,
    M,
    R,
    assistant,
    call,
    gave,
    item,
    messages,
    responses,
    result,
    said,
    send,
    text,
    use,
    user,
    vendors,
)
from support_vendors_values import Body
from trivium.canon.traits import Traits
from trivium.wire.chat.order import answered

STRICT = Traits(answer_between=True)
OK = {"role": "assistant", "content": "OK"}
ASKED = [user("Weather?"), said(use("a"), use("b"))]


def roles(sent: Any) -> list[str]:
    return [message["role"] for message in sent.body["messages"]]


def test_the_user_does_not_speak_right_behind_a_tool() -> None:
    before = [user("?"), assistant(None, call("a"), call("b")), gave("a"), gave("b"), user("Well?"), user("Well!")]
    assert [*answered(before)] == [*before[:4], OK, *before[4:]]


@pytest.mark.parametrize(
    "fine",
    [
        [],
        [user("?"), user("Well?")],
        [user("?"), assistant(None, call()), gave()],
        [user("?"), assistant(None, call()), gave(), assistant("So"), user("Well?")],
        [{"content": "of nobody"}, user("?")],
    ],
)
def test_what_is_in_order_stays(fine: list[Body]) -> None:
    assert [*answered(fine)] == fine


class TestTranslated:
    def test_results_and_words_of_one_turn(self) -> None:
        """Claude Code sends both together."""
        sent = send(M, C, messages(*ASKED, user(result("a"), result("b"), text("Well?"))), STRICT)
        assert roles(sent) == ["user", "assistant", "tool", "tool", "assistant", "user"]
        assert sent.body["messages"][4] == OK
        assert sent.losses == {}, "nothing of what was said"

    def test_a_picture_that_a_tool_gave(self) -> None:
        """As pydantic-ai is recorded to send it."""
        shown = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        sent = send(M, C, messages(*ASKED, user(result("a", [shown]), result("b"), text("Well?"))), STRICT)
        assert roles(sent) == ["user", "assistant", "tool", "tool", "assistant", "user", "user"]

    def test_a_message_behind_a_result(self) -> None:
        """Codex, interrupted."""
        items = [
            user("hi"),
            item("function_call", call_id="a", name="f", arguments="{}"),
            item("function_call_output", call_id="a", output="r"),
            user("Stop!"),
        ]
        assert roles(send(R, C, responses(*items), STRICT)) == ["user", "assistant", "tool", "assistant", "user"]

    @pytest.mark.parametrize("provider", ["mistral", "openrouter", "azure", "vllm", "openai-compatible"])
    def test_wherever_the_model_is_served(self, provider: str) -> None:
        body = messages(*ASKED, user(result("a"), result("b"), text("Well?")))
        assert OK in vendors(M, C, body, provider, "mistralai/Devstral-Small-2-24B").body["messages"]
        assert OK not in vendors(M, C, body, provider, "qwen3-coder").body["messages"]
