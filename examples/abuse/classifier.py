"""A classifier for Trivium, with nothing but Python's standard library: `python classifier.py [PORT]`.

It blocks who asks for keys, sends programs that scrape to a cheaper model, challenges who spends more than a dollar in
an hour, and prints what it decides. Start the gateway with

    [abuse]
    mode = "log"                     # or "enforce"

    [abuse.classifier]
    url = "http://127.0.0.1:4700"
    key = "env:CLASSIFIER_KEY"       # if this program has it in its environment too
"""

from __future__ import annotations

import hmac
import json
import logging
import os
import sys
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = os.environ.get("CLASSIFIER_KEY")
MOST_PER_HOUR = 1_000_000_000
"""Nanodollars: one dollar."""

spent: defaultdict[str, list[tuple[float, int]]] = defaultdict(list)


def judge(call: dict[str, Any]) -> dict[str, str]:
    """The verdict on a call that is about to be sent."""
    if "steal keys" in (call["user_text"] or "").lower():
        return {"verdict": "HARD_BLOCK", "reason": "asks for keys"}
    hour_ago = time.time() - 3600
    if sum(cost for when, cost in spent[call["identity"]] if when > hour_ago) > MOST_PER_HOUR:
        return {"verdict": "CHALLENGE", "reason": "spends much", "message": "Write to abuse@example.com to go on."}
    if call["free"] and call["agent"].startswith(("python-requests", "curl")):
        return {"verdict": "SOFT_BLOCK", "reason": "scraper"}
    return {"verdict": "ALLOW"}


def remember(report: dict[str, Any]) -> None:
    """What a call was worth, once it is over."""
    spent[report["identity"]].append((time.time(), report["market_cost_nano"] or 0))


class Classifier(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body in one packet

    def do_POST(self) -> None:
        said = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if KEY is not None and not hmac.compare_digest(self.headers.get("authorization", ""), f"Bearer {KEY}"):
            self._answer(401, {"error": "wrong key"})
        elif self.path == "/check":
            verdict = judge(said)
            logging.info("check  %s %s %s %s", said["id"], said["identity"], said["model"], verdict)
            self._answer(200, verdict)
        elif self.path == "/report":
            remember(said)
            logging.info("report %s %s %s", said["id"], said["outcome"], said["market_cost_nano"])
            self._answer(200, {})
        else:
            self._answer(404, {"error": "POST /check or /report"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """One line a call is enough."""


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) > 2 or not all(word.isdecimal() for word in sys.argv[1:]):
        sys.exit("usage: classifier.py [PORT]")
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 4700
    ThreadingHTTPServer(("127.0.0.1", port), Classifier).serve_forever()
