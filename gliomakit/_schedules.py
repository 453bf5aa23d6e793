"""How a learning rate changes over a training: the picture of the learning-rate explorer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from ._axial import QUIET
from ._curves import COLOURS
from ._moving import staged
from ._picture import DARK, LIGHT, canvas
from ._range_test import suggestions
from ._rates import CYCLE, check, momenta, rates
from ._recipe import STEP_EPOCHS, STEP_FACTOR, WARM_UP
from ._reliability import dark_panel
from .errors import GliomakitError

LOOKS = {"one-cycle": (COLOURS[0], "-"), "step": (COLOURS[1], "--"), "constant": (COLOURS[2], ":")}
MARKS = {"valley": "o", "slide": "s", "steep": "^", "minimum": "D"}
HEADROOM = 1.06  # above the highest rate


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
    check(steps, rate, rise, factor, every)
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
        # Ticks are most of the work of drawing: these stay, and only their words change.
        self.ticks = [
            _ticks(panel, at) for panel, at in zip(self.panels, ((0, 1 / HEADROOM), (0, 1)))
        ]
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
        low = min(0.8, cycle[1])
        for place, (ends_at, base) in enumerate(((HEADROOM * rate, 0.0), (1.0, low))):
            to_panel = Affine2D().translate(0, -base).scale(1 / steps, 1 / (ends_at - base))
            for name in LOOKS:
                self.lines[name, place].set_transform(to_panel + self.panels[place].transAxes)
            top = rate if place == 0 else 1.0
            words = [f"{steps * x / 2:g}" for x in range(3)]
            words += [f"{base + (top - base) * y / 2:.3g}" for y in range(3)]
            for text, said in zip(self.ticks[place], words):
                text.set_text(said)
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


def _ticks(panel: Axes, ends: tuple[float, float]) -> list[Text]:
    """Ticks at the beginning, the middle and the end of both axes: texts, x first."""
    low, high = ends
    along = [(x / 2, low + (high - low) * x / 2) for x in range(3)]
    panel.set(xlim=(0, 1), ylim=(0, 1))
    panel.set_xticks([x for x, _ in along], [""] * 3)
    panel.set_yticks([y for _, y in along], [""] * 3)
    panel.xaxis.labelpad = 14
    look = {"color": QUIET, "fontsize": 9.5, "animated": True, "transform": panel.transAxes}
    texts = [panel.text(x, -0.035, "", ha="center", va="top", **look) for x, _ in along]
    return texts + [panel.text(-0.025, y, "", ha="right", va="center", **look) for _, y in along]


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
