"""What configuration and environment say of one provider, beside its row; and where a problem is to be looked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from trivium.config import secret
from trivium.errors import ConfigError
from trivium.providers.rows import Row
from trivium.settings import Source, wrong_setting
from trivium.settings_providers import ProviderSettings

_VISIBLE = re.compile(r"[!-~]+")


class Said(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: str
    """The row's name."""
    row: Row
    given: ProviderSettings
    source: Source | None
    env: Mapping[str, str]

    def __repr__(self) -> str:
        return f"Said({self.name})"

    def wrong(self, problem: str, *setting: str) -> ConfigError:
        return wrong_setting(self.source, ("providers", self.name, *setting), problem)

    def secret(self, text: str, *setting: str) -> str:
        """Raises ConfigError."""
        return secret(text, self.env, self.source, ("providers", self.name, *setting))

    def header_text(self, text: str, *setting: str) -> bytes:
        """Raises ConfigError for what no header may hold."""
        if not text.isprintable() or not text.isascii():
            raise self.wrong("expected printable ASCII characters, as HTTP headers allow", *setting)
        return text.encode()

    def from_env(self, *names: str | None) -> str | None:
        """The first of these variables that is set."""
        return next((self.env[name] for name in names if name and self.env.get(name)), None)

    @property
    def region(self) -> str:
        """Empty where the row has none."""
        return self.given.region or self.from_env(*self.row.region_env) or self.row.region or ""

    def check_url(
        self, url: str, *setting: str, example: str, schemes: tuple[str, ...] = ("http", "https"), user: bool = False
    ) -> str:
        """The path of an absolute URL; `user`: it may name one, and a password. Raises ConfigError."""
        label = "" if setting else "base_url: "
        try:
            parts = urlsplit(url)
            callable_ = parts.scheme in schemes and parts.hostname and parts.port != 0 and _VISIBLE.fullmatch(url)
        except ValueError:
            callable_ = False
        if not callable_:
            kind = " or ".join(schemes)
            raise self.wrong(f"{label}expected an absolute {kind} URL, such as {example}", *setting)
        if parts.query or parts.fragment or (parts.username is not None and not user):
            without = "query and fragment" if user else "query, fragment, user and password"
            raise self.wrong(f"{label}expected a URL without {without}", *setting)
        return parts.path
