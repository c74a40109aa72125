"""What is shown beside text. A part that the target cannot be shown makes the question another: it is refused."""

from __future__ import annotations

from conformance.feature import AnyOf, Feature, Like, Some
from conformance.features.words import parts, setting, turns

_DATA, _URL, _PDF = "iVBORw0KGgo=", "https://example.com/map.png", "JVBERi0xLjQ="
_IMAGE_URI, _PDF_URI = f"data:image/png;base64,{_DATA}", f"data:application/pdf;base64,{_PDF}"
_TEXT_URI, _DOC_URI = "data:text/plain;base64,c2VjcmV0IHBsYW4=", "data:application/msword;base64,0M8R4A=="
_AUDIO = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
_PLAN = "secret plan"
_NAMED = f"plan.txt.*{_PLAN}"
_FOUND = {
    "type": "search_result",
    "source": "https://example.com",
    "title": "Weather",
    "content": [{"type": "text", "text": "Sunny."}],
}
_CITED = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF},
    "citations": {"enabled": True},
}


def _shown(kind: str, **source: str) -> dict[str, object]:
    return {"type": kind, "source": source}


MEDIA = [
    setting(
        "images as data",
        parts(
            {"type": "image_url", "image_url": {"url": _IMAGE_URI}},
            {"type": "input_image", "image_url": _IMAGE_URI, "detail": "auto"},
            _shown("image", type="base64", media_type="image/png", data=_DATA),
        ),
    ),
    setting(
        "images by URL",
        parts(
            {"type": "image_url", "image_url": {"url": _URL}},
            {"type": "input_image", "image_url": _URL, "detail": "auto"},
            _shown("image", type="url", url=_URL),
        ),
    ),
    Feature(
        name="images in high detail",
        asks=parts(
            {"type": "image_url", "image_url": {"url": _URL, "detail": "high"}},
            {"type": "input_image", "image_url": _URL, "detail": "high"},
        ),
        told=parts(None, None, _shown("image", type="url", url=_URL)),
    ),
    setting(
        "PDFs as data, with their names",
        parts(
            {"type": "file", "file": {"filename": "plan.pdf", "file_data": _PDF_URI}},
            {"type": "input_file", "filename": "plan.pdf", "file_data": _PDF_URI},
            {**_shown("document", type="base64", media_type="application/pdf", data=_PDF), "title": "plan.pdf"},
        ),
    ),
    setting(
        "PDFs by URL",
        parts(
            None,
            {"type": "input_file", "file_url": "https://example.com/plan.pdf"},
            _shown("document", type="url", url="https://example.com/plan.pdf"),
        ),
    ),
    Feature(
        name="documents of plain text",
        asks=parts(
            {"type": "file", "file": {"filename": "plan.txt", "file_data": _TEXT_URI}},
            {"type": "input_file", "filename": "plan.txt", "file_data": _TEXT_URI},
            {**_shown("document", type="text", media_type="text/plain", data=_PLAN), "title": "plan.txt"},
        ),
        told=turns(
            [{"role": "user", "content": AnyOf(Like(_NAMED), Some({"type": "text", "text": Like(_NAMED)}))}],
            [{"role": "user", "content": Some({"type": "input_text", "text": Like(_NAMED)})}],
            [{"role": "user", "content": Some({"type": "text", "text": Like(_NAMED)})}],
        ),
    ),
    setting(
        "documents of other types",
        parts(
            {"type": "file", "file": {"filename": "plan.doc", "file_data": _DOC_URI}},
            {"type": "input_file", "filename": "plan.doc", "file_data": _DOC_URI},
        ),
    ),
    Feature(
        name="documents to be cited",
        asks=parts(None, None, _CITED),
        told=parts(
            {"type": "file", "file": {"file_data": _PDF_URI}},
            {"type": "input_file", "file_data": _PDF_URI},
        ),
    ),
    Feature(
        name="search results",
        asks=parts(None, None, _FOUND),
        told=turns(
            [{"role": "user", "content": Like("Weather.*Sunny.")}],
            [{"role": "user", "content": Some({"type": "input_text", "text": Like("Weather.*Sunny.")})}],
        ),
    ),
    setting("audio", parts(_AUDIO)),
    setting(
        "files by an id",
        parts(
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "input_file", "file_id": "file-1"},
            _shown("document", type="file", file_id="file_1"),
        ),
    ),
]
