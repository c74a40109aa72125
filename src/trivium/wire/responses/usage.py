"""Usage of Responses (wire notes, section 3).

OpenAI charges for calls of its tools, which are items of the answer. Of what a search of the web does its searches
cost, its looks into what they found do not (platform.openai.com/docs/pricing and docs/guides/tools-web-search, "Output
and citations"); items that do not say what they did are searches. Where `tool_usage` tells how many searches are billed
(openai-python 3.57.0, `types/responses/response.py`), that is what counts: some are free, and some show no item.

Its tool `image_generation` is a model of its own: the tokens of that stand there, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trivium.canon.usage import DRAWN, Conventions, Usage
from trivium.wire.figures import Figures, Keys, extras, openai_usage
from trivium.wire.lenient import mapping, text

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
    "output_tokens_details": {
        "reasoning_tokens": "reasoning",
        "audio_tokens": "audio_output",
        "image_tokens": "image_output",
    },
}
_DRAWN: Keys = {
    "input_tokens": "input",
    "input_tokens_details": {"image_tokens": "images"},
    "output_tokens": "output",
}
_CALLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "image_generation_call": "image_generation",
    "code_interpreter_call": "code_interpreter",
}
"""Items that cost something each."""
_NOTHING: Mapping[str, int] = {}


def tool_called(item: dict[str, Any]) -> str | None:
    """The tool whose call an item of an answer is, if it is one that costs something."""
    tool = _CALLS.get(text(item.get("type")))
    is_done = item.get("status") in (None, "completed") or (tool == "image_generation" and item.get("result"))
    if tool is None or not is_done:
        return None
    return tool if mapping(item.get("action")).get("type") in (None, "search") else None


class ResponsesUsage:
    """The usage of one response, from the response objects of its stream."""

    def __init__(self, conventions: Conventions) -> None:
        self._figures = Figures(_KEYS)
        self._drawn = Figures(_DRAWN)
        self._conventions = conventions

    def anew(self) -> None:
        self._figures.anew()
        self._drawn.anew()

    def read(self, response: dict[str, Any], calls: Mapping[str, int] = _NOTHING) -> Usage | None:
        """The usage as it is known after one more response object; `calls` are those of tools that the answer shows."""
        beside = mapping(response.get("tool_usage"))
        self._drawn.read(mapping(beside.get("image_gen")))
        self._figures.show({**calls, **_pictures(self._drawn)})
        gateway = mapping(mapping(response.get("provider_metadata")).get("gateway"))
        used = mapping(response.get("usage"))
        self._figures.read(used, gateway)
        self._figures.tier(response.get("service_tier"))
        if used:  # what a stream begins with tells of none
            self._figures.called("web_search", mapping(beside.get("web_search")).get("num_requests"))
        return self._figures.usage(openai_usage(self._figures, self._conventions))


def _pictures(drawn: Figures) -> dict[str, int]:
    """Tokens of the model that drew, each kind with a price of its own."""
    images = min(drawn["images"], drawn["input"])
    return {
        f"{DRAWN}input": drawn["input"] - images,
        f"{DRAWN}image_input": images,
        f"{DRAWN}output": drawn["output"],
    }


def told(usage: Usage) -> dict[str, Any]:
    """The usage object of a response."""
    return {
        "input_tokens": usage.input,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write,
            **({"audio_tokens": usage.audio_input} if usage.audio_input else {}),
            **({"image_tokens": usage.image_input} if usage.image_input else {}),
        },
        "output_tokens": usage.output,
        "output_tokens_details": {
            "reasoning_tokens": usage.reasoning,
            **({"audio_tokens": usage.audio_output} if usage.audio_output else {}),
            **({"image_tokens": usage.image_output} if usage.image_output else {}),
        },
        "total_tokens": usage.input + usage.output,
        **extras(usage),
    }
