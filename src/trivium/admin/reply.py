"""Answers of the admin API as bytes: a value, a part of a list, an error. Pure."""

from __future__ import annotations

from types import UnionType
from typing import Any, get_args, get_origin

import msgspec

from trivium.admin.row import Route
from trivium.errors import TriviumError
from trivium.operations.table import Listed

_NO = "The gateway failed. The error has been logged."


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent, and what is kept for the same request again."""

    status: int
    content: bytes = b""
    etag: str | None = None
    headers: dict[str, str] = {}


class ErrorBody(msgspec.Struct, frozen=True, omit_defaults=True):
    code: str
    """Stable, for programs."""
    message: str
    """For people: what is wrong, and what to do."""
    param: str | None = None
    """The argument that is at fault, if one is."""


class Error(msgspec.Struct, frozen=True):
    error: ErrorBody


def is_list(kind: Any) -> bool:
    """Whether results of a type are parts of lists."""
    return get_origin(kind) is Listed


def whole_list(kind: Any) -> Any:
    """The type of the items, where a result is a list that comes whole, or is one of them; else None."""
    lists = [part for part in (kind, *get_args(kind)) if get_origin(part) is list]
    return get_args(lists[0])[0] if lists and (kind is lists[0] or isinstance(kind, UnionType)) else None


def answer(route: Route, result: Any) -> Answer:
    """A result, in plain values, as it is sent; of a list its part and the cursor of the next one."""
    status = route.row.status
    if is_list(route.op.result):
        result = {"data": result["items"], "next_cursor": result["next"]}
    elif whole_list(route.op.result) is not None:
        result = {"data": result if isinstance(result, list) else [result]}
    etag = f'"{result["version"]}"' if route.row.versioned else None
    return Answer(status=status, content=msgspec.json.encode(result), etag=etag)


def refusal(error: TriviumError) -> Answer:
    body = ErrorBody(code=error.code, message=error.message, param=error.param)
    headers = {} if error.retry_after is None else {"retry-after": str(error.retry_after)}
    return Answer(status=error.status, content=msgspec.json.encode(Error(body)), headers=headers)


def failure() -> Answer:
    return refusal(TriviumError(_NO))
