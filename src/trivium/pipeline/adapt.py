"""A request for a custom model as its admins want it asked: by named rules, whose losses are the caller's to know."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from trivium.canon import wildcard
from trivium.canon.api import Kind
from trivium.pipeline.call import Call, Operation
from trivium.providers.custom import CustomModel
from trivium.wire.custom import extended, without_tools
from trivium.wire.losses import Losses
from trivium.wire.request import Rendered, Request
from trivium.wire.toolgate import ToolGate


def adapted(request: Request, model: CustomModel, to: Kind, losses: Losses) -> Request:
    """The request as its admins want it asked, before it is translated to the API `to`. Raises InvalidJson."""
    settings = model.settings
    if not settings.include_tools and not settings.exclude_tools:
        return request
    gate = ToolGate(_meaning(settings.exclude_tools), _meaning(settings.include_tools or _ALL))
    return without_tools(request, gate, to, losses)


def completed(  # noqa: PLR0917
    call: Call, request: Request, api: Kind, rendered: Rendered, model: CustomModel, losses: Losses
) -> Rendered:
    """What is sent, in the upstream's API. Raises InvalidJson."""
    settings, body = model.settings, rendered.body
    if call.operation is Operation.GENERATE and (settings.extra_body or settings.output_limit is not None):
        body = extended(request, api, body, settings.extra_body, settings.output_limit, losses)
    return Rendered(body, rendered.losses)


_ALL = ("*",)
_compiled = lru_cache(10_000)(wildcard.compiled)


def _meaning(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    def means(tool: str) -> bool:
        return any(_compiled(pattern).fullmatch(tool) for pattern in patterns)

    return means
