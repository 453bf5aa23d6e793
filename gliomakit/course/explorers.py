"""Explorers: sliders over one idea of the course each, drawn as they move.

    rate_explorer()          # schedules of the learning rate, lr_find's curve

Each returns a `Browser`, which a notebook shows; without ipywidgets the picture of its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .. import plots
from .._picture import Picture
from .widgets import Browser, slider_of, there


class Explorer(Browser):
    """A `Browser` whose picture is moved instead of being drawn anew.

    draw: as a `Browser`'s, and takes `figure` besides, which it moves.
    """

    def __init__(self, draw: Callable[..., Picture], rows=None, **controls: object):
        super().__init__(lambda **values: draw(**values, figure=self.picture), rows, **controls)


def rate_explorer(finder: tuple[Sequence[float], Sequence[float]] | None = None) -> object:
    """One-cycle, step and constant schedule of a learning rate, the momentum beside them, and
    lr_find's curve with what its rules suggest.

    finder: rates and losses of an lr_find, ``(learn.recorder.lrs, learn.recorder.losses)``; None
            takes those of `toy_finder`.

    Its controls: rate, steps, rise, factor, every, cycle (the momentum's two ends).
    """
    finder = toy_finder() if finder is None else finder

    def draw(figure: Picture | None = None, **values: object) -> Picture:
        return plots.schedules(**values, finder=finder, figure=figure)

    if not there():
        return draw()
    import ipywidgets as widgets

    wide = {"description_width": "initial"}
    controls = {
        "rate": widgets.FloatLogSlider(
            value=3e-3,
            min=-5,
            max=-0.5,
            step=0.05,
            description="top rate",
            style=wide,
            readout_format=".1e",
        ),  # fmt: skip
        "steps": slider_of("steps", 1000, 50, 5000, 50),
        "rise": slider_of("share that rises", 0.25, 0.0, 0.9, 0.05),
        "factor": slider_of("step: times", 0.5, 0.1, 1.0, 0.05),
        "every": slider_of("step: every … steps", 200, 10, 1000, 10),
        "cycle": widgets.FloatRangeSlider(
            value=(0.85, 0.95), min=0.5, max=0.99, step=0.01, description="momentum", style=wide
        ),
    }
    return Explorer(draw, [("rate", "steps", "rise"), ("factor", "every", "cycle")], **controls)


def toy_finder(seed: int = 0, steps: int = 100) -> tuple[list[float], list[float]]:
    """Rates and smoothed losses of an lr_find, done on a toy instead of a network: a bowl with
    three directions, a hundred times steeper one way than another, flat far out, whose slopes are
    seen through noise. Stops when the loss is four times the smallest, as lr_find does.
    """
    draw = np.random.default_rng(seed)
    steepness = np.array([20.0, 2.0, 0.2])
    weights, mean, norm = np.array([0.8, 2.0, 3.0]), 0.0, 0.0
    rates, losses = [], []
    for rate in np.geomspace(1e-5, 10, steps):
        bowl = 1 + (steepness * weights**2).sum() / 2
        mean = 0.9 * mean + 0.1 * (np.log(bowl) + 0.02 * draw.standard_normal())
        norm = 0.9 * norm + 0.1
        rates.append(float(rate))
        losses.append(float(mean / norm))
        if losses[-1] > 4 * min(losses):
            break
        weights -= rate * (steepness * weights / bowl + 0.02 * draw.standard_normal(3))
    return rates, losses
