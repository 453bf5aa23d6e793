"""One slice of a tumour, several versions of its label side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._axial import View, axial, fitting, largest_slice, mark_scale, tissues
from ._picture import DARK, LIGHT, canvas, legend
from .cases import Case
from .errors import GliomakitError
from .regions import TISSUE_COLOURS

NAMES = {"edema": "edema", "core": "core", "enhancing": "enhancing tumour"}


def variants(
    case: Case,
    named: Mapping[str, np.ndarray],
    sequence: str | None = None,
    slice: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """Versions of the regions on one slice, cut to the tumour.

    named: title -> bool (3, x, y, z); the first decides the slice (the one with the most
           enhancing tumour, or else the most tumour) and what is cut out.
    """
    if not named:
        raise GliomakitError("there is no version to draw")
    given = {title: fitting(case, regions) for title, regions in named.items()}
    first = next(iter(given.values()))
    if slice is None:
        slice = largest_slice(first[2:] if first[2].any() else first)
    view = View(case, slice, *_around(axial(first[0], slice)))
    wide, high = view.size
    figure = canvas(figure, 3.2 * len(given) + 0.1, 3.2 * high / wide + 0.95, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(1, len(given), squeeze=False, gridspec_kw={"wspace": 0.03})[0]
    figure.subplots_adjust(left=0.01, right=0.99, bottom=0.5 / tall, top=1 - 0.4 / tall)
    if sequence is None:
        sequence = "t1ce" if "t1ce" in case.present else case.present[0]
    for panel, (title, regions) in zip(panels, given.items()):
        view.grey(panel, sequence, dim=1.3)
        for tissue, mask in tissues(regions).items():
            cut = view.cut(mask)
            paint = np.zeros((*cut.shape, 4))
            colour = TISSUE_COLOURS[tissue]
            paint[cut] = (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 0.6)
            panel.imshow(paint, extent=(0, wide, high, 0), interpolation="nearest")
        panel.set_title(title, color=LIGHT, fontsize=12, pad=5)
    mark_scale(panels[-1], length=20.0)
    patches = [Patch(color=c, label=NAMES[t]) for t, c in TISSUE_COLOURS.items()]
    legend(figure, patches, x=0.01, place="center left")
    figure.alt = f"The tumour in axial slice {slice} of {case.name}: {', '.join(named)}"
    return figure


def _around(shown: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of what is True, with a margin; all of them if nothing is."""
    spans = []
    for axis in (1, 0):
        at = np.flatnonzero(shown.any(axis))
        low, high = (at[0], at[-1] + 1) if len(at) else (0, shown.shape[1 - axis])
        spans.append(np.s_[max(0, low - 6) : high + 6])
    return tuple(spans)
