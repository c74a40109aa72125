"""Who looks for abuse, and what is remembered of a call that was looked at (behaviour page, section 10)."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Any

from trivium.metering.charge import GIVEN_AWAY
from trivium.metering.record import Outcome, Record
from trivium.policy.abuse import Judgement, Rules, Verdict, graver
from trivium.settings import AbuseSettings, ClassifierSettings
from trivium.upstream.classifier import Classifier, Question, Report

UNCHECKED = "abuse_unchecked"
"""The flag of a record for which the classifier had no answer."""

_LOG = logging.getLogger("trivium.abuse")


class Screened:
    """A call that was looked at. `judgement` may become graver until the record is written."""

    def __init__(self, id: str, identity: str, judgement: Judgement) -> None:
        self.id = id
        self.identity = identity
        self.judgement = judgement
        self.asked = False
        """The classifier was asked and has not answered."""
        self.written = False


class Screening:
    """The rules, and a classifier where one is configured."""

    def __init__(
        self,
        settings: AbuseSettings,
        rules: Rules,
        classifier: Classifier | None,
        counts: Counter[str] | None = None,
    ) -> None:
        self.settings = settings
        self.rules = rules
        self.classifier = classifier
        self.enforces = settings.mode == "enforce"
        self.counts: Counter[str] = Counter() if counts is None else counts

    @property
    def asks(self) -> ClassifierSettings | None:
        """How the classifier is asked, where there is one."""
        return self.settings.classifier if self.classifier is not None else None

    async def ask(self, screened: Screened, question: Question) -> None:
        """Waits for the classifier, as long as may be."""
        assert self.classifier is not None
        screened.asked = True
        self._said(screened, await self.classifier.ask(question))

    def ask_later(self, screened: Screened, question: Question) -> None:
        assert self.classifier is not None
        screened.asked = True
        self.classifier.ask_later(question, lambda said: self._said(screened, said))

    def ended(self, screened: Screened, record: Record, now_ms: int) -> None:
        """The call's record is written."""
        screened.written = True
        self.counts[screened.judgement.verdict] += 1
        if record.payer is None or record.outcome == Outcome.REFUSED:
            return  # nothing was sent
        if record.payer in GIVEN_AWAY and record.market_cost_nano:
            self.rules.ended(screened.identity, record.market_cost_nano, now_ms)
        if self.classifier is not None:
            self.classifier.report(_report(screened, record))

    def status(self) -> dict[str, Any]:
        """What was judged, and how the classifier did, since the start."""
        verdicts = {verdict.value: self.counts[verdict] for verdict in Verdict}
        classifier = dict(sorted(self.classifier.counts.items())) if self.classifier is not None else {}
        late = {"late_verdicts": self.counts["late"]} if self.classifier is not None else {}
        return {"mode": self.settings.mode, **verdicts, **late, **classifier}

    async def close(self, patience: float) -> None:
        if self.classifier is not None:
            await self.classifier.close(patience)

    def _said(self, screened: Screened, said: Judgement | None) -> None:
        if said is None:
            return
        screened.asked = False
        screened.judgement = graver(screened.judgement, said)
        if screened.written:
            # The call was over before the classifier had made up its mind: its record says nothing of it.
            self.counts["late"] += 1
            if said.verdict is not Verdict.ALLOW:
                _LOG.warning("request %s is %s, said late: %s", screened.id, said.verdict.value, said.reason)


def _report(screened: Screened, record: Record) -> Report:
    return Report(
        id=record.id,
        time_ms=record.time_ms,
        identity=screened.identity,
        outcome=record.outcome,
        status=record.status,
        error_code=record.error_code,
        verdict=record.abuse_verdict,
        market_cost_nano=record.market_cost_nano,
        cost_nano=record.cost_nano,
        payer=record.payer,
        input_tokens=record.input_uncached_tokens
        + record.cache_read_tokens
        + record.cache_write_5m_tokens
        + record.cache_write_1h_tokens
        + record.cache_write_other_tokens,
        output_tokens=record.output_tokens,
    )
