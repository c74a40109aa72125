"""Promotions: a model that is given away until a day is over."""

from __future__ import annotations

from datetime import date

import pytest

from trivium.clock import moment_ms
from trivium.config import parse
from trivium.errors import ConfigError
from trivium.policy.promotions import Promotions
from trivium.settings import PromotionSettings

LAUNCH = PromotionSettings(model="up/new-*", until=date(2026, 11, 30))


def applies(one: PromotionSettings, model: str = "up/new-1", *, at: str = "2026-11-25", **who: str | None) -> bool:
    asked = {"account": None, "key": None, **who}
    return Promotions([one]).apply(model, time_ms=moment_ms(at), **asked)


def test_it_lasts_until_its_last_day_is_over() -> None:
    assert applies(LAUNCH, at="2026-11-30T23:59:59")
    assert not applies(LAUNCH, at="2026-12-01T00:00:00")


def test_it_is_for_the_models_that_it_names() -> None:
    assert applies(LAUNCH, "up/new-2")
    assert not applies(LAUNCH, "up/old")
    assert not applies(LAUNCH, "other/new-1")
    assert not Promotions().apply("up/new-1", account=None, key=None, time_ms=0)


def test_it_can_be_for_one_account_or_one_key() -> None:
    acme = PromotionSettings(model="*/*", until=date(2026, 11, 30), account="acme")
    robot = PromotionSettings(model="*/*", until=date(2026, 11, 30), account="acme", key="key_1")
    assert [applies(acme, account=who) for who in ("acme", "other", None)] == [True, False, False]
    assert applies(robot, account="acme", key="key_1")
    assert not applies(robot, account="acme", key="key_2")
    assert not applies(robot, account="other", key="key_1")


def test_the_configuration_says_which() -> None:
    told = parse('[[billing.promotions]]\nmodel = "up/new-*"\nuntil = 2026-11-30\nkey = "key_1"').billing.promotions
    assert told == [PromotionSettings(model="up/new-*", until=date(2026, 11, 30), key="key_1")]


@pytest.mark.parametrize(
    "table", ['model = "up/m"', 'model = "m"\nuntil = 2026-11-30', 'model = "up/m"\nuntil = "soon"']
)
def test_half_of_one_stops_the_start(table: str) -> None:
    with pytest.raises(ConfigError, match=r"billing\.promotions"):
        parse(f"[[billing.promotions]]\n{table}")
