"""What lr_find's curve suggests as a learning rate, by fastai's four rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import GliomakitError

LEAST = 30
"""Rates that a curve must have: a tenth and five are left out, `slide` compares over fifteen."""


@dataclass(frozen=True, eq=False)
class Found:
    """The part of the curve that is looked at, float64, and the rate that each rule suggests."""

    rates: np.ndarray
    losses: np.ndarray
    suggested: dict[str, float]


def suggestions(rates: Sequence[float], losses: Sequence[float]) -> Found:
    """What fastai's rules suggest: valley, slide, steep, minimum.

    rates, losses: as `lr_find` records them, rates rising, losses smoothed. As there, the first
    tenth, the last five and all from the first NaN on are left out.

    valley:  a half of the way down the longest fall of the loss.
    slide:   from the right end inward, where the slopes 15 apart are alike.
    steep:   where the loss falls fastest per logarithm of the rate.
    minimum: a tenth of the rate with the smallest loss.
    """
    lr, loss = (np.asarray(values, float).ravel() for values in (rates, losses))
    if len(lr) != len(loss) or len(lr) < LEAST:
        raise GliomakitError(
            f"{len(lr)} rates and {len(loss)} losses make no curve",
            todo=f"give what lr_find recorded, {LEAST} or more of each",
        )
    lr, loss = lr[len(lr) // 10 : -5], loss[len(loss) // 10 : -5]
    if np.isnan(loss).any():
        first = int(np.isnan(loss).argmax())
        lr, loss = lr[:first], loss[:first]
    if len(lr) < 17 or not np.isfinite(loss).all():
        raise GliomakitError("too few of the losses are numbers to suggest a rate")
    if not (lr[0] > 0 and (np.diff(lr) > 0).all()):
        raise GliomakitError("lr_find's rates rise from above 0; these do not")
    steep = np.diff(loss) / np.diff(np.log(lr))
    suggested = {
        "valley": lr[_valley(loss)],
        "slide": lr[_slide(loss)],
        "steep": lr[steep.argmin()],
        "minimum": lr[loss.argmin()] / 10,
    }
    return Found(lr, loss, {name: float(at) for name, at in suggested.items()})


def _valley(loss: np.ndarray) -> int:
    # The longest run of falls, gaps allowed, that ends at each value.
    longest = np.ones(len(loss), int)
    for i in range(1, len(loss)):
        for j in range(i):
            if loss[i] < loss[j] and longest[i] < longest[j] + 1:
                longest[i] = longest[j] + 1
    end = int(longest.argmax())
    third = longest[end] / 3
    return int(end - longest[end] + int(third) + int(third / 2))


def _slide(loss: np.ndarray, apart: int = 15, alike: float = 0.005) -> int:
    slope = np.gradient(loss)
    right = len(loss) - 1
    left = found = right - apart
    while left >= 0 and abs(slope[right] - slope[left]) > alike:
        found = left
        left, right = left - 1, right - 1
    return found
