"""What lesson 12 goes on with where an exercise has not passed: what published numbers can mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike


def tumour_dice(mean: float, background: float, classes: int = 2) -> float:
    """The mean Dice of the other classes, if `mean` counts the background among `classes`.

    >>> round(tumour_dice(0.95, 0.99), 3)
    0.91
    """
    return (classes * mean - background) / (classes - 1)


def as_printed(pred: ArrayLike, ref: ArrayLike) -> float:
    """The second paper's formula, to the letter: twice the overlap over all pixels. Not Dice.

    >>> as_printed([1, 1, 0, 0], [1, 1, 0, 0])
    1.0
    """
    p, r = np.asarray(pred, bool), np.asarray(ref, bool)
    return float(2 * np.count_nonzero(p & r) / p.size)


def undo_average(printed: Sequence[float], batches: int, weight: float = 0.98) -> list[float]:
    """Each epoch's own mean, out of a moving average that was printed at the ends of epochs.

    The average keeps `weight` of itself at each batch and is divided by what its weights sum to
    (bias correction), as fastai 1 does over the whole of one training. Within an epoch late batches
    count more: that cannot be undone.

    >>> [round(v, 9) for v in undo_average([1.0, 1.0, 1.0], batches=10)]
    [1.0, 1.0, 1.0]
    """
    fade, before, own = weight**batches, 0.0, []
    for epoch, value in enumerate(printed, start=1):
        total = value * (1 - fade**epoch)
        own.append((total - fade * before) / (1 - fade))
        before = total
    return own


def positive_range(mean: float, empty: float) -> tuple[float, float]:
    """Lowest and highest mean Dice on slices with tumour, if `mean` is over all slices.

    empty: share of slices without tumour, below 1. Each of those scores 1 or 0.

    >>> low, high = positive_range(0.8, 0.5)
    >>> round(low, 3), high
    (0.6, 1.0)
    """
    full = 1 - empty
    return max(0.0, (mean - empty) / full), min(1.0, mean / full)
