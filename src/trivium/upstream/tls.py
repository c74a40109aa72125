"""How upstreams are verified: certificate chain and host name, always; there is no switch to turn it off."""

from __future__ import annotations

import ssl

from trivium.errors import ConfigError


def client_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only those in `ca_file` (PEM). Raises ConfigError if it cannot be read.

    Offers HTTP/1.1 alone, because no client here speaks anything else.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"The CA file {ca_file} cannot be used: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context
