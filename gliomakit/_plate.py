"""One plane of a case in a panel: grey image, veil of colour, outlines, cross. Set, then moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from matplotlib.transforms import IdentityTransform
from PIL import Image

from ._axial import QUIET
from ._masks import box
from ._moving import lines, outlines
from ._picture import DARK, LIGHT
from ._upright import HIGH, LOW, PLANES
from .regions import REGION_COLOURS, REGIONS

DASHES = {"reference": "-", "prediction": (0, (1.2, 1.2))}
"""Of the outlines: the prediction's are dotted. A filled prediction is striped."""

ENDS = (((-1, 0), "right", "center"), ((1, 0), "left", "center"), ((0, -1), "center", "bottom"))
"""Where the names of WT, TC and ET stand at their outlines: nested ones do not collide."""


class Greys(AxesImage):
    """An image of greys that fills its panel, enlarged by Pillow: matplotlib's own `bilinear` took
    a quarter of a redraw."""

    def make_image(self, renderer, magnification=1.0, unsampled=False):
        (left, bottom), (right, top) = self.axes.bbox.get_points().round()
        size = (
            max(1, int((right - left) * magnification)),
            max(1, int((top - bottom) * magnification)),
        )
        image = Image.fromarray(np.asarray(self.get_array()))
        drawn = image.resize(size, Image.Resampling.BILINEAR).convert("RGBA")
        return np.asarray(drawn)[::-1], left, bottom, IdentityTransform()


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
        self.grey = panel.add_image(Greys(panel, animated=True))
        self.veil = panel.imshow(np.zeros((1, 1, 4), np.uint8), interpolation="nearest", **place)
        self.known: dict[tuple[str, str], tuple[int, list[np.ndarray]]] = {}
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
        share = (values - np.float32(black)) / np.float32(white - black)
        self.grey.set_data((255 * np.clip(share, 0, 1) + 0.5).astype(np.uint8))

    def show(
        self,
        cuts: Mapping[str, Sequence[np.ndarray]],
        styles: Mapping[str, str],
        opacity: Mapping[str, float],
        at: int,
    ) -> None:
        """Masks of WT, TC and ET by source, as veil or as outlines; `at` numbers the slice."""
        filled = {source: masks for source, masks in cuts.items() if styles[source] == "fill"}
        self._fill(filled, opacity)
        named = dict.fromkeys(REGIONS)
        for (source, region), drawn in self.lines.items():
            found = []
            if source in cuts and opacity[region] > 0:
                outlined = styles[source] == "outline"
                if outlined or named[region] is None:
                    found = self._outlines(source, region, cuts[source], at)
                if found and named[region] is None:
                    named[region] = np.concatenate(found)
                found = found if outlined else []
            drawn.set_segments(found)
            drawn.set_alpha(opacity[region])
        for (region, name), (way, ha, va) in zip(self.names.items(), ENDS):
            points = named[region]
            name.set_visible(points is not None)
            if points is not None:
                name.set(position=points[(points @ way).argmax()], ha=ha, va=va)

    def _outlines(
        self, source: str, region: str, masks: Sequence[np.ndarray], at: int
    ) -> list[np.ndarray]:
        """One slider moves one plane: outlines are found once for each slice."""
        if self.known.get((source, region), (None,))[0] != at:
            mask = masks[REGIONS.index(region)]
            self.known[source, region] = at, outlines(mask, *self.size)
        return self.known[source, region][1]

    def _fill(
        self, filled: Mapping[str, Sequence[np.ndarray]], opacity: Mapping[str, float]
    ) -> None:
        """The veil of colour, no larger than what it covers: the smaller, the sooner drawn."""
        shown = [
            mask
            for masks in filled.values()
            for mask, region in zip(masks, REGIONS)
            if opacity[region] > 0
        ]
        where = box(np.any(shown, axis=0)) if shown else None
        self.veil.set_visible(where is not None)
        if where is None:
            return
        self.veil.set_data(_veil(filled, opacity, where))
        rows, columns = shown[0].shape
        (top, bottom), (left, right) = ((s.start, s.stop) for s in where)
        across, down = self.size[0] / columns, self.size[1] / rows
        self.veil.set_extent((left * across, right * across, bottom * down, top * down))


def _veil(
    filled: Mapping[str, Sequence[np.ndarray]],
    opacity: Mapping[str, float],
    where: tuple[slice, slice],
) -> np.ndarray:
    """Colours and opacity of each voxel in a box, uint8 (rows, columns, 4): those of the innermost
    region that is shown. A prediction is striped, over the reference."""
    rows, columns = (np.arange(s.start, s.stop) for s in where)
    stripes = np.add.outer(rows, columns) % 4 < 2
    veil = np.zeros((*stripes.shape, 4), np.uint8)
    for source, masks in filled.items():
        for mask, region in zip(masks, REGIONS):
            if opacity[region] > 0:
                colour = (*to_rgb(REGION_COLOURS[region]), opacity[region])
                chosen = mask[where] & stripes if source == "prediction" else mask[where]
                veil[chosen] = np.round(255 * np.array(colour)).astype(np.uint8)
    return veil
