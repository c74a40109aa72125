"""Whom gateways ask in turn, and what they keep to for a single call: OpenRouter's and Vercel's words for it.

An organization's policy is about vendors too: a gateway that keeps to it is sent it with each call, so that such a call
need not be refused. Names are OpenRouter's (openrouter.ai/docs: provider routing; its SDK's list of provider slugs);
Vercel's differ as the vendors page has it (section "Routing").
"""

from __future__ import annotations

import re
from functools import lru_cache

COLLECTION, ZDR = "data_collection", "zdr"
HONOURS: dict[str, frozenset[str]] = {"openrouter": frozenset((COLLECTION, ZDR)), "vercel": frozenset((ZDR,))}
"""By row, what a gateway keeps to. Where nothing is retained nothing is collected either."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


VENDORS = _words(
    "ai21 aion-labs akashml alibaba amazon-bedrock amazon-nova ambient anthropic arcee-ai atlas-cloud avian azure "
    "baidu baseten black-forest-labs byteplus cerebras chutes cirrascale clarifai cloudflare cohere coreweave "
    "crusoe darkbloom deepgram deepinfra deepseek dekallm digitalocean featherless fireworks friendli gmicloud "
    "google-ai-studio google-vertex groq inception inceptron inference-net infermatic inflection io-net ionstream "
    "liquid mancer mara meta minimax mistral modal modelrun modular moonshotai morph ncompass nebius nex-agi "
    "nextbit novita nvidia open-inference openai parasail perceptron perplexity phala poolside reka relace "
    "sambanova siliconflow stepfun streamlake switchpoint tencent tenstorrent together upstage venice wandb xai "
    "xiaomi z-ai"
)
"""Those by which an organization's lists of providers may mean who answers behind a gateway."""
_AT_VERCEL = {
    "amazon-bedrock": "bedrock",
    "google-ai-studio": "google",
    "google-vertex": "vertex",
    "z-ai": "zai",
}
VERCEL_VENDORS = _words(
    "amazon-bedrock anthropic google-ai-studio google-vertex minimax mistral moonshotai openai xai z-ai"
)
"""Of whom it is known that they are at Vercel, by the rows of `vendors` and recordings. Vercel can be told whom to
ask and not whom to leave out, so that leaving one out means asking one of these."""

_PREFERRED = (
    (r"^anthropic/", "amazon-bedrock"),
    (r"^minimax/", "minimax"),
    (r"^mistral(ai)?/", "mistral"),
    (r"^moonshot(ai)?/", "moonshotai"),
    (r"^(z-ai|zai)/", "z-ai"),
)
"""By patterns of a gateway's model ids, who is asked first if nobody says whom (vendors page, "Routing")."""


def vercel_name(vendor: str) -> str:
    """A vendor in Vercel's words: what stands behind a slash, a region or a kind of server, is OpenRouter's alone."""
    name = vendor.strip().lower().partition("/")[0]
    return _AT_VERCEL.get(name, name)


@lru_cache(4096)
def preferred(model: str) -> str | None:
    """Who is asked first for a model, in OpenRouter's words."""
    return next((vendor for pattern, vendor in _PREFERRED if re.search(pattern, model.lower())), None)
