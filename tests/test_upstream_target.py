"""Where a URL leads, and what is written as the head of a request."""

from __future__ import annotations

import tracemalloc

import pytest

from trivium.upstream.client import Headers, UpstreamRequest
from trivium.upstream.target import Origin, parse_url, render_head


@pytest.mark.parametrize(
    ("url", "origin", "authority", "path"),
    [
        ("https://api.example.com", Origin(True, "api.example.com", 443), b"api.example.com", b"/"),
        ("https://api.example.com:443/v1", Origin(True, "api.example.com", 443), b"api.example.com", b"/v1"),
        ("http://h:8000/a//b%2F?x=%20&y#z", Origin(False, "h", 8000), b"h:8000", b"/a//b%2F?x=%20&y"),
        ("http://h?x#y?z", Origin(False, "h", 80), b"h", b"/?x"),
        ("http://h/a#y?z", Origin(False, "h", 80), b"h", b"/a"),
        ("https://H.Example:80/?q", Origin(True, "h.example", 80), b"h.example:80", b"/?q"),
        ("http://[::1]:9/x", Origin(False, "::1", 9), b"[::1]:9", b"/x"),
        ("http://127.0.0.1", Origin(False, "127.0.0.1", 80), b"127.0.0.1", b"/"),
    ],
)
def test_a_url_leads_to_an_origin_and_a_path(url: str, origin: Origin, authority: bytes, path: bytes) -> None:
    target = parse_url(url)
    assert (target.origin, target.authority, target.path) == (origin, authority, path)


def test_what_a_client_asks_in_a_query_is_not_remembered() -> None:
    parse_url("http://h/p?first")
    tracemalloc.start()
    try:
        for n in range(100):
            assert parse_url(f"http://h/p?{n}={'x' * 40_000}").path.startswith(b"/p?%d=x" % n)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 200_000


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/chat",
        "//example.com/",
        "ftp://example.com/",
        "http://",
        "http:///path",
        "http://user:secret@example.com/",
        "http://example.com:port/",
        "http://example.com:99999/",
        "http://example.com/a b",
        "http://example.com/\r\nx: y",
        "http://exa\tmple.com/",
        "http://example.com/\0",
        "http://exämple.com/",
        "http://[::1/",
        "http://example.com/?a b",
        "http://example.com?\r\nx: y",
    ],
)
def test_what_is_not_a_plain_absolute_url_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_url(url)
    assert "secret" not in str(caught.value)


def head(method: str, headers: Headers, body: bytes = b"") -> bytes:
    request = UpstreamRequest(method=method, url="http://h/p", headers=headers, body=body)
    return render_head(request, parse_url(request.url))


def test_a_head_is_the_request_line_the_host_the_headers_in_order_and_the_length() -> None:
    said = head("POST", [(b"B", b"2"), (b"a", b"\xe9"), (b"empty", b"")], b"123")
    assert said == b"POST /p HTTP/1.1\r\nhost: h\r\nB: 2\r\na: \xe9\r\nempty: \r\ncontent-length: 3\r\n\r\n"


def test_a_request_without_a_body_has_a_length_only_where_one_is_expected() -> None:
    assert head("GET", []) == b"GET /p HTTP/1.1\r\nhost: h\r\n\r\n"
    assert head("POST", []) == b"POST /p HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "header",
    [
        (b"x", b"a\r\nb: c"),
        (b"x", b"a\nb: c"),
        (b"x", b"a\r"),
        (b"x", b"\0"),
        (b"x\r\ny", b"z"),
        (b"x\0", b"z"),
        (b"Host", b"elsewhere"),
        (b"connection", b"close"),
        (b"Content-Length", b"0"),
        (b"transfer-encoding", b"chunked"),
    ],
)
def test_a_header_that_could_make_one_request_two_is_refused(header: tuple[bytes, bytes]) -> None:
    with pytest.raises(ValueError, match="header"):
        head("POST", [(b"fine", b"yes"), header])


def test_a_method_that_could_make_one_request_two_is_refused() -> None:
    with pytest.raises(ValueError, match="header"):
        head("GET / HTTP/1.1\r\nx: y", [])
