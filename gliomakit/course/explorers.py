"""Explorers: sliders over one idea of the course each, drawn as they move.

    patch_explorer(prepared) # where a sampler cuts, how many patches are empty
    threshold_explorer(case, by_windows(case, model))   # from probabilities to a segmentation
    loss_explorer()          # a prediction moved about, and what each loss says
    rate_explorer()          # schedules of the learning rate, lr_find's curve

Each returns a `Browser`, which a notebook shows; without ipywidgets the picture of its beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .. import plots
from .._picture import Picture
from .._pulling import CLASSES, SHOWN, toy
from ..cases import Case
from ..errors import GliomakitError
from ..preprocess import Prepared
from ..regions import REGION_NAMES, REGIONS
from .widgets import Browser, choice_of, slider_of, there


class Explorer(Browser):
    """A `Browser` whose picture is moved instead of being drawn anew.

    draw: as a `Browser`'s, and takes `figure` besides, which it moves.
    """

    def __init__(self, draw: Callable[..., Picture], rows=None, **controls: object):
        super().__init__(lambda **values: draw(**values, figure=self.picture), rows, **controls)


def patch_explorer(prepared: Prepared) -> object:
    """Where a sampler cuts patches from a prepared case with a label, what augmentation does to
    them, and how many are empty.

    Its controls: size, foreground, balance, turned, intensity, number, seed.
    """

    def draw(figure: Picture | None = None, **values: object) -> Picture:
        return plots.cutting(prepared, **values, figure=figure)

    if not there():
        return draw()
    import ipywidgets as widgets

    def box(text: str) -> object:
        return widgets.Checkbox(value=False, description=text)

    controls = {
        "size": slider_of("side of a patch, voxels", 32, 8, 64, 8),
        "foreground": slider_of("foreground", 0.5, 0.0, 1.0, 0.05),
        "number": slider_of("patches", 48, 8, 200, 8),
        "seed": slider_of("seed", 0, 0, 50),
        "balance": box("balance the tissues"),
        "turned": box("flip and turn"),
        "intensity": box("change intensities"),
    }
    rows = [("size", "foreground", "number", "seed"), ("balance", "turned", "intensity")]
    return Explorer(draw, rows, **controls)


def loss_explorer() -> object:
    """A round tumour and a prediction that is shifted, grown, shrunk or erased: the value of every
    loss, and the pull of cross-entropy, Dice and one more on each voxel.

    Its controls: radius (0 is no tumour), across, down, grow, sure, erased, loss.
    """

    def draw(
        radius: int = 8, across: int = 4, down: int = 0, grow: int = 0, sure: float = 0.9,
        erased: bool = False, loss: str = SHOWN[-1], figure: Picture | None = None,
    ) -> Picture:  # fmt: skip
        reference, probability = toy(radius, (across, down), grow, sure, erased)
        return plots.pulling(probability, reference, (*SHOWN[:-1], loss), figure)

    if not there():
        return draw()
    import ipywidgets as widgets

    controls = {
        "radius": slider_of("radius of the tumour", 8, 0, 16),
        "across": slider_of("shift right", 4, -20, 20),
        "down": slider_of("shift down", 0, -20, 20),
        "grow": slider_of("grow, or shrink", 0, -16, 16),
        "sure": slider_of("probability inside", 0.9, 0.51, 0.99, 0.01),
        "erased": widgets.Checkbox(value=False, description="erase the prediction"),
        "loss": choice_of("third loss", CLASSES, SHOWN[-1]),
    }
    return Explorer(
        draw, [("radius", "across", "down"), ("grow", "sure", "erased", "loss")], **controls
    )


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


def threshold_explorer(case: Case, probability: np.ndarray | Mapping[str, np.ndarray]) -> object:
    """What threshold, windows and post-processing do to a case's segmentation, Dice and HD95.

    case:        with a label.
    probability: of WT, TC and ET, float (3, x, y, z), as `segment` gives it; or several by name, as
                 `windows.by_windows` gives them for overlaps and ways of blending.

    Its controls: windows, region, threshold, min_wt_ml, min_wt_share (1 keeps the largest piece
    alone), min_et_ml.
    """
    given = probability if isinstance(probability, Mapping) else {"as given": probability}
    if not given:
        raise GliomakitError("there are no probabilities to look at")

    def draw(windows: str, figure: Picture | None = None, **values: object) -> Picture:
        return plots.choosing(case, given[windows], **values, figure=figure)

    first = next(iter(given))
    if not there():
        return draw(first)
    controls = {
        "windows": choice_of("windows", list(given), first),
        "region": choice_of("region", [(REGION_NAMES[r], r) for r in REGIONS], "wt"),
        "threshold": slider_of("threshold", 0.5, 0.05, 1.0, 0.01),
        "min_wt_ml": slider_of("smallest piece, mL", 0.0, 0.0, 10.0, 0.1),
        "min_wt_share": slider_of("smallest piece, share of the largest", 0.0, 0.0, 1.0, 0.05),
        "min_et_ml": slider_of("smallest enhancing, mL", 0.0, 0.0, 5.0, 0.1),
    }
    rows = [("windows", "region", "threshold"), ("min_wt_ml", "min_wt_share", "min_et_ml")]
    return Explorer(draw, rows, **controls)
