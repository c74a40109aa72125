"""What Anthropic refuses in a Messages body though its shape is right. The tables at the end list the rules."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from typing import Any

from support_vendors_values import Body, Faults, Ranges, Rule, closed, is_base64, object_schema, outside, subschemas

Block = tuple[str, dict[str, Any]]
"""A content block and its path."""

CALL_ID = re.compile(r"[a-zA-Z0-9_-]+")
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
THINKING = ("thinking", "redacted_thinking")
ALWAYS_THINKING = re.compile("claude-(fable-5|mythos-5|opus-5-5|sonnet-5-5)")
UNFORCED = re.compile("claude-(fable-5-1|mythos-5-1|opus-5-5|sonnet-5-5)")
MOST_HELD = {"strict tools": 20, "optional parameters": 24, "parameters of several types": 16}
RANGES: Ranges = {"temperature": (0, 1), "top_p": (0, 1), "top_k": (0, float("inf"))}
MOST_CACHE_MARKS = 4
LONGEST_USER_ID = 256


def blocks_of(content: Any, path: str) -> list[Block]:
    if isinstance(content, str):
        return [(path, {"type": "text", "text": content})] if content else []
    return [(f"{path}[{index}]", block) for index, block in enumerate(content or [])]


def turns(body: Body) -> list[tuple[str, str, list[Block]]]:
    """Role, path and blocks of each message."""
    return [
        (message["role"], f"messages[{index}]", blocks_of(message["content"], f"messages[{index}].content"))
        for index, message in enumerate(body["messages"])
    ]


def conversation(body: Body) -> list[tuple[str, list[Block]]]:
    """Roles and blocks as the vendor reads them: system turns apart, messages of one role in a row as one."""
    spoken = [(role, blocks) for role, _, blocks in turns(body) if role != "system"]
    return [
        (role, [block for _, blocks in run for block in blocks]) for role, run in groupby(spoken, lambda turn: turn[0])
    ]


def nested(block: Block) -> list[Block]:
    path, said = block
    inside = blocks_of(said.get("content"), f"{path}.content") if said["type"] == "tool_result" else []
    return [(at, one) for at, one in inside if not isinstance(said["content"], str)]


def spoken_blocks(body: Body) -> Iterator[Block]:
    """Every block of the messages, those within tool results included."""
    for _, _, blocks in turns(body):
        for block in blocks:
            yield block
            yield from nested(block)


def every_block(body: Body) -> Iterator[Block]:
    """In the order in which the cache sees them."""
    yield from blocks_of(body.get("tools"), "tools")
    yield from blocks_of(body.get("system"), "system")
    yield from spoken_blocks(body)


def typed(blocks: Iterator[Block] | list[Block], *types: str) -> list[Block]:
    return [block for block in blocks if block[1].get("type") in types]


def own_tools(body: Body) -> list[Block]:
    return [tool for tool in blocks_of(body.get("tools"), "tools") if tool[1].get("type") in (None, "custom")]


def manual_thinking(body: Body) -> bool:
    return bool(body.get("thinking", {}).get("type") == "enabled")


# The body as a whole


def a_model_is_named(body: Body) -> Faults:
    if not body["model"].strip():
        yield "model: is empty"


def tokens_are_positive(body: Body) -> Faults:
    if body["max_tokens"] < 1:
        yield "max_tokens: must be at least 1"


def sampling_is_in_range(body: Body) -> Faults:
    return outside(body, RANGES)


def stop_sequences_say_something(body: Body) -> Faults:
    for index, stop in enumerate(body.get("stop_sequences", [])):
        if not stop.strip():
            yield f"stop_sequences[{index}]: is blank"


def user_id_is_short(body: Body) -> Faults:
    if len(body.get("metadata", {}).get("user_id") or "") > LONGEST_USER_ID:
        yield f"metadata.user_id: longer than {LONGEST_USER_ID}"


def answer_format_is_closed(body: Body) -> Faults:
    if wanted := body.get("output_config", {}).get("format"):
        yield from closed(wanted["schema"], "output_config.format.schema", every_property_required=False)


def held_schemas(body: Body) -> list[tuple[str, Any]]:
    """Those that the model is held to: of strict tools, and of the form of the answer."""
    found = [(f"{path}.input_schema", tool["input_schema"]) for path, tool in own_tools(body) if tool.get("strict")]
    wanted = body.get("output_config", {}).get("format")
    return found + ([("output_config.format.schema", wanted["schema"])] if wanted else [])


def held_schemas_are_few(body: Body) -> Faults:
    held = held_schemas(body)
    within = [node for path, schema in held for _, node in subschemas(schema, path)]
    properties = [(node, name) for node in within for name in node.get("properties", {})]
    found = {
        "strict tools": sum(bool(tool.get("strict")) for _, tool in own_tools(body)),
        "optional parameters": sum(name not in node.get("required", []) for node, name in properties),
        "parameters of several types": sum(isinstance(node.get("type"), list) or "anyOf" in node for node in within),
    }
    yield from (
        f"tools: {found[what]} {what}, of at most {most}" for what, most in MOST_HELD.items() if found[what] > most
    )


def held_schemas_end(body: Body) -> Faults:
    """References lead to definitions of the schema, and never in a circle."""
    for path, schema in held_schemas(body):
        leads = {"#": schema} | {
            f"#/{key}/{name.replace('/', '~1')}": node
            for key in ("$defs", "definitions")
            for name, node in schema.get(key, {}).items()
        }
        known = {place: references(node) for place, node in leads.items()}
        for place, found in known.items():
            reached = found
            while (further := reached.union(*(known.get(one, set()) for one in reached))) != reached:
                reached = further
            yield from (f"{path}: {one!r} is nowhere in it" for one in found if one not in known)
            if place in reached:
                yield f"{path}: {place!r} leads back to itself"


def references(schema: Any) -> set[str]:
    """Of a schema, not of the definitions that stand in it."""
    bare = {key: node for key, node in schema.items() if key not in ("$defs", "definitions")}
    return {node["$ref"] for _, node in subschemas(bare, "") if "$ref" in node}


# Thinking


def thinking_fits_into_the_tokens(body: Body) -> Faults:
    if manual_thinking(body) and not 1024 <= body["thinking"]["budget_tokens"] < body["max_tokens"]:
        yield "thinking.budget_tokens: must be at least 1024 and less than max_tokens"


def thinking_leaves_sampling_alone(body: Body) -> Faults:
    if not manual_thinking(body):
        return
    if body.get("temperature", 1) != 1:
        yield "temperature: may only be 1 with thinking"
    if "top_k" in body:
        yield "top_k: not with thinking"
    if body.get("top_p", 1) < 0.95:
        yield "top_p: at least 0.95 with thinking"


def thinking_is_not_forced_to_call(body: Body) -> Faults:
    if manual_thinking(body) and body.get("tool_choice", {}).get("type") in ("any", "tool"):
        yield "tool_choice: may not force a tool with thinking"


def thinking_is_not_off_where_it_cannot_be(body: Body) -> Faults:
    kind = body.get("thinking", {}).get("type")
    if kind in ("disabled", "enabled") and ALWAYS_THINKING.search(body["model"]):
        yield f'thinking.type: "{kind}" is not supported for this model'


def calls_are_not_forced_where_they_cannot_be(body: Body) -> Faults:
    kind = body.get("tool_choice", {}).get("type")
    if kind in ("any", "tool") and UNFORCED.search(body["model"]):
        yield 'tool_choice: type "tool" and "any" are not supported for this model'


def thinking_leads_the_open_turn(body: Body) -> Faults:
    """The turn that is going on: calls and their results, back to what the user last said."""
    if not manual_thinking(body):
        return
    steps: list[list[Block]] = []
    for role, blocks in reversed(conversation(body)):
        if role == "user" and not typed(blocks, "tool_result"):
            break
        steps += [blocks] if role == "assistant" else []
    if steps and not any(typed(blocks[:1], *THINKING) for blocks in (steps[0], steps[-1])):
        yield f"{steps[0][0][0] if steps[0] else 'messages'}: with thinking, the turn must begin with a thinking block"


def thinking_is_signed(body: Body) -> Faults:
    for path, block in typed(spoken_blocks(body), *THINKING):
        key = "signature" if block["type"] == "thinking" else "data"
        if not block[key]:
            yield f"{path}.{key}: is empty"


# Turns and blocks


def the_user_begins(body: Body) -> Faults:
    if not body["messages"] or body["messages"][0]["role"] != "user":
        yield "messages: the first must be the user's"


def roles_alternate(body: Body) -> Faults:
    spoken = [(role, path) for role, path, _ in turns(body) if role != "system"]
    for (before, _), (role, path) in pairwise(spoken):
        if role == before:
            yield f"{path}.role: {role} twice in a row"


def system_turns_have_their_place(body: Body) -> Faults:
    """Behind the user, or behind results of the vendor's own tools; before the assistant, or at the end."""
    spoken = turns(body)
    for place, (role, path, _) in enumerate(spoken):
        if role != "system":
            continue
        before = next((turn for turn in reversed(spoken[:place]) if turn[0] != "system"), None)
        behind = next((turn[0] for turn in spoken[place:] if turn[0] != "system"), "assistant")
        if before is None:
            yield f"{path}.role: the first instructions stand at the top level"
        elif before[0] == "assistant" and not any(one["type"].endswith("_tool_result") for _, one in before[2][-1:]):
            yield f"{path}.role: system must follow a user"
        if behind != "assistant":
            yield f"{path}.role: system must precede an assistant or end the array"


