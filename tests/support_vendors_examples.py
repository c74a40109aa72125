"""Bodies for the judge: sound ones, ones of the wrong shape, and for each rule one or more that break it."""

from __future__ import annotations

from typing import Any

from support_vendors_values import Body
from trivium.canon.api import Api

Broken = list[tuple[str, Body]]
"""What is broken in it, by the name of the rule or the beginning of the fault, and the body."""

PNG = "iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"], "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"q": {"type": "string"}}}
LONG = "x" * 65


# Messages


def user(*blocks: Any) -> Body:
    return {"role": "user", "content": blocks[0] if isinstance(blocks[0], str) else list(blocks)}


def assistant(*blocks: Any) -> Body:
    return {"role": "assistant", "content": blocks[0] if isinstance(blocks[0], str) else list(blocks)}


def text(said: str, **more: Any) -> Body:
    return {"type": "text", "text": said, **more}


def use(one: str = "a", name: str = "f") -> Body:
    return {"type": "tool_use", "id": one, "name": name, "input": {}}


def result(one: str = "a", content: Any = "r") -> Body:
    return {"type": "tool_result", "tool_use_id": one, "content": content}


def image(**source: Any) -> Body:
    return {"type": "image", "source": source}


def png(data: str, kind: str = "image/png") -> Body:
    return image(type="base64", media_type=kind, data=data)


def tool(name: str = "f", schema: Any = SCHEMA, **more: Any) -> Body:
    return {"name": name, "input_schema": schema, **more}


def messages(*turns: Body, **more: Any) -> Body:
    return {"model": "m", "max_tokens": 4096, "messages": list(turns or [user("hi")]), **more}


def mark(ttl: str = "5m") -> Body:
    return {"cache_control": {"type": "ephemeral", "ttl": ttl}}


THOUGHT = {"type": "thinking", "thinking": "", "signature": "s"}
THINKING = {"thinking": {"type": "enabled", "budget_tokens": 1024}}
CALLED = (user("hi"), assistant(use()), user(result()))
PICTURE = png(PNG)
BOTH_CALLED = (user("hi"), assistant(use(), use("b")))
WEB_SEARCH = {"type": "web_search_20250305", "name": "web_search"}
SCOPED = {"type": "ephemeral", "scope": "global"}
SYSTEM = {"role": "system", "content": "s"}
MAP = {"type": "object", "additionalProperties": {"type": "string"}}
EITHER = {"type": ["string", "null"]}
CIRCLE = {"a": {"items": {"$ref": "#/$defs/b"}}, "b": {"items": {"$ref": "#/$defs/a"}}}
NAMES = [f"p{number}" for number in range(26)]
ANY = {"type": "any"}
ONE_CALL = {"disable_parallel_tool_use": True}


def answer_as(schema: Any) -> Body:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


