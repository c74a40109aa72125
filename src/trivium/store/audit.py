"""The auditor: whether what the database says of money agrees with itself.

It reads rows and nothing else: no code of those who write them, not even their arithmetic, so that a mistake of theirs
cannot hide here. Everything is read from one `Snapshot`. Memory grows with the number of prices, of budget windows and
of one account's expiring credits, not with the number of requests.

What SQL can find is found by SQL (`audit_rows`, `audit_hours`); the order of entries (`audit_replay`), budgets
(`audit_budgets`) and prices (`audit_prices`) are gone through row by row.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from trivium.errors import StoreUnavailable
from trivium.store import audit_budgets, audit_hours, audit_payments, audit_prices, audit_replay, audit_rows
from trivium.store.audit_finding import Finding, Probe, Skipped
from trivium.store.snapshot import Snapshot

_KEPT = 100
"""Findings of a check that are told; the others are counted."""


class Check(msgspec.Struct, frozen=True):
    """Probes under one name, and the table whose rows they are about."""

    name: str
    of: str
    probes: tuple[Probe, ...]


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a check."""

    check: str
    of: str
    """The table that was gone through."""
    counted: int
    """Its rows."""
    found: int
    """How often the check found something."""
    findings: tuple[Finding, ...]
    """The first of them."""
    unchecked: tuple[str, ...]
    """What could not be checked, and why."""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    checks: tuple[Checked, ...]
    entries: int
    records: int
    findings: int


CHECKS = (
    Check("amounts", "entries", audit_rows.AMOUNTS),
    Check("entries", "entries", audit_rows.ENTRIES),
    Check("balances", "accounts", audit_rows.BALANCES),
    Check("holds", "accounts", audit_rows.HOLDS),
    Check("replay", "entries", (audit_replay.replay,)),
    Check("lots", "lots", audit_rows.LOTS),
    Check("charges", "records", audit_rows.CHARGES),
    Check("refunds", "entries", audit_rows.REFUNDS),
    Check("rerates", "rerates", audit_rows.RERATES),
    Check("payments", "payments", audit_payments.PAYMENTS),
    Check("starts", "starts", audit_rows.STARTS),
    Check("payers", "records", audit_rows.PAYERS),
    Check("budgets", "spends", (audit_budgets.spends, *audit_rows.BUDGETS)),
    Check("received", "records", audit_rows.RECEIVED),
    Check("hours", "usage_hours", (audit_hours.hours, audit_hours.folded_spans)),
    Check("prices", "prices", (audit_prices.versions, *audit_rows.PRICES)),
    Check("costs", "records", (audit_prices.costs,)),
)


def verify(snapshot: Snapshot) -> Report:
    """Carries out all checks. Raises StoreUnavailable where the tables cannot be read at all."""
    tables = {check.of for check in CHECKS} | {"entries", "records"}
    counted = {table: _count(snapshot, table) for table in tables}
    checks = tuple(_carry_out(check, counted[check.of], snapshot) for check in CHECKS)
    return Report(
        checks=checks,
        entries=counted["entries"],
        records=counted["records"],
        findings=sum(check.found for check in checks),
    )


def _count(snapshot: Snapshot, table: str) -> int:
    ((count,),) = snapshot.rows(f"SELECT count(*) FROM {table}")
    return int(count)


def _carry_out(check: Check, counted: int, snapshot: Snapshot) -> Checked:
    findings: list[Finding] = []
    skipped: list[str] = []
    found = 0
    for said in _said(check, snapshot):
        if isinstance(said, Skipped):
            skipped.append(said.what)
            continue
        found += 1
        if len(findings) < _KEPT:
            findings.append(said)
    return Checked(
        check=check.name,
        of=check.of,
        counted=counted,
        found=found,
        findings=tuple(findings),
        unchecked=tuple(skipped),
    )


def _said(check: Check, snapshot: Snapshot) -> Iterator[Finding | Skipped]:
    """A question that the damage itself makes unanswerable, such as a sum beyond all integers, is a finding."""
    for probe in check.probes:
        try:
            for said in probe(snapshot):
                yield msgspec.structs.replace(said, check=check.name) if isinstance(said, Finding) else said
        except StoreUnavailable as error:
            yield Finding(check=check.name, what="the question cannot be answered", where=check.of, found=error.detail)
