"""Checkers of lesson 13, *Open anywhere*."""

from __future__ import annotations

import numpy as np

from ._core import Answer, checker
from ._expect import Hint, close, number

NAN = float("nan")


@checker(
    "13.agree",
    call="agree(one, other, limit)",
    praise="a copy that gives NaN, or too many numbers, does not get past you",
)
def agree(answer: Answer) -> None:
    """`agree(one, other, limit)`: no difference above the limit, and no NaN."""
    one = np.array([[0.0, 1.0], [2.0, -3.0]], np.float32)
    cases = (
        (one, one, True, "an array agrees with itself"),
        (one, one + 0.05, True, "all differ by 0.05, the limit is 0.1"),
        (one, one + np.array([[0, 0], [0, 0.3]], np.float32), False,
         "one number of four is 0.3 too high: the largest difference counts, not their mean"),
        (one, one - np.array([[0, 0.3], [0, 0]], np.float32), False,
         "one number is 0.3 too low: take the size of the difference, without its sign"),
        (one, one + np.array([[0.5, -0.5], [0.5, -0.5]], np.float32), False,
         "differences of +0.5 and -0.5 do not cancel out"),
        (one, np.array([[0.0, NAN], [2.0, -3.0]], np.float32), False,
         "there is a NaN: every comparison with it is False, so ask whether all are within"),
        (np.array([NAN]), np.array([NAN]), False, "NaN agrees with nothing, not with NaN either"),
        (np.ones((2, 2)), np.ones((1, 2)), False,
         "the shapes differ: NumPy would stretch the smaller array"),
        (one * 1e6, one * 1e6 + 0.5, False, "the limit is of the difference, not a share"),
    )  # fmt: skip
    for first, second, wanted, why in cases:
        try:
            found = answer(first, second, 0.1)
        except Hint as hint:
            if first.shape != second.shape:
                raise Hint("arrays of two shapes: return False, without comparing them") from hint
            raise
        if not isinstance(found, (bool, np.bool_)):
            raise Hint(f"return True or False, not {found!r}")
        if bool(found) != wanted:
            raise Hint(f"{wanted} is right: {why}")


@checker(
    "13.people",
    call="people_at_once(memory_mb, worker_mb, page_mb, spare)",
    praise="whole pages only, and none where the worker takes all",
)
def people(answer: Answer) -> None:
    """`people_at_once(memory_mb, worker_mb, page_mb, spare)`: how many pages fit."""
    for asked, right, mistakes in (
        ((2000, 600, 150, 0.2), 6, [
            (9, "a share `spare` of the memory is left to the system"),
            (10, "one process segments, and it needs memory as well"),
            (2, "the worker is there once, not once a page"),
            (-2, "`spare` is the share that stays free, not the share that is used"),
            (0, "`spare` is the share that stays free, not the share that is used"),
            (7, "there is no page that fits partly: round down"),
        ]),
        ((4000, 1000, 220, 0.1), 11, [(12, "there is no page that fits partly: round down")]),
        ((1000, 900, 100, 0.3), 0, [(-2, "a number of pages is never below 0"),
                                    (-3, "a number of pages is never below 0")]),
        ((1250, 600, 200, 0.2), 2, [(1, "exactly two fit, and exactly is enough")]),
    ):  # fmt: skip
        found = number(answer(*asked))
        if found != int(found):
            raise Hint(f"your answer is {found:.4g}; return a whole number of pages")
        close(found, right, mistakes, what=f"for people_at_once{asked} your answer")


@checker(
    "13.price",
    call="price_per_case(seconds, price_per_hour, busy)",
    praise="a case pays for its own seconds, and for the time in which nobody comes",
)
def price(answer: Answer) -> None:
    """`price_per_case(seconds, price_per_hour, busy)`: what one case costs."""
    for seconds, hour, busy in ((36.0, 1.0, 1.0), (36.0, 0.5, 0.05), (7.2, 2.0, 0.5)):
        right = seconds / 3600 * hour / busy
        mistakes = [
            (seconds * hour / busy, "an hour has 3600 seconds, and the price is that of an hour"),
            (seconds / 60 * hour / busy, "an hour has 3600 seconds, not 60"),
        ]
        if busy < 1:
            mistakes += [
                (seconds / 3600 * hour, "the hours in which nobody comes are paid as well: busy"),
                (seconds / 3600 * hour * busy, "the less busy the machine, the dearer the case"),
                (seconds / 3600 * hour * (1 - busy), "busy is the share in which it computes"),
                (seconds / 3600 * hour / (1 - busy), "busy is the share in which it computes"),
            ]
        mistakes = [m for m in mistakes if not np.isclose(m[0], right)]
        asked = f"({seconds:g}, {hour:g}, {busy:g})"
        close(number(answer(seconds, hour, busy)), right, mistakes, what=f"for {asked} your answer")
