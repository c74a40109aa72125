"""Sends mail by the operator's mail server, in a thread. A channel of alerts.

With `starttls` a server that does not offer it gets nothing, above all no password.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid

from trivium.settings_alerts import EmailSettings
from trivium.upstream.webhook import Problem

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


class Mailer:
    def __init__(self, said: EmailSettings, password: str | None) -> None:
        """Raises OSError for certificates that cannot be read."""
        self._said, self._password = said, password
        self._port = said.port or _PORTS[said.security]
        self._context = None if said.security == "none" else ssl.create_default_context(cafile=said.ca)

    async def send(self, subject: str, text: str) -> Problem | None:
        return await asyncio.to_thread(self._send, self._message(subject, text))

    def _message(self, subject: str, text: str) -> EmailMessage:
        message = EmailMessage()
        message["Subject"], message["From"], message["To"] = subject, self._said.sender, ", ".join(self._said.to)
        message["Date"] = formatdate(usegmt=True)
        message["Message-ID"] = make_msgid(domain=self._said.sender.rpartition("@")[2])
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody shall answer that he is on holiday
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage) -> Problem | None:
        try:
            with self._connected() as server:
                if self._said.user is not None:
                    server.login(self._said.user, self._password or "")
                refused = server.send_message(message)
        except smtplib.SMTPRecipientsRefused as error:
            return _refused(error.recipients)
        except smtplib.SMTPResponseException as error:
            return Problem(f"{error.smtp_code} {_text(error.smtp_error)}", error.smtp_code < 500)
        except smtplib.SMTPNotSupportedError as error:
            return Problem(str(error), passing=False)
        except (smtplib.SMTPException, OSError) as error:
            return Problem(str(error) or type(error).__name__, not isinstance(error, ssl.SSLCertVerificationError))
        return _refused(refused) if refused else None

    def _connected(self) -> smtplib.SMTP:
        host, patience = self._said.host, self._said.timeout
        if self._said.security == "tls":
            return smtplib.SMTP_SSL(host, self._port, timeout=patience, context=self._context)
        server = smtplib.SMTP(host, self._port, timeout=patience)
        if self._context is not None:
            try:
                server.starttls(context=self._context)
            except BaseException:
                server.close()
                raise
        return server


def _refused(recipients: dict[str, tuple[int, bytes]]) -> Problem:
    """Where some were taken, those have the mail; the problem is told all the same, and not tried again."""
    told = ", ".join(f"{name}: {code} {_text(said)}" for name, (code, said) in recipients.items())
    return Problem(told, passing=False)


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
