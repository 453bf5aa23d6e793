"""Learning rate and momentum of each step of a training, by schedule."""

from __future__ import annotations

import math

import numpy as np

from ._recipe import END, START, STEP_EPOCHS, STEP_FACTOR, WARM_UP
from .errors import GliomakitError

NAMES = ("one-cycle", "step", "constant")
CYCLE = (0.95, 0.85)
"""Momentum of fastai's and PyTorch's one-cycle where the rate is low, and where it is highest."""

STEADY = 0.9
"""Momentum of the other schedules, and of `training.fit` whatever the schedule."""


def rates(
    schedule: str,
    steps: int,
    rate: float,
    rise: float = WARM_UP,
    factor: float = STEP_FACTOR,
    every: int = STEP_EPOCHS,
) -> np.ndarray:
    """The learning rate of each step, float64 (steps,).

    schedule: "one-cycle" rises to `rate` over the share `rise` of the steps and falls to almost
              nothing; "step" multiplies `rate` by `factor` every `every` steps; "constant".

    With the defaults these are the rates of `training.fit` (its epoch being one step), else
    PyTorch's.

    >>> rates("step", 6, 1.0, factor=0.5, every=2).tolist()
    [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]
    """
    check(steps, rate, rise, factor, every)
    step = np.arange(steps)
    if schedule == "constant":
        return np.full(steps, float(rate))
    if schedule == "step":
        return rate * factor ** (step // every)
    if schedule != "one-cycle":
        raise GliomakitError(
            f"there is no schedule {schedule!r}", todo=f"known are {', '.join(NAMES)}"
        )
    return _cycle(steps, rise, rate / START, rate, rate / START / END)


def momenta(
    schedule: str, steps: int, rise: float = WARM_UP, cycle: tuple[float, float] = CYCLE
) -> np.ndarray:
    """The momentum of each step, float64 (steps,): one-cycle's falls while the rate rises.

    >>> momenta("one-cycle", 5, rise=0.4).round(3).tolist()
    [0.95, 0.85, 0.875, 0.925, 0.95]
    """
    if schedule == "one-cycle":
        return _cycle(steps, rise, cycle[0], cycle[1], cycle[0])
    return np.full(steps, STEADY)


def _cycle(steps: int, rise: float, start: float, top: float, end: float) -> np.ndarray:
    """From start to top and on to end along two halves of a cosine, PyTorch's way to count."""
    step, peak = np.arange(steps), max(rise * steps - 1, 0)
    rising = step / peak if peak else np.ones(steps)
    falling = np.minimum((step - peak) / max(steps - 1 - peak, 1), 1.0)
    up = top + (start - top) * (1 + np.cos(np.pi * np.minimum(rising, 1))) / 2
    down = end + (top - end) * (1 + np.cos(np.pi * np.maximum(falling, 0))) / 2
    return np.where(step < peak, up, down)


def check(steps: int, rate: float, rise: float, factor: float, every: int) -> None:
    if steps < 1 or every < 1:
        raise GliomakitError(f"{steps} steps, changed every {every}: both must be 1 or more")
    if not 0 < rate < math.inf:
        raise GliomakitError(f"rate is {rate}; a learning rate is above 0")
    if not (0 <= rise <= 1 and 0 < factor <= 1):
        raise GliomakitError(f"rise {rise} and factor {factor} are shares, from 0 to 1")
