"""What lesson 11 goes on with where an exercise has not passed: a rate, a rule, a lead."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

import numpy as np


def rate_between(share: float, low: float, high: float) -> float:
    """The rate so far from low (0) to high (1), each decade equally long.

    >>> round(rate_between(0.5, 1e-4, 1e-2), 6)
    0.001
    """
    return low * (high / low) ** share


def falls_behind(score: float, others: Sequence[float]) -> bool:
    """Whether a score is below the median of at least five others of the same step.

    >>> falls_behind(0.2, [0.1, 0.3, 0.4, 0.5, 0.6]), falls_behind(0.2, [0.3, 0.4])
    (True, False)
    """
    return len(others) >= 5 and score < median(others)


def expected_lead(scores: Sequence[float], tries: int) -> float:
    """How far the best of so many scores, drawn with replacement, lies above their mean on average.

    Exactly: the i-th smallest of n is the highest of k draws with probability
    (i / n)ᵏ − ((i − 1) / n)ᵏ.

    >>> expected_lead([0.4, 0.6], 1), round(expected_lead([0.4, 0.6], 2), 3)
    (0.0, 0.05)
    """
    ranked = np.sort(np.asarray(scores, float))
    edges = (np.arange(len(ranked) + 1) / len(ranked)) ** tries
    return float((ranked * np.diff(edges)).sum() - ranked.mean())
