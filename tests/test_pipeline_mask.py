"""What callers of a stealth model are told of errors, and that everybody else is told everything."""

from __future__ import annotations

from typing import Any, cast

import pytest

from trivium.canon.api import Api
from trivium.errors import (
    ContextExceeded,
    ModelNotFound,
    TriviumError,
    UpstreamBroken,
    UpstreamError,
    UpstreamGarbage,
    UpstreamRefusedUs,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from trivium.pipeline.mask import told_of
from trivium.pipeline.settle import Run
from trivium.providers.house import HouseModel
from trivium.providers.provider import Provider
from trivium.routing.catalog import Target
from trivium.settings import FreeModelSettings


class Known:
    """What the mask asks of a run."""

    def __init__(self, *, stealth: bool = True) -> None:
        said = FreeModelSettings(route="acme/m", stealth=stealth)
        house = HouseModel(id="house/m", provider="acme", model="m", said=said)
        provider = Provider(name="acme", base_url="http://acme/v1", apis=frozenset(Api))
        self.target: Target | None = Target(provider, "m", house, free=True)


def shown(error: TriviumError, known: Known | None = None) -> TriviumError:
    return told_of(error, cast(Run, known or Known()))


def of(status: int, **said: Any) -> UpstreamError:
    error = UpstreamError("acme says no", detail="acme", **said)
    error.status, error.code = status, "acme_error"
    error.hints = [(b"x-ratelimit-acme", b"1")]
    return error


@pytest.mark.parametrize("status", range(300, 600))
def test_every_status_becomes_one_that_any_server_may_have(status: int) -> None:
    told = shown(of(status))
    assert told.status in (400, 413, 429, 500, 502, 503, 504)
    assert (400 <= told.status < 500) is (400 <= status < 500 and status not in (404, 408))
    assert "acme" not in f"{told.code} {told.message} {told.detail} {told.facts} {getattr(told, 'hints', ())}"
    assert (told.retry_after is not None) is (told.status in (429, 503))


@pytest.mark.parametrize("seconds", [None, 0, 7, 37, 10**9])
def test_when_to_try_again_is_our_own_word(seconds: int | None) -> None:
    assert [shown(of(status, retry_after=seconds)).retry_after for status in (429, 503, 529)] == [5, 5, 5]


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (UpstreamUnreachable, 502, "upstream_error"),
        (UpstreamGarbage, 502, "upstream_error"),
        (UpstreamBroken, 502, "upstream_disconnected"),
        (UpstreamTimeout, 504, "upstream_timeout"),
        (UpstreamRefusedUs, 503, "upstream_unavailable"),
    ],
)
def test_every_kind_of_failure_has_words_of_its_own(kind: type[UpstreamError], status: int, code: str) -> None:
    told = shown(kind("acme", detail="acme"))
    assert (told.status, told.code) == (status, code)
    assert "acme" not in told.message


def test_agents_learn_that_an_input_is_too_long() -> None:
    told = shown(ContextExceeded("prompt is too long: 9 tokens > 8 maximum.", detail="acme"))
    assert (told.status, told.code, told.detail) == (400, "context_length_exceeded", None)
    assert told.message == "prompt is too long: 9 tokens > 8 maximum."


def test_other_errors_and_other_models_are_told_as_they_are() -> None:
    ours = ModelNotFound("no")
    assert shown(ours) is ours
    theirs = of(400)
    assert shown(theirs, Known(stealth=False)) is theirs
    nobody = Known()
    nobody.target = None
    assert shown(theirs, nobody) is theirs
