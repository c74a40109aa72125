"""Log lines on standard error, as text or as JSON objects: time, level, where from, which request, what.

Requests themselves are not logged unless that is asked for: each leaves a record. Whatever is written is looked through
for secrets last, when the line stands as it goes out.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from trivium.telemetry.hub import Ended
from trivium.telemetry.redaction import REDACTION

REQUEST: ContextVar[str | None] = ContextVar("request", default=None)
"""The id of the request for which a task works."""
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_BREAKS = str.maketrans({number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160)) if number != 9})
_BREAKS |= {number: f"\\u{number:04x}" for number in (0x2028, 0x2029)}
"""A line of text is one line, whatever strangers have in their names, and tells a terminal nothing but itself."""
_REQUESTS = logging.getLogger("trivium.request")
_LOGGED = (
    *("id", "api", "operation", "outcome", "status", "requested_model", "provider", "upstream_model", "key_id"),
    *("organization_id", "user_id", "project_id", "error_code", "cost_nano", "payer", "queue_us", "ttfb_us"),
    *("first_token_us", "total_us", "requests"),
)
"""What a line about a request says of its record."""


def set_up(level: str, form: str = "text", worker: int | None = None) -> None:
    """`level` is a name of the `logging` module in lower case, `form` is `text` or `json`; `worker` is who writes,
    where there are several."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMS[form](worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    set_level(level)


def set_level(level: str) -> None:
    """As `set_up`, of the level alone."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    # uvicorn warns of each malformed request, with which a stranger could fill a disk; what sends telemetry logs each
    # time that its collector is away; psycopg of each rollback on a lost connection, of which the store tells.
    for name in ("uvicorn.error", "urllib3", "psycopg"):
        logging.getLogger(name).setLevel(max(logging.ERROR, root.level))


class Text(logging.Formatter):
    def __init__(self, worker: int | None) -> None:
        who = f"worker {worker}: " if worker is not None else ""
        super().__init__(_FORMAT.replace("%(message)s", f"{who}%(message)s"))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 # logging's name
        request = REQUEST.get()
        record.message = record.message.translate(_BREAKS)
        if request is not None and request not in record.message:
            record.message = f"{request}: {record.message}"
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:  # noqa: N802 # logging's name
        """Its lines stand further in: what an error quotes must not look like a line of the log."""
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {line.translate(_BREAKS)}" for line in lines)

    def format(self, record: logging.LogRecord) -> str:
        record.exc_text = None  # another handler's
        return REDACTION.mask(super().format(record))


class Json(logging.Formatter):
    def __init__(self, worker: int | None) -> None:
        super().__init__()
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if self._worker is not None:
            line["worker"] = self._worker
        if (request := REQUEST.get()) is not None:
            line["request_id"] = request
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line |= getattr(record, "fields", {})
        return REDACTION.json(line)


_FORMS = {"text": Text, "json": Json}


class RequestLog:
    """A sink: a line for each request that ended, behind its answer."""

    def take(self, batch: Sequence[Ended]) -> None:
        for record, _ in batch:
            said = {name: value for name in _LOGGED if (value := getattr(record, name)) is not None}
            said["request_id"] = said.pop("id")
            text = "%s %s %s %s %d us" if record.upstream_model is None else "%s %s %s %s %d us, %s/%s"
            named = () if record.upstream_model is None else (record.provider, record.upstream_model)
            _REQUESTS.info(
                text, record.id, record.api, record.outcome, record.status, record.total_us, *named,
                extra={"fields": said},
            )  # fmt: skip
