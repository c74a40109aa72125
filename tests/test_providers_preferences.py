"""Names of vendors behind gateways, and whom to ask first."""

from __future__ import annotations

from trivium.providers.preferences import VENDORS, VERCEL_VENDORS, preferred, vercel_name
from trivium.providers.vercel import VERCEL_IDS


def test_names_at_vercel() -> None:
    said = ["amazon-bedrock", "google-ai-studio", "google-vertex/global", "z-ai", "anthropic", " Anthropic/x "]
    assert [vercel_name(name) for name in said] == ["bedrock", "google", "vertex", "zai", "anthropic", "anthropic"]


def test_a_family_is_asked_of_its_vendor_first() -> None:
    assert preferred("anthropic/claude-opus-4") == "amazon-bedrock"
    assert preferred("Z-AI/glm-4.6") == preferred("zai/glm-4.6") == "z-ai"
    assert preferred("claude-opus-4") is None
    assert {preferred(id) for id in VERCEL_IDS} <= {None, "mistral"}


def test_every_list_is_in_openrouters_words() -> None:
    assert {"amazon-bedrock", "google-vertex", "z-ai", "moonshotai"} <= VENDORS & VERCEL_VENDORS
    assert {"bedrock", "vertex", "zai"}.isdisjoint(VENDORS | VERCEL_VENDORS)
