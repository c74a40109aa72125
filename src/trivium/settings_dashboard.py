"""Settings of the dashboard (docs/dashboard.md)."""

from __future__ import annotations

from typing import Annotated

import msgspec

from trivium.patterns import Secret, matching

Hours = Annotated[float, msgspec.Meta(gt=0, le=8784)]


class OidcSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[dashboard.oidc]`: whose word is taken for who somebody is (OpenID Connect)."""

    issuer: Annotated[str, matching("^https?://[^/?#]+[^?#]*$", "https://HOST, or http://, and perhaps a path")]
    """As its metadata says it; these are asked for under `/.well-known/openid-configuration`."""
    client_id: Annotated[str, msgspec.Meta(min_length=1)]
    client_secret: Secret | None = None
    """Left out: this is a public client, and PKCE is all there is."""
    name: str = "single sign-on"
    """What the button says behind "Sign in with"."""
    scopes: str = "openid email profile"
    sign_up: bool = False
    """Whether somebody who is no user yet becomes one."""
    domains: tuple[str, ...] = ()
    """Of e-mail addresses that may sign in; none: all."""
    trust_emails: bool = False
    """Whether an address counts of which the provider does not say if it is verified: Microsoft's never says so. For
    providers where nobody chooses an address, as with a tenant of one's own."""


class DashboardSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[dashboard]`: the pages at `/`."""

    enabled: bool = True
    links: bool = True
    """Whether `trivium up` prints a link for signing in where a person looks at its terminal."""
    passwords: bool = False
    """Whether users may sign in with a password."""
    admins: tuple[str, ...] = ()
    """Users who may do everything once they are signed in, by id."""
    session_hours: Hours = 168
    """How long somebody stays signed in."""
    idle_hours: Hours = 24
    """The same, without a visit."""
    rest_minutes: Annotated[float, msgspec.Meta(gt=0, le=10_080)] = 15
    """Without a visit, until the process that renders the pages is ended; the next visit starts it again."""
    url: Annotated[str, matching("^https?://[^/?#]+$", "https://HOST, or http://, without a path")] | None = None
    """The address by which people reach the gateway. Default: the one that a request names."""
    oidc: OidcSettings | None = None
