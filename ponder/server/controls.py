"""The many spellings of "think", and of "think so much", as one `Thinking` (TH-1, TH-2).

Every dialect collects what its request says as (field, value) pairs; here they are compared. Two that disagree are an
error that names both, and none is ever silently dropped.
"""

from collections.abc import Iterable
from typing import Any

from ponder.core.errors import UserError
from ponder.core.params import Thinking

# tokens that an effort word stands for; 0 is off, None is no limit
EFFORTS: dict[str, int | None] = {
    "none": 0, "minimal": 0, "low": 1024, "medium": 4096, "high": 16384, "xhigh": None, "max": None,
}  # fmt: skip
Switch = tuple[str, bool]
Budget = tuple[str, int]


def effort(field: str, value: Any) -> tuple[Switch, Budget | None]:
    """An effort word -> on or off, and a budget (tokens). "none" and "minimal" are off. Raises UserError."""
    if not isinstance(value, str) or value not in EFFORTS:
        raise UserError(f"{field} must be one of {', '.join(EFFORTS)}, got {value!r}", param=field)
    budget = EFFORTS[value]
    return (field, budget != 0), (None if not budget else (field, budget))


def thinking_of(switches: Iterable[Switch], budgets: Iterable[Budget]) -> Thinking:
    """All that a request says about thinking. An explicit budget beats the one that an effort word stands for.

    Raises UserError when two fields contradict each other.
    """
    switches, budgets = list(switches), list(budgets)
    for name, on in switches[1:]:
        if on != switches[0][1]:
            first = switches[0][0]
            raise UserError(f"{first} and {name} contradict each other: one thinks, the other does not", param=name)
    exact = [b for b in budgets if "effort" not in b[0] and b[0] != "think"]
    for name, value in exact[1:]:
        if value != exact[0][1]:
            raise UserError(f"{exact[0][0]} is {exact[0][1]} and {name} is {value}: give one of them", param=name)
    chosen = exact or budgets
    enabled = switches[0][1] if switches else None
    if exact and enabled is False and exact[0][1] > 0:
        raise UserError(
            f"{switches[0][0]} switches thinking off and {exact[0][0]} gives it {exact[0][1]} tokens: drop one of them",
            param=exact[0][0],
        )
    return Thinking(enabled=enabled, budget=chosen[0][1] if chosen and enabled is not False else None)
