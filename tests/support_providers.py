"""What each provider of the table answers: its public recordings where there are any beside the project, else an
answer composed after its documentation, whose page is named."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

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
    "mistral": ("mistral",),
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
"""The folders of recordings by row."""
_APIS: dict[str, tuple[Api, ...]] = {
    "anthropic": (Api.MESSAGES,),
    "anthropic-compatible": (Api.MESSAGES,),
    "azure-deployments": (Api.CHAT,),
    "bedrock": (Api.MESSAGES,),
    "bedrock-openai": (Api.RESPONSES,),
    "vertex": (Api.MESSAGES,),
}
_FRAMES = "application/vnd.amazon.eventstream"


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
    found = [one for name in RECORDED.get(kind, ()) for api in _APIS.get(kind, tuple(Api)) for one in _of(api, name)]
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
    stream = path.suffix in {".sse", ".bin"}
    kind = _FRAMES if path.suffix == ".bin" else "text/event-stream" if stream else "application/json"
    return Played(
        name=folder.name,
        api=api,
        data=path.read_bytes(),
        file=str(path),
        status=meta["status"],
        stream=stream,
        content_type=kind,
        counted_as=folder.parts[-2],
    )


def _whole(name: str, said: dict[str, Any], api: Api = Api.CHAT) -> Played:
    return Played(name=name, api=api, data=json.dumps(said).encode(), recorded=False)


def _stream(name: str, *chunks: dict[str, Any]) -> Played:
    text = ": keep-alive\n\n" + "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    return Played(
        name=name, api=Api.CHAT, data=text.encode(), stream=True, content_type="text/event-stream", recorded=False
    )


def _error(status: int, said: Any) -> Played:
    return Played(name=f"error-{status}", api=Api.CHAT, data=json.dumps(said).encode(), status=status, recorded=False)


def _chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


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
_CODE = (_whole("code", _completion({"content": "def f(): ..."}, _USAGE)),)
_PLAN = (_whole("plan", _completion(_THINKS, _CACHED)),)

DOCUMENTED: dict[str, tuple[Played, ...]] = {
    # docs.mistral.ai/api
    "codestral": _CODE,
    "inception": _CODE,  # docs.inceptionlabs.ai: as OpenAI's
    # docs.z.ai/api-reference/llm/chat-completion: usage in the chunk with the finish
    "zai": (
        _whole("whole", _completion(_THINKS, _CACHED, request_id="r")),
        _stream(
            "stream",
            _chunk({"role": "assistant", "reasoning_content": "Hm."}),
            _chunk({"content": "Hello."}),
            _chunk({"role": "assistant", "content": ""}, "stop", usage=_CACHED),
        ),
    ),
    # platform.minimax.io/docs/api-reference/text-openai-api: `base_resp` beside the answer
    "minimax": (
        _whole("whole", _completion(_THINKS, _USAGE, base_resp={"status_code": 0, "status_msg": ""})),
        _stream(
            "stream", _chunk({"content": "Hello."}), _chunk({}, "stop"), {**_chunk({}), "choices": [], "usage": _USAGE}
        ),
    ),
    # alibabacloud.com/help/en/model-studio/qwen-api-via-openai-chat-completions: usage in a chunk of its own
    "qwen": (
        _whole("whole", _completion(_THINKS, _CACHED, system_fingerprint=None)),
        _stream(
            "stream",
            _chunk({"role": "assistant", "content": None, "reasoning_content": "Hm."}, usage=None),
            _chunk({"content": "Hello.", "reasoning_content": None}, usage=None),
            _chunk({"content": "", "reasoning_content": None}, "stop", usage=None),
            {**_chunk({}), "choices": [], "usage": _CACHED},
        ),
    ),
    # docs.fireworks.ai/tools-sdks/openai-compatibility: usage in the last chunk, asked for or not
    "fireworks": (
        _whole("whole", _completion(_THINKS, _CACHED)),
        _stream("stream", _chunk({"role": "assistant", "content": "Hello."}), _chunk({}, "stop", usage=_USAGE)),
        _whole("messages", _MESSAGE, Api.MESSAGES),
    ),
    # inference-docs.cerebras.ai/api-reference/chat-completions: `time_info` beside the usage
    "cerebras": (
        _whole(
            "whole", _completion({"content": "Hello.", "reasoning": "Hm."}, _CACHED, time_info={"total_time": 0.01})
        ),
        _stream(
            "stream",
            _chunk({"role": "assistant"}),
            _chunk({"content": "Hello."}),
            _chunk({}, "stop", usage=_CACHED, time_info={"queue_time": 0.0001, "total_time": 0.01}),
        ),
    ),
    # docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api
    "bedrock-messages": (_whole("messages", _MESSAGE, Api.MESSAGES),),
    "alibaba-coding": _PLAN,
    "kimi-coding": _PLAN,
    "byteplus-coding": _PLAN,
    "zai-coding": _PLAN,
}
"""Where no recording is public."""
ALSO: dict[str, tuple[Played, ...]] = {
    # platform.moonshot.ai/docs/api/chat: usage inside the choice that has the finish
    "moonshot": (
        _stream(
            "usage-in-choice",
            _chunk({"role": "assistant", "content": ""}),
            _chunk({"content": "Hello."}),
            {**_chunk({}), "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": _USAGE}]},
        ),
    ),
    # ai.google.dev/gemini-api/docs/troubleshooting: a key that is none, in a list
    "google": (
        _error(400, [{"error": {"code": 400, "message": "API key not valid.", "status": "INVALID_ARGUMENT"}}]),
        _error(429, [{"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}]),
    ),
}
"""What no public recording shows, beside those that there are."""
