"""The order of messages that Mistral's models want in Chat.

What the user says right behind results of tools is refused ("Unexpected role 'user' after role 'tool'", code 3230:
BerriAI/litellm#17761; by other servers of these models too: anomalyco/opencode#7488). An answer of the assistant's has
to stand between them. It says as little as an answer can, so that nothing is put into the model's mouth: the word that
pydantic-ai sends for that, which Mistral is recorded to take (its `test_multimodal_tool_return_matrix`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

ANSWER = "OK"


def answered(messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages with an answer wherever the user speaks right behind a tool."""
    before = None
    for message in messages:
        role = message.get("role")
        if (before, role) == ("tool", "user"):
            yield {"role": "assistant", "content": ANSWER}
        yield message
        before = role
