"""What losses say of a prediction that is moved about: the picture of the loss explorer."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from . import losses
from ._axial import QUIET
from ._curves import COLOURS
from ._gradients import AWAY, PULLS, TOWARD
from ._moving import lines, outlines, staged
from ._picture import DARK, LIGHT, canvas
from ._reliability import dark_panel
from .errors import GliomakitError

SIDE = 40
"""Rows and columns of the toy."""

CLASSES = tuple(name for name, make in losses.LOSSES.items() if make().output == "classes")
"""The losses that are compared: those of tumour against background."""

SHOWN = ("cross-entropy", "dice", "weighted-dice")


def toy(
    radius: float = 8,
    shift: tuple[float, float] = (0, 0),
    grow: float = 0,
    sure: float = 0.9,
    erased: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """A round tumour in a square of `SIDE` voxels, and a prediction of it.

    radius: of the tumour, voxels; 0 is no tumour. shift: of the prediction, to the right and down.
    grow:   by how much its radius is larger; smaller below 0.
    sure:   its probability inside; outside it is 1 - sure.
    erased: the prediction finds nothing.

    Returns the reference, bool, and the probability of tumour, float64, (SIDE, SIDE).

    >>> reference, probability = toy(radius=3)
    >>> int(reference.sum()), int((probability > 0.5).sum())
    (32, 32)
    """
    if radius < 0 or not 0 < sure < 1:
        raise GliomakitError(
            f"radius {radius} is below 0, or {sure} no probability between 0 and 1"
        )
    along = np.arange(SIDE) - (SIDE - 1) / 2
    reference = np.add.outer(along**2, along**2) < radius**2
    larger = 0 if erased else max(radius + grow, 0)
    found = np.add.outer((along - shift[1]) ** 2, (along - shift[0]) ** 2) < larger**2
    return reference, np.where(found, sure, 1 - sure)


def pull(name: str, probability: np.ndarray, reference: np.ndarray) -> tuple[float, np.ndarray]:
    """A loss, and minus its gradient by the tumour's logit in each voxel: where that is above 0, a
    step down the loss raises the tumour's probability.

    name: of `losses.LOSSES`, one for classes. probability, reference: (rows, columns).
    """
    if name not in CLASSES:
        raise GliomakitError(f"there is no loss {name!r}", todo=f"known are {', '.join(CLASSES)}")
    tumour = torch.logit(torch.as_tensor(probability, dtype=torch.float64)).requires_grad_()
    logits = torch.stack([torch.zeros_like(tumour), tumour])[None]
    loss = losses.from_name(name)(logits, torch.as_tensor(reference)[None].long())
    loss.backward()
    return float(loss.detach()), -tumour.grad.numpy()


def pulling(
    probability: np.ndarray,
    reference: np.ndarray,
    shown: Sequence[str] = SHOWN,
    figure: Figure | None = None,
) -> Figure:
    """A probability map, what three losses ask of each voxel, and the value of every loss.

    probability: of tumour, (rows, columns), between 0 and 1. reference: bool, outlined.
    shown:       three names of losses.

    Each map has its own scale, from the largest pull away (blue) to the largest toward tumour
    (orange), which stands above it with its sign. A `figure` that shows maps of that size is moved.
    """
    probability, reference = np.asarray(probability, float), np.asarray(reference, bool)
    if probability.ndim != 2 or probability.shape != reference.shape:
        raise GliomakitError(
            f"a probability of the shape {probability.shape} and a reference of {reference.shape}",
            todo="give one slice of each: rows and columns, the same for both",
        )
    if not ((probability > 0) & (probability < 1)).all():
        raise GliomakitError("a probability here lies between 0 and 1, neither included")
    if len(shown) != len(SHOWN):
        raise GliomakitError(f"{len(shown)} losses are named; {len(SHOWN)} can be shown")
    pulls = {name: pull(name, probability, reference) for name in dict.fromkeys((*shown, *CLASSES))}
    stage = staged(figure, _Pulling) or _Pulling(figure)
    stage.move(probability, reference, shown, pulls)
    return stage.figure


class _Pulling:
    """The artists: four maps with outlines and titles, and a bar a loss."""

    data = ()

    def __init__(self, figure: Figure | None):
        self.figure = canvas(figure, 11.5, 3.2, DARK)
        grid = {"width_ratios": [1, 1, 1, 1, 0.95], "wspace": 0.06}
        self.panels = list(self.figure.subplots(1, 5, gridspec_kw=grid))
        self.figure.subplots_adjust(left=0.008, right=0.955, bottom=0.09, top=0.84)
        words = {"color": LIGHT, "fontsize": 10.5, "animated": True}
        self.maps, self.borders, self.names, self.titles = [], [], [], []
        for number, panel in enumerate(self.panels[:4]):
            panel.set(xticks=[], yticks=[])
            panel.spines[:].set_visible(False)
            look = {"cmap": PULLS, "vmin": -1, "vmax": 1} if number else {"cmap": "gray", "vmax": 1}
            place = {"extent": (0, 1, 1, 0), "interpolation": "nearest", "animated": True}
            self.maps.append(panel.imshow(np.zeros((1, 1)), **{"vmin": 0} | look, **place))
            for colour, width in ((DARK, 3.5), (LIGHT, 1.5)):
                self.borders.append(lines(panel, colour, width=width))
            # What changes with every move stands apart: letters are slow to draw.
            self.names.append(panel.set_title("", color=LIGHT, fontsize=10.5, pad=19))
            at = {"transform": panel.transAxes, "ha": "center", "va": "bottom"}
            self.titles.append(panel.text(0.5, 1.02, "", **at, **words))
        bars = self.panels[4]
        dark_panel(bars)
        # The names stand above the bars: beside them there is a map.
        bars.set(xlim=(0, 1), ylim=(len(CLASSES) - 0.4, -0.6), yticks=[], xticks=[0, 0.5, 1])
        bars.set_title("the losses", color=LIGHT, fontsize=10.5, pad=5)
        rows = np.arange(len(CLASSES))
        self.bars = bars.barh(rows + 0.36, 0, 0.24, color=COLOURS[2])
        small = {"fontsize": 8.5, "va": "center", "color": LIGHT}
        for row, name in zip(rows, CLASSES):
            bars.text(0.01, row, name, **small)
        self.values = [bars.text(1, i, "", ha="right", animated=True, **small) for i in rows]
        for bar in self.bars:
            bar.set_animated(True)
        legend = (("+  toward tumour", TOWARD, 0.21), ("−  away from tumour", AWAY, 0.33))
        for text, colour, x in legend:
            self.figure.text(x, 0.025, text, color=colour, fontsize=10)
        self.figure.text(0.008, 0.025, "outlined: the reference", color=QUIET, fontsize=10)
        self.figure.stage = self

    def move(self, probability, reference, shown, pulls) -> None:
        """Show another prediction, reference or choice of losses."""
        border = outlines(reference, 1, 1)
        for drawn in self.borders:
            drawn.set_segments(border)
        self.maps[0].set_data(probability)
        self.titles[0].set_text(f"{reference.sum()} voxels of tumour")
        said = []
        for heading, name in zip(self.names, ("probability of tumour", *shown)):
            heading.set_text(name)
        for drawn, title, name in zip(self.maps[1:], self.titles[1:], shown):
            ways = pulls[name][1]
            most = float(ways.flat[np.abs(ways).argmax()])
            drawn.set_data(ways)
            drawn.set_clim(-abs(most) or -1, abs(most) or 1)
            words = f"largest pull {_short(most)}" if most else "no pull at all"
            title.set_text(words)
            said.append(f"{name}, {words}")
        for bar, text, name in zip(self.bars, self.values, CLASSES):
            value = pulls[name][0]
            bar.set_width(min(value, 1))
            text.set_text(f"{value:.3f}")
        values = ", ".join(f"{name} {pulls[name][0]:.3f}" for name in CLASSES)
        self.figure.alt = (
            f"The probability of tumour in {' × '.join(map(str, probability.shape))} voxels, "
            f"{reference.sum()} of them tumour; the pull of three losses: {'; '.join(said)}. "
            f"The losses are {values}"
        )


def _short(value: float) -> str:
    """A signed number with one digit after the point and its power of ten."""
    power = math.floor(math.log10(abs(value)))
    sign = "−" if value < 0 else "+"
    return f"{sign}{abs(value) / 10.0**power:.1f}e{power}".replace("e-", "e−")