def system_is_apart(body: Body) -> Faults:
    for role, path, _ in turns(body):
        if role == "system":
            yield f"{path}.role: system stands at the top level"


def messages_say_something(body: Body) -> Faults:
    for _, path, blocks in turns(body):
        if not blocks:
            yield f"{path}.content: is empty"


def texts_say_something(body: Body) -> Faults:
    for path, block in typed(every_block(body), "text"):
        if not block["text"].strip():
            yield f"{path}.text: is blank"


def the_end_has_no_trailing_space(body: Body) -> Faults:
    role, _, blocks = turns(body)[-1] if body["messages"] else ("", "", [])
    for path, block in typed(blocks[-1:] if role == "assistant" else [], "text"):
        if block["text"] != block["text"].rstrip():
            yield f"{path}.text: ends with white space"


def images_are_data(body: Body) -> Faults:
    for path, block in typed(spoken_blocks(body), "image", "document"):
        source = block["source"]
        if source["type"] == "base64" and not is_base64(source["data"]):
            yield f"{path}.source.data: is not base64"
        if source["type"] == "url" and not re.match("https?://[^/]", source["url"]):
            yield f"{path}.source.url: is not a web address"


def cache_marks_are_few(body: Body) -> Faults:
    marks = sum(bool(block.get("cache_control")) for _, block in every_block(body)) + bool(body.get("cache_control"))
    if marks > MOST_CACHE_MARKS:
        yield f"cache_control: {marks} marks, of at most {MOST_CACHE_MARKS}"


