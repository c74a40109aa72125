"""Names of models as callers write them."""

from __future__ import annotations

import re
from functools import lru_cache

_BLANK = re.compile(r"\s")


def without_blanks(name: str) -> str:
    """Without those around the parts of a name."""
    if _BLANK.search(name) is not None:
        for sign in "/:@~":
            name = sign.join(part.strip() for part in name.split(sign))
    return name


@lru_cache(1_000)
def alias_names(alias: str) -> tuple[str, ...]:
    """By which lists may mean what an alias leads to, beside its own names."""
    alias = alias.strip().lower()
    return tuple(dict.fromkeys((alias.partition(":")[0].rstrip(), alias)))
