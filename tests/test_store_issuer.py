"""Which tokens are read, and which are none."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support_tokens import KEY, part, signed, token
from trivium.settings import TokenSettings
from trivium.store.issuer import Issuer
from trivium.store.tokens import Claims

NOW = 1_800_000_000_000
SECONDS = NOW // 1000
GOOD = {"kiloUserId": "alice", "exp": SECONDS + 60}
HEADER = {"alg": "HS256", "typ": "JWT"}


def read(text: str, now_ms: int = NOW, **settings: str) -> Claims | None:
    return Issuer(TokenSettings(**settings), KEY.encode()).read(text, now_ms)


def test_a_token_says_who_calls_for_whom_and_how_long() -> None:
    text = token(NOW, organizationId="acme", apiTokenPepper="pep", version=3, env="production")
    assert read(text) == Claims(user_id="alice", organization_id="acme", pepper="pep", expires_ms=NOW + 3_600_000)
    assert read(token(NOW)) == Claims(user_id="alice", organization_id=None, pepper=None, expires_ms=NOW + 3_600_000)


def test_what_pyjwt_makes_is_read() -> None:
    now = int(time.time() * 1000)
    assert read(jwt.encode({**GOOD, "exp": now // 1000 + 60}, KEY, algorithm="HS256"), now) is not None


def test_claims_can_have_other_names() -> None:
    text = token(NOW, kiloUserId=None, sub="bob", org="acme", v="1")
    said = read(text, user_claim="sub", organization_claim="org", pepper_claim="v")
    assert said == Claims(user_id="bob", organization_id="acme", pepper="1", expires_ms=NOW + 3_600_000)
    assert read(text) is None


FORGED: dict[str, str] = {
    "no algorithm": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "no algorithm, in other letters": f"{part({'alg': 'nOnE'})}.{part(GOOD)}.",
    "no algorithm, and a signature": signed({"alg": "none"}, GOOD),
    "an algorithm in other letters": signed({"alg": "hs256"}, GOOD),
    "another algorithm": signed({"alg": "HS512"}, GOOD, hash="sha512"),
    "another algorithm's name": signed({"alg": "RS256"}, GOOD),
    "algorithm is a list": signed({"alg": ["HS256"]}, GOOD),
    "no algorithm named": signed({"typ": "JWT"}, GOOD),
    "another key": token(NOW, key="another key that is long enough to be one"),
    "an empty key": token(NOW, key=""),
    "a header twice": signed(b'{"alg":"none","alg":"HS256"}', GOOD),
    "a header twice, spelled otherwise": signed(b'{"\\u0061lg":"none","alg":"HS256"}', GOOD),
    "a claim twice": signed(HEADER, b'{"kiloUserId":"bob","kiloUserId":"alice","exp":%d}' % (SECONDS + 60)),
    "an extension that must be understood": signed({**HEADER, "crit": ["b64"], "b64": False}, GOOD),
    "expired": token(NOW, exp=SECONDS),
    "without an end": token(NOW, exp=None),
    "an end that is text": token(NOW, exp=str(SECONDS + 60)),
    "an end that is no number": signed(HEADER, b'{"kiloUserId":"alice","exp":NaN}'),
    "an end beyond all numbers": signed(HEADER, b'{"kiloUserId":"alice","exp":1e999}'),
    "an end with too many digits": signed(HEADER, b'{"kiloUserId":"alice","exp":%s}' % (b"9" * 5000)),
    "an end that is true": token(NOW, exp=True),
    "not yet valid": token(NOW, nbf=SECONDS + 60),
    "for somebody else": token(NOW, aud="another-service"),
    "without a user": token(NOW, kiloUserId=None),
    "a user that is empty": token(NOW, kiloUserId=""),
    "a user that is a number": token(NOW, kiloUserId=7),
    "a user with half a character": token(NOW, kiloUserId="\ud800"),
    "a user with a zero": token(NOW, kiloUserId="al\0ice"),
    "an organization that is a list": token(NOW, organizationId=["acme"]),
    "claims that are a list": signed(HEADER, [GOOD]),
    "claims that are no JSON": signed(HEADER, b"alice"),
    "claims nested too deeply": signed(HEADER, b"[" * 5000 + b"]" * 5000),
    "a header that is no JSON": signed(b"HS256", GOOD),
    "too long": token(NOW, filler="x" * 9000),
    "two parts": token(NOW).rpartition(".")[0],
    "no signature": token(NOW).rpartition(".")[0] + ".",
    "not ASCII": token(NOW) + "\xff",
    "empty parts": "..",
}


@pytest.mark.parametrize("text", FORGED.values(), ids=FORGED.keys())
def test_what_is_not_exactly_a_token_is_none(text: str) -> None:
    assert read(text) is None


def test_an_issuer_and_an_audience_that_are_set_must_be_there() -> None:
    text = token(NOW, iss="https://id.example", aud=["trivium", "other"])
    assert read(text, issuer="https://id.example", audience="trivium") is not None
    assert read(text, issuer="https://other.example", audience="trivium") is None
    assert read(text, issuer="https://id.example", audience="else") is None
    assert read(text, issuer="https://id.example") is None
    assert read(token(NOW), issuer="https://id.example") is None
    assert read(token(NOW), audience="trivium") is None


def test_it_is_valid_until_its_last_millisecond_and_a_little_before_its_first() -> None:
    text = token(NOW, exp=SECONDS + 60, nbf=SECONDS)
    assert read(text, NOW + 59_999) is not None
    assert read(text, NOW + 60_000) is None
    assert read(text, NOW - 10_000) is not None
    assert read(text, NOW - 10_001) is None


@given(st.data())
def test_a_token_that_is_changed_anywhere_is_none_or_says_the_same(data: st.DataObject) -> None:
    """The last character of a part holds bits that mean nothing, and with them other spellings of the same bytes."""
    text = token(NOW)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=300))
    changed = text[:place] + other + text[place + 1 :]
    assert read(changed) in (None, read(text))
    assert changed == text or text.rfind(".") < place or read(changed) is None


@given(st.text() | st.binary().map(lambda raw: signed(HEADER, raw)))
def test_nothing_that_is_sent_makes_it_fail(text: Any) -> None:
    assert read(text) is None
