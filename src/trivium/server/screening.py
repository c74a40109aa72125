"""Puts together what looks for abuse, as `[abuse]` says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from trivium.clock import Clock
from trivium.config import secret
from trivium.pipeline.screening import Screening
from trivium.policy.abuse import Lists, Rules, read_lists
from trivium.settings import Settings, wrong_setting
from trivium.upstream.classifier import Classifier
from trivium.upstream.client import UpstreamClient


def screening(
    settings: Settings,
    env: Mapping[str, str],
    client: UpstreamClient,
    clock: Clock,
    before: Screening | None = None,
) -> Screening | None:
    """None where `[abuse]` is left out, or off. What `before` has counted and remembers goes on in the new one, and its
    classifier where that stays the same. Raises ConfigError."""
    said = settings.abuse
    if said.mode == "off":
        return None
    classifier = _classifier(settings, env, client, clock, before.classifier if before else None)
    rules = Rules(said.rules, _lists(settings), before.rules if before else None)
    return Screening(said, rules, classifier, before.counts if before else None)


def _lists(settings: Settings) -> Lists | None:
    if (file := settings.abuse.rules.lists) is None:
        return None
    path = Path(file).expanduser()
    try:
        return read_lists(path.read_text(encoding="utf-8-sig"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        problem = f"cannot read {path}: {error}"
        raise wrong_setting(settings.source, ("abuse", "rules", "lists"), problem) from None


def _classifier(
    settings: Settings, env: Mapping[str, str], client: UpstreamClient, clock: Clock, before: Classifier | None
) -> Classifier | None:
    if (asks := settings.abuse.classifier) is None:
        return None
    key = None if asks.key is None else secret(asks.key, env, settings.source, ("abuse", "classifier", "key"))
    if before is not None and before.made_of == (asks.url, key, asks.timeout):
        return before
    return Classifier(client, asks.url, key, asks.timeout, clock)
