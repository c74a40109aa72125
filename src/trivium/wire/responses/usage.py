"""Usage of Responses (wire notes, section 3)."""

from __future__ import annotations

from typing import Any

from trivium.canon.usage import Conventions, Usage
from trivium.wire.figures import Figures, Paths, openai_usage
from trivium.wire.lenient import mapping

_IN = "input_tokens_details"
_OUT = "output_tokens_details"
_PATHS: Paths = {
    "prompt": (("input_tokens",),),
    "completion": (("output_tokens",),),
    "total": (("total_tokens",),),
    "cached": ((_IN, "cached_tokens"),),
    "written": ((_IN, "cache_write_tokens"),),
    "reasoning": ((_OUT, "reasoning_tokens"),),
    "audio_input": ((_IN, "audio_tokens"),),
    "audio_output": ((_OUT, "audio_tokens"),),
    "image_input": ((_IN, "image_tokens"),),
}


class ResponsesUsage:
    """The usage of one response, from the response objects of its stream."""

    def __init__(self, conventions: Conventions) -> None:
        self._figures = Figures(_PATHS)
        self._conventions = conventions

    def read(self, response: dict[str, Any]) -> Usage | None:
        """The usage as it is known after one more response object."""
        gateway = mapping(mapping(response.get("provider_metadata")).get("gateway"))
        self._figures.read(mapping(response.get("usage")), gateway)
        self._figures.tier(response.get("service_tier"))
        return self._figures.usage(openai_usage(self._figures, self._conventions))
