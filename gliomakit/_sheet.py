"""Many cases on one sheet: what they have in common, and which one is odd, is seen at a glance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ._axial import QUIET, View, fitting, mark_scale, mark_sides, outline_lines
from ._picture import DARK, LIGHT, canvas, legend
from .cases import Case
from .errors import GliomakitError
from .regions import SEQUENCE_NAMES, SEQUENCES

OUTLINED = ("flair", "t1ce")
"""Where outlines are drawn: edema is read on FLAIR, enhancing tumour on T1ce. The other two panels
show the image alone."""

PANEL, GAP, STRIP = 1.35, 0.25, 0.19
"""Inches: width of a panel, between two cases, height of the words above a case."""


def sheet(
    cases: Sequence[Case],
    regions: Sequence[np.ndarray | None] | None = None,
    columns: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """FLAIR, T1, T1ce and T2 of many cases, small: of each the slice with the largest tumour.

    regions: bool (3, x, y, z) for each case; None takes its reference, if it has one.
    columns: cases side by side; None puts one in a row, or two if there are more than six.

    All panels have one scale, so heads and tumours can be compared.
    """
    given = [None] * len(cases) if regions is None else regions
    if not cases or len(given) != len(cases):
        raise GliomakitError(f"{len(given)} regions for {len(cases)} cases make no sheet")
    drawn = [fitting(case, one) for case, one in zip(cases, given)]
    views = [View.of(case, one, None) for case, one in zip(cases, drawn)]
    columns = columns or (1 if len(cases) <= 6 else 2)
    rows = -(-len(cases) // columns)
    wide, high = (max(sizes) for sizes in zip(*(view.size for view in views)))
    tall = PANEL * high / wide
    width, height = columns * 4 * PANEL + (columns - 1) * GAP, rows * (tall + STRIP) + 0.68
    figure = canvas(figure, width, height, DARK)
    panels = []
    for place, (view, one) in enumerate(zip(views, drawn)):
        row, column = divmod(place, columns)
        bottom = height - 0.25 - (row + 1) * (tall + STRIP)
        for k, sequence in enumerate(SEQUENCES):
            left = column * (4 * PANEL + GAP) + k * PANEL
            # Fractions of the size that was meant: a given figure of another size is filled too.
            box = (left / width, bottom / height, 0.98 * PANEL / width, 0.98 * tall / height)
            panel = figure.add_axes(box)
            _draw(panel, view, sequence, one, (wide, high))
            if row == 0:
                y = 1 + 1.15 * STRIP / tall
                words = {"color": LIGHT, "fontsize": 10, "ha": "center", "va": "bottom"}
                panel.text(0.5, y, SEQUENCE_NAMES[sequence], transform=panel.transAxes, **words)
            panels.append(panel)
        words = {"color": QUIET, "fontsize": 8, "loc": "left", "pad": 2}
        panels[-4].set_title(f" {view.case.name}, slice {view.z}", **words)
    mark_sides(panels[0])
    mark_scale(panels[-1])
    names = [case.name for case in cases]
    shown = names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}"
    figure.alt = f"{len(names)} cases ({shown}), one axial slice each: FLAIR, T1, T1ce, T2"
    if any(one is not None for one in drawn):
        legend(figure, outline_lines(), x=0.01, place="center left")
        figure.alt += "; the regions are outlined on FLAIR and T1ce"
    return figure


def _draw(
    panel: Axes,
    view: View,
    sequence: str,
    regions: np.ndarray | None,
    field: tuple[float, float],
) -> None:
    """One sequence of one case in the middle of a field of so many mm."""
    view.grey(panel, sequence)
    if regions is not None and sequence in OUTLINED and sequence in view.case.present:
        view.outline(panel, regions, width=0.7)
    (wide, high), (w, h) = field, view.size
    panel.set(xlim=((w - wide) / 2, (w + wide) / 2), ylim=((h + high) / 2, (h - high) / 2))
