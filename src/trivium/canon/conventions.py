"""How the providers that count differently count: one constant each, and the names under which they are known.

The facts are from recorded traffic (wire notes, "Where total is not prompt + completion"). All of them are about the
OpenAI-shaped usage object; Messages usage is the same everywhere.
"""

from __future__ import annotations

from trivium.canon.usage import Conventions

DEFAULT = Conventions()
"""The API owner's way."""
UNKNOWN = Conventions(total_decides=True)
XAI = Conventions(reasoning_beside_output=True)
GOOGLE_COMPAT = Conventions(output_from_total=True)
MISTRAL = Conventions(audio_beside_input=True)
VERCEL = Conventions(reasoning_may_lie_beside=True)

_BY_NAME = {
    "xai": XAI,
    "x-ai": XAI,
    "xai-openai-compatible": XAI,
    "grok": XAI,
    "google-compat": GOOGLE_COMPAT,
    "google-openai-compatible": GOOGLE_COMPAT,
    "google": GOOGLE_COMPAT,
    "gemini": GOOGLE_COMPAT,
    "mistral": MISTRAL,
    "mistralai": MISTRAL,
    "vercel": VERCEL,
    "vercel-ai-gateway": VERCEL,
    "ai-gateway": VERCEL,
}


def conventions_for(provider_name: str | None, otherwise: Conventions = DEFAULT) -> Conventions:
    """The conventions of a provider by a name or alias of it, in any case; `otherwise` for None and unknown names."""
    return _BY_NAME.get((provider_name or "").strip().lower().replace("_", "-"), otherwise)
