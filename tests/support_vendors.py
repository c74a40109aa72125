"""A judge of request bodies as the vendors would judge them: Anthropic on Messages, OpenAI on Chat and Responses.

Written from the vendors' types and documents and nothing of ours, so that what translation makes is held against a
second opinion. First the shape (`support_vendors_shapes`), then the rules that no type expresses; a body of the wrong
shape is not asked for more. Of what depends on the model it judges only who always thinks and cannot be made to call.
"""

from __future__ import annotations

import functools
from typing import Any

from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

import support_vendors_chat as chat
import support_vendors_messages as messages
import support_vendors_responses as responses
from support_vendors_shapes import Record, body_shape
from trivium.canon.api import Api

PARAMS = {
    Api.CHAT: CompletionCreateParamsNonStreaming,
    Api.RESPONSES: ResponseCreateParamsNonStreaming,
    Api.MESSAGES: MessageCreateParamsNonStreaming,
}
RULES = {Api.CHAT: chat.RULES, Api.RESPONSES: responses.RULES, Api.MESSAGES: messages.RULES}
STRICT = {Api.CHAT: chat.STRICT, Api.RESPONSES: responses.STRICT, Api.MESSAGES: messages.STRICT}
"""What the vendor takes and a stateless, careful sender does without."""


def faults(api: Api, body: dict[str, Any], *, strict: bool = True, system_turns: bool = False) -> list[str]:
    """Why the vendor would refuse the body, each with its JSON path: empty when it would take it.

    `strict` asks more than the vendor does (`STRICT`). `system_turns` is for models that take `system` among the turns.
    """
    wrong = list(_shape(api).judge(body, ""))
    if wrong:
        return wrong
    rules = RULES[api] + (STRICT[api] if strict else ())
    if api is Api.MESSAGES and not system_turns:
        rules += (messages.system_is_apart,)
    return [fault for rule in rules for fault in rule(body)]


@functools.cache
def _shape(api: Api) -> Record:
    return body_shape(PARAMS[api])
