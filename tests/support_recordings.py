"""Recorded answers of providers, kept in `tests/recordings` with their sources and licences (its README): what each
says, read off by eye, so that a decoder which reads it wrongly has nobody to agree with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from trivium.canon.api import Api

FOLDER = Path(__file__).parent / "recordings"
OWN = Path(__file__).parent / "fixtures" / "local"
"""The project's own, of its embedded llama.cpp."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What an answer says."""

    id: str
    finish: str
    """As its provider calls it."""
    input: int
    output: int
    text: str = ""
    """What of it is told by the beginning alone ends in dots."""
    thought: str = ""
    """The same of its reasoning."""
    call: tuple[str, dict[str, Any]] | None = None
    cached: int = 0
    reasoning: int = 0
    """Of the output's tokens, where the provider tells."""


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    file: str
    """In the folder of recordings."""
    facts: Facts | None = None
    """None: it is an error."""
    api: Api = Api.CHAT
    status: int = 200

    @property
    def path(self) -> Path:
        return FOLDER / self.file


_LEARNING = "Deep learning is a subset of machine learning that involves the use of artificial neural networks "

CEREBRAS = (
    Recording(
        file="cerebras/chat.json",
        facts=Facts(
            id="chatcmpl-5af19e85-b8e3-4836-8486-5f2b0b250c8d", finish="stop", text="2 + 2 = 4.", input=43, output=9
        ),
    ),
    Recording(
        file="cerebras/chat.sse",
        facts=Facts(
            id="chatcmpl-fe75ce5c-e25a-43a1-b6e7-1dc7d5c953fe",
            finish="length",
            text=f"{_LEARNING}to analyze and interpret",
            input=46,
            output=20,
        ),
    ),
    Recording(
        file="cerebras/tool.sse",
        facts=Facts(
            id="chatcmpl-9e97f9ca-9626-4ef8-8543-6e3ee7cef659",
            finish="tool_calls",
            thought='The user is asking about a "magic number". I have access to a function called "nonUsefulTool"...',
            call=("nonUsefulTool", {}),
            input=322,
            cached=256,
            output=104,
            reasoning=97,
        ),
    ),
    Recording(file="cerebras/error-500.json", status=500),
)
FIREWORKS = (
    Recording(
        file="fireworks/tool.json",
        facts=Facts(
            id="2a81f6a1-4866-42fb-9902-2655a2b5b1ff",
            finish="tool_calls",
            call=("subtract", {"x": 2, "y": 5}),
            input=248,
            output=26,
        ),
    ),
    Recording(
        file="fireworks/chat.sse",
        facts=Facts(
            id="495bd036-ee82-4009-b829-05738f002448",
            finish="length",
            text="**Deep Learning Overview**\n==========================\n\n"
            "Deep learning is a subset of machine learning that uses artificial neural",
            input=46,
            output=20,
        ),
    ),
)
TOGETHER = (
    Recording(
        file="together/chat.sse",
        facts=Facts(id="906021d6ee7cd16e", finish="length", text=f"{_LEARNING}(ANNs)", input=46, output=20),
    ),
)
ZAI = (
    Recording(
        file="zai/chat.json",
        facts=Facts(id="2026083004572282c9d5adad984a9d", finish="stop", text="2 + 2 equals 4.", input=13, output=10),
    ),
    Recording(
        file="zai/tool.sse",
        facts=Facts(
            id="202511111756356bb63041b022431d",
            finish="tool_calls",
            text="\nI'll check the weather in Florence, Italy for you.\n",
            thought="\nThe user is asking for the weather in Florence, Italy. I need to use the weather function...",
            call=("weather", {"location": "Florence,Italy"}),
            input=179,
            cached=178,
            output=77,
        ),
    ),
)
ZAI_CODING = (
    Recording(
        file="zai-coding/chat.json",
        facts=Facts(
            id="202509261905381f1d8b98070242a6",
            finish="stop",
            text="Olá!",
            thought='The person is asking me to say "hi" in Portuguese. In Portuguese, "hi" or "hello" is commonly...',
            input=18,
            output=100,
        ),
    ),
)
MINIMAX = (
    Recording(
        file="minimax/chat.json",
        facts=Facts(
            id="03ac4fcfe1c6cc9c6a60f9d12046e2b4",
            finish="stop",
            text="你好，我是一个由MiniMax公司研发的大型语言模型，名为MM智能助理...",  # noqa: RUF001
            input=70,
            output=46,
        ),
    ),
    Recording(
        file="minimax/chat.sse",
        facts=Facts(
            id="07008f4a82fecea87b8c3822c4ed23c0",
            finish="stop",
            text="**Proof.**\n\nOdd numbers: $2a + 1$ and $2b + 1$ for integers $a, b$.\n\nAdd:\n\n"
            "$$(2a + 1) + (2b + 1) = 2a + 2b + 2 = 2(a + b + 1)$$\n\nResult divisible by 2. Even. ∎",
            thought="The user wants a proof that the sum of two odd numbers is even. This is a straightforward number "
            "theory proof. I should present it concisely in caveman style.",
            input=769,
            cached=443,
            output=116,
            reasoning=37,
        ),
    ),
)
QWEN = (
    Recording(
        file="qwen/tool.json",
        facts=Facts(
            id="chatcmpl-bc7fc58d-c03f-9c9f-af73-91bea326c99f",
            finish="tool_calls",
            call=("weather", {"location": "San Francisco"}),
            input=295,
            output=22,
        ),
    ),
    Recording(
        file="qwen/tool.sse",
        facts=Facts(
            id="chatcmpl-8e243c57-23b3-9db2-a02e-e3c53929c368",
            finish="tool_calls",
            call=("weather", {"location": "San Francisco"}),
            input=295,
            output=22,
        ),
    ),
)
KIMI = (
    Recording(
        file="kimi-coding/chat.json",
        facts=Facts(
            id="chatcmpl-dpG5AViIPO76geP1lTj1SuCl",
            finish="stop",
            text="Hello, World!",
            thought="We need answer exactly user said: \"Say 'Hello, World!' and nothing else.\" So output Hello...",
            input=18,
            cached=18,
            output=39,
        ),
    ),
    Recording(
        file="kimi-coding/chat.sse",
        facts=Facts(
            id="chatcmpl-z5R135P3K7dLAfR674T7Aqox",
            finish="length",
            thought="We need respond to user. The user said \"Say 'Hello, World!' and nothing else.\" So we must...",
            input=18,
            cached=18,
            output=50,
        ),
    ),
)
INCEPTION = (
    Recording(
        file="inception/chat.json",
        facts=Facts(
            id="81a65098-5abc-405c-a811-6090317b8d5f",
            finish="stop",
            text="The answer to the Ultimate Question of Life is famously known to be the number 42.",
            input=153,
            output=5967,
        ),
    ),
)
MISTRAL = (Recording(file="mistral/error-400.json", status=400),)
OLLAMA = (
    Recording(
        file="ollama/chat.sse",
        facts=Facts(
            id="chatcmpl-970",
            finish="stop",
            text="1, 2, 3",
            thought="Okay, the user wants me to count from 1 to 3. Let me start by confirming the exact request...",
            input=17,
            output=147,
        ),
    ),
    Recording(
        file="ollama/messages.json",
        api=Api.MESSAGES,
        facts=Facts(
            id="msg_9c8e1c7bbb2c7f9f2b44eedb",
            finish="max_tokens",
            thought='The user asks: "What is 2+2? Reply with just the number." So the answer should be "4"...',
            input=80,
            output=32,
        ),
    ),
)
FIM = Recording(
    file="mistral/fim.json",
    facts=Facts(
        id="83f8cf06c868465ab13a33339da87cd7",
        finish="stop",
        text=" {\n\tc.Name = name\n\tc.Surname = surname\n}\n\nfunc (c *SomeStruct) getUser() (string, string) {...",
        input=23,
        output=78,
    ),
)
"""Of Codestral; no other API says the same, so that no translation comes into it."""

KEPT: dict[str, tuple[Recording, ...]] = {
    "cerebras": CEREBRAS,
    "fireworks": FIREWORKS,
    "together": TOGETHER,
    "zai": ZAI,
    "zai-coding": ZAI_CODING,
    "minimax": MINIMAX,
    "qwen": QWEN,
    "kimi-coding": KIMI,
    "inception": INCEPTION,
    "mistral": MISTRAL,
    "ollama": OLLAMA,
    # the same servers at another host, whose keys are sold otherwise
    "alibaba-coding": QWEN,
    "codestral": MISTRAL,
    "moonshot": KIMI,
}
"""By row."""
