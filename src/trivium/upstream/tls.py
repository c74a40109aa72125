"""How upstreams are verified: certificate chain and host name, always; there is no switch to turn it off."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import lru_cache

from trivium.errors import ConfigError
from trivium.providers.provider import Network, Provider
from trivium.settings import Settings, wrong_setting


def client_context(ca_file: str | None = None, client_cert: str | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only those in `ca_file` (PEM); shows the certificate in `client_cert`, a PEM
    file with its key. Raises ConfigError if one cannot be read.

    Offers HTTP/1.1 alone, because no client here speaks anything else.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"The CA file {ca_file} cannot be used: {error}") from error
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert)
        except OSError as error:
            raise ConfigError(f"The client certificate {client_cert} cannot be used: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


@lru_cache(maxsize=256)
def context_of(network: Network | None) -> ssl.SSLContext | None:
    """For a provider with authorities or a certificate of its own; None for all others. Raises ConfigError."""
    if network is None or network.ca_file is network.client_cert is None:
        return None
    return client_context(network.ca_file, network.client_cert)


def check_networks(settings: Settings, providers: Mapping[str, Provider]) -> None:
    """Raises ConfigError for files that cannot be used."""
    for name, provider in providers.items():
        network = provider.network
        for setting in ("ca_file", "client_cert") if network is not None else ():
            if (path := getattr(network, setting)) is not None:
                try:
                    client_context(**{setting: path})
                except ConfigError as error:
                    raise wrong_setting(settings.source, ("providers", name, setting), error.message) from None
