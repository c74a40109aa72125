"""Promotions: which calls cost their callers nothing until a day is over (behaviour page, section 6). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, time, timedelta

import msgspec

from trivium.canon import wildcard
from trivium.settings import PromotionSettings


class _Promotion(msgspec.Struct, frozen=True):
    model: re.Pattern[str]
    until_ms: int
    account: str | None
    key: str | None


class Promotions:
    """All that are configured, running or over."""

    def __init__(self, settings: Iterable[PromotionSettings] = ()) -> None:
        self._promotions = [
            _Promotion(wildcard.compiled(one.model), _after(one), one.account, one.key) for one in settings
        ]

    def apply(self, model: str, *, account: str | None, key: str | None, time_ms: int) -> bool:
        """Whether a call is one of those: of `PROVIDER/MODEL`, for an account, with a key, by their ids."""
        return bool(self._promotions) and any(
            one.account in (None, account)
            and one.key in (None, key)
            and time_ms < one.until_ms
            and one.model.fullmatch(model)
            for one in self._promotions
        )


def _after(promotion: PromotionSettings) -> int:
    """The first millisecond that is not part of it."""
    day = datetime.combine(promotion.until, time(), UTC)
    return int((day + timedelta(days=1)).timestamp()) * 1000
