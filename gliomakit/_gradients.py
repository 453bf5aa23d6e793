"""What a loss asks of each voxel: a probability map, and beside it the pull of each loss."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ._picture import DARK, LIGHT, canvas, legend
from .errors import GliomakitError

AWAY, STILL, TOWARD = "#56B4E9", "#1b2026", "#E69F00"
"""Away from tumour, nothing, toward tumour: blue and orange, which all readers tell apart. Nothing
is dark, so that on the dark ground only what pulls is seen."""

PULLS = LinearSegmentedColormap.from_list("pulls", [AWAY, STILL, TOWARD])
NUMBERED = 8
"""Grids of up to so many rows and columns have numbers in them."""


def gradients(
    probability: np.ndarray,
    pulls: Mapping[str, np.ndarray],
    reference: np.ndarray,
    common: bool = False,
    figure: Figure | None = None,
) -> Figure:
    """A probability map, and the pull of each loss on each voxel as a signed colour.

    probability: of tumour, (rows, columns), 0 to 1. reference: bool, outlined.
    pulls:       title -> (rows, columns), minus the gradient: above 0 a step down the loss raises
                 the tumour's probability in that voxel.
    common:      one scale for all losses, so that a weak pull looks weak. By default each panel has
                 its own: losses may differ by many powers of ten.

    The largest pull stands above each panel. Small grids have the numbers in them, as multiples of
    that power of ten, which is one for all panels if the scale is.
    """
    probability, reference = np.asarray(probability, float), np.asarray(reference, bool)
    if not pulls:
        raise GliomakitError("there is no gradient to draw")
    for title, pull in {"the reference": reference, **pulls}.items():
        if probability.ndim != 2 or np.shape(pull) != probability.shape:
            raise GliomakitError(
                f"{title} has the shape {np.shape(pull)}, the probability {probability.shape}",
                todo="give one slice: rows and columns, the same for all",
            )
    high = 3.0 * probability.shape[0] / probability.shape[1]
    figure = canvas(figure, 3.1 * (1 + len(pulls)) + 0.1, high + 1.1, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(1, 1 + len(pulls), gridspec_kw={"wspace": 0.05})
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.5 / tall, top=1 - 0.6 / tall)
    _grid(panels[0], probability, reference, "gray", (0.0, 1.0), "{:.2f}")
    panels[0].set_title("probability of tumour\n", color=LIGHT, fontsize=11, pad=4)
    largest = {title: float(np.abs(pull).max()) for title, pull in pulls.items()}
    said = []
    for panel, (title, pull) in zip(panels[1:], pulls.items()):
        most = largest[title]
        top = max(largest.values()) if common else most
        power = math.floor(math.log10(top)) if top else 0
        limit = top or 1.0
        shown = np.asarray(pull, float) / 10.0**power
        _grid(
            panel, shown, reference, PULLS, (-limit / 10.0**power, limit / 10.0**power), "{:+.1f}"
        )
        words = f"largest {_scientific(most)}" if most else "no pull at all"
        panel.set_title(f"{title}\n{words}", color=LIGHT, fontsize=11, pad=4)
        said.append(f"{title} (largest {most:.1e})")
    handles = [
        Patch(color=TOWARD, label="+  toward tumour"),
        Patch(color=AWAY, label="−  away from tumour"),
    ]
    if common and max(largest.values()):
        unit = math.floor(math.log10(max(largest.values())))
        handles.append(Patch(alpha=0, label=f"numbers in units of $10^{{{unit}}}$"))
    if reference.any():
        handles.append(Line2D([], [], color=LIGHT, linewidth=1.8, label="reference"))
    legend(figure, handles, x=0.01, place="center left")
    figure.alt = (
        f"A grid of {' × '.join(map(str, probability.shape))} voxels with the probability of "
        f"tumour, then the pull on each voxel as a colour: {', '.join(said)}"
    )
    return figure


def _scientific(value: float) -> str:
    power = math.floor(math.log10(value))
    return f"{value / 10.0**power:.1f} × $10^{{{power}}}$"


def _grid(
    panel: Axes,
    values: np.ndarray,
    reference: np.ndarray,
    colours: str | LinearSegmentedColormap,
    limits: tuple[float, float],
    number: str,
) -> None:
    """Values as coloured voxels, the reference's outline, and numbers if there is room."""
    drawn = panel.imshow(values, cmap=colours, vmin=limits[0], vmax=limits[1])
    panel.set(xticks=[], yticks=[], facecolor=DARK)
    panel.spines[:].set_visible(False)
    for colour, width in ((DARK, 4.0), (LIGHT, 1.8)):  # light on a dark seam: seen on any voxel
        line = {"colors": colour, "linewidths": width, "capstyle": "projecting"}
        panel.add_collection(LineCollection(_border(reference), **line))
    if max(values.shape) > NUMBERED:
        return
    size = 13 - 0.7 * max(values.shape)
    for (row, column), value in np.ndenumerate(values):
        red, green, blue, _ = drawn.cmap(drawn.norm(value))
        bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.45
        text = number.format(value).replace("-", "−")
        if float(number.format(value)) == 0 and "+" in number:
            text = "0"
        words = {"color": DARK if bright else LIGHT, "fontsize": size}
        panel.text(column, row, text, ha="center", va="center", **words)


def _border(mask: np.ndarray) -> list[list[tuple[float, float]]]:
    """The edges between voxels of the mask and others, as lines in (column, row)."""
    padded = np.pad(mask, 1)
    lines = []
    for row, column in np.argwhere(padded[1:, :] != padded[:-1, :]):
        x, y = column - 1.5, row - 0.5
        lines.append([(x, y), (x + 1, y)])
    for row, column in np.argwhere(padded[:, 1:] != padded[:, :-1]):
        x, y = column - 0.5, row - 1.5
        lines.append([(x, y), (x, y + 1)])
    return lines
