"""AWS's credentials as its own SDK finds them: profiles and single sign-on, web identities, roles of containers and
machines. The extra `aws` brings botocore for that alone; calls are signed by `providers/sigv4`
(docs/decisions/0017-who-signs-for-aws.md)."""

from __future__ import annotations

import importlib.util
from typing import Any

from trivium.providers.account import CredentialChain
from trivium.providers.sigv4 import Signing

_kept: dict[str | None, Any] = {}
"""By profile: what botocore itself renews, or what does not change."""
_IN_FILES = {"shared-credentials-file", "config-file"}
"""How botocore calls what it reads once, though whoever wrote it may write it anew: tools for single sign-on do."""


class ChainFailed(Exception):
    """There are no credentials, or they cannot be renewed."""


def is_available() -> bool:
    return importlib.util.find_spec("botocore") is not None


def chain_signing(chain: CredentialChain) -> Signing:
    """The credentials of the moment; botocore renews them in time. Blocks. Raises ChainFailed."""
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 # an extra

    try:
        found = _credentials(chain.profile)
        if found is None:
            raise ChainFailed("AWS's SDK finds no credentials")
        now = found.get_frozen_credentials()
    except (BotoCoreError, ClientError) as error:
        _kept.pop(chain.profile, None)
        raise ChainFailed(str(error)) from None
    return Signing(
        access_key_id=now.access_key,
        secret_access_key=now.secret_key,
        session_token=now.token,
        region=chain.region,
    )


def _credentials(profile: str | None) -> Any:
    """None where there is nothing yet."""
    from botocore.session import Session  # noqa: PLC0415 # 0.2 s for who does not use it

    if profile in _kept:
        return _kept[profile]
    found = Session(profile=profile).get_credentials()
    if found is not None and found.method not in _IN_FILES:
        _kept[profile] = found
    return found
