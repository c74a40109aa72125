"""Writes `docs/conformance.md` anew; fails, and names the cells, where something was lost in silence."""

from __future__ import annotations

import asyncio
import sys

from conformance import PAGE
from conformance.features import ALL, TABLE
from conformance.page import outcomes, page, wrong
from conformance.run import play

found = outcomes(ALL, asyncio.run(play(ALL)))
PAGE.write_text(page(TABLE, found), encoding="utf-8")
sys.exit("\n".join(wrong(found)) or None)
