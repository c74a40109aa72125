"""What OpenAI refuses in a Chat Completions body though its shape is right. The tables at the end list the rules."""

from __future__ import annotations

import re

from support_vendors_openai import (
    BOTH,
    Part,
    call_id_faults,
    format_faults,
    name_faults,
    parts_of,
    pick_faults,
    tool_faults,
    values,
)
from support_vendors_values import Body, Faults, Ranges, Rule, is_image_url, outside

SPEAKER = re.compile(r"[^\s<|\\/>]{1,64}")
MOST_STOPS = 4
RANGES: Ranges = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "n": (1, 128),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
    "top_logprobs": (0, 20),
    "max_tokens": (1, float("inf")),
    "max_completion_tokens": (1, float("inf")),
}


def messages(body: Body, *roles: str) -> list[Part]:
    return [part for part in parts_of(body["messages"], "messages") if not roles or part[1]["role"] in roles]


def tools(body: Body) -> list[Part]:
    return [(f"{path}.{tool['type']}", tool[tool["type"]]) for path, tool in parts_of(body.get("tools"), "tools")]


def calls(body: Body) -> list[Part]:
    return [call for path, said in messages(body) for call in parts_of(said.get("tool_calls"), f"{path}.tool_calls")]


def no_list_is_empty(body: Body) -> Faults:
    for key in ("messages", "tools"):
        if body.get(key) == []:
            yield f"{key}: is empty"
    for path, said in messages(body):
        yield from (f"{path}.{key}: is empty" for key in ("content", "tool_calls") if said.get(key) == [])


def the_assistant_says_or_calls(body: Body) -> Faults:
    for path, said in messages(body, "assistant"):
        if all(said.get(key) is None for key in ("content", "refusal", "tool_calls", "function_call", "audio")):
            yield f"{path}: neither content nor tool_calls"


def messages_say_something(body: Body) -> Faults:
    for path, said in messages(body, "user", "system", "developer"):
        if not said["content"]:
            yield f"{path}.content: is empty"
    for path, said in messages(body, "assistant"):
        if said.get("content") == "" and not said.get("tool_calls"):
            yield f"{path}.content: is empty"


def speakers_have_plain_names(body: Body) -> Faults:
    for path, said in messages(body):
        if "name" in said and not SPEAKER.fullmatch(said["name"]):
            yield f"{path}.name: {said['name']!r} is not a name"


def calls_are_answered(body: Body) -> Faults:
    """Each by one tool message, before anybody else speaks."""
    waiting: list[str] = []
    for path, said in [*messages(body), ("messages", {"role": "end"})]:
        if said["role"] == "tool":
            if said["tool_call_id"] not in waiting:
                yield f"{path}.tool_call_id: no call {said['tool_call_id']!r} waits for it"
            waiting = [one for one in waiting if one != said["tool_call_id"]]
            continue
        yield from (f"{path}: the call {one!r} has no answer before it" for one in waiting)
        waiting = [call["id"] for call in said.get("tool_calls", [])]


def call_ids_fit(body: Body) -> Faults:
    for path, call in calls(body):
        yield from call_id_faults(call["id"], f"{path}.id")


def called_names_are_plain(body: Body) -> Faults:
    for path, call in calls(body):
        yield from name_faults(call[call["type"]]["name"], f"{path}.{call['type']}.name")


def tools_are_sound(body: Body) -> Faults:
    for path, tool in tools(body):
        yield from tool_faults(tool, path)


def choice_has_tools(body: Body) -> Faults:
    for key in ("tool_choice", "parallel_tool_calls"):
        if body.get(key) is not None and not body.get("tools"):
            yield f"{key}: only with tools"
    yield from pick_faults(body.get("tool_choice"), [tool.get("name", "") for _, tool in tools(body)])


def one_limit_of_tokens(body: Body) -> Faults:
    if body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None:
        yield "max_tokens: not beside max_completion_tokens"


def numbers_are_in_range(body: Body) -> Faults:
    return outside(body, RANGES)


def top_logprobs_need_logprobs(body: Body) -> Faults:
    if body.get("top_logprobs") is not None and not body.get("logprobs"):
        yield "top_logprobs: only with logprobs"


def stops_are_few(body: Body) -> Faults:
    if isinstance(body.get("stop"), list) and len(body["stop"]) > MOST_STOPS:
        yield f"stop: {len(body['stop'])} of at most {MOST_STOPS}"


def format_is_sound(body: Body) -> Faults:
    wanted = body.get("response_format", {})
    if wanted.get("type") == "json_schema":
        yield from format_faults(wanted["json_schema"], "response_format.json_schema")


def json_is_asked_for(body: Body) -> Faults:
    wanted = body.get("response_format", {}).get("type") == "json_object"
    said = values([message.get("content") for _, message in messages(body)])
    if wanted and not any("json" in text.lower() for text in said):
        yield "messages: must contain the word 'json' with a json_object format"


def images_are_urls(body: Body) -> Faults:
    for path, said in messages(body, "user"):
        for at, part in parts_of(said["content"], f"{path}.content"):
            if part["type"] == "image_url" and not is_image_url(part["image_url"]["url"]):
                yield f"{at}.image_url.url: neither a web address nor image data"


RULES: tuple[Rule, ...] = (
    *BOTH,
    no_list_is_empty,
    the_assistant_says_or_calls,
    speakers_have_plain_names,
    calls_are_answered,
    call_ids_fit,
    called_names_are_plain,
    tools_are_sound,
    choice_has_tools,
    one_limit_of_tokens,
    numbers_are_in_range,
    top_logprobs_need_logprobs,
    stops_are_few,
    format_is_sound,
    json_is_asked_for,
    images_are_urls,
)

STRICT: tuple[Rule, ...] = (messages_say_something,)
"""The vendor takes empty strings; nobody wants to send them."""
