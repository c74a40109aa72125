"""Usage of Chat Completions, with what the providers add to it (wire notes, section 2)."""

from __future__ import annotations

from typing import Any

from trivium.canon.usage import Conventions, Usage
from trivium.wire.figures import GOOGLE, Figures, Keys, extras, openai_usage
from trivium.wire.lenient import mapping

_KEYS: Keys = {
    "prompt_tokens": "prompt",
    "completion_tokens": "completion",
    "total_tokens": "total",
    "prompt_tokens_details": {
        "cached_tokens": "cached",
        "cache_write_tokens": "written",
        "audio_tokens": "audio_input",
        "image_tokens": "image_input",
    },
    "completion_tokens_details": {
        "reasoning_tokens": "reasoning",
        "audio_tokens": "audio_output",
        "image_tokens": "image_output",
        "video_tokens": "image_output",
        "accepted_prediction_tokens": "prediction_accepted",
        "rejected_prediction_tokens": "prediction_rejected",
    },
    "prompt_cache_hit_tokens": "cached",  # DeepSeek
    "cached_tokens": "cached",  # Together, HuggingFace, Moonshot
    "cache_creation_input_tokens": "written",  # Vercel, Databricks
    "cache_read_input_tokens": "cached",  # Databricks, inside the prompt (databricks/databricks-ai-bridge#446)
    "audio_tokens": "audio_input",  # Mistral, as the next one
    "prompt_audio_tokens": "audio_input",
}


class ChatUsage:
    """The usage of one answer, from usage objects wherever they lie."""

    def __init__(self, conventions: Conventions) -> None:
        self._figures = Figures(_KEYS)
        self._conventions = conventions
        self._google = False

    def tier(self, service_tier: str) -> None:
        """What the answer names before its usage, whose own word comes first."""
        self._figures.tier(service_tier)

    def read(self, usage: Any, metadata: Any = None, service_tier: Any = None) -> Usage | None:
        """The usage as it is known after one more object; `metadata` is Vercel's `provider_metadata`."""
        said = mapping(metadata)
        self._google = self._google or any(name in said for name in GOOGLE)
        self._figures.tier(service_tier)
        self._figures.read(mapping(usage), mapping(said.get("gateway")))
        return self._figures.usage(openai_usage(self._figures, self._conventions, google=self._google))


def told(usage: Usage) -> dict[str, Any]:
    """The usage object of a Chat answer."""
    return {
        "prompt_tokens": usage.input,
        "completion_tokens": usage.output,
        "total_tokens": usage.input + usage.output,
        "prompt_tokens_details": {
            "cached_tokens": usage.cache_read,
            **({"cache_write_tokens": usage.cache_write} if usage.cache_write else {}),
            "audio_tokens": usage.audio_input,
            **({"image_tokens": usage.image_input} if usage.image_input else {}),
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            "audio_tokens": usage.audio_output,
            **({"image_tokens": usage.image_output} if usage.image_output else {}),
            "accepted_prediction_tokens": usage.prediction_accepted,
            "rejected_prediction_tokens": usage.prediction_rejected,
        },
        **extras(usage),
    }
