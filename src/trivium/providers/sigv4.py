"""AWS Signature Version 4: a call is signed by a secret that does not travel with it.

As AWS's "Create a signed AWS API request" has it (docs.aws.amazon.com/IAM, "reference_sigv-create-signed-request");
held against AWS's own test vectors and its SDK. As for all services but S3 the path is encoded once more than the URL
has it, without dot segments and repeated slashes.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from datetime import UTC, datetime
from urllib.parse import quote, unquote_plus, urlsplit

import msgspec

Headers = list[tuple[bytes, bytes]]
_ALGORITHM = "AWS4-HMAC-SHA256"
_PORTS = {"https": 443, "http": 80}
_CHANGED = frozenset(
    (
        *(b"baggage", b"connection", b"expect", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"te"),
        *(b"traceparent", b"tracestate", b"trailer", b"transfer-encoding", b"upgrade", b"user-agent"),
        b"x-amzn-trace-id",
    )
)
"""Headers that those between may change, as botocore has them (`SIGNED_HEADERS_BLACKLIST`)."""


class Signing(msgspec.Struct, frozen=True, kw_only=True):
    """Whose signature a provider's calls carry."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    region: str
    service: str = "bedrock"

    def __repr__(self) -> str:
        return f"Signing({self.access_key_id}, {self.region})"


def signed(  # noqa: PLR0917
    signing: Signing, method: str, url: str, headers: Iterable[tuple[bytes, bytes]], body: bytes, time_ms: int
) -> Headers:
    """The headers with date, token and signature behind them. All of the given ones are signed but those that proxies
    change. Names are in lower case; `time_ms` is since the epoch."""
    parts = urlsplit(url)
    date = datetime.fromtimestamp(time_ms // 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = [(b"x-amz-date", date.encode())]
    if signing.session_token is not None:
        added.append((b"x-amz-security-token", signing.session_token.encode()))
    given = list(headers)
    host = parts.hostname or ""
    if ":" in host:
        host = f"[{host}]"
    if parts.port not in (None, _PORTS.get(parts.scheme)):
        host = f"{host}:{parts.port}"
    canonical = _canonical_headers([(b"host", host.encode()), *given, *added])
    names = ";".join(canonical)
    request = "\n".join(
        (
            method,
            quote(_canonical_path(parts.path), safe="/-_.~"),
            _canonical_query(parts.query),
            "".join(f"{name}:{value}\n" for name, value in canonical.items()),
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{date[:8]}/{signing.region}/{signing.service}/aws4_request"
    told = "\n".join((_ALGORITHM, date, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = hmac.digest(_key(signing, date[:8]), told.encode(), "sha256").hex()
    credential = f"{signing.access_key_id}/{scope}"
    value = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return [*given, *added, (b"authorization", value.encode())]


def _canonical_headers(headers: Headers) -> dict[str, str]:
    """Sorted by name; of a name that stands twice the values are joined."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name not in _CHANGED:
            found.setdefault(name.decode(), []).append(" ".join(value.decode("latin-1").split()))
    return {name: ",".join(found[name]) for name in sorted(found)}


def _canonical_path(path: str) -> str:
    found: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del found[-1:]
        elif segment not in {"", "."}:
            found.append(segment)
    return "/" + "/".join(found) + ("/" if found and path.endswith("/") else "")


def _canonical_query(query: str) -> str:
    pairs = [part.partition("=") for part in query.split("&") if part]
    encoded = [(_encoded(name), _encoded(value)) for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded))


def _encoded(text: str) -> str:
    return quote(unquote_plus(text), safe="-_.~")


def _key(signing: Signing, day: str) -> bytes:
    key = b"AWS4" + signing.secret_access_key.encode()
    for part in (day, signing.region, signing.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