MESSAGES_BROKEN: Broken = [
    ("a_model_is_named", messages(model="")),
    ("tokens_are_positive", messages(max_tokens=0)),
    ("sampling_is_in_range", messages(temperature=1.5)),
    ("sampling_is_in_range", messages(top_p=-0.1)),
    ("stop_sequences_say_something", messages(stop_sequences=["\n"])),
    ("user_id_is_short", messages(metadata={"user_id": "x" * 257})),
    ("answer_format_is_closed", messages(**answer_as(LOOSE))),
    ("answer_format_is_closed", messages(**answer_as(SCHEMA | {"properties": {"q": LOOSE}}))),
    ("answer_format_is_closed", messages(**answer_as(SCHEMA | {"properties": {"q": MAP}}))),
    ("held_schemas_are_few", messages(tools=[tool(f"f{number}", strict=True) for number in range(21)])),
    ("held_schemas_are_few", messages(**answer_as(SCHEMA | {"properties": {name: {} for name in NAMES}}))),
    ("held_schemas_are_few", messages(**answer_as(SCHEMA | {"anyOf": [EITHER] * 17}))),
    ("held_schemas_end", messages(**answer_as(SCHEMA | {"properties": {"q": {"$ref": "#"}}}))),
    ("held_schemas_end", messages(**answer_as(SCHEMA | {"properties": {"q": {"$ref": "#/$defs/q"}}}))),
    ("held_schemas_end", messages(tools=[tool(schema=SCHEMA | {"$defs": CIRCLE}, strict=True)])),
    ("thinking_fits_into_the_tokens", messages(thinking={"type": "enabled", "budget_tokens": 1023})),
    ("thinking_fits_into_the_tokens", messages(**THINKING, max_tokens=1024)),
    ("thinking_leaves_sampling_alone", messages(**THINKING, temperature=0.5)),
    ("thinking_leaves_sampling_alone", messages(**THINKING, top_k=5)),
    ("thinking_leaves_sampling_alone", messages(**THINKING, top_p=0.9)),
    ("thinking_is_not_forced_to_call", messages(**THINKING, tools=[tool()], tool_choice={"type": "any"})),
    ("thinking_is_not_off_where_it_cannot_be", messages(model="claude-fable-5", thinking={"type": "disabled"})),
    ("calls_are_not_forced_where_they_cannot_be", messages(model="claude-opus-5-5", tools=[tool()], tool_choice=ANY)),
    ("thinking_leads_the_open_turn", messages(*CALLED, **THINKING)),
    ("thinking_leads_the_open_turn", messages(user("hi"), assistant(text("a"), use()), user(result()), **THINKING)),
    ("thinking_leads_the_open_turn", messages(user("hi"), assistant("So"), **THINKING)),
    ("thinking_is_signed", messages(user("hi"), assistant(THOUGHT | {"signature": ""}, text("a")), user("b"))),
    ("thinking_is_signed", messages(user("hi"), assistant({"type": "redacted_thinking", "data": ""}, text("a")))),
    ("the_user_begins", messages(assistant("hi"), user("hi"))),
    ("the_user_begins", messages() | {"messages": []}),
    ("roles_alternate", messages(user("a"), user("b"))),
    ("system_turns_have_their_place", messages(user("a"), SYSTEM, user("b"))),
    ("system_turns_have_their_place", messages(user("a"), assistant("b"), SYSTEM)),
    ("system_turns_have_their_place", messages(SYSTEM, assistant("b"))),
    ("system_is_apart", messages(user("a"), SYSTEM)),
    ("messages_say_something", messages(user(""))),
    ("messages_say_something", messages(user("a"), {"role": "assistant", "content": []}, user("b"))),
    ("texts_say_something", messages(user(text("")))),
    ("texts_say_something", messages(user("\n "))),
    ("texts_say_something", messages(system=[text("")])),
    ("texts_say_something", messages(*CALLED[:2], user(result(content=[text("")])))),
    ("the_end_has_no_trailing_space", messages(user("a"), assistant("b "))),
    ("images_are_data", messages(user(png("data:,x")))),
    ("images_are_data", messages(*CALLED[:2], user(result(content=[png("é")])))),
    ("images_are_data", messages(user(image(type="url", url="data:image/png;base64,AAAA")))),
    ("cache_marks_are_few", messages(user(*[text("a", **mark())] * 3), tools=[tool(**mark())], **mark())),
    ("long_cache_marks_come_first", messages(user(text("a", **mark("1h"))), system=[text("b", **mark())])),
    ("tool_names_are_plain", messages(tools=[tool("a.b")])),
    ("tool_names_are_plain", messages(tools=[tool("x" * 129)])),
    ("tool_names_are_plain", messages(user("hi"), assistant(use(name="")), user(result()))),
    ("tool_names_are_unique", messages(tools=[tool(), tool()])),
    ("tool_schemas_are_objects", messages(tools=[tool(schema={})])),
    ("tool_schemas_are_objects", messages(tools=[tool(schema=LOOSE, strict=True)])),
    ("the_choice_has_tools", messages(tool_choice={"type": "auto"})),
    ("the_choice_has_tools", messages(tools=[tool()], tool_choice={"type": "tool", "name": "g"})),
    ("call_ids_are_plain", messages(user("hi"), assistant(use("a.b:0")), user(result("a.b:0")))),
    ("call_ids_are_plain", messages(user("hi"), assistant(use("")), user(result("")))),
    ("call_ids_are_unique", messages(*CALLED, *CALLED[1:])),
    ("results_come_first", messages(*CALLED[:2], user(text("so"), result()))),
    ("calls_are_answered", messages(*CALLED[:2], user("and?"))),
    ("calls_are_answered", messages(*CALLED[:2])),
    ("calls_are_answered", messages(*BOTH_CALLED, user(result()), assistant("x"), user(result("b")))),
    ("calls_are_answered", messages(user(result()))),
    ("calls_are_answered", messages(*CALLED[:2], user(result(), result()))),
    ("calls_are_the_assistants", messages(user(use()), assistant("a"))),
]  # fmt: skip

