"""AWS's own vectors (aws-sig-v4-test-suite), and what else a signature must do."""

from __future__ import annotations

import msgspec
import pytest

from trivium.providers.sigv4 import Headers, Signing, signed

SUITE = Signing(
    access_key_id="AKIDEXAMPLE",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    region="us-east-1",
    service="service",
)
NOON = 1_440_938_160_000  # 2015-08-30T12:36:00Z
HOST = "https://example.amazonaws.com"
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwt"
    "hAx7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAk"
    "iY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)
FORM: Headers = [(b"content-type", b"application/x-www-form-urlencoded")]
VECTORS: dict[str, tuple[str, str, Headers, bytes, str]] = {
    "get-vanilla": ("GET", "/", [], b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
    "post-vanilla": ("POST", "/", [], b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
    "get-vanilla-query-order-key-case": (
        "GET",
        "/?Param2=value2&Param1=value1",
        [],
        b"",
        "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
    ),
    "get-utf8": ("GET", "/ሴ", [], b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
    "post-x-www-form-urlencoded": (
        "POST",
        "/",
        FORM,
        b"Param1=value1",
        "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
    ),
    "get-header-key-duplicate": (
        "GET",
        "/",
        [(b"my-header1", b"value2"), (b"my-header1", b"value2"), (b"my-header1", b"value1")],
        b"",
        "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea",
    ),
}


def authorization(headers: Headers) -> str:
    return dict(headers)[b"authorization"].decode()


@pytest.mark.parametrize("name", VECTORS)
def test_a_request_of_awss_suite_has_the_published_signature(name: str) -> None:
    method, path, headers, body, signature = VECTORS[name]
    told = authorization(signed(SUITE, method, HOST + path, headers, body, NOON))
    names = ";".join(sorted({"host", "x-amz-date", *(key.decode() for key, _ in headers)}))
    credential = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request"
    assert told == f"{credential}, SignedHeaders={names}, Signature={signature}"


def test_a_session_token_is_sent_and_signed() -> None:
    """`post-sts-header-before`."""
    headers = signed(msgspec.structs.replace(SUITE, session_token=TOKEN), "POST", HOST + "/", [], b"", NOON)
    assert dict(headers)[b"x-amz-security-token"] == TOKEN.encode()
    assert authorization(headers).endswith(
        "SignedHeaders=host;x-amz-date;x-amz-security-token, "
        "Signature=85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead"
    )


def test_what_was_given_goes_out_as_it_was_and_the_secret_does_not() -> None:
    given: Headers = [(b"user-agent", b"trivium"), (b"content-type", b"application/json")]
    headers = signed(SUITE, "POST", "https://bedrock:8443/anthropic/v1/messages?beta=true", given, b"{}", NOON)
    assert headers[:2] == given
    assert [name for name, _ in headers[2:]] == [b"x-amz-date", b"authorization"]
    assert "user-agent" not in authorization(headers)
    assert SUITE.secret_access_key.encode() not in b"".join(value for _, value in headers)
    assert SUITE.secret_access_key not in repr(SUITE)


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (HOST + "/other", b"x"),
        (HOST + "/?a=1", b"x"),
        ("https://elsewhere/", b"x"),
        (HOST + ":444/", b"x"),
        (HOST + "/", b"y"),
    ],
)
def test_the_signature_is_of_address_and_body(url: str, body: bytes) -> None:
    here = authorization(signed(SUITE, "POST", HOST + "/", [], b"x", NOON))
    assert authorization(signed(SUITE, "POST", url, [], body, NOON)) != here


def test_a_usual_port_goes_without_saying() -> None:
    here = authorization(signed(SUITE, "POST", HOST + "/", [], b"x", NOON))
    assert authorization(signed(SUITE, "POST", HOST + ":443/", [], b"x", NOON)) == here