def long_cache_marks_come_first(body: Body) -> Faults:
    short = False
    for path, block in every_block(body):
        ttl = (block.get("cache_control") or {"ttl": None}).get("ttl", "5m")
        if ttl == "1h" and short:
            yield f"{path}.cache_control.ttl: 1h after 5m"
        short = short or ttl == "5m"


# Tools


def tool_names_are_plain(body: Body) -> Faults:
    for path, tool in blocks_of(body.get("tools"), "tools"):
        if "name" in tool and not TOOL_NAME.fullmatch(tool["name"]):
            yield f"{path}.name: {tool['name']!r} is not a tool's name"
    for path, call in typed(spoken_blocks(body), "tool_use"):
        if not TOOL_NAME.fullmatch(call["name"]):
            yield f"{path}.name: {call['name']!r} is not a tool's name"


def tool_names_are_unique(body: Body) -> Faults:
    names = Counter(tool["name"] for _, tool in blocks_of(body.get("tools"), "tools") if "name" in tool)
    yield from (f"tools: {name!r} stands {count} times" for name, count in names.items() if count > 1)


def tool_schemas_are_objects(body: Body) -> Faults:
    for path, tool in own_tools(body):
        yield from object_schema(tool["input_schema"], f"{path}.input_schema")
        if tool.get("strict"):
            yield from closed(tool["input_schema"], f"{path}.input_schema", every_property_required=False)


