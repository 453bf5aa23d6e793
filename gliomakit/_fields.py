"""Smooth factors over a slice, such as bias fields, on one scale of colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from ._axial import QUIET, View, mark_scale, mark_sides
from ._picture import DARK, LIGHT, canvas
from .cases import Case
from .errors import GliomakitError
from .regions import SEQUENCE_NAMES


def fields(
    case: Case,
    sequence: str,
    named: Mapping[str, np.ndarray],
    inside: np.ndarray,
    slice: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """A sequence, and beside it factors as colours: blue darkens the image, yellow brightens it.

    named:  title -> factor (x, y, z), 1 where nothing changes. All share one scale, in per cent.
    inside: bool (x, y, z), where the factors mean something. slice: z; None takes the middle of it.
    """
    if not named:
        raise GliomakitError("there is no field to draw")
    if slice is None:
        slice = int(np.median(np.flatnonzero(inside.any((0, 1)))))
    view = View.of(case, None, slice)
    wide, high = view.size
    figure = canvas(figure, 3.1 * (1 + len(named)) + 0.75, 3.1 * high / wide + 0.75, DARK)
    tall, width = figure.get_figheight(), figure.get_figwidth()
    panels = figure.subplots(1, 1 + len(named), gridspec_kw={"wspace": 0.03})
    figure.subplots_adjust(left=0.01, right=1 - 0.72 / width)
    figure.subplots_adjust(bottom=0.32 / tall, top=1 - 0.4 / tall)
    view.grey(panels[0], sequence)
    panels[0].set_title(SEQUENCE_NAMES[sequence], color=LIGHT, fontsize=12, pad=5)
    shown = {title: (100 * (field - 1), inside) for title, field in named.items()}
    most = max(float(np.abs(p[inside]).max()) for p, _ in shown.values()) or 1.0
    for panel, (title, (percent, where)) in zip(panels[1:], shown.items()):
        cut = np.ma.masked_where(~view.cut(where), view.cut(percent))
        drawn = panel.imshow(cut, cmap="cividis", vmin=-most, vmax=most, extent=(0, wide, high, 0))
        panel.set(xticks=[], yticks=[], facecolor="black")
        panel.spines[:].set_visible(False)
        panel.set_title(title, color=LIGHT, fontsize=12, pad=5)
    mark_sides(panels[0])
    mark_scale(panels[0])
    place = figure.add_axes((1 - 0.62 / width, 0.2, 0.12 / width, 0.6))
    bar = figure.colorbar(drawn, cax=place)
    bar.ax.tick_params(colors=QUIET, labelsize=9)
    bar.ax.set_title("%", color=QUIET, fontsize=10)
    bar.outline.set_edgecolor(QUIET)
    figure.alt = (
        f"Axial slice {slice} of {case.name}: {SEQUENCE_NAMES[sequence]}, then as colours from "
        f"-{most:.0f} to {most:.0f} per cent: {', '.join(named)}"
    )
    return figure