MESSAGES_MISSHAPEN: Broken = [
    ("max_tokens: required", {"model": "m", "messages": [user("hi")]}),
    ("max_tokens: must be an integer", messages(max_tokens=True)),
    ("top: extra", messages(top=1)),
    ("user_profile_id: extra", messages(user_profile_id="u")),
    ("disable_parallel_tool_use: extra", messages(**ONE_CALL)),
    ("tool_choice.disable_parallel_tool_use: extra", messages(tool_choice={"type": "none", **ONE_CALL})),
    ("messages[0].name: extra", messages(user("hi") | {"name": "n"})),
    ("messages[0].content[0].index: extra", messages(user(text("a", index=0)))),
    ("messages[0].content[0].cache_control.scope: extra", messages(user(text("a", cache_control=SCOPED)))),
    ("messages[0].content[0].cache_control: extra", messages(assistant(THOUGHT | mark()))),
    ("messages[0].content[0].signature: required", messages(assistant({"type": "thinking", "thinking": "t"}))),
    ("messages[0].content[0].content[0].x: extra", messages(user(result(content=[text("a", x=1)])))),
    ("messages[0].content[0].source.media_type", messages(user(png(PNG, "image/bmp")))),
    ("messages[0].content[0].input: must be an object", messages(assistant(use() | {"input": "{}"}))),
    ("messages[0].content[0]: nothing of type 'image_url'", messages(user({"type": "image_url"}))),
    ("messages[0]: nothing of role 'tool'", messages({"role": "tool", "content": "a"})),
    ("messages[0].content: must be", messages({"role": "user", "content": None})),
    ("tools[0].parameters: extra", messages(tools=[tool(parameters={})])),
    ("thinking: nothing of type 'on'", messages(thinking={"type": "on"})),
    ("output_config.effort: must be", messages(output_config={"effort": "minimal"})),
]  # fmt: skip

MESSAGES_SOUND = [
    messages(stream=True, temperature=0.5, top_k=5, stop_sequences=["x"]),
    messages(*CALLED, tools=[tool(**mark("1h"))], tool_choice={"type": "any", **ONE_CALL}),
    messages(user("hi"), assistant(THOUGHT, use()), user(result()), assistant(use("b")), user(result("b")), **THINKING),
    messages(*CALLED, assistant("a"), user("b"), **THINKING, top_p=0.95, temperature=1),
    messages(*BOTH_CALLED, user(result("b"), result(content=[PICTURE]), text("so"))),
    messages(system=[text("s", **mark())], **answer_as(SCHEMA), tools=[WEB_SEARCH]),
]  # fmt: skip


# Chat Completions


def call(one: str = "a", name: str = "f", arguments: Any = "{}") -> Body:
    return {"id": one, "type": "function", "function": {"name": name, "arguments": arguments}}


def calling(*calls: Body) -> Body:
    return {"role": "assistant", "tool_calls": list(calls)}


def told(one: str = "a") -> Body:
    return {"role": "tool", "tool_call_id": one, "content": ""}


