"""All features, in the order of the page."""

from __future__ import annotations

from conformance.feature import Feature
from conformance.features.answers import ANSWERS
from conformance.features.calls import CALLED
from conformance.features.conversation import CONVERSATION
from conformance.features.failures import FAILURES
from conformance.features.media import MEDIA
from conformance.features.results import RESULTS
from conformance.features.service import SERVICE
from conformance.features.settings import SETTINGS
from conformance.features.thinking import THINKING
from conformance.features.tools import DEFINED

TABLE: dict[str, list[Feature]] = {
    "Conversation": CONVERSATION,
    "Tools": [*DEFINED, *CALLED, *RESULTS],
    "Images, documents, audio": MEDIA,
    "Thinking": THINKING,
    "Settings": SETTINGS,
    "Caches, tiers, users, hosted tools": SERVICE,
    "Answers": ANSWERS,
    "Errors, streams, and what nobody knows": FAILURES,
}
ALL = [feature for features in TABLE.values() for feature in features]
