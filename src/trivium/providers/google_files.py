"""Google's files of credentials: the key of a service account, or where an identity elsewhere is found."""

from __future__ import annotations

import msgspec

from trivium.providers.account import CredentialSource, ExternalAccount, Format, GoogleAccount, ServiceAccount


class _Kind(msgspec.Struct):
    type: str = ""


class _Source(msgspec.Struct):
    file: str | None = None
    url: str | None = None
    headers: dict[str, str] = {}
    format: Format = Format()


class _Impersonation(msgspec.Struct, frozen=True):
    token_lifetime_seconds: int = 3600


class _External(msgspec.Struct):
    audience: str
    subject_token_type: str
    token_url: str
    credential_source: _Source
    service_account_impersonation_url: str | None = None
    service_account_impersonation: _Impersonation = _Impersonation()


def account_of(text: str) -> GoogleAccount | None:
    """The account that a file is about; None where it is no such file, or of a kind that is not known here: subject
    tokens come from a file or a URL, not from AWS's servers or from a program."""
    try:
        kind = msgspec.json.decode(text, type=_Kind).type
        if kind == "service_account":
            account = msgspec.json.decode(text, type=ServiceAccount)
            return account if _is_url(account.token_uri) else None
        return _external(msgspec.json.decode(text, type=_External)) if kind == "external_account" else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


def _external(said: _External) -> ExternalAccount | None:
    source, becomes = said.credential_source, said.service_account_impersonation_url
    urls = [said.token_url, *(url for url in (becomes, source.url) if url is not None)]
    if (source.file is None) == (source.url is None) or not all(map(_is_url, urls)):
        return None
    if source.format.type == "json" and not source.format.subject_token_field_name:
        return None
    return ExternalAccount(
        audience=said.audience,
        subject_token_type=said.subject_token_type,
        token_url=said.token_url,
        credential_source=CredentialSource(source.file, source.url, tuple(source.headers.items()), source.format),
        service_account_impersonation_url=becomes,
        lifetime_s=said.service_account_impersonation.token_lifetime_seconds,
    )


def _is_url(text: str) -> bool:
    return text.startswith(("https://", "http://"))
