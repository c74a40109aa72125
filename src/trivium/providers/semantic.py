"""What OpenTelemetry's conventions for generative AI call the providers (`gen_ai.provider.name`)."""

from __future__ import annotations

from collections.abc import Mapping

PROVIDER_NAMES: Mapping[str, str] = {
    "azure": "azure.ai.openai",
    "azure-deployments": "azure.ai.openai",
    "google": "gcp.gemini",
    "vertex": "gcp.vertex_ai",
    "bedrock": "aws.bedrock",
    "bedrock-messages": "aws.bedrock",
    "bedrock-openai": "aws.bedrock",
    "mistral": "mistral_ai",
    "codestral": "mistral_ai",
    "xai": "x_ai",
    "moonshot": "moonshot_ai",
    "kimi-coding": "moonshot_ai",
}
"""By row. The conventions' other names are those of the rows; what they do not know is called by its own name."""


def provider_name(kind: str, name: str) -> str:
    """`kind` is a provider's row; of one that stands for any server the provider's own name says more."""
    return name if kind.endswith("-compatible") else PROVIDER_NAMES.get(kind, kind)
