"""Usage of Chat Completions, with what the providers add to it (wire notes, section 2)."""

from __future__ import annotations

from typing import Any

from trivium.canon.usage import Conventions, Usage
from trivium.wire.figures import Figures, Paths, openai_usage
from trivium.wire.lenient import mapping

_IN = "prompt_tokens_details"
_OUT = "completion_tokens_details"
_PATHS: Paths = {
    "prompt": (("prompt_tokens",),),
    "completion": (("completion_tokens",),),
    "total": (("total_tokens",),),
    # DeepSeek; Together, HuggingFace and Moonshot.
    "cached": ((_IN, "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",)),
    # Vercel.
    "written": ((_IN, "cache_write_tokens"), ("cache_creation_input_tokens",)),
    "reasoning": ((_OUT, "reasoning_tokens"),),
    # Mistral.
    "audio_input": ((_IN, "audio_tokens"), ("audio_tokens",), ("prompt_audio_tokens",)),
    "audio_output": ((_OUT, "audio_tokens"),),
    "image_input": ((_IN, "image_tokens"),),
    "prediction_accepted": ((_OUT, "accepted_prediction_tokens"),),
    "prediction_rejected": ((_OUT, "rejected_prediction_tokens"),),
}
_GOOGLE = ("google", "vertex")


class ChatUsage:
    """The usage of one answer, from usage objects wherever they lie."""

    def __init__(self, conventions: Conventions) -> None:
        self._figures = Figures(_PATHS)
        self._conventions = conventions
        self._google = False

    def read(self, usage: Any, metadata: Any = None, service_tier: Any = None) -> Usage | None:
        """The usage as it is known after one more object; `metadata` is Vercel's `provider_metadata`."""
        said = mapping(metadata)
        self._google = self._google or any(name in said for name in _GOOGLE)
        self._figures.tier(service_tier)
        self._figures.read(mapping(usage), mapping(said.get("gateway")))
        return self._figures.usage(openai_usage(self._figures, self._conventions, google=self._google))
