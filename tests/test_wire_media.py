"""Images and files: URLs, `data:` URIs and bare base64."""

from __future__ import annotations

import pytest

from trivium.canon.parts import Data, Source, Url
from trivium.errors import FieldInvalid
from trivium.wire.media import file_of, source_of, uri_of


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://example.com/a.png?x=1,2;3", Url("https://example.com/a.png?x=1,2;3")),
        ("gs://bucket/a.png", Url("gs://bucket/a.png")),
        ("data:image/jpeg;base64,/9j/4A==", Data("image/jpeg", "/9j/4A==")),
        ("DATA:image/jpeg;BASE64,AAAA", Data("image/jpeg", "AAAA")),
        ("data:text/plain;charset=utf-8;base64,AAAA", Data("text/plain", "AAAA")),
        (f"data:application/pdf;name={'a' * 1000}.pdf;base64,AAAA", Data("application/pdf", "AAAA")),
        ("data:;base64,AAAA", Data("image/png", "AAAA")),
    ],
)
def test_a_uri_is_a_link_or_what_it_holds(uri: str, source: Source) -> None:
    assert source_of(uri, "at") == source


@pytest.mark.parametrize(
    "uri", ["", "a.png", "/a.png", "//example.com", "data:", "data:image/png,AAAA", "data:;base64", "1:x"]
)
def test_anything_else_is_an_error_that_names_the_field(uri: str) -> None:
    with pytest.raises(FieldInvalid) as raised:
        source_of(uri, "messages[0].content[1].image_url.url")
    assert raised.value.param == "messages[0].content[1].image_url.url"


def test_a_file_without_a_type_is_a_pdf() -> None:
    assert file_of("JVBERi0=", "at") == file_of("data:;base64,JVBERi0=", "at") == Data("application/pdf", "JVBERi0=")
    assert file_of("data:text/csv;base64,AAAA", "at") == Data("text/csv", "AAAA")


def test_a_file_may_be_a_link() -> None:
    assert file_of("https://example.com/a.pdf", "at") == Url("https://example.com/a.pdf")


@pytest.mark.parametrize("uri", ["https://example.com/a.png", "data:image/jpeg;base64,/9j/4A=="])
def test_a_source_is_written_as_it_was_read(uri: str) -> None:
    assert uri_of(source_of(uri, "at")) == uri


def test_a_long_uri_is_read_in_no_time() -> None:
    for long in ("data:" + "x" * 1_000_000, "data:" + ";" * 1_000_000, "data:x" + ";a=b" * 300_000):
        with pytest.raises(FieldInvalid):
            source_of(long, "at")
