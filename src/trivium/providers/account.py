"""Who the house is at a provider whose credentials end after a while: what is known of it beforehand."""

from __future__ import annotations

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


class CredentialChain(msgspec.Struct, frozen=True, kw_only=True):
    """Of AWS's: profiles, roles of machines and containers, web identities, as AWS's own SDK finds them."""

    region: str
    profile: str | None = None
    """Of the shared configuration; None: as the SDK chooses."""


Account = ServiceAccount | CredentialChain
