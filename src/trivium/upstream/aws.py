"""AWS's credentials as its own SDK finds them: profiles and single sign-on, web identities, roles of containers and
machines. The extra `aws` brings botocore for that alone; calls are signed by `providers/sigv4`
(docs/decisions/0017-who-signs-for-aws.md)."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from typing import Any

from trivium.providers.account import CredentialChain
from trivium.providers.sigv4 import Signing


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
        _credentials.cache_clear()
        raise ChainFailed(str(error)) from None
    return Signing(
        access_key_id=now.access_key,
        secret_access_key=now.secret_key,
        session_token=now.token,
        region=chain.region,
    )


@lru_cache(64)
def _credentials(profile: str | None) -> Any:
    """What botocore keeps and renews; None where it finds nothing."""
    from botocore.session import Session  # noqa: PLC0415 # 0.2 s for who does not use it

    return Session(profile=profile).get_credentials()