def function(name: str = "f", parameters: Any = LOOSE, **more: Any) -> Body:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def chat(*turns: Body, **more: Any) -> Body:
    return {"model": "m", "messages": list(turns or [user("hi")]), **more}


def json_schema(name: str = "n", schema: Any = SCHEMA, strict: bool = True) -> Body:
    return {"name": name, "schema": schema, "strict": strict}


def formatted(**how: Any) -> Body:
    return chat(response_format={"type": "json_schema", "json_schema": json_schema(**how)})


def shown(url: str) -> Body:
    return user({"type": "image_url", "image_url": {"url": url}})


CHAT_BROKEN: Broken = [
    ("a_model_is_named", chat(model=" ")),
    ("metadata_is_small", chat(metadata={str(key): "v" for key in range(17)})),
    ("metadata_is_small", chat(metadata={"k": "v" * 513})),
    ("stream_options_need_a_stream", chat(stream_options={"include_usage": True})),
    ("no_list_is_empty", chat() | {"messages": []}),
    ("no_list_is_empty", chat(tools=[])),
    ("no_list_is_empty", chat(user("a"), assistant("b") | {"tool_calls": []})),
    ("no_list_is_empty", chat({"role": "user", "content": []})),
    ("the_assistant_says_or_calls", chat({"role": "assistant", "content": None})),
    ("messages_say_something", chat(user(""))),
    ("messages_say_something", chat({"role": "system", "content": ""}, user("a"))),
    ("messages_say_something", chat(user("a"), assistant(""))),
    ("speakers_have_plain_names", chat(user("a") | {"name": "a b"})),
    ("calls_are_answered", chat(calling(call(), call("b")), told(), user("so"), told("b"))),
    ("calls_are_answered", chat(calling(call()))),
    ("calls_are_answered", chat(user("a"), told())),
    ("calls_are_answered", chat(calling(call()), told(), told())),
    ("call_ids_fit", chat(calling(call("")), told(""))),
    ("call_ids_fit", chat(calling(call(LONG)), told(LONG))),
    ("called_names_are_plain", chat(calling(call(name="a.b")), told())),
    ("tools_are_sound", chat(tools=[function(LONG)])),
    ("tools_are_sound", chat(tools=[function(parameters={})])),
    ("tools_are_sound", chat(tools=[function(parameters={"type": "object"})])),
    ("tools_are_sound", chat(tools=[function(strict=True)])),
    ("choice_has_tools", chat(tool_choice="auto")),
    ("choice_has_tools", chat(parallel_tool_calls=False)),
    ("choice_has_tools", chat(tools=[function()], tool_choice={"type": "function", "function": {"name": "g"}})),
    ("one_limit_of_tokens", chat(max_tokens=5, max_completion_tokens=5)),
    ("numbers_are_in_range", chat(temperature=2.1)),
    ("numbers_are_in_range", chat(n=0)),
    ("top_logprobs_need_logprobs", chat(top_logprobs=2)),
    ("stops_are_few", chat(stop=list("abcde"))),
    ("format_is_sound", formatted(name="a b")),
    ("format_is_sound", formatted(schema=LOOSE)),
    ("format_is_sound", formatted(schema=SCHEMA | {"required": []})),
    ("json_is_asked_for", chat(response_format={"type": "json_object"})),
    ("images_are_urls", chat(shown("file:///a.png"))),
    ("images_are_urls", chat(shown("data:image/png;base64,é"))),
]  # fmt: skip

