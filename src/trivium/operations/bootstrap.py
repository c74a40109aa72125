"""The first API key: made at the first start, kept in `bootstrap.key` (mode 0600), the same at the next start."""

from __future__ import annotations

import re
from pathlib import Path

from trivium import ids
from trivium.errors import OperationError
from trivium.store import durable
from trivium.store.keys import KeyStore

FILE = "bootstrap.key"
_KEY = re.compile(rf"{ids.KEY_PREFIX}[0-9A-Za-z]{{43}}")


async def bootstrap_key(folder: Path, keys: KeyStore) -> str | None:
    """Its text; None once it has been revoked, which no start undoes. Raises OperationError for a damaged file."""
    path = folder / FILE
    if not path.exists():
        text = ids.new_api_key()
        durable.write(path, f"{text}\n".encode())
        keys.admit("bootstrap", text)
        return text
    text = _read(path)
    if not keys.is_known(text):
        keys.admit("bootstrap", text)
    return text if await keys.find(text) else None


def _read(path: Path) -> str:
    try:
        text = path.read_text().strip()
        path.chmod(0o600)
    except (OSError, UnicodeDecodeError) as error:
        raise OperationError(f"{path} cannot be read: {error}. Remove it to have a new key made.") from None
    if not _KEY.fullmatch(text):
        raise OperationError(f"{path} holds no key. Remove it to have a new one made.")
    return text
