"""As whom the house calls a provider: keys, AWS's credentials, a service account of Google's.

A key in the settings wins over one in the environment. Bedrock is called, in this order, by the access key of the
settings, a profile, a Bedrock API key, the access key of the environment, and whatever AWS's own SDK finds.
"""

from __future__ import annotations

import msgspec

from trivium.providers.account import Account, CredentialChain, MetadataServer
from trivium.providers.credential import Credential
from trivium.providers.google_files import account_of
from trivium.providers.said import Said
from trivium.providers.sigv4 import Signing

_SIGNED = ("access_key_id", "session_token", "profile")
METADATA = "metadata"
"""In the place of a key file: Google's metadata server has the tokens."""
_METADATA_HOST = "GCE_METADATA_HOST"
"""As Google's own libraries have it."""
_AUTHORIZED = frozenset({"authorization", "api-key", "x-api-key"})


class Access(msgspec.Struct, frozen=True, kw_only=True):
    keys: tuple[bytes, ...] = ()
    signing: Signing | None = None
    account: Account | None = None

    def __repr__(self) -> str:
        return "Access(...)"


def access(said: Said) -> Access:
    """Raises ConfigError, also for settings that this kind of provider has no use for."""
    _check_fitting(said)
    found = (_signed(said) if said.row.signs else None) or (_by_account(said) if said.row.accounts else None)
    if found is not None:
        return found
    keys = _keys(said)
    if keys or not _needs_key(said):
        return Access(keys=keys)
    if said.row.signs:
        return _by_environment(said)
    usual = f", or {said.row.key_env} in the environment" if said.row.key_env else ""
    also = "`service_account` or `key`" if said.row.accounts else "`key`"
    raise said.wrong(f"needs a key: set {also}{usual}")


def _check_fitting(said: Said) -> None:
    row, given = said.row, said.given
    unfit = {
        **dict.fromkeys(_SIGNED, row.signs),
        "service_account": row.accounts,
        "project": bool(row.project_env),
        "region": row.region is not None,
        "api_version": row.version is not None,
    }
    for name, fits in unfit.items():
        if getattr(given, name) is not None and not fits:
            raise said.wrong(f"providers of the type `{said.kind}` have no such setting", name)


def _needs_key(said: Said) -> bool:
    """Servers that need none do not; nor what stands at an address of the operator's own in a vendor's place."""
    elsewhere = said.given.base_url is not None and bool(said.row.doors[0].base_urls) and not said.row.signs
    authorized = any(name.lower() in _AUTHORIZED for name in said.given.headers)
    return said.row.key_env is not None and not elsewhere and not authorized


def _keys(said: Said) -> tuple[bytes, ...]:
    given = said.given
    told = [("key", given.key)] if given.key else []
    told += [("keys", key) for key in given.keys]
    keys = [said.header_text(said.secret(text, setting), setting) for setting, text in told]
    usual = None if keys or said.row.accounts else said.from_env(said.row.key_env)
    if usual is not None:
        keys = [said.header_text(usual, "key")]
    if len(set(keys)) < len(keys):
        raise said.wrong("a key stands twice", "keys")
    return tuple(keys)


def _signed(said: Said) -> Access | None:
    given = said.given
    if given.access_key_id is not None:
        if given.key is None or given.keys:
            raise said.wrong("goes with one `key`, the secret access key", "access_key_id")
        told = {
            name: said.secret(text, name)
            for name, text in (
                ("access_key_id", given.access_key_id), ("key", given.key), ("session_token", given.session_token)
            )
            if text is not None
        }  # fmt: skip
        return Access(signing=_signing(said, told, "access_key_id"))
    if given.profile is not None:
        return Access(account=CredentialChain(region=said.region, profile=said.secret(given.profile, "profile")))
    return None


def _by_environment(said: Said) -> Access:
    env = said.env
    if env.get("AWS_ACCESS_KEY_ID") and env.get("AWS_SECRET_ACCESS_KEY"):
        told = {"access_key_id": env["AWS_ACCESS_KEY_ID"], "key": env["AWS_SECRET_ACCESS_KEY"]}
        if token := env.get("AWS_SESSION_TOKEN"):
            told["session_token"] = token
        return Access(signing=_signing(said, told))
    return Access(account=CredentialChain(region=said.region))


def _signing(said: Said, told: dict[str, str], *setting: str) -> Signing:
    try:
        credential = msgspec.convert(told, Credential)
    except msgspec.ValidationError:
        # What msgspec says of it may repeat it.
        raise said.wrong("expected an access key of AWS's: its id, the secret, and its token if it has one", *setting)  # noqa: B904
    signing = credential.signing(said.region)
    assert signing is not None
    return signing


def _by_account(said: Said) -> Access | None:
    given = said.given
    text = given.service_account
    setting = () if text is None else ("service_account",)
    if text is None and not given.key and not given.keys and (path := said.from_env(said.row.key_env)):
        text = f"file:{path}"
    if text is None:
        return None
    if text == METADATA:
        return Access(account=MetadataServer(host=said.from_env(_METADATA_HOST) or MetadataServer().host))
    account = account_of(said.secret(text, *setting))
    if account is None:
        raise said.wrong(
            "expected the JSON key of a service account of Google's, a file of workload identity federation whose "
            f"source is a file or a URL, or `{METADATA}`",
            *setting,
        )
    return Access(account=account)
