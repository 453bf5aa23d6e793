"""One plane of a case in a panel: grey image, veil of colour, outlines, cross. Set, then moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from ._axial import QUIET
from ._moving import lines, outlines
from ._picture import DARK, LIGHT
from ._upright import HIGH, LOW, PLANES
from .regions import REGION_COLOURS, REGIONS

DASHES = {"reference": "-", "prediction": (0, (1.2, 1.2))}
"""Of the outlines: the prediction's are dotted. A filled prediction is striped."""

ENDS = (((-1, 0), "right", "center"), ((1, 0), "left", "center"), ((0, -1), "center", "bottom"))
"""Where the names of WT, TC and ET stand at their outlines: nested ones do not collide."""


class Plate:
    """One plane: a grey image, a veil of colour, outlines with their letters, a cross."""

    def __init__(self, panel: Axes, plane: str, size: tuple[float, float], inch: float):
        """size: mm; inch: mm of the plane that are an inch of the picture."""
        self.panel, self.plane, self.size = panel, plane, size
        wide, high = size
        panel.set(xlim=(0, wide), ylim=(high, 0), xticks=[], yticks=[], facecolor="black")
        panel.spines[:].set_visible(False)
        panel.set_title(plane, color=LIGHT, fontsize=11, pad=4, loc="left")
        place = {"extent": (0, wide, high, 0), "aspect": "auto", "animated": True}
        self.values, self.shades = np.zeros((1, 1)), (0.0, 1.0)
        empty = np.zeros((1, 1, 4), np.uint8)
        self.grey = panel.imshow(empty, interpolation="bilinear", **place)
        self.veil = panel.imshow(empty, interpolation="nearest", **place)
        self.lines = {
            (source, region): lines(panel, REGION_COLOURS[region], dashes, 1.5)
            for source, dashes in DASHES.items()
            for region in REGIONS
        }
        self.cross = lines(panel, LIGHT, "-", 0.8)
        words = {"fontsize": 8, "weight": "bold", "clip_on": True, "animated": True}
        words["bbox"] = {"facecolor": DARK, "alpha": 0.85, "edgecolor": "none", "pad": 0.8}
        self.names = {
            region: panel.text(0, 0, region.upper(), color=REGION_COLOURS[region], **words)
            for region in REGIONS
        }
        across, up, _ = PLANES[plane]
        aside = 0.1 * inch
        edges = [(-aside, high / 2, HIGH[across]), (wide + aside, high / 2, LOW[across])]
        edges += [(wide / 2, -aside, HIGH[up]), (wide / 2, high + aside, LOW[up])]
        for x, y, letter in edges:
            panel.text(x, y, letter, color=QUIET, fontsize=11, ha="center", va="center")

    def look(self, values: np.ndarray, black: float, white: float) -> None:
        """Intensities (rows, columns), and those that are shown as black and as white."""
        self.values, self.shades = values, (black, white)
        # Ready colours: matplotlib takes twice as long for numbers that it has to turn into greys.
        grey = np.full((*values.shape, 4), 255, np.uint8)
        share = (values - np.float32(black)) / np.float32(white - black)
        grey[..., :3] = (255 * np.clip(share, 0, 1) + 0.5)[..., None]
        self.grey.set_data(grey)

    def show(
        self,
        cuts: Mapping[str, Sequence[np.ndarray]],
        styles: Mapping[str, str],
        opacity: Mapping[str, float],
    ) -> None:
        """Masks of WT, TC and ET by source, as veil or as outlines."""
        filled = {source: masks for source, masks in cuts.items() if styles[source] == "fill"}
        self.veil.set_visible(bool(filled))
        if filled:
            self.veil.set_data(_veil(filled, opacity))
        named = dict.fromkeys(REGIONS)
        for (source, region), drawn in self.lines.items():
            found = []
            if source in cuts and opacity[region] > 0:
                mask = cuts[source][REGIONS.index(region)]
                found = outlines(mask, *self.size)
                if found and named[region] is None:
                    named[region] = np.concatenate(found)
            drawn.set_segments(found if styles[source] == "outline" else [])
            drawn.set_alpha(opacity[region])
        for (region, name), (way, ha, va) in zip(self.names.items(), ENDS):
            points = named[region]
            name.set_visible(points is not None)
            if points is not None:
                name.set(position=points[(points @ way).argmax()], ha=ha, va=va)


def _veil(filled: Mapping[str, Sequence[np.ndarray]], opacity: Mapping[str, float]) -> np.ndarray:
    """Colours and opacity of each voxel, uint8 (rows, columns, 4): those of the innermost region
    that is shown. A prediction is striped, over the reference."""
    rows, columns = next(iter(filled.values()))[0].shape
    veil = np.zeros((rows, columns, 4), np.uint8)
    for source, masks in filled.items():
        stripes = np.add.outer(np.arange(rows), np.arange(columns)) % 4 < 2
        for mask, region in zip(masks, REGIONS):
            if opacity[region] > 0:
                colour = (*to_rgb(REGION_COLOURS[region]), opacity[region])
                chosen = mask & stripes if source == "prediction" else mask
                veil[chosen] = np.round(255 * np.array(colour)).astype(np.uint8)
    return veil
