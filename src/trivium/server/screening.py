"""Puts together what looks for abuse, as `[abuse]` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trivium.clock import Clock
from trivium.config import secret
from trivium.errors import ConfigError
from trivium.pipeline.screening import Screening
from trivium.policy.abuse import Rules, read_lists
from trivium.settings import Settings
from trivium.upstream.classifier import Classifier
from trivium.upstream.client import UpstreamClient


def screening(settings: Settings, env: Mapping[str, str], client: UpstreamClient, clock: Clock) -> Screening | None:
    """None where `[abuse]` is left out, or off. Raises ConfigError."""
    said = settings.abuse
    if said.mode == "off":
        return None
    lists = None
    if said.rules.lists is not None:
        path = Path(said.rules.lists).expanduser()
        try:
            lists = read_lists(path.read_text(encoding="utf-8-sig"), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"abuse.rules.lists: cannot read {path}: {error}") from None
    classifier = None
    if (asks := said.classifier) is not None:
        path_of_key = ("abuse", "classifier", "key")
        key = None if asks.key is None else secret(asks.key, env, settings.source, path_of_key)
        classifier = Classifier(client, asks.url, key, asks.timeout, clock)
    return Screening(said, Rules(said.rules, lists), classifier)
