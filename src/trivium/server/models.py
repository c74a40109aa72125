"""The model list in the caller's shape: Anthropic's for clients that send `anthropic-version`, else OpenAI's.

Shapes: spec.md section 8 ("Models").
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from trivium.routing.catalog import ModelEntry, Target
from trivium.settings import FreeModelSettings


def model_list(entries: Sequence[ModelEntry], *, anthropic: bool) -> bytes:
    """The models as a JSON body."""
    if not anthropic:
        return msgspec.json.encode({"object": "list", "data": [_openai(entry) for entry in entries]})
    data = [_anthropic(entry) for entry in entries]
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return msgspec.json.encode({"data": data, "first_id": ends[0], "last_id": ends[1], "has_more": False})


def single_model(entries: Sequence[ModelEntry], target: Target, name: str, *, anthropic: bool) -> bytes:
    """One model, by the name that led to the target."""
    known = (entry for entry in entries if entry.id == name)
    entry = next(known, None) or ModelEntry(name, target.provider.name if target.house is None else "trivium")
    return msgspec.json.encode(_anthropic(entry) if anthropic else _openai(entry))


def _openai(entry: ModelEntry) -> dict[str, Any]:
    said = {"id": entry.id, "object": "model", "created": entry.created, "owned_by": entry.owned_by}
    if entry.house is not None:
        return {**said, **_given_away(entry, entry.house.said)}
    return said if entry.context is None else {**said, "context_length": entry.context}


def _given_away(entry: ModelEntry, said: FreeModelSettings) -> dict[str, Any]:
    """What the house tells of a model of its own, in OpenRouter's words (behaviour page, section 1)."""
    return {
        "name": entry.display_name or entry.id,
        "context_length": entry.context,
        "architecture": {
            "input_modalities": ["text", "image"] if said.vision else ["text"],
            "output_modalities": ["text"],
        },
        "pricing": {"prompt": "0", "completion": "0"},
        "top_provider": {"context_length": entry.context, "max_completion_tokens": entry.output_limit},
        "supported_parameters": ["reasoning"] if said.reasoning else [],
        "prompt_cache": said.prompt_cache,
        "is_free": True,
    }


def _anthropic(entry: ModelEntry) -> dict[str, Any]:
    created = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": entry.id, "display_name": entry.display_name or entry.id, "created_at": created}
