"""How a learning rate changes over a training: the picture of the learning-rate explorer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._axial import QUIET
from ._curves import COLOURS
from ._moving import staged
from ._picture import DARK, LIGHT, canvas
from ._range_test import suggestions
from ._recipe import END, START, STEP_EPOCHS, STEP_FACTOR, WARM_UP
from ._reliability import dark_panel
from .errors import GliomakitError

LOOKS = {"one-cycle": (COLOURS[0], "-"), "step": (COLOURS[1], "--"), "constant": (COLOURS[2], ":")}
MARKS = {"valley": "o", "slide": "s", "steep": "^", "minimum": "D"}
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
    _check(steps, rate, rise, factor, every)
    step = np.arange(steps)
    if schedule == "constant":
        return np.full(steps, float(rate))
    if schedule == "step":
        return rate * factor ** (step // every)
    if schedule != "one-cycle":
        raise GliomakitError(
            f"there is no schedule {schedule!r}", todo=f"known are {', '.join(LOOKS)}"
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


def schedules(
    steps: int = 1000,
    rate: float = 3e-3,
    rise: float = WARM_UP,
    factor: float = STEP_FACTOR,
    every: int = 100 * STEP_EPOCHS,
    cycle: tuple[float, float] = CYCLE,
    finder: tuple[Sequence[float], Sequence[float]] | None = None,
    figure: Figure | None = None,
) -> Figure:
    """One-cycle, step and constant schedule of a learning rate, and the momentum beside them.

    rise, factor, every: see `rates`. cycle: one-cycle's momentum, high and low.
    finder: what lr_find recorded, rates and losses (`learn.recorder.lrs` and `.losses`): drawn with
            its suggestions and where `rate` lies.

    `training.fit` itself keeps the momentum. A `figure` that shows these already is moved.
    """
    _check(steps, rate, rise, factor, every)
    if not 0 <= min(cycle) <= max(cycle) < 1:
        raise GliomakitError(f"a momentum is from 0 up to, not including, 1, not {cycle}")
    stage = staged(figure, _Schedules, finder) or _Schedules(finder, figure)
    stage.move(steps, rate, rise, factor, every, cycle)
    return stage.figure


class _Schedules:
    """The artists: a line a schedule and panel, and a mark of the rate on lr_find's curve."""

    def __init__(self, finder: tuple | None, figure: Figure | None):
        found = None if finder is None else suggestions(*finder)
        self.data, self.found = (finder,), found
        self.figure = canvas(figure, 11, 3.7, DARK)
        self.panels = list(self.figure.subplots(1, 2 if found is None else 3))
        self.figure.subplots_adjust(left=0.065, right=0.985, bottom=0.25, top=0.9, wspace=0.24)
        names = ("learning rate", "momentum", "lr_find: loss at each learning rate")
        for panel, name in zip(self.panels, names):
            dark_panel(panel)
            panel.set_title(name, color=LIGHT, fontsize=11)
            panel.set_xlabel("step" if panel in self.panels[:2] else "learning rate", color=LIGHT)
        for panel in self.panels[:2]:
            panel.locator_params(nbins=4)
        self.lines = {
            (name, place): panel.plot(
                [], [], color=colour, linestyle=dashes, linewidth=2, animated=True
            )[0]
            for name, (colour, dashes) in LOOKS.items()
            for place, panel in enumerate(self.panels[:2])
        }
        handles = [self.lines[name, 0] for name in LOOKS]
        words = {"labelcolor": LIGHT, "frameon": False, "fontsize": 10.5, "loc": "lower left"}
        self.figure.legend(handles, list(LOOKS), ncols=len(LOOKS), **words)
        self.mark = None
        if found is not None:
            self.mark = _finder(self.panels[2], found)
        self.figure.stage = self

    def move(
        self,
        steps: int,
        rate: float,
        rise: float,
        factor: float,
        every: int,
        cycle: tuple[float, float],
    ) -> None:
        cycle = max(cycle), min(cycle)
        ends = {}
        for name in LOOKS:
            values = rates(name, steps, rate, rise, factor, every)
            held = momenta(name, steps, rise, cycle)
            self.lines[name, 0].set_data(np.arange(steps), values)
            self.lines[name, 1].set_data(np.arange(steps), held)
            ends[name] = values[-1]
        # Only what changes is set: ticks are most of the work of drawing.
        for panel, low, high in zip(self.panels, (0, min(0.8, cycle[1])), (1.06 * rate, 1)):
            if (panel.get_xlim()[1], *panel.get_ylim()) != (steps, low, high):
                panel.set(xlim=(0, steps), ylim=(low, high))
        peak = rates("one-cycle", steps, rate, rise).argmax()
        self.figure.alt = (
            f"Learning rate over {steps} steps. One-cycle rises to {rate:.2g} at step {peak} and "
            f"ends at {ends['one-cycle']:.2g}, its momentum between {cycle[0]:.2g} and "
            f"{cycle[1]:.2g}; step, times {factor:.3g} every {every} steps, ends at "
            f"{ends['step']:.2g}; constant stays at {rate:.2g}"
        )
        if self.found is not None:
            self.mark.set_xdata([rate, rate])
            said = [f"{name} {at:.2g}" for name, at in self.found.suggested.items()]
            self.figure.alt += f". lr_find suggests {', '.join(said)}"


def _finder(panel: Axes, found):
    """lr_find's curve with its suggestions; returns the line that marks the rate."""
    panel.set_xscale("log")
    panel.plot(found.rates, found.losses, color=LIGHT, linewidth=1.6)
    for name, at in found.suggested.items():
        loss = np.interp(math.log(at), np.log(found.rates), found.losses)
        label = f"{name} {at:.1e}"
        panel.plot([at], [loss], MARKS[name], markersize=7, label=label, color=COLOURS[1])
    mark = panel.axvline(found.rates[0], color=COLOURS[0], linestyle="-.", label="the rate set")
    mark.set_animated(True)
    panel.legend(loc="lower left", frameon=False, labelcolor=LIGHT, fontsize=9)
    panel.tick_params(axis="x", which="minor", bottom=False)
    panel.spines[:].set_color(QUIET)
    return mark


def _cycle(steps: int, rise: float, start: float, top: float, end: float) -> np.ndarray:
    """From start to top and on to end along two halves of a cosine, PyTorch's way to count."""
    step, peak = np.arange(steps), max(rise * steps - 1, 0)
    rising = step / peak if peak else np.ones(steps)
    falling = np.minimum((step - peak) / max(steps - 1 - peak, 1), 1.0)
    up = top + (start - top) * (1 + np.cos(np.pi * np.minimum(rising, 1))) / 2
    down = end + (top - end) * (1 + np.cos(np.pi * np.maximum(falling, 0))) / 2
    return np.where(step < peak, up, down)


def _check(steps: int, rate: float, rise: float, factor: float, every: int) -> None:
    if steps < 1 or every < 1:
        raise GliomakitError(f"{steps} steps, changed every {every}: both must be 1 or more")
    if not 0 < rate < math.inf:
        raise GliomakitError(f"rate is {rate}; a learning rate is above 0")
    if not (0 <= rise <= 1 and 0 < factor <= 1):
        raise GliomakitError(f"rise {rise} and factor {factor} are shares, from 0 to 1")
