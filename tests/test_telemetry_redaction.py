"""Secrets in lines of the log: hidden where they can be known, and nothing else is."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivium import ids
from trivium.telemetry.redaction import HIDDEN, Redaction

PLAIN = Redaction()


@pytest.mark.parametrize(
    ("said", "left"),
    [
        ("sent Authorization: Bearer abc", "sent Authorization: Bearer ***"),
        ("{'authorization': 'Bearer abc', 'x': 1}", "{'authorization': 'Bearer ***', 'x': 1}"),
        ("proxy-authorization: Basic dTpw", "proxy-authorization: Basic ***"),
        ("x-api-key=hunter2, model=m", "x-api-key=***, model=m"),
        ("cookie: session=1; a=b", "cookie: ***"),
        ("Incorrect API key provided: sk-proj-aB3dE5gH7jK9.", "Incorrect API key provided: ***."),
        (f"GET /dashboard/sign-in?link=tvl-{'aB3' * 14}", "GET /dashboard/sign-in?link=***"),
        (f"cookie: a=b; trivium_session=tvs-{'aB3' * 14}", "cookie: ***"),
        ("cookie=hunter2, a=b", "cookie=***, a=b"),
        ("Authorization: token hunter2", "Authorization: token ***"),
        ('{"name": "X-Api-Key", "value": "hunter2"}', '{"name": "X-Api-Key", "value": "***"}'),
        (f"a github_pat_{'aB3_' * 9} and ghs_{'aB3' * 9}", "a *** and ***"),
        (f"https://hooks.slack.com/services/T0/B0/{'aB3' * 8}", "https://hooks.slack.com/services/***"),
        ("model 'sk-ant-api03-0123456789abcdef'", "model '***'"),
        ("a Bearer eyJhbGciOi.x1 b", "a Bearer *** b"),
        ("jwt eyJhbGciOiJI.eyJzdWIi.c2ln here", "jwt *** here"),
        ("key AIzaSyA0123456789012345678901234", "key ***"),
        ("AKIAIOSFODNN7EXAMPLE and ASIAIOSFODNN7EXAMPLE", "*** and ***"),
        ("git clone https://0123456789abcdef0123@git.example/x", "git clone https://***@git.example/x"),
        ('Authorization: Digest username="u", response="6629", qop=auth', "Authorization: Digest ***"),
        ("to postgresql://trivium:pa:ss@db:5432/x failed", "to postgresql://***@db:5432/x failed"),
    ],
)
def test_known_looks_are_hidden(said: str, left: str) -> None:
    assert PLAIN.mask(said) == left


@pytest.mark.parametrize(
    "said",
    [
        "Basic information about bearer of news",
        "task-management-system-2026-with-long-name",
        "key_AbCdEf123456 asked for req_018f3a9c1e5b2d8406",
        "GET https://example.com:8080/v1?x=a@b",
        "models: claude-sonnet-4-5, gpt-5.1, mk-tv-show",
        "the API key is not valid",
        "ssh://deploy@git.example:22/x",
        "a digest of sha256=0123",
        "Send one as `Authorization: Bearer tv-...` or `x-api-key: tv-...`.",
        r"C:\new\task-list-2026-Q4, risk-\u0041-and-more",
    ],
)
def test_ordinary_words_stay(said: str) -> None:
    assert PLAIN.mask(said) == said


@pytest.mark.parametrize(
    "secret",
    [
        "sk-ant-api03-0123456789abcdef",
        "eyJhbGciOiJI.eyJzdWIi.c2ln",
        "AIzaSyA0123456789012345678901234",
        "AKIAIOSFODNN7EXAMPLE",
        "Bearer\t0123456789abcdef",
        "x-api-key:\n\thunter2",
    ],
)
@pytest.mark.parametrize("before", ["a:\n", "a:\t", "a\r\n", "密钥", "a\x1b[1;31m", '{"error": "a\\n'])
def test_so_are_those_behind_a_break_however_it_is_written(before: str, secret: str) -> None:
    said = before + secret
    told = (PLAIN.mask(said), PLAIN.mask(json.dumps(said)), PLAIN.mask(ascii(said)), PLAIN.json({"said": [said]}))
    assert not any(secret[-7:] in one for one in told)
    assert json.loads(told[-1])["said"][0] == told[0]
    assert all(one.count(HIDDEN) == 1 for one in told)


def test_every_key_of_ours_is_hidden_whatever_its_digits() -> None:
    for _ in range(200):
        for key in (ids.new_api_key(), ids.new_admin_credential()):
            assert PLAIN.mask(f"who sent {key}?") == f"who sent {HIDDEN}?"


TEXTS = st.characters(exclude_characters="*")


@given(st.text(TEXTS, min_size=6), st.text(TEXTS), st.text(TEXTS))
def test_a_configured_secret_is_hidden_wherever_it_stands(secret: str, before: str, behind: str) -> None:
    assert secret not in Redaction([secret]).mask(before + secret + behind)


def test_half_a_character_stops_no_line() -> None:
    assert PLAIN.json({"said": "a\ud800"}) == '{"said":"a?"}'
    assert PLAIN.mask("a\udcff") == "a?"


@given(st.dictionaries(st.sampled_from("abc"), st.text() | st.integers(-9, 9) | st.none()), st.text(min_size=6))
def test_json_stays_json(value: dict[str, object], secret: str) -> None:
    value = {**value, "said": f'"\\{secret}', "raw": msgspec.Raw(msgspec.json.encode([secret]))}
    told = json.loads(Redaction([secret]).json(value))
    assert HIDDEN in told["said"]
    assert told["raw"] == [HIDDEN]
    assert told.keys() == value.keys()


def test_a_figure_is_no_secret_though_it_looks_like_one() -> None:
    told = Redaction(["123456"]).json({"total_us": 123456, "why": "pin 123456"})
    assert json.loads(told) == {"total_us": 123456, "why": "pin ***"}


def test_short_words_are_not_hidden_everywhere() -> None:
    assert Redaction(["x", "test"]).mask("a test of x") == "a test of x"


def test_a_beginning_does_not_end_in_the_beginning_of_a_secret() -> None:
    known = Redaction(["a/secret-path"])
    assert known.mask_beginning("no hook a/secret-path here, nor a/secret-pa") == f"no hook {HIDDEN} here, nor {HIDDEN}"
    assert known.mask_beginning("no hook a/sec") == "no hook a/sec"
