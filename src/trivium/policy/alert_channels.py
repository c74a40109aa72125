"""What a channel of alerts is: what anybody may see of it, and what it takes to write there, which is sealed. Pure.

Of a webhook the URL is all that it takes, and headers may be more of it; of a mailbox it is the server's password. What
is sealed is sent to no other server than the one that it was given for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from trivium.errors import OperationError, UrlRefused
from trivium.patterns import Secret, matching, twice
from trivium.policy.destinations import Destinations, check_hook, fault_of_mail
from trivium.settings_alerts import (
    MAIL_PORTS,
    RULES,
    SEVERITIES,
    Address,
    MailHost,
    MailSecurity,
    Port,
    Rule,
    Severity,
)

Kind = Literal["slack", "webhook", "email"]
Name = Annotated[
    str, matching(r"^[a-z0-9][a-z0-9._-]{0,99}\Z", "1 to 100 of a-z, 0-9 and ._-, a letter or digit at the beginning")
]
Url = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Headers = Annotated[
    dict[
        Annotated[str, msgspec.Meta(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}\Z")],
        Annotated[str, msgspec.Meta(pattern=r"^[\x20-\x7e]{0,4000}\Z")],
    ],
    msgspec.Meta(max_length=20),
]
Recipients = Annotated[tuple[Address, ...], msgspec.Meta(max_length=50)]
Login = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Password = Annotated[Secret, msgspec.Meta(max_length=1000)]
TIMEOUTS: dict[Kind, float] = {"slack": 10, "webhook": 10, "email": 20}
_LONGEST_HOST = 60
_TELLING = 16
"""Characters of a URL behind its host from which on its last four are shown, and of a piece that tells by itself."""
_OURS = frozenset(("host", "connection", "content-length", "content-type", "transfer-encoding"))


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """As much of a channel as is ever shown."""

    kind: Kind
    enabled: bool = True
    """False: it is told nothing."""
    severities: tuple[Severity, ...] = SEVERITIES
    rules: tuple[Rule, ...] = RULES
    """What it is told of."""
    timeout: float = 10
    """Seconds for each step."""
    where: str = ""
    """It leads."""
    header_names: tuple[str, ...] = ()
    host: MailHost | None = None
    port: Port | None = None
    security: MailSecurity | None = None
    sender: Address | None = None
    to: Recipients = ()
    login: Login | None = None


class Sealed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is never shown."""

    url: str | None = None
    headers: dict[str, str] = {}
    password: str | None = None

    @property
    def secrets(self) -> list[str]:
        """As they might be quoted: a URL also without its host and in parts, a header's value also without the word
        before it."""
        words = [value.rpartition(" ")[2] for value in self.headers.values()]
        found = (self.url, *_parts(self.url or ""), *self.headers.values(), *words, self.password)
        return [text for text in found if text]


