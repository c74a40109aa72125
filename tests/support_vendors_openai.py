"""What OpenAI refuses in Chat and Responses bodies alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from support_vendors_values import Body, Faults, Rule, closed, object_schema

Part = tuple[str, dict[str, Any]]
"""A message, part, item or tool, and its path."""

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
LONGEST_ID = 64


def parts_of(content: Any, path: str) -> list[Part]:
    """With their paths; none in a string."""
    return [(f"{path}[{index}]", part) for index, part in enumerate(content)] if isinstance(content, list) else []


def values(said: Any) -> Iterator[str]:
    """Every string that is a value."""
    if isinstance(said, str):
        yield said
    elif isinstance(said, dict | list):
        for one in said.values() if isinstance(said, dict) else said:
            yield from values(one)


def a_model_is_named(body: Body) -> Faults:
    if not body.get("model", "").strip():
        yield "model: is empty"


def metadata_is_small(body: Body) -> Faults:
    metadata = body.get("metadata") or {}
    if len(metadata) > 16:
        yield f"metadata: {len(metadata)} pairs, of at most 16"
    for key, value in metadata.items():
        if len(key) > 64 or len(value) > 512:
            yield f"metadata.{key}: longer than 64 and 512"


def stream_options_need_a_stream(body: Body) -> Faults:
    if body.get("stream_options") is not None and not body.get("stream"):
        yield "stream_options: only with stream"


def name_faults(name: str, path: str) -> Faults:
    if not NAME.fullmatch(name):
        yield f"{path}: {name!r} does not match ^[a-zA-Z0-9_-]{{1,64}}$"


def tool_faults(tool: dict[str, Any], path: str) -> Faults:
    yield from name_faults(tool["name"], f"{path}.name")
    schema = tool.get("parameters")
    if schema is not None:
        yield from object_schema(schema, f"{path}.parameters")
        if "properties" not in schema:
            yield f"{path}.parameters.properties: required"
        if tool.get("strict"):
            yield from closed(schema, f"{path}.parameters", every_property_required=True)


def format_faults(wanted: dict[str, Any], path: str) -> Faults:
    yield from name_faults(wanted["name"], f"{path}.name")
    if wanted.get("strict"):
        yield from object_schema(wanted.get("schema"), f"{path}.schema")
        yield from closed(wanted.get("schema"), f"{path}.schema", every_property_required=True)


def call_id_faults(one: str, path: str) -> Faults:
    if not 1 <= len(one) <= LONGEST_ID:
        yield f"{path}: must have 1 to {LONGEST_ID} characters"


def pick_faults(choice: Any, names: list[str]) -> Faults:
    """A tool that must be called, by name, has to be there."""
    named = choice if isinstance(choice, dict) else {}
    kind = named.get("type")
    name = named.get("name") or named.get(kind, {}).get("name") if kind in ("function", "custom") else None
    if name and name not in names:
        yield f"tool_choice: {name!r} is not among the tools"


BOTH: tuple[Rule, ...] = (a_model_is_named, metadata_is_small, stream_options_need_a_stream)