CHAT_MISSHAPEN: Broken = [
    ("messages: required", {"model": "m"}),
    ("top_k: extra", chat(top_k=1)),
    ("messages[0].cache_control: extra", chat(user("a") | mark())),
    ("messages[0].content[0].cache_control: extra", chat(user(text("a", **mark())))),
    ("messages[0].content: must be", chat({"role": "user", "content": None})),
    ("messages[0].content: required", chat({"role": "system"})),
    ("messages[0].tool_calls[0].index: extra", chat(calling(call() | {"index": 0}), told())),
    ("messages[0].tool_calls[0].function.arguments: must be a string", chat(calling(call(arguments={})), told())),
    ("messages[1].content[0]: nothing of type 'image_url'", chat(user("a"), shown("u") | {"role": "assistant"})),
    ("messages[0].content[0].image_url: must be an object", chat(user({"type": "image_url", "image_url": "u"}))),
    ("tools[0].name: extra", chat(tools=[{"type": "function", "name": "f"}])),
    ("metadata.k: must be a string", chat(metadata={"k": 1})),
    ("tool_choice", chat(tools=[function()], tool_choice="any")),
    ("stream: must be a boolean", chat(stream="yes")),
]  # fmt: skip

CHAT_SOUND = [
    chat(stream=True, stream_options={"include_usage": True}, stop=["a"], max_completion_tokens=5, metadata={"k": "v"}),
    chat(calling(call(), call("b")), told("b"), told(), assistant("c"), tools=[function()], tool_choice="auto"),
    chat({"role": "developer", "content": "JSON"}, user("a"), response_format={"type": "json_object"}),
    chat(user(text("a")), shown("https://example.com/a.png"), shown(f"data:image/png;base64,{PNG}")),
    chat(tools=[function(parameters=SCHEMA, strict=True)], parallel_tool_calls=False),
    formatted(schema=LOOSE, strict=False),
]  # fmt: skip


# Responses


def called(one: str = "a", name: str = "f", **more: Any) -> Body:
    return {"type": "function_call", "call_id": one, "name": name, "arguments": "{}", **more}


def gave(one: str = "a", output: Any = "r", **more: Any) -> Body:
    return {"type": "function_call_output", "call_id": one, "output": output, **more}


def flat(name: str = "f", parameters: Any = LOOSE, *, strict: Any = False, **more: Any) -> Body:
    return {"type": "function", "name": name, "parameters": parameters, "strict": strict, **more}


def responses(*items: Body, **more: Any) -> Body:
    return {"model": "m", "input": list(items or [user("hi")]), "store": False, **more}


def without(body: Body, *keys: str) -> Body:
    return {key: value for key, value in body.items() if key not in keys}


def output_text(said: str) -> Body:
    return {"type": "output_text", "text": said}


def input_image(url: Any) -> Body:
    return {"type": "input_image", "image_url": url}


def text_as(**how: Any) -> Body:
    return {"text": {"format": {"type": "json_schema", **json_schema(**how)}}}


REASONED = {"type": "reasoning", "summary": [], "encrypted_content": "e"}
CUSTOM = {"type": "custom_tool_call", "call_id": "a", "name": "f", "input": ""}
HANDED = (called(), gave())

