"""Sends mail by a mail server that an operator has set, in a thread. A channel of alerts.

With `starttls` a server that does not offer it gets nothing, above all no password. Where the server was set while the
gateway runs, its name is looked up and its addresses are checked by `guard`, and no other is connected to.
"""

from __future__ import annotations

import asyncio
import smtplib
import socket
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import Any

from trivium.errors import DestinationRefused, TriviumError
from trivium.settings_alerts import MAIL_PORTS, EmailSettings
from trivium.upstream.guard import Guard
from trivium.upstream.webhook import Problem, Taken, one_line

_Place = tuple[Any, ...]
"""An address and a port."""


class Mailer:
    def __init__(self, said: EmailSettings, password: str | None, guard: Guard | None = None) -> None:
        self._said, self._password, self._guard = said, password, guard
        self._port = said.port or MAIL_PORTS[said.security]

    async def send(self, subject: str, text: str) -> Problem | Taken:
        places: list[_Place] = [(self._said.host, self._port)]
        if self._guard is not None:
            try:
                async with asyncio.timeout(self._said.timeout):
                    places = [info[4] for info in await self._guard.mail(self._said.host, self._port)]
            except DestinationRefused as error:
                return Problem(f"the gateway does not connect to it: {error.detail}", passing=False)
            except (TriviumError, TimeoutError) as error:
                return Problem(getattr(error, "detail", None) or "its name cannot be looked up", passing=True)
        return await asyncio.to_thread(self._send, self._message(subject, text), places)

    def _message(self, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, self._said.sender, ", ".join(self._said.to)
        message["Date"] = formatdate(usegmt=True)
        message["Message-ID"] = make_msgid(domain=self._said.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody shall answer that he is on holiday
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage, places: Sequence[_Place]) -> Problem | Taken:
        try:
            with self._connected(places) as server:
                if self._said.user is not None:
                    server.login(self._said.user, self._password or "")
                refused = server.send_message(message)
                said = server.said
        except smtplib.SMTPRecipientsRefused as error:
            return Problem(_told(error.recipients), passing=False)
        except smtplib.SMTPResponseException as error:
            return Problem(f"{error.smtp_code} {_text(error.smtp_error)}", error.smtp_code < 500)
        except smtplib.SMTPNotSupportedError as error:
            return Problem(str(error), passing=False)
        except (smtplib.SMTPException, OSError) as error:
            return Problem(str(error) or type(error).__name__, not isinstance(error, ssl.SSLCertVerificationError))
        return Taken(said, _told(refused) if refused else None)

    def _connected(self, places: Sequence[_Place]) -> _Smtp:
        said = self._said
        context = None if said.security == "none" else ssl.create_default_context(cafile=said.ca)
        server = _Smtp(said.host, self._port, said.timeout, places, context if said.security == "tls" else None)
        if said.security == "starttls":
            try:
                server.starttls(context=context)
            except BaseException:
                server.close()
                raise
        return server


class _Smtp(smtplib.SMTP):
    """Connects to the places that it is told, the first that answers, and remembers what is said to a mail."""

    def __init__(
        self, host: str, port: int, timeout: float, places: Sequence[_Place], tls: ssl.SSLContext | None
    ) -> None:
        """`tls`: from the first byte on."""
        self._places, self._tls = places, tls
        self.said = ""
        super().__init__(host, port, timeout=timeout)

    def _get_socket(self, host: str, _: int, timeout: float) -> socket.socket:
        """As smtplib has it, which looks the name up by itself, and as its `SMTP_SSL` has it."""
        found = _socket(self._places, timeout)
        return found if self._tls is None else self._tls.wrap_socket(found, server_hostname=host)

    def data(self, msg: Any) -> tuple[int, bytes]:
        code, said = super().data(msg)
        self.said = f"{code} {_text(said)}"
        return code, said


def _socket(places: Sequence[_Place], timeout: float) -> socket.socket:
    """Raises OSError, the last one."""
    for place in places[:-1]:
        try:
            return socket.create_connection(place[:2], timeout)
        except OSError:
            continue
    return socket.create_connection(places[-1][:2], timeout)


def _told(refused: dict[str, tuple[int, bytes]]) -> str:
    """Of those who get no mail. Where others do, it is sent: once more would be once too often for them."""
    return ", ".join(f"{name}: {code} {_text(said)}" for name, (code, said) in refused.items())


def _text(said: bytes | str) -> str:
    return one_line(said) if isinstance(said, bytes) else said
