"""Usage of Responses (wire notes, section 3)."""

from __future__ import annotations

from typing import Any

from trivium.canon.usage import Conventions, Usage
from trivium.wire.figures import Figures, Keys, extras, openai_usage
from trivium.wire.lenient import mapping

_KEYS: Keys = {
    "input_tokens": "prompt",
    "output_tokens": "completion",
    "total_tokens": "total",
    "input_tokens_details": {
        "cached_tokens": "cached",
        "cache_write_tokens": "written",
        "audio_tokens": "audio_input",
        "image_tokens": "image_input",
    },
    "output_tokens_details": {"reasoning_tokens": "reasoning", "audio_tokens": "audio_output"},
}


class ResponsesUsage:
    """The usage of one response, from the response objects of its stream."""

    def __init__(self, conventions: Conventions) -> None:
        self._figures = Figures(_KEYS)
        self._conventions = conventions

    def read(self, response: dict[str, Any]) -> Usage | None:
        """The usage as it is known after one more response object."""
        gateway = mapping(mapping(response.get("provider_metadata")).get("gateway"))
        self._figures.read(mapping(response.get("usage")), gateway)
        self._figures.tier(response.get("service_tier"))
        return self._figures.usage(openai_usage(self._figures, self._conventions))


def told(usage: Usage) -> dict[str, Any]:
    """The usage object of a response."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            **({"cache_write_tokens": usage.cache_write} if usage.cache_write else {}),
            **({"audio_tokens": usage.audio_input} if usage.audio_input else {}),
            **({"image_tokens": usage.image_input} if usage.image_input else {}),
        },
        "output_tokens": usage.output,
        "output_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            **({"audio_tokens": usage.audio_output} if usage.audio_output else {}),
        },
        "total_tokens": usage.input + usage.output,
        **extras(usage),
    }
