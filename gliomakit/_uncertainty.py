"""Where a network is unsure, beside where it is wrong."""

from __future__ import annotations

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ._axial import QUIET, View, mark_scale, mark_sides
from ._boxes import VERDICTS
from ._picture import DARK, LIGHT, canvas
from .cases import Case
from .errors import GliomakitError
from .regions import SEQUENCE_NAMES


def uncertainty(
    case: Case,
    unsure: np.ndarray,
    predicted: np.ndarray,
    reference: np.ndarray,
    slice: int | None = None,
    title: str = "entropy, bits",
    figure: Figure | None = None,
) -> Figure:
    """One slice, three times: the image, how unsure the network is, and what it got wrong.

    unsure: float (x, y, z) from 0 to 1, such as the entropy of a probability in bits; `title` names
            it. predicted, reference: bool (x, y, z).
    slice:  z; None takes the one with the most reference and prediction.
    """
    for given in (unsure, predicted, reference):
        if np.shape(given) != case.image.shape[1:]:
            raise GliomakitError(
                f"an array of the shape {np.shape(given)} does not fit {case.name}",
                todo=f"give {case.image.shape[1:]}",
            )
    view = View.of(case, (predicted | reference)[None], slice)
    wide, high = view.size
    figure = canvas(figure, 3 * 3.6 + 0.75, 3.6 * high / wide + 0.85, DARK)
    tall, width = figure.get_figheight(), figure.get_figwidth()
    panels = figure.subplots(1, 3, gridspec_kw={"wspace": 0.03})
    figure.subplots_adjust(left=0.01, right=1 - 0.72 / width)
    figure.subplots_adjust(bottom=0.45 / tall, top=1 - 0.38 / tall)
    shown = "flair" if "flair" in case.present else case.present[0]
    for panel, words in zip(panels, (SEQUENCE_NAMES[shown], title, "right and wrong")):
        view.grey(panel, shown, dim=1.0 if panel is panels[0] else 1.6)
        panel.set_title(words, color=LIGHT, fontsize=12, pad=5)
    cut, extent = view.cut(unsure), (0, wide, high, 0)
    veil = np.clip(3 * cut, 0, 1)  # where the network is sure, the image is seen
    drawn = panels[1].imshow(cut, cmap="inferno", vmin=0, vmax=1, extent=extent, alpha=veil)
    masks = (reference & predicted, reference & ~predicted, predicted & ~reference)
    for mask, colour in zip(masks, VERDICTS.values()):
        paint = np.zeros((*view.cut(mask).shape, 4))
        paint[view.cut(mask)] = (*(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)), 0.8)
        panels[2].imshow(paint, extent=extent, interpolation="nearest")
    mark_sides(panels[0])
    mark_scale(panels[0])
    scale = ScalarMappable(Normalize(0, 1), drawn.cmap)  # `drawn` would lend it its veil
    bar = figure.colorbar(scale, cax=figure.add_axes((1 - 0.6 / width, 0.2, 0.12 / width, 0.6)))
    bar.ax.tick_params(colors=QUIET, labelsize=9)
    bar.outline.set_edgecolor(QUIET)
    figure.legend(
        handles=[Patch(color=c, label=v) for v, c in VERDICTS.items()], loc="center right",
        bbox_to_anchor=(1 - 0.72 / width, 0.2 / tall), ncols=3, frameon=False, labelcolor=LIGHT,
        fontsize=10.5,
    )  # fmt: skip
    figure.alt = (
        f"Axial slice {view.z} of {case.name}: {SEQUENCE_NAMES[shown]}; {title} as colours; and "
        f"what was {', '.join(VERDICTS)}"
    )
    return figure
