"""What to type to make a first call, and how clients are told of this gateway: with its own address, and a place for
the key. Pure.

README.md has the same for a terminal.
"""

from __future__ import annotations

import json
import shlex

import msgspec

KEY = "YOUR_KEY"
"""Stands where the reader's key belongs; a page puts one there without sending it anywhere but to this gateway."""
MODEL = "MODEL"
"""Stands where a model's name belongs, until a page knows with which key it is for."""


class Snippet(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    title: str
    text: str
    where: str = ""
    """The file or the shell that it belongs into."""


def first_calls(url: str, model: str, key: str = KEY) -> list[Snippet]:
    """A call in each API."""
    messages = [{"role": "user", "content": "Say hello."}]
    bodies = {
        "Chat Completions": ("/v1/chat/completions", {"model": model, "messages": messages, "max_tokens": 64}),
        "Responses": ("/v1/responses", {"model": model, "input": "Say hello.", "max_output_tokens": 64}),
        "Messages": ("/v1/messages", {"model": model, "messages": messages, "max_tokens": 64}),
    }
    return [
        Snippet(id=f"call-{number}", title=title, text=_curl(url + path, body, key))
        for number, (title, (path, body)) in enumerate(bodies.items(), 1)
    ]


def _curl(url: str, body: dict[str, object], key: str) -> str:
    """Names in it were chosen by strangers: a shell must take them for mere text."""
    said = shlex.quote(json.dumps(body, ensure_ascii=False))
    return (
        f"curl {shlex.quote(url)} \\\n  -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\\n"
        f"  -d {said}"
    )


def setups(url: str, model: str, key: str = KEY) -> list[Snippet]:
    """Clients that people use."""
    codex = (
        f'model = {json.dumps(model)}\nmodel_provider = "trivium"\n\n[model_providers.trivium]\nname = "Trivium"\n'
        f'base_url = "{url}/v1"\nenv_key = "TRIVIUM_KEY"\nwire_api = "responses"\n'
    )
    opencode = {
        "$schema": "https://opencode.ai/config.json",
        "provider": {
            "trivium": {
                "npm": "@ai-sdk/openai-compatible",
                "name": "Trivium",
                "options": {"baseURL": f"{url}/v1", "apiKey": key},
                "models": {model: {}},
            }
        },
    }
    openai = (
        f'from openai import OpenAI\n\nclient = OpenAI(base_url="{url}/v1", api_key="{key}")\n'
        f'answer = client.responses.create(model={json.dumps(model)}, input="Say hello.")\nprint(answer.output_text)\n'
    )
    anthropic = (
        f'from anthropic import Anthropic\n\nclient = Anthropic(base_url="{url}", api_key="{key}")\n'
        f"answer = client.messages.create(\n    model={json.dumps(model)}, max_tokens=64,\n"
        '    messages=[{"role": "user", "content": "Say hello."}],\n)\nprint(answer.content[0].text)\n'
    )
    javascript = (
        f'import OpenAI from "openai";\n\nconst client = new OpenAI({{ baseURL: "{url}/v1", apiKey: "{key}" }});\n'
        f'const answer = await client.responses.create({{ model: {json.dumps(model)}, input: "Say hello." }});\n'
        "console.log(answer.output_text);\n"
    )
    anthropic_javascript = (
        f'import Anthropic from "@anthropic-ai/sdk";\n\n'
        f'const client = new Anthropic({{ baseURL: "{url}", apiKey: "{key}" }});\n'
        f"const answer = await client.messages.create({{\n  model: {json.dumps(model)}, max_tokens: 64,\n"
        '  messages: [{ role: "user", content: "Say hello." }],\n});\nconsole.log(answer.content[0].text);\n'
    )
    claude = (
        f"export ANTHROPIC_BASE_URL={shlex.quote(url)}\nexport ANTHROPIC_AUTH_TOKEN={key}\n"
        f"claude --model {shlex.quote(model)}\n"
    )
    found = (
        ("Claude Code", "shell", claude),
        ("Codex", "~/.codex/config.toml", codex),
        ("Codex, its key", "shell", f"export TRIVIUM_KEY={key}\ncodex\n"),
        ("opencode", "opencode.json", json.dumps(opencode, indent=2)),
        ("OpenAI SDK, Python", "", openai),
        ("OpenAI SDK, JavaScript", "", javascript),
        ("Anthropic SDK, Python", "", anthropic),
        ("Anthropic SDK, JavaScript", "", anthropic_javascript),
    )
    return [
        Snippet(id=f"setup-{number}", title=title, where=where, text=text.rstrip("\n"))
        for number, (title, where, text) in enumerate(found, 1)
    ]
