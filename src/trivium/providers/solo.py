"""Which models are asked through the APIs that stand alone, and what is said otherwise there.

Who serves them is in the table of providers (`rows`), or the configuration says it (`apis`). The facts are the vendors'
documented ones as of November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec


class Filler(msgspec.Struct, frozen=True):
    """A model that fills in the middle: whose key pays where the caller has one, and the upstream's id."""

    vendor: str
    model: str
    house: bool
    """The house's own providers may serve it."""


_FILLERS = (
    (re.compile(r"mistralai/(.{1,256})"), "codestral", True),
    (re.compile(r"inception/(mercury-edit(?:-\d{1,8})?)"), "inception", False),
)
"""Names, whose group is the upstream's id (vendors page, "FIM"); no longer than ids are, for routes are remembered by
them. Inception's endpoint serves `mercury-edit-2` by now (docs.inceptionlabs.ai)."""


OWN_ALONE = frozenset(vendor for _, vendor, house in _FILLERS if not house)
"""Rows of providers that fill in with models of their own, and for callers' own keys alone."""


def filler(name: str) -> Filler | None:
    """What fills in the middle by this name; None: nothing does."""
    for pattern, vendor, house in _FILLERS:
        if (found := pattern.fullmatch(name)) is not None:
            return Filler(vendor, found[1], house)
    return None


class Vectors(msgspec.Struct, frozen=True):
    """How long a model's vectors are, in numbers: at the most, and as a rule."""

    longest: int
    shortens: bool = True
    """It makes shorter ones where it is asked to."""


_VECTORS = (
    # platform.openai.com/docs/guides/embeddings
    (re.compile(r"text-embedding-3-large"), Vectors(3072)),
    (re.compile(r"text-embedding-3-small"), Vectors(1536)),
    (re.compile(r"text-embedding-ada-002"), Vectors(1536, shortens=False)),
    # docs.mistral.ai/capabilities/embeddings
    (re.compile(r"mistral-embed(?:-\d+)?"), Vectors(1024, shortens=False)),
    (re.compile(r"codestral-embed(?:-\d+)?"), Vectors(3072)),
    # ai.google.dev/gemini-api/docs/embeddings
    (re.compile(r"gemini-embedding-001"), Vectors(3072)),
    # the embedded model
    (re.compile(r"gemma-3-270m"), Vectors(640, shortens=False)),
)
"""By the model's name without a vendor before it."""


def vectors_of(model: str) -> Vectors | None:
    """What is known of a model's vectors."""
    name = model.lower().rpartition("/")[2].partition(":")[0]
    return next((vectors for pattern, vectors in _VECTORS if pattern.fullmatch(name)), None)


_TOO_LONG = re.compile(r"input \(\d+ tokens\) is too large to process")
"""llama.cpp's words (builds of 2026-10), under status 500."""


def says_too_long(message: str) -> bool:
    """Whether an error means that the caller sent too much, whatever its status says."""
    return _TOO_LONG.search(message) is not None


_PLAIN: Mapping[str, str | None] = {}
_DIALECTS: dict[str, Mapping[str, str | None]] = {"mistral": {"dimensions": "output_dimension", "user": None}}


def dialect_of(*names: str) -> Mapping[str, str | None]:
    """What a provider that goes by one of these names calls members of a request for embeddings; None: it knows none
    such, and refuses what it does not know."""
    return next((_DIALECTS[name] for name in names if name in _DIALECTS), _PLAIN)