def _parts(url: str) -> list[str]:
    """What is behind the host, its path and its query, the query's values, and long pieces of the path."""
    behind = url.partition("://")[2].partition("/")[2]
    path, _, query = behind.partition("?")
    values = [pair.rpartition("=")[2] for pair in query.split("&")]
    return [behind, path, query, *values, *(piece for piece in path.split("/") if len(piece) >= _TELLING)]


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A channel that was set while the gateway runs."""

    id: str
    name: str
    said: Channel
    created_ms: int


GIVES = {
    "slack": frozenset(("url",)),
    "webhook": frozenset(("url", "headers")),
    "email": frozenset(("host", "port", "security", "sender", "to", "login", "password")),
}
"""What channels of each kind are made of, beside what all have."""
SEALED = frozenset(Sealed.__struct_fields__)
_NEEDS = {"slack": ("url",), "webhook": ("url",), "email": ("host", "sender", "to")}
_TOGETHER = "Give `login` and `password` together, or neither."
_MOVED = "{} was given for another server, and is sent to no other one: give it again, or take it away."


def made(kind: Kind, given: dict[str, Any], rules: Destinations) -> tuple[Channel, Sealed]:
    """A new channel of what was given. `rules` say where it may lead. Raises OperationError, UrlRefused."""
    _check_given(kind, given)
    plain = {name: value for name, value in given.items() if name not in SEALED and value is not None}
    sealed = Sealed(**_leading({name: value for name, value in given.items() if name in SEALED}, rules))
    return _checked(Channel(kind=kind, **{"timeout": TIMEOUTS[kind], **plain}), sealed, rules), sealed


def changed(
    before: Channel, given: dict[str, Any], rules: Destinations, unseal: Callable[[], Sealed]
) -> tuple[Channel, Sealed | None]:
    """The same of a channel that there is; None: what is sealed stays as it is. `unseal` is asked where only a part of
    that is changed. Raises what it does, OperationError, UrlRefused."""
    _check_given(before.kind, given)
    after = msgspec.structs.replace(before, **{name: value for name, value in given.items() if name not in SEALED})
    parts = _leading({name: value for name, value in given.items() if name in SEALED}, rules)
    if before.login is not None and after.login is None:
        parts.setdefault("password", None)
    if not parts:
        if before.login is None and after.login is not None:
            raise OperationError(_TOGETHER)
        if before.login is not None and _place(before) != _place(after):
            raise OperationError(_MOVED.format("The password"))
        return _checked(after, None, rules), None
    kept = GIVES[before.kind] & SEALED - parts.keys() - (set() if before.header_names else {"headers"})
    old = unseal() if kept else Sealed()
    sealed = msgspec.structs.replace(old, **parts)
    if old.headers and "headers" not in parts and _origin(old) != _origin(sealed):
        raise OperationError(_MOVED.format("What its headers hold"))
    return _checked(after, sealed, rules), sealed


def _check_given(kind: Kind, given: dict[str, Any]) -> None:
    """Whether what somebody gave belongs to such a channel."""
    others = frozenset().union(*GIVES.values()) - GIVES[kind]
    if strange := sorted(name for name, value in given.items() if name in others and value not in (None, (), {})):
        raise OperationError(f"A channel of the kind {kind!r} has no `{strange[0]}`.")


def _leading(parts: dict[str, Any], rules: Destinations) -> dict[str, Any]:
    """With a URL that may be called."""
    url = parts.get("url")
    return parts if url is None else parts | {"url": check_hook(url, rules)}


def _checked(said: Channel, sealed: Sealed | None, rules: Destinations) -> Channel:
    """A channel with where it leads, if it is whole; None: what is sealed is as it was."""
    told = (*msgspec.structs.asdict(said).items(), *(msgspec.structs.asdict(sealed).items() if sealed else ()))
    there = {name for name, value in told if value} | ({"url"} if sealed is None else set())
    if missing := [name for name in _NEEDS[said.kind] if name not in there]:
        raise OperationError(f"A channel of the kind {said.kind!r} needs `{missing[0]}`.")
    if not said.severities or not said.rules:
        raise OperationError("A channel is for one severity and one rule at least; `enabled` pauses it.")
    if said.kind == "email":
        return _checked_mail(said, sealed, rules)
    if sealed is None:
        return said
    if ours := sorted(_OURS.intersection(name.lower() for name in sealed.headers)):
        raise OperationError(f"The header `{ours[0]}` is the gateway's to set.")
    if again := twice(sealed.headers):
        raise OperationError(f"The header `{again}` is given twice; capitals make no difference.")
    return msgspec.structs.replace(said, where=where(sealed.url or ""), header_names=tuple(sealed.headers))


def _checked_mail(said: Channel, sealed: Sealed | None, rules: Destinations) -> Channel:
    if sealed is not None and (said.login is None) != (sealed.password is None):
        raise OperationError(_TOGETHER)
    if said.login is not None and said.security == "none":
        raise OperationError("A password is sent over `starttls` or `tls` only.")
    host, port, _ = _place(said)
    if fault := fault_of_mail(host, port, rules):
        raise UrlRefused(f"The mail server cannot be used: {fault}.")
    return msgspec.structs.replace(said, host=host, where=f"{host}:{port}")


def _place(said: Channel) -> tuple[str, int, str]:
    security = said.security or "starttls"
    return (said.host or "").lower(), said.port or MAIL_PORTS[security], security


def _origin(sealed: Sealed) -> tuple[str, str]:
    parts = urlsplit(sealed.url or "")
    return parts.scheme, parts.netloc


def where(url: str) -> str:
    """Where a URL leads, without what it takes to write there."""
    parts = urlsplit(url)
    host = parts.netloc if len(parts.netloc) <= _LONGEST_HOST else f"{parts.netloc[:_LONGEST_HOST]}..."
    behind = f"{parts.path}?{parts.query}" if parts.query else parts.path
    return f"{parts.scheme}://{host}/...{behind[-4:] if len(behind) >= _TELLING else ''}"
