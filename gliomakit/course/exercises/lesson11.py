"""Checkers of lesson 11, *Tune*."""

from __future__ import annotations

import math

import numpy as np

from ._core import Answer, checker
from ._expect import Hint, close, number

# ---- 11.rate ---------------------------------------------------------------------------------


@checker(
    "11.rate",
    call="rate_between(share, low, high)",
    praise="each decade gets an equal share",
)
def rate(answer: Answer) -> None:
    """`rate_between(share, low, high)`: from low to high on a logarithmic scale."""
    low, high = 1e-4, 1e-1
    for share in (0.3, 0.0, 1.0, 0.75):
        close(
            number(answer(share, low, high)),
            low * (high / low) ** share,
            mistakes=[
                (low + share * (high - low), "that is a plain scale: most rates would be large"),
                (high * (low / high) ** share, "share 0 is the lowest rate, share 1 the highest"),
                (low * 10**share, "only one decade is covered; how many are there?"),
                (
                    math.log10(low) + share * (math.log10(high) - math.log10(low)),
                    "that is the logarithm of the rate: raise 10 to it",
                ),
                (
                    math.exp(math.log10(low) + share * (math.log10(high) - math.log10(low))),
                    "log10 needs 10 ** …, math.log needs math.exp",
                ),
                (
                    10 ** (math.log(low) + share * (math.log(high) - math.log(low))),
                    "math.log needs math.exp, log10 needs 10 ** …",
                ),
                (low * high**share, "what is the factor from low to high?"),
                ((high / low) ** share, "that is the factor: multiply it by low"),
            ],
            rtol=1e-6,
            atol=0,
            what=f"the rate at share {share} of the way from 1e-4 to 1e-1",
        )
    close(number(answer(0.5, 2.0, 8.0)), 4.0, rtol=1e-6, what="half way from 2 to 8 the rate")


# ---- 11.median -------------------------------------------------------------------------------


@checker(
    "11.median",
    call="falls_behind(score, others)",
    praise="the worse half is stopped, but nobody before five others are known",
)
def behind(answer: Answer) -> None:
    """`falls_behind(score, others)`: below the median of at least five others."""
    cases = [
        (0.1, [0.2, 0.9, 0.5, 0.4, 0.3], True, "it is below all others"),
        (0.8, [0.2, 0.9, 0.5, 0.4, 0.3], False, "it is above the median: go on. Is < turned?"),
        (0.3, [0.2, 0.9, 0.5, 0.4, 0.3], True, "0.3 is below the median 0.4 of unsorted scores"),
        (0.45, [0.2, 0.9, 0.9, 0.4, 0.3], False, "the mean is 0.54, but the median 0.4"),
        (0.4, [0.2, 0.9, 0.5, 0.4, 0.3], False, "a score equal to the median does not fall behind"),
        (
            0.0,
            [0.5, 0.6, 0.7, 0.8],
            False,
            "with four others it is too early to say: five at least",
        ),
        (0.0, [], False, "without any other there is nobody to fall behind"),
        (0.45, [0.1, 0.2, 0.4, 0.6, 0.8, 0.9], True, "of an even number, the median is half way"),
        (0.55, [0.1, 0.2, 0.4, 0.6, 0.8, 0.9], False, "of an even number, the median is half way"),
    ]
    for score, others, right, hint in cases:
        found = answer(score, list(others))
        if found is None:
            raise Hint("your function returns None: does it end with `return`?")
        if not isinstance(found, (bool, np.bool_)):
            raise Hint(f"your function returns {type(found).__name__}; True or False is wanted")
        if bool(found) != right:
            shown = ", ".join(f"{other:g}" for other in others) or "no others"
            raise Hint(f"for {score:g} beside {shown} it says {bool(found)}: {hint}")


# ---- 11.lead ---------------------------------------------------------------------------------

SCORES = (0.30, 0.36, 0.40, 0.44, 0.47, 0.52, 0.55, 0.60)
"""Of equal settings with other seeds."""


@checker(
    "11.lead",
    call="expected_lead(scores, tries)",
    praise="so much of a lead is luck, if all are equally good",
)
def lead(answer: Answer) -> None:
    """`expected_lead(scores, tries)`: the mean lead of the best of `tries` draws."""
    scores = np.array(SCORES)
    spread = float(scores.std())

    def best(tries: int) -> float:
        edges = (np.arange(len(scores) + 1) / len(scores)) ** tries
        return float((scores * np.diff(edges)).sum())

    one = number(answer(scores.copy(), 1))
    if abs(one - scores.mean()) < 0.12 * spread:
        raise Hint("that is the score of the best; its lead is what it has above the mean")
    if abs(one - scores.max() + scores.mean()) < 0.12 * spread:
        raise Hint("for one try the best of all scores comes out: draw `tries` of them")
    if abs(one) > 0.12 * spread:
        raise Hint(
            f"for one try your lead is {one:.3f}. The best of one is that one: 0 on average, up to "
            "the luck of the draws. Draw more often, 10,000 times say"
        )
    for tries in (4, 7):
        right, found = best(tries) - scores.mean(), number(answer(scores.copy(), tries))
        ordered = np.sort(scores)
        without = sum(
            ordered[i] * math.comb(i, tries - 1) / math.comb(len(scores), tries)
            for i in range(len(scores))
        )
        mistakes = [
            (0.0, "the mean of the draws comes out, not the best of them"),
            (-right, "the sign: the best less the mean"),
            (best(tries), "that is the score of the best; subtract the mean"),
            (without - scores.mean(), "draw with replacement: the same score may come twice"),
            (scores.max() - scores.mean(), "that is the best of all scores, whatever `tries` says"),
        ]
        if abs(found - right) < 0.12 * spread:
            continue
        for wrong, hint in mistakes:
            if abs(found - wrong) < 0.12 * spread:
                raise Hint(hint)
        raise Hint(f"for {tries} tries your lead is {found:.3f}, about {right:.3f} would be right")
