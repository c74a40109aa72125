"""Providers that refuse the house's own account at the moment: an operator's look at it."""

from __future__ import annotations

from collections.abc import Callable

from trivium.operations.table import Actor, Arguments, Op, Table
from trivium.policy.alerts import Alert


class ShowAlerts(Arguments, frozen=True, kw_only=True):
    pass


def alert_table(alerts: Callable[[], list[Alert]]) -> Table:
    async def tell(_: ShowAlerts, __: Actor) -> list[Alert]:
        return alerts()

    return {"alerts.show": Op(arguments=ShowAlerts, result=list[Alert], act=tell)}
