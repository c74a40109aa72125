"""The model list in Anthropic's shape, for clients that send `anthropic-version`. `listing.py` has the other one.

Shapes: spec.md section 8 ("Models").
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from trivium.routing.catalog import ModelEntry, Target


def anthropic_list(entries: Sequence[ModelEntry]) -> bytes:
    """The models as a JSON body."""
    data = [anthropic_entry(entry) for entry in entries]
    ends = (data[0]["id"], data[-1]["id"]) if data else (None, None)
    return msgspec.json.encode({"data": data, "first_id": ends[0], "last_id": ends[1], "has_more": False})


def anthropic_model(entries: Sequence[ModelEntry], target: Target, name: str) -> bytes:
    """One model, by the name that led to the target."""
    return msgspec.json.encode(anthropic_entry(entry_of(entries, target, name)))


def entry_of(entries: Sequence[ModelEntry], target: Target, name: str) -> ModelEntry:
    """The entry of this name, or one for a name that is not listed."""
    known = (entry for entry in entries if entry.id == name)
    return next(known, None) or ModelEntry(name, target.provider.name if target.house is None else "trivium")


def anthropic_entry(entry: ModelEntry) -> dict[str, Any]:
    """A model as a member of the list."""
    created = datetime.fromtimestamp(entry.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": entry.id, "display_name": entry.display_name or entry.id, "created_at": created}
