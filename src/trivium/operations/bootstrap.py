"""The first API key: made at the first start, kept in `bootstrap.key` (mode 0600), the same at the next start."""

from __future__ import annotations

import os
from pathlib import Path

from trivium import ids
from trivium.store.keys import KeyStore

FILE = "bootstrap.key"


def bootstrap_key(folder: Path, keys: KeyStore) -> str | None:
    """Its text; None once it has been revoked, which no start undoes."""
    path = folder / FILE
    if path.exists():
        text = path.read_text().strip()
        if not keys.is_known(text):
            keys.admit("bootstrap", text)
        return text if keys.find(text) else None
    text = ids.new_api_key()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text + "\n")
    keys.admit("bootstrap", text)
    return text
