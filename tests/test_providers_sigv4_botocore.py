"""What is signed here has the signature that botocore gives it, whatever the request. Botocore is an extra: these are
for where it is installed."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from trivium.providers.sigv4 import Headers, Signing, signed

auth = pytest.importorskip("botocore.auth")
awsrequest = pytest.importorskip("botocore.awsrequest")
credentials = pytest.importorskip("botocore.credentials")

NOON = 1_440_938_160_000
Pairs = list[tuple[str, str]]

_ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_SECRET = st.text(string.ascii_letters + string.digits + "+/=", min_size=16, max_size=60)
_SIGNINGS = st.builds(
    Signing,
    access_key_id=st.just("AKIDEXAMPLE000000001"),
    secret_access_key=_SECRET,
    session_token=st.none() | _SECRET,
    region=st.from_regex(r"[a-z]{2}-[a-z]{4,9}-[1-9]", fullmatch=True),
)
_METHODS = st.sampled_from(["GET", "POST", "PUT"])
_ORIGINS = st.sampled_from(
    [
        "https://bedrock-runtime.us-east-1.amazonaws.com",
        "https://H.example:8443",
        "https://h.example:443",
        "http://127.0.0.1:80",
        "https://[2001:db8::1]:9443",
    ]
)
_PATHS = st.lists(
    _ANY.map(lambda text: quote(text, safe="")) | st.sampled_from(["", ".", "..", "%2E"]), max_size=5
).map(lambda segments: "/" + "/".join(segments)) | st.text("abc019-_.~!$&'()*+,;=:@%/ éሴ", max_size=20).map(
    lambda text: "/" + text.lstrip("/")
)
"""Encoded as they should be, and as nobody should."""
_QUERIES = st.lists(st.tuples(_ANY, _ANY), max_size=4)
_NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,15}", fullmatch=True).filter(
    lambda name: name not in {"host", "authorization", "content-length"} and not name.startswith("x-amz-")
) | st.sampled_from(["user-agent", "te", "traceparent", "x-amzn-trace-id", "content-type", "anthropic-beta"])
_VALUES = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=20)
_HEADERS = st.lists(st.tuples(_NAMES, _VALUES), max_size=5)


def encoded(query: Pairs) -> str:
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query)


def theirs(signing: Signing, method: str, url: str, headers: Pairs, body: bytes, query: Pairs | None = None) -> str:
    """Botocore's `authorization`; `query` is given to it apart from the URL."""
    request = awsrequest.AWSRequest(method=method, url=url, data=body, params=query or {})
    for name, value in headers:
        request.headers.add_header(name, value)
    who = credentials.Credentials(signing.access_key_id, signing.secret_access_key, signing.session_token)
    now = datetime.fromtimestamp(NOON / 1000, UTC).replace(tzinfo=None)
    with mock.patch.object(auth, "get_current_datetime", lambda: now):
        auth.SigV4Auth(who, signing.service, signing.region).add_auth(request)
    assert request.headers["X-Amz-Date"] == "20150830T123600Z"
    assert request.headers.get("X-Amz-Security-Token") == signing.session_token
    return str(request.headers["Authorization"])


def ours(signing: Signing, method: str, url: str, headers: Pairs, body: bytes) -> str:
    given_: Headers = [(name.encode(), value.encode()) for name, value in headers]
    return dict(signed(signing, method, url, given_, body, NOON))[b"authorization"].decode()


SIGNING = Signing(access_key_id="AKIDEXAMPLE000000001", secret_access_key="s" * 40, region="eu-west-1")
INVOKE = "/model/us.anthropic.claude-haiku-4-5-20251001-v1%3A0/invoke"


@settings(max_examples=150, deadline=None)
@given(_SIGNINGS, _METHODS, _ORIGINS, _PATHS, _QUERIES, _HEADERS, st.binary(max_size=64))
@example(SIGNING, "POST", "https://h", INVOKE, [("beta", "true")], [("accept", " a  b ")], b"{}")
@example(SIGNING, "POST", "https://h", "", [], [("a", "1"), ("b", "2"), ("a", "0")], b"")
def test_botocore_signs_the_same(
    signing: Signing, method: str, origin: str, path: str, query: Pairs, headers: Pairs, body: bytes
) -> None:
    url = f"{origin}{path}?{encoded(query)}" if query else origin + path
    what: tuple[Any, ...] = (method, url, headers, body)
    assert ours(signing, *what) == theirs(signing, *what)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.text("aZ09/?:@!$'()*,;~é ", min_size=1, max_size=6), st.text("bY/=:é ", max_size=6))))
def test_a_query_that_nobody_has_encoded_is_signed_as_botocore_signs_its_pairs(query: Pairs) -> None:
    """Of a URL botocore takes the query as it stands; AWS's rules have it encoded, as botocore does with pairs."""
    url = "https://h/x?" + "&".join(f"{name}={value}" for name, value in query)
    assert urlsplit(url).query.count("&") == max(len(query) - 1, 0)
    assert ours(SIGNING, "GET", url, [], b"") == theirs(SIGNING, "GET", "https://h/x", [], b"", query)
