"""The model list in Anthropic's shape, for clients that send `anthropic-version`. `listing.py` has the other one, from
which this is made: the same models in the same order.

Shapes: spec.md section 8 ("Models"); pages as Anthropic's API reference has them (`limit`, `after_id`, `before_id`),
but that a list without `limit` is whole, for clients that read no second page.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs

import msgspec

from trivium.clock import rfc3339
from trivium.errors import RequestError
from trivium.routing.catalog import ModelEntry

_MOST = 1000
"""Models of a page."""
_LONG = 10
"""Digits."""
_Described = Mapping[str, Any]


def anthropic_list(models: Sequence[_Described], entries: Iterable[ModelEntry], query: bytes) -> bytes:
    """The page that a query string asks for, as a JSON body: of models as `listing` describes them, but with the names
    that their entries have. Raises RequestError."""
    asked = {name: said[-1] for name, said in parse_qs(query.decode("latin-1")).items()}
    names = {entry.id: entry.display_name for entry in entries}
    page, more = _page([_shape(model, names[model["id"]]) for model in models], asked)
    ends = (page[0]["id"], page[-1]["id"]) if page else (None, None)
    return msgspec.json.encode({"data": page, "first_id": ends[0], "last_id": ends[1], "has_more": more})


def anthropic_model(model: _Described, entry: ModelEntry) -> bytes:
    return msgspec.json.encode(_shape(model, entry.display_name))


def _page(models: list[dict[str, Any]], asked: Mapping[str, str]) -> tuple[list[dict[str, Any]], bool]:
    """The models, and whether there are more in the direction that was asked for."""
    limit, after, before = asked.get("limit"), asked.get("after_id"), asked.get("before_id")
    if limit is not None and not (limit.isdecimal() and len(limit) < _LONG and 1 <= int(limit) <= _MOST):
        raise RequestError(f"`limit` must be a number from 1 to {_MOST}.", param="limit")
    if after is not None and before is not None:
        raise RequestError("Name `after_id` or `before_id`, not both.", param="before_id")
    most = len(models) if limit is None else int(limit)
    if before is not None:
        end = _place(models, before, "before_id")
        return models[max(0, end - most) : end], end > most
    start = 0 if after is None else _place(models, after, "after_id") + 1
    return models[start : start + most], start + most < len(models)


def _place(models: list[dict[str, Any]], id: str, param: str) -> int:
    found = next((n for n, model in enumerate(models) if model["id"] == id), None)
    if found is None:
        raise RequestError(f"`{param}` must be the id of a model of this list.", param=param)
    return found


def _shape(model: _Described, name: str | None) -> dict[str, Any]:
    created = rfc3339(model["created"])
    told = {"type": "model", "id": model["id"], "display_name": name or model["id"], "created_at": created}
    if (context := model.get("context_length")) is not None:
        told["max_input_tokens"] = context
    if (output := model["top_provider"].get("max_completion_tokens")) is not None:
        told["max_tokens"] = output
    return told
