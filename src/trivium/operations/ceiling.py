"""Limits that somebody outside the house sets: they may be lower than what is in force, and not higher."""

from __future__ import annotations

from trivium.errors import OperationError
from trivium.policy.caller import Limits


def within(asked: Limits, *in_force: Limits) -> None:
    """`in_force`: the first that says something of a limit has the last word about it. Raises OperationError."""
    for name in Limits.__struct_fields__:
        most = next((said for limits in in_force if (said := getattr(limits, name)) is not None), None)
        wanted = getattr(asked, name)
        # Where nothing is asked for, an own limit would be gone, and the house's own holds again.
        given_up = wanted is None and getattr(in_force[0], name) is not None
        if most is not None and (given_up or (wanted is not None and wanted > most)):
            raise OperationError(
                f"{name} is {most} and can only be lowered. The operators of the gateway can raise it."
            )
