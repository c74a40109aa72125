"""How upstreams are verified: certificate chain and host name, always; there is no switch to turn it off."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import msgspec

from trivium.errors import ConfigError, UpstreamUnreachable
from trivium.providers.provider import Network, Provider
from trivium.settings import Settings, wrong_setting


def client_context(ca_file: str | None = None, client_cert: str | None = None) -> ssl.SSLContext:
    """Trusts the system's authorities, or only those in `ca_file` (PEM); shows the certificate in `client_cert`, a PEM
    file with its key. Raises ConfigError if one cannot be read, whose `param` is the parameter's name.

    Offers HTTP/1.1 alone, because no client here speaks anything else.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ConfigError(f"The CA file {ca_file} cannot be used: {error}", param="ca_file") from error
    if client_cert is not None:
        try:
            context.load_cert_chain(client_cert)
        except OSError as error:
            problem = f"The client certificate {client_cert} cannot be used: {error}"
            raise ConfigError(problem, param="client_cert") from error
    context.set_alpn_protocols(["http/1.1"])
    return context


def context_of(network: Network | None) -> ssl.SSLContext | None:
    """For a provider with authorities or a certificate of its own; None for all others. Raises UpstreamUnreachable for
    files that cannot be used any more, where they are needed once more."""
    try:
        return _context(network)
    except ConfigError as error:
        raise UpstreamUnreachable("The upstream cannot be reached.", detail=error.message) from error


def check_networks(settings: Settings, providers: Mapping[str, Provider]) -> None:
    """Reads the files that calls will need. Raises ConfigError for those that cannot be used."""
    for name, provider in providers.items():
        try:
            _context(provider.network)
        except ConfigError as error:
            setting = () if error.param is None else (error.param,)
            raise wrong_setting(settings.source, ("providers", name, *setting), error.message) from None


def as_on_disk(provider: Provider) -> Provider:
    """With the digest of its network's files as they are now."""
    if provider.network is None:
        return provider
    return msgspec.structs.replace(
        provider,
        network=msgspec.structs.replace(provider.network, files=_digest(provider.network)),
        elsewhere=tuple(map(as_on_disk, provider.elsewhere)),
    )


def _digest(network: Network) -> str:
    """Empty where there are no files, or none that can be read, which `check_networks` says."""
    paths = [path for path in (network.ca_file, network.client_cert) if path is not None]
    try:
        return " ".join(hashlib.sha256(Path(path).read_bytes()).hexdigest() for path in paths)
    except OSError:
        return ""


@lru_cache(maxsize=256)
def _context(network: Network | None) -> ssl.SSLContext | None:
    if network is None or network.ca_file is network.client_cert is None:
        return None
    return client_context(network.ca_file, network.client_cert)