def the_choice_has_tools(body: Body) -> Faults:
    choice = body.get("tool_choice")
    if choice and not body.get("tools"):
        yield "tool_choice: only with tools"
    elif choice and choice["type"] == "tool" and choice["name"] not in {tool.get("name") for tool in body["tools"]}:
        yield f"tool_choice.name: {choice['name']!r} is not among the tools"


def call_ids_are_plain(body: Body) -> Faults:
    for path, block in typed(spoken_blocks(body), "tool_use", "server_tool_use", "tool_result"):
        key = "tool_use_id" if block["type"] == "tool_result" else "id"
        if not CALL_ID.fullmatch(block[key]):
            yield f"{path}.{key}: {block[key]!r} does not match ^[a-zA-Z0-9_-]+$"


def call_ids_are_unique(body: Body) -> Faults:
    ids = Counter(call["id"] for _, call in typed(spoken_blocks(body), "tool_use"))
    yield from (f"messages: {count} calls of the id {one!r}" for one, count in ids.items() if count > 1)


def results_come_first(body: Body) -> Faults:
    for role, blocks in conversation(body):
        kinds = [block["type"] == "tool_result" for _, block in blocks]
        if role == "user" and kinds != sorted(kinds, reverse=True):
            yield f"{blocks[0][0]}: tool results must come first"


def calls_are_answered(body: Body) -> Faults:
    """Each call by one result in the turn right after it, each result right after its call."""
    spoken = [("user", []), *conversation(body), ("user", [])]
    for (_, before), (role, blocks) in pairwise(spoken):
        calls = [call["id"] for _, call in typed(before, "tool_use")]
        results = [(path, result["tool_use_id"]) for path, result in typed(blocks, "tool_result")]
        if role == "assistant":
            yield from (f"{path}: results are the user's" for path, _ in results)
            continue
        answers = Counter(one for _, one in results)
        yield from (f"messages: no result for the call {one!r}" for one in calls if not answers[one])
        yield from (f"{path}: no call {one!r} right before it" for path, one in results if one not in calls)
        yield from (f"messages: {n} results for the call {one!r}" for one, n in answers.items() if n > 1)


def calls_are_the_assistants(body: Body) -> Faults:
    for role, _, blocks in turns(body):
        for path, block in typed(blocks if role == "user" else [], "tool_use", "server_tool_use", *THINKING):
            yield f"{path}: {block['type']} in a turn of the user"


RULES: tuple[Rule, ...] = (
    a_model_is_named,
    tokens_are_positive,
    sampling_is_in_range,
    stop_sequences_say_something,
    user_id_is_short,
    answer_format_is_closed,
    held_schemas_are_few,
    held_schemas_end,
    thinking_fits_into_the_tokens,
    thinking_leaves_sampling_alone,
    thinking_is_not_forced_to_call,
    thinking_is_not_off_where_it_cannot_be,
    calls_are_not_forced_where_they_cannot_be,
    thinking_leads_the_open_turn,
    thinking_is_signed,
    the_user_begins,
    system_turns_have_their_place,
    messages_say_something,
    texts_say_something,
    the_end_has_no_trailing_space,
    images_are_data,
    cache_marks_are_few,
    long_cache_marks_come_first,
    tool_names_are_plain,
    tool_names_are_unique,
    tool_schemas_are_objects,
    the_choice_has_tools,
    call_ids_are_plain,
    call_ids_are_unique,
    results_come_first,
    calls_are_answered,
    calls_are_the_assistants,
)

STRICT: tuple[Rule, ...] = (roles_alternate,)
"""The vendor joins such turns; we would rather not make it."""
