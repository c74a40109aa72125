"""Who the house is at a provider whose credentials end after a while: what is known of it beforehand."""

from __future__ import annotations

from typing import Literal

import msgspec


class ServiceAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Of Google's, as its key file has it: signs a request for an access token
    (developers.google.com/identity/protocols/oauth2/service-account)."""

    client_email: str
    private_key: str
    """PEM. Secret."""
    private_key_id: str = ""
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 # no secret
    project_id: str = ""

    def __repr__(self) -> str:
        return f"ServiceAccount({self.client_email})"


class MetadataServer(msgspec.Struct, frozen=True, kw_only=True):
    """Of Google's machines and clusters, which knows the service account of whoever asks it
    (cloud.google.com/compute/docs/access/authenticate-workloads)."""

    host: str = "metadata.google.internal"


class Format(msgspec.Struct, frozen=True):
    """How a subject token is written."""

    type: Literal["text", "json"] = "text"
    subject_token_field_name: str = ""


class CredentialSource(msgspec.Struct, frozen=True):
    """Where the subject token is: one of the two."""

    file: str | None = None
    url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    format: Format = Format()


class ExternalAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Of an identity elsewhere that Google trusts, as its file has it: workload identity federation
    (google.aip.dev/auth/4117)."""

    audience: str
    subject_token_type: str
    token_url: str
    credential_source: CredentialSource
    service_account_impersonation_url: str | None = None
    """Where the token is exchanged for one of a service account's; None: it is good as it is."""
    lifetime_s: int = 3600
    """Of that one."""


class CredentialChain(msgspec.Struct, frozen=True, kw_only=True):
    """Of AWS's: profiles, roles of machines and containers, web identities, as AWS's own SDK finds them."""

    region: str
    profile: str | None = None
    """Of the shared configuration; None: as the SDK chooses."""


GoogleAccount = ServiceAccount | MetadataServer | ExternalAccount
Account = GoogleAccount | CredentialChain
