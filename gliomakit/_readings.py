"""One slice, its label read in several ways: what no number shows, a look at the image does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._axial import QUIET, View, fitting, mark_scale, mark_sides
from ._picture import DARK, LIGHT, canvas, legend
from .cases import Case
from .errors import GliomakitError
from .regions import REGION_NAMES, SEQUENCE_NAMES, TISSUE_COLOURS


def readings(
    case: Case,
    regions: Mapping[str, np.ndarray],
    sequence: str = "t1ce",
    slice: int | None = None,
    figure: Figure | None = None,
) -> Figure:
    """One sequence alone, then with the tissues of each reading in colour.

    regions: a reading's name -> its regions, bool (3, x, y, z). slice: z of the axial slice; None
    takes the one with the largest tumour area of the first reading.
    """
    if not regions:
        raise GliomakitError("there is no reading to draw")
    shown = {name: fitting(case, one) for name, one in regions.items()}
    view = View.of(case, next(iter(shown.values())), slice)
    wide, high = view.size
    columns = 1 + len(shown)
    figure = canvas(figure, 3.7 * columns, 3.7 * high / wide + 1.1, DARK)
    tall = figure.get_figheight()
    panels = figure.subplots(1, columns, gridspec_kw={"wspace": 0.03})
    figure.subplots_adjust(left=0.008, right=0.992, bottom=0.45 / tall, top=1 - 0.7 / tall)
    for panel, (name, one) in zip(panels, {SEQUENCE_NAMES[sequence]: None, **shown}.items()):
        view.grey(panel, sequence, dim=1.0 if one is None else 1.2)
        panel.set_title(name, color=LIGHT, fontsize=13, pad=6)
        if one is not None:
            view.fill(panel, one)
    mark_sides(panels[0])
    mark_scale(panels[-1])
    words = {"color": QUIET, "fontsize": 10.5, "va": "top"}
    figure.text(0.008, 1 - 0.14 / tall, f"{case.name}, axial slice {view.z}", **words)
    names = {"edema": "edema", "core": "core", "enhancing": REGION_NAMES["et"]}
    patches = [Patch(color=TISSUE_COLOURS[t], label=name) for t, name in names.items()]
    legend(figure, patches, x=0.008, place="center left")
    figure.alt = (
        f"Axial slice {view.z} of {case.name}: {SEQUENCE_NAMES[sequence]} alone, then with edema, "
        f"core and enhancing tumour in colour, the label {', and '.join(shown)}"
    )
    return figure
