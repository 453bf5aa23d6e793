"""Checkers of lesson 10, *Neptune dashboards*."""

from __future__ import annotations

import math

from ._core import Answer, checker
from ._expect import Hint

NAN = float("nan")


@checker(
    "10.best",
    call="best_step(steps, values)",
    praise="what is no number takes no part, and of two equal values the earlier one counts",
)
def best(answer: Answer) -> None:
    """`best_step(steps, values)`: the step of the highest finite value."""
    steps, values = [10, 20, 30, 40, 50], [0.2, 0.9, 0.4, 0.9, 0.1]
    _is(
        answer(steps, values),
        20,
        {
            40: "two values are equally high: return the earlier step",
            1: "that is the value's place in the list: return its step",
            0.9: "that is the highest value: return the step where it stands",
            50: "that is the last step: return the one with the highest value",
        },
        "the best of 0.2, 0.9, 0.4, 0.9, 0.1 at steps 10 to 50",
    )
    for values in ([NAN, 0.2, 0.7, NAN, 0.3], [0.2, NAN, 0.7, 0.3, NAN]):
        found = answer(steps, values)
        if found is None:
            raise Hint("there are numbers beside the NaN: leave out only what is no number")
        _is(found, 30, {}, "with NaN among the values, the best step; compare with math.isfinite")
    _is(
        answer(steps, [0.1, math.inf, 0.3, 0.2, 0.0]),
        30,
        {20: "infinity is no number that was reached: leave it out like NaN"},
        "with an infinite value, the best step",
    )
    _is(
        answer([1, 2], [-3.0, -1.0]), 2, {1: "values may be negative"}, "of -3 and -1 the best step"
    )
    for values in ([NAN, NAN], []):
        if answer(list(range(len(values))), values) is not None:
            raise Hint("where there is no number at all, return None")


@checker(
    "10.rate",
    call="rate_differs(noted, used)",
    praise="you compared what was done with what was meant, whatever the schedule did in between",
)
def rate(answer: Answer) -> None:
    """`rate_differs(noted, used)`: is the top of the rates another than the noted one?"""
    cycle = [4e-4, 5e-3, 1e-2, 6e-3, 1e-6]
    cases = (
        (1e-2, cycle, False, "the top of one-cycle is the noted rate; its first and last are not"),
        (2e-3, cycle, True, "five times the noted rate was used: a rate may be too high as well"),
        (1e-2, [c / 5 for c in cycle], True, "a fifth of the noted rate was used"),
        (1e-2, [c * 1.02 for c in cycle], False, "2 % off is within 5 %"),
        (1e-2, [c * 1.2 for c in cycle], True, "20 % above is more than 5 %"),
        (1e-5, [c / 2000 for c in cycle], True, "5 % of the noted rate, not a fixed 0.05"),
        (1e-3, [1e-3] * 3, False, "a constant rate, as noted"),
    )
    for noted, used, wanted, why in cases:
        found = answer(noted, list(used))
        if found not in (True, False):
            raise Hint(f"return True or False, not {found!r}")
        if bool(found) != wanted:
            top = max(used)
            raise Hint(f"noted {noted:g}, used up to {top:g}: {wanted} is right ({why})")


def _is(found: object, wanted: float, mistakes: dict[float, str], what: str) -> None:
    if found == wanted and not isinstance(found, bool):
        return
    hint = next((text for value, text in mistakes.items() if found == value), None)
    raise Hint(hint or f"{what} is {wanted}, you return {found!r}")