RESPONSES_BROKEN: Broken = [
    ("a_model_is_named", without(responses(), "model")),
    ("metadata_is_small", responses(metadata={LONG: "v"})),
    ("stream_options_need_a_stream", responses(stream_options={"include_obfuscation": False})),
    ("something_is_asked", responses() | {"input": []}),
    ("calls_have_outputs", responses(called())),
    ("calls_have_outputs", responses(gave(), called())),
    ("calls_have_outputs", responses(*HANDED, gave())),
    ("calls_have_outputs", responses(called(), called(), gave())),
    ("calls_have_outputs", responses(CUSTOM, gave())),
    ("call_ids_fit", responses(called(""), gave(""))),
    ("call_ids_fit", responses(called(LONG), gave(LONG))),
    ("called_names_are_plain", responses(called(name="a.b"), gave())),
    ("parts_are_their_speakers", responses(assistant({"type": "input_text", "text": "a"}))),
    ("reasoning_is_followed", responses(user("a"), REASONED)),
    ("reasoning_is_followed", responses(called(), REASONED, gave())),
    ("reasoning_can_be_found", responses({"type": "reasoning", "summary": [], "id": "rs_1"}, called(), gave())),
    ("ids_have_their_prefix", responses(called(id="call_1"), gave())),
    ("tools_are_sound", responses(tools=[flat("a.b")])),
    ("tools_are_sound", responses(tools=[flat(parameters={"type": "string"})])),
    ("tools_are_sound", responses(tools=[flat(strict=True)])),
    ("choice_has_tools", responses(tool_choice="required")),
    ("choice_has_tools", responses(tools=[flat()], tool_choice={"type": "function", "name": "g"})),
    ("numbers_are_in_range", responses(max_output_tokens=15)),
    ("numbers_are_in_range", responses(temperature=3)),
    ("format_is_sound", responses(**text_as(name=""))),
    ("format_is_sound", responses(**text_as(schema=LOOSE))),
    ("json_is_asked_for", responses(text={"format": {"type": "json_object"}})),
    ("images_are_urls", responses(user(input_image("a.png")))),
    ("images_are_urls", responses(called(), gave(output=[input_image(None)]))),
    ("store_is_off", without(responses(), "store")),
    ("store_is_off", responses(store=True)),
    ("no_state_is_leant_on", responses(previous_response_id="resp_1")),
    ("no_state_is_leant_on", responses({"type": "item_reference", "id": "x"})),
    ("no_item_has_a_kept_id", responses(REASONED | {"id": "rs_1"}, *HANDED)),
    ("no_item_has_a_kept_id", responses(called(id="fc_1"), gave())),
    ("strict_is_said", responses(tools=[without(flat(), "strict")])),
    ("strict_is_said", responses(tools=[flat(strict=None)])),
]  # fmt: skip

RESPONSES_MISSHAPEN: Broken = [
    ("messages: extra", responses(messages=[])),
    ("max_tokens: extra", responses(max_tokens=20)),
    ("include[0]: must be", responses(include=["reasoning"])),
    ("tools[0].function: extra", responses(tools=[function()])),
    ("input[0].content[0]: nothing of type 'text'", responses(user(text("a")))),
    ("input[0].content[0]: nothing of type 'output_text'", responses(user(output_text("a")))),
    ("input[0].content[0].image_url: must be", responses(user(input_image({"url": "u"})))),
    ("input[0].content[0].cache_control: extra", responses(user({"type": "input_text", "text": "a"} | mark()))),
    ("input[0].arguments: must be a string", responses(called() | {"arguments": {}}, gave())),
    ("input[0].call_id: required", responses(without(called(), "call_id"), gave())),
    ("input[0].tool_calls: extra", responses(assistant("a") | {"tool_calls": []})),
    ("input[0].role: extra", responses({"role": "tool", "content": "a"})),
    ("text.format: nothing of type 'json'", responses(text={"format": {"type": "json"}})),
]  # fmt: skip

RESPONSES_SOUND = [
    responses(stream=True, include=["reasoning.encrypted_content"], max_output_tokens=16) | {"input": "hi"},
    responses(user("a"), REASONED, assistant(output_text("b")), user(input_image(f"data:image/png;base64,{PNG}"))),
    responses(REASONED, called(), called("b"), gave("b"), gave(output=[{"type": "input_text", "text": "r"}])),
    responses(CUSTOM, {"type": "custom_tool_call_output", "call_id": "a", "output": "r"}),
    responses(tools=[flat(), flat("g", SCHEMA, strict=True)], tool_choice={"type": "function", "name": "g"}),
    responses(**text_as(), instructions="i", reasoning={"effort": "low", "summary": "auto"}),
]  # fmt: skip


BROKEN = {Api.MESSAGES: MESSAGES_BROKEN, Api.CHAT: CHAT_BROKEN, Api.RESPONSES: RESPONSES_BROKEN}
MISSHAPEN = {Api.MESSAGES: MESSAGES_MISSHAPEN, Api.CHAT: CHAT_MISSHAPEN, Api.RESPONSES: RESPONSES_MISSHAPEN}
SOUND = {Api.MESSAGES: MESSAGES_SOUND, Api.CHAT: CHAT_SOUND, Api.RESPONSES: RESPONSES_SOUND}
