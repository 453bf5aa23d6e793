"""Boxes on a slice, and what scoring inside one of them leaves out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from ._axial import View, largest_slice, mark_scale, mark_sides
from ._picture import DARK, LIGHT, canvas
from .cases import Case
from .errors import GliomakitError
from .regions import SEQUENCE_NAMES

Box = tuple[slice, slice, slice]
"""An index into a volume: one slice an axis."""

LINES = (("#56B4E9", "-"), ("#E69F00", "--"), ("#E58AC0", ":"))
"""Colour and style of the boxes: colour is never the only sign."""

VERDICTS = {"found": "#2FBF8F", "missed": "#F0E442", "false alarm": "#D55E00"}


def boxes(
    case: Case,
    named: Mapping[str, Box],
    reference: np.ndarray | None = None,
    predicted: np.ndarray | None = None,
    slice: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """A whole slice, air included, with up to three boxes on it, by name.

    reference, predicted: bool (x, y, z); give both, and a second panel shows what was found, what
                          was missed, and false alarms, inside the boxes and outside.
    slice: z; None takes the one with the most reference, or else the middle one.
    """
    if not 1 <= len(named) <= len(LINES):
        raise GliomakitError(f"one to {len(LINES)} boxes are drawn, not {len(named)}")
    marked = reference is not None and predicted is not None
    if slice is None:
        slice = largest_slice(reference[None] if marked else case.image[:1] * 0)
    view = View(case, slice, np.s_[:], np.s_[:])
    wide, high = view.size
    count = 2 if marked else 1
    figure = canvas(figure, 4.6 * count + 0.1, 4.6 * high / wide + 1.25, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(1, count, squeeze=False, gridspec_kw={"wspace": 0.03})[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.72 / tall, top=1 - 0.5 / tall)
    shown = "flair" if "flair" in case.present else case.present[0]
    for panel, title in zip(panels, (SEQUENCE_NAMES[shown], "prediction against reference")):
        view.grey(panel, shown, dim=1.0 if panel is panels[0] else 1.6)
        panel.set_title(title, color=LIGHT, fontsize=12, pad=5)
        _rectangles(panel, view, named)
        mark_sides(panel)
    mark_scale(panels[0])
    if marked:
        _verdicts(panels[1], view, reference, predicted)
    lines = [
        Patch(edgecolor=colour, linestyle=style, linewidth=1.8, fill=False, label=name)
        for name, (colour, style) in zip(named, LINES)
    ]
    _legend(figure, lines, 0.012, tall)
    if marked:
        _legend(figure, [Patch(color=c, label=v) for v, c in VERDICTS.items()], 0.51, tall)
    said = [f"{name} {_millimetres(case, box)}" for name, box in named.items()]
    figure.alt = f"Axial slice {slice} of {case.name} with the air around it; boxes: "
    figure.alt += "; ".join(said)
    if marked:
        figure.alt += "; coloured are voxels that were found, missed, and falsely predicted"
    return figure


def _rectangles(panel: Axes, view: View, named: Mapping[str, Box]) -> None:
    sx, sy, _ = view.case.spacing
    nx, ny = view.case.image.shape[1:3]
    for box, (colour, style) in zip(named.values(), LINES):
        x, y, z = (span.indices(n) for span, n in zip(box, view.case.image.shape[1:]))
        if not z[0] <= view.z < z[1]:
            continue
        corner = ((nx - x[1]) * sx, (ny - y[1]) * sy)
        size = ((x[1] - x[0]) * sx, (y[1] - y[0]) * sy)
        panel.add_patch(Rectangle(corner, *size, fill=False, ec=colour, ls=style, lw=1.8))


def _verdicts(panel: Axes, view: View, reference: np.ndarray, predicted: np.ndarray) -> None:
    masks = (reference & predicted, reference & ~predicted, predicted & ~reference)
    for mask, colour in zip(masks, VERDICTS.values()):
        shown = view.cut(mask)
        if shown.any():
            paint = np.zeros((*shown.shape, 4))
            paint[shown] = (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 0.8)
            wide, high = view.size
            panel.imshow(paint, extent=(0, wide, high, 0), interpolation="nearest")


def _legend(figure: Figure, handles: list[Patch], x: float, tall: float) -> None:
    figure.legend(
        handles=handles, loc="center left", bbox_to_anchor=(x, 0.3 / tall), ncols=len(handles),
        frameon=False, fontsize=10.5, labelcolor=LIGHT, handlelength=1.6, columnspacing=1.3,
    )  # fmt: skip


def _millimetres(case: Case, box: Box) -> str:
    sides = (
        (span.indices(n)[1] - span.indices(n)[0]) * mm
        for span, n, mm in zip(box, case.image.shape[1:], case.spacing)
    )
    return " × ".join(f"{side:.0f}" for side in sides) + " mm"
