"""What OpenAI refuses in a Responses body though its shape is right. The tables at the end list the rules."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

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

RANGES: Ranges = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_logprobs": (0, 20),
    "max_output_tokens": (16, float("inf")),
    "max_tool_calls": (1, float("inf")),
}
PREFIXES = {"message": "msg", "function_call": "fc", "custom_tool_call": "ctc", "reasoning": "rs"}
"""By the type of an item: how the ids begin that the vendor gave out."""
CALLS = ("function_call", "custom_tool_call")
OUTPUTS = {f"{call}_output": call for call in CALLS}
ASSISTANTS_PARTS = ("output_text", "refusal")
STATE = ("previous_response_id", "conversation", "prompt", "background")


def items(body: Body, *types: str) -> list[Part]:
    return [part for part in parts_of(body.get("input"), "input") if not types or kind_of(part[1]) in types]


def kind_of(item: dict[str, Any]) -> str:
    """Messages and references may leave their type out."""
    return item.get("type") or ("message" if "role" in item else "item_reference")


def function_tools(body: Body) -> list[Part]:
    return [tool for tool in parts_of(body.get("tools"), "tools") if tool[1]["type"] == "function"]


def something_is_asked(body: Body) -> Faults:
    if not body.get("input") and not any(body.get(key) for key in STATE):
        yield "input: is empty"


def calls_have_outputs(body: Body) -> Faults:
    """Each one, later in the input; each output has its call before it."""
    waiting: dict[str, str] = {}
    for path, item in items(body, *CALLS, *OUTPUTS):
        one = item.get("call_id") or ""
        if item["type"] in CALLS:
            if one in waiting:
                yield f"{path}.call_id: {one!r} is called twice"
            waiting[one] = item["type"]
        elif waiting.pop(one, None) != OUTPUTS[item["type"]] and not any(body.get(key) for key in STATE):
            yield f"{path}.call_id: no {OUTPUTS[item['type']]} {one!r} waits for it"
    yield from (f"input: no output for the {kind} {one!r}" for one, kind in waiting.items())


def call_ids_fit(body: Body) -> Faults:
    for path, item in items(body, *CALLS, *OUTPUTS):
        yield from call_id_faults(item.get("call_id") or "", f"{path}.call_id")


def called_names_are_plain(body: Body) -> Faults:
    for path, item in items(body, *CALLS):
        yield from name_faults(item["name"], f"{path}.name")


def parts_are_their_speakers(body: Body) -> Faults:
    for path, item in items(body, "message"):
        for at, part in parts_of(item["content"], f"{path}.content"):
            if (part["type"] in ASSISTANTS_PARTS) != (item["role"] == "assistant"):
                yield f"{at}.type: {part['type']} in a message of the {item['role']}"


def reasoning_is_followed(body: Body) -> Faults:
    """By what the model said or called after it."""
    said = [*items(body), ("input", {"role": "user"})]
    for (path, item), (_, following) in pairwise(said):
        theirs = following.get("role", "assistant") != "assistant" or kind_of(following) in OUTPUTS
        if kind_of(item) == "reasoning" and theirs:
            yield f"{path}: reasoning without its following item"


def reasoning_can_be_found(body: Body) -> Faults:
    for path, item in items(body, "reasoning"):
        if body.get("store") is False and "id" in item and not item.get("encrypted_content"):
            yield f"{path}.id: not kept when store is false"


def ids_have_their_prefix(body: Body) -> Faults:
    for path, item in items(body, *PREFIXES):
        one, prefix = item.get("id"), PREFIXES[kind_of(item)]
        if one is not None and not one.startswith(prefix):
            yield f"{path}.id: must begin with {prefix!r}"


def tools_are_sound(body: Body) -> Faults:
    for path, tool in function_tools(body):
        yield from tool_faults(tool, path)


def choice_has_tools(body: Body) -> Faults:
    choice = body.get("tool_choice")
    if not body.get("tools") and (choice == "required" or isinstance(choice, dict)):
        yield "tool_choice: only with tools"
    yield from pick_faults(choice, [tool.get("name", "") for _, tool in parts_of(body.get("tools"), "tools")])


def numbers_are_in_range(body: Body) -> Faults:
    return outside(body, RANGES)


def format_is_sound(body: Body) -> Faults:
    wanted = body.get("text", {}).get("format", {})
    if wanted.get("type") == "json_schema":
        yield from format_faults(wanted, "text.format")


def images_are_urls(body: Body) -> Faults:
    for path, item in items(body, "message", *OUTPUTS):
        key = "content" if kind_of(item) == "message" else "output"
        for at, part in parts_of(item[key], f"{path}.{key}"):
            if part["type"] != "input_image" or part.get("file_id"):
                continue
            if not is_image_url(part.get("image_url") or ""):
                yield f"{at}.image_url: neither a web address nor image data"


# Beyond what the vendor surely refuses


def json_is_asked_for(body: Body) -> Faults:
    wanted = body.get("text", {}).get("format", {}).get("type") == "json_object"
    if wanted and not any("json" in text.lower() for text in values(body.get("input"))):
        yield "input: must contain the word 'json' with a json_object format"


def store_is_off(body: Body) -> Faults:
    if body.get("store") is not False:
        yield "store: must be false"


def no_state_is_leant_on(body: Body) -> Faults:
    yield from (f"{key}: leans on kept state" for key in STATE if body.get(key))
    yield from (f"{path}: leans on kept state" for path, _ in items(body, "item_reference"))


def no_item_has_a_kept_id(body: Body) -> Faults:
    for path, item in items(body):
        if str(item.get("id") or "").startswith(tuple(f"{prefix}_" for prefix in PREFIXES.values())):
            yield f"{path}.id: names an item that is not kept"


def strict_is_said(body: Body) -> Faults:
    for path, tool in function_tools(body):
        if not isinstance(tool.get("strict"), bool):
            yield f"{path}.strict: must be said, for it is true when left out"


RULES: tuple[Rule, ...] = (
    *BOTH,
    something_is_asked,
    calls_have_outputs,
    call_ids_fit,
    called_names_are_plain,
    parts_are_their_speakers,
    reasoning_is_followed,
    reasoning_can_be_found,
    ids_have_their_prefix,
    tools_are_sound,
    choice_has_tools,
    numbers_are_in_range,
    format_is_sound,
    images_are_urls,
)

STRICT: tuple[Rule, ...] = (
    store_is_off,
    no_state_is_leant_on,
    no_item_has_a_kept_id,
    strict_is_said,
    json_is_asked_for,
)
"""What a sender holds who leans on nothing that the vendor keeps, nor on its defaults."""
