"""What each provider of the table answers: recordings, the project's (`support_recordings`) and public ones where they
lie beside it. What no recording shows is composed after the provider's documentation, whose page is named."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from support_recordings import KEPT, OWN, Facts, Recording
from trivium.canon.api import Api
from trivium.mock import Reply

RECORDINGS = Path(__file__).resolve().parents[2] / "shared" / "wire" / "recordings"
_MOST = 6
"""Recordings of an API that are played, whole ones and streams each."""

RECORDED: dict[str, tuple[str, ...]] = {
    "openai": ("openai",),
    "anthropic": ("anthropic",),
    "openrouter": ("openrouter",),
    "vercel": ("vercel",),
    "azure": ("azure",),
    "azure-deployments": ("azure",),
    "google": ("google-compat",),
    "vertex": ("vertex",),
    "bedrock": ("bedrock",),
    "bedrock-openai": ("bedrock",),
    "bedrock-messages": ("bedrock",),
    "mistral": ("mistral",),
    "codestral": ("mistral",),
    "xai": ("xai", "xai-openai-compatible"),
    "deepseek": ("deepseek",),
    "moonshot": ("moonshot",),
    "groq": ("groq",),
    "together": ("together",),
    "ollama": ("local-11434",),
    "ollama-cloud": ("ollama-com",),
    "vllm": ("local-8000",),
    "llama.cpp": ("local-8080",),
    "openai-compatible": ("huggingface", "api-avian-io", "api-inference-crusoecloud-com"),
    "anthropic-compatible": ("local-8787",),
}
"""The folders of recordings beside the project by row. Codestral's are Mistral's, from the same server at its other
host, and those of Bedrock's Messages API are InvokeModel's whole answers."""
_APIS: dict[str, tuple[Api, ...]] = {
    "anthropic": (Api.MESSAGES,),
    "anthropic-compatible": (Api.MESSAGES,),
    "azure-deployments": (Api.CHAT,),
    "bedrock": (Api.MESSAGES,),
    "bedrock-messages": (Api.MESSAGES,),
    "bedrock-openai": (Api.RESPONSES,),
    "vertex": (Api.MESSAGES,),
}
_FRAMES = "application/vnd.amazon.eventstream"
_KINDS = {".bin": _FRAMES, ".sse": "text/event-stream", ".json": "application/json"}


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    name: str
    api: Api
    data: bytes
    file: str | None = None
    """Where its bytes are; None: they are in `data` alone."""
    status: int = 200
    stream: bool = False
    content_type: str = "application/json"
    recorded: bool = True
    counted_as: str | None = None
    """The name by which the reader of captures knows how its provider counts."""
    facts: Facts | None = None
    """What it says, where that was read off by eye."""

    @property
    def model(self) -> str:
        """By which it is asked for."""
        return f"m-{self.name[-40:].strip('-')}"

    def reply(self) -> Reply:
        how: dict[str, Any] = {"file": self.file} if self.file else {"body": self.data.decode()}
        if self.file is None and self.stream:
            how = {"sse": self.data.decode()}
        return Reply(status=self.status, content_type=self.content_type, **how)


@lru_cache
def plays(kind: str) -> list[Played]:
    """The answers of a row."""
    beside = [one for name in RECORDED.get(kind, ()) for api in _APIS.get(kind, tuple(Api)) for one in _of(api, name)]
    found = [one for one in beside if one.content_type != _FRAMES or kind == "bedrock"]
    found += [_kept(one) for one in KEPT.get(kind, ())] + (_own() if kind == "llama.cpp" else [])
    return [*(found or DOCUMENTED.get(kind, ())), *ALSO.get(kind, ())]


def _of(api: Api, name: str) -> list[Played]:
    folders = sorted((RECORDINGS / api.short / name).glob("*/meta.json"))
    every = [_recorded(api, path.parent) for path in folders]
    chosen: list[Played] = []
    for stream in (False, True):
        good = [one for one in every if one.stream is stream and one.status < 300]
        chosen += good[:: max(1, len(good) // _MOST)][:_MOST]
        chosen += [one for one in every if one.stream is stream and one.status >= 400]
    return chosen


def _recorded(api: Api, folder: Path) -> Played:
    meta = json.loads((folder / "meta.json").read_text())
    path = next(path for path in folder.iterdir() if path.stem == "response")
    return _in_file(path, folder.name, api, status=meta["status"], counted_as=folder.parts[-2])


def _kept(one: Recording) -> Played:
    return _in_file(one.path, one.path.name, one.api, status=one.status, facts=one.facts)


def _own() -> list[Played]:
    """What the embedded llama.cpp was recorded to answer."""
    shown = ("", "_length", "_tool")
    names = [(f"{api.short}{what}.{kind}", api) for api in Api for what in shown for kind in ("json", "sse")]
    errors = [_in_file(path, path.name, Api.CHAT, status=_status(path)) for path in sorted(OWN.glob("error_*.json"))]
    return [*(_in_file(OWN / name, name, api) for name, api in names), *errors]


def _status(path: Path) -> int:
    return int(json.loads(path.read_bytes())["error"]["code"])


def _in_file(path: Path, name: str, api: Api, **more: Any) -> Played:
    kind = _KINDS[path.suffix]
    return Played(
        name=name, api=api, data=path.read_bytes(), file=str(path), content_type=kind,
        stream=path.suffix != ".json", **more,
    )  # fmt: skip


def _whole(name: str, said: dict[str, Any], api: Api = Api.CHAT) -> Played:
    return Played(name=name, api=api, data=json.dumps(said).encode(), recorded=False)


def _error(status: int, said: Any) -> Played:
    return Played(name=f"error-{status}", api=Api.CHAT, data=json.dumps(said).encode(), status=status, recorded=False)


def _completion(message: dict[str, Any], usage: dict[str, Any], **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
    head = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    return {**head, "choices": [choice], "usage": usage, **more}


_USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
_CACHED = {**_USAGE, "prompt_tokens_details": {"cached_tokens": 8}}
_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}, {"type": "text", "text": "Hello."}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 4, "cache_read_input_tokens": 8, "cache_creation_input_tokens": 0, "output_tokens": 7},
}
_THINKS = {"content": "Hello.", "reasoning_content": "Hm."}

DOCUMENTED: dict[str, tuple[Played, ...]] = {
    # docs.byteplus.com/en/docs/ModelArk, Chat API: as OpenAI's, with `reasoning_content`
    "byteplus-coding": (_whole("plan", _completion(_THINKS, _CACHED)),),
}
"""Where no recording is public."""
ALSO: dict[str, tuple[Played, ...]] = {
    # docs.fireworks.ai/tools-sdks/anthropic-compatibility
    "fireworks": (_whole("messages", _MESSAGE, Api.MESSAGES),),
    # docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api
    "bedrock-messages": (_whole("messages", _MESSAGE, Api.MESSAGES),),
    # ai.google.dev/gemini-api/docs/troubleshooting: a key that is none, in a list
    "google": (
        _error(400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]),
        _error(429, [{"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}]),
    ),
}
"""What no public recording shows, beside those that there are."""
