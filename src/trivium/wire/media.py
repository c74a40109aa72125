"""Images and files on their way between APIs: `data:` URIs, base64 and links."""

from __future__ import annotations

import re

from trivium.canon.parts import Data, Source, Url
from trivium.errors import FieldInvalid

_DATA = re.compile(r"data:([^;,]{0,256})(?:;[^,]{0,4096})??;base64,", re.IGNORECASE)
_URI = re.compile(r"data:|https?://", re.IGNORECASE)
_PDF = "application/pdf"
_MEANT = {"image/jpg": "image/jpeg"}
"""Types of media as many write them, and the vendors do not."""


def source_of(uri: str, at: str, default: str = "image/png") -> Source:
    """What a URL or `data:` URI holds. Raises FieldInvalid for what is neither, and for `data:` that is not base64."""
    if uri[:5].lower() == "data:":
        head = _DATA.match(uri)
        if head is None:
            raise FieldInvalid(f"`{at}` must be a URL or a `data:` URI in base64.", param=at)
        kind = head[1].lower()
        return Data(_MEANT.get(kind, kind) or default, uri[head.end() :])
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", uri):
        raise FieldInvalid(f"`{at}` must be a URL or a `data:` URI in base64.", param=at)
    return Url(uri)


def file_of(content: str, at: str) -> Source:
    """`file_data` of the OpenAI APIs: a `data:` URI, bare base64 of a PDF, or a URL (OpenRouter's page on PDFs)."""
    return source_of(content, at, _PDF) if _URI.match(content) else Data(_PDF, content)


def uri_of(source: Source) -> str:
    """The URL or `data:` URI."""
    return source.url if isinstance(source, Url) else f"data:{source.media_type};base64,{source.base64}"
