"""From probabilities to a segmentation, and its scores: the picture of the threshold explorer."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.ndimage import distance_transform_edt

from ._axial import View, mark_scale, mark_sides
from ._brain import bounds
from ._curves import COLOURS
from ._moving import lines, outlines, staged
from ._picture import DARK, LIGHT, canvas
from ._plate import DASHES
from ._reliability import dark_panel
from ._surface import nearest, surface
from .cases import Case
from .errors import GliomakitError
from .inference import postprocess
from .metrics import diagonal_mm, dice
from .regions import REGION_NAMES, REGIONS, nest

LOWEST = 0.05
"""The smallest threshold: voxels below it in all regions are left out from the beginning."""

ALONG = np.round(np.arange(0.05, 1.0, 0.05), 2)
"""Thresholds at which the curve of Dice is drawn; HD95, which takes longer, at every second."""


def choosing(
    case: Case,
    probability: np.ndarray,
    threshold: float = 0.5,
    region: str = "wt",
    min_wt_ml: float = 0.0,
    min_wt_share: float = 0.0,
    min_et_ml: float = 0.0,
    figure: Figure | None = None,
) -> Figure:
    """A region as found with a threshold and post-processing, and its Dice and HD95 beside those of
    all thresholds.

    probability: float (3, x, y, z) of WT, TC and ET, on the grid of the case, which has a label.
    threshold:   from 0.05; the same for the three regions, which are nested afterwards.
    min_wt_ml, min_wt_share, min_et_ml: see `inference.postprocess`; a share of 1 keeps the largest
                 piece alone.

    The curves are without post-processing, the points with it. Scores are of the whole volume. A
    `figure` that shows this case, probability and region already is moved.
    """
    if region not in REGIONS:
        raise GliomakitError(
            f"there is no region {region!r}", todo=f"known are {', '.join(REGIONS)}"
        )
    if not LOWEST <= threshold <= 1:
        raise GliomakitError(f"a threshold here is from {LOWEST} to 1, not {threshold}")
    stage = staged(figure, _Choosing, case, probability) or _Choosing(case, probability, figure)
    stage.show(region)
    stage.move(threshold, (min_wt_ml, min_et_ml, min_wt_share))
    return stage.figure


class _Choosing:
    """The volumes, cut to where anything can be found, and the artists."""

    def __init__(self, case: Case, probability: np.ndarray, figure: Figure | None):
        if np.shape(probability) != (3, *case.image.shape[1:]):
            raise GliomakitError(
                f"probabilities of the shape {np.shape(probability)} do not fit {case.name}",
                todo=f"give WT, TC and ET, {(3, *case.image.shape[1:])}",
            )
        if not (np.min(probability) >= 0 and np.max(probability) <= 1):  # False for NaN too
            raise GliomakitError(
                "a probability lies between 0 and 1; these do not", where=case.name
            )
        reference = case.regions()
        self.case, self.data = case, (case, probability)
        possible = (np.asarray(probability) >= LOWEST).any(0) | reference[0]
        box = bounds(possible) or ((0, n) for n in possible.shape)
        self.box = tuple(slice(*ends) for ends in box)
        self.probability = np.ascontiguousarray(probability[:, *self.box])
        self.reference = np.ascontiguousarray(reference[:, *self.box])
        self.voxel_ml = float(np.prod(case.spacing)) / 1000
        self.region: str | None = None
        shown = reference if reference[0].any() else np.asarray(probability) >= 0.5
        self.view = View.of(case, shown, None)
        self.figure = canvas(figure, 11, 4.1, DARK)
        self.panels = list(self.figure.subplots(1, 3, width_ratios=[1.15, 1, 1]))
        self.figure.subplots_adjust(left=0.01, right=0.985, bottom=0.25, top=0.9, wspace=0.2)
        picture, *scores = self.panels
        self.view.grey(picture, case.present[0], dim=1.3)
        mark_sides(picture)
        mark_scale(picture)
        picture.set_title(f"axial, z {self.view.z}", color=LIGHT, fontsize=11)
        looks = (("reference", LIGHT), ("prediction", COLOURS[1]))
        self.lines = {name: lines(picture, colour, DASHES[name], 1.8) for name, colour in looks}
        self.curves = [_score(panel, name) for panel, name in zip(scores, ("Dice", "HD95, mm"))]
        handles = [Line2D([], [], color=c, linestyle=DASHES[n], label=n) for n, c in looks]
        handles += [Line2D([], [], color=COLOURS[0], label="each threshold, nothing removed")]
        handles += [Line2D([], [], color=COLOURS[1], marker="o", linestyle="", label="as set")]
        look = {"frameon": False, "fontsize": 10, "labelcolor": LIGHT, "loc": "lower left"}
        self.figure.legend(handles=handles, ncols=4, **look)
        self.words = self.figure.text(
            0.01, 0.115, "", color=LIGHT, fontsize=10.5, va="center", animated=True
        )
        self.figure.stage = self

    def show(self, region: str) -> None:
        """The curves of a region."""
        if region == self.region:
            return
        self.region = region
        self.skin = surface(self.reference[REGIONS.index(region)])
        self.away = distance_transform_edt(~self.skin, sampling=self.case.spacing)
        scores = [self.score(self.found(t), slow=i % 2 == 1) for i, t in enumerate(ALONG)]
        for (curve, _), values in zip(self.curves, zip(*scores)):
            keep = [i for i, value in enumerate(values) if value is not None]
            curve.set_data(ALONG[keep], [values[i] for i in keep])
        panel = self.panels[2]
        panel.set_ylim(0, 1.15 * max([v for _, v in scores if v is not None] + [1.0]))

    def move(self, threshold: float, limits: tuple[float, float, float]) -> None:
        """Another threshold or post-processing."""
        found = self.found(threshold, limits)
        scores = self.score(found)
        for (_, point), value in zip(self.curves, scores):
            point.set_data([threshold], [value])
        panel = self.panels[2]
        if scores[1] > panel.get_ylim()[1]:
            panel.set_ylim(0, 1.15 * scores[1])
        i = REGIONS.index(self.region)
        for name, masks in (("reference", self.reference), ("prediction", found)):
            whole = np.zeros(self.case.image.shape[1:], bool)
            whole[self.box] = masks[i]
            self.lines[name].set_segments(outlines(self.view.cut(whole), *self.view.size))
        volumes = [float(m[i].sum()) * self.voxel_ml for m in (found, self.reference)]
        said = (
            f"{REGION_NAMES[self.region]} at {threshold:.2f}: Dice {scores[0]:.3f}, HD95 "
            f"{scores[1]:.1f} mm, {volumes[0]:.1f} mL (reference {volumes[1]:.1f} mL)"
        )
        self.words.set_text(said)
        self.figure.alt = f"Axial slice {self.view.z} of {self.case.name}; {said}"

    def found(self, threshold: float, limits: tuple[float, float, float] = (0, 0, 0)) -> np.ndarray:
        """WT, TC and ET in the box: bool (3, x, y, z)."""
        return postprocess(nest(self.probability >= threshold), self.voxel_ml, *limits)

    def score(self, found: np.ndarray, slow: bool = True) -> tuple[float, float | None]:
        """Dice and, if wanted, HD95 of the region, as of the whole volume."""
        i = REGIONS.index(self.region)
        overlap = dice(found[i], self.reference[i])
        if not slow:
            return overlap, None
        if not (found[i].any() and self.reference[i].any()):
            alike = found[i].any() == self.reference[i].any()
            whole = diagonal_mm(self.case.image.shape[1:], self.case.spacing)
            return overlap, 0.0 if alike else whole
        # `metrics.hd95`, but for the way to the reference, which is measured once a region.
        skin, sides = surface(found[i]), np.array(self.case.spacing)
        ways = self.away[skin], nearest(self.skin, skin, sides, 0.95)
        return overlap, float(max(np.percentile(way, 95) for way in ways))


def _score(panel: Axes, name: str) -> tuple[Line2D, Line2D]:
    """A panel's curve and its point."""
    dark_panel(panel)
    panel.set_title(name, color=LIGHT, fontsize=11)
    panel.set_xlabel("threshold", color=LIGHT)
    panel.set(xlim=(0, 1), ylim=(0, 1.03), xticks=(0, 0.5, 1))
    panel.locator_params(axis="y", nbins=4)
    curve = panel.plot([], [], color=COLOURS[0], linewidth=1.8)[0]
    point = panel.plot([], [], "o", color=COLOURS[1], markersize=8, animated=True)[0]
    return curve, point
