"""One axial slice of a case, drawn as radiologists show it: the part that pictures share.

Seen from the feet, so that the patient's right is on the viewer's left; the face up. Panels are
in millimetres, so nothing is squeezed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .cases import Case
from .errors import GliomakitError
from .regions import REGION_COLOURS, REGION_NAMES, REGIONS, TISSUE_COLOURS

QUIET = "#9aa5b1"
"""Grey of what is said aside: marks, scale, headings."""

STYLES = {"wt": "-", "tc": "--", "et": "-"}
"""Line styles of the regions' outlines: colour is never the only sign."""


def axial(volume: np.ndarray, z: int) -> np.ndarray:
    """Slice z of an RAS volume (x, y, z) as it is shown: rows from front to back, columns from the
    patient's right to the left. Shape (y, x), a view.

    >>> volume = np.zeros((2, 3, 1)); volume[1, 2, 0] = 1   # right, in front
    >>> axial(volume, 0)
    array([[1., 0.], [0., 0.], [0., 0.]])
    """
    return volume[::-1, ::-1, z].T


def largest_slice(regions: np.ndarray) -> int:
    """z of the axial slice with the largest whole tumour; the middle one without tumour.

    >>> regions = np.zeros((3, 4, 4, 9), bool)
    >>> largest_slice(regions)
    4
    >>> regions[0, 1:3, 1, 7] = True
    >>> largest_slice(regions)
    7
    """
    areas = np.count_nonzero(regions[0], axis=(0, 1))
    return int(areas.argmax()) if areas.any() else len(areas) // 2


def window(volume: np.ndarray) -> tuple[float, float]:
    """The intensities shown as black and as white: percentiles 1 and 99.5 of the brain's voxels.
    The first voxel, a corner, is taken for background.

    >>> window(np.zeros((2, 2, 2)))
    (0.0, 1.0)
    """
    background = volume.flat[0]
    inside = volume[volume != background]
    if not inside.size:
        return 0.0, 1.0
    low, high = np.percentile(inside[:: max(1, inside.size // 200_000)], (1, 99.5))
    return float(min(low, background)), float(max(high, low + 1e-6))


def tissues(regions: np.ndarray) -> dict[str, np.ndarray]:
    """Edema, core and enhancing tumour as masks that do not overlap, from nested regions.

    >>> found = tissues(np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]], bool))
    >>> {tissue: int(mask.sum()) for tissue, mask in found.items()}
    {'edema': 1, 'core': 1, 'enhancing': 2}
    """
    wt, tc, et = regions
    return {"edema": wt & ~tc & ~et, "core": tc & ~et, "enhancing": et}


def fitting(case: Case, regions: np.ndarray | None) -> np.ndarray | None:
    """Regions that fit the case, bool (3, x, y, z); None gives the reference, if there is one."""
    if regions is None:
        return None if case.label is None else case.regions()
    regions = np.asarray(regions)
    if regions.shape != (3, *case.image.shape[1:]):
        raise GliomakitError(
            f"regions of the shape {regions.shape} do not fit {case.name}",
            todo=f"give WT, TC and ET, {(3, *case.image.shape[1:])}",
        )
    return regions.astype(bool, copy=False)


@dataclass(frozen=True, eq=False)
class View:
    """Slice z of a case, cut to its brain: rows and columns of what `axial` gives."""

    case: Case
    z: int
    rows: slice
    columns: slice

    @classmethod
    def of(cls, case: Case, regions: np.ndarray | None, z: int | None) -> View:
        """The named slice, or the one with the largest tumour area, or else the middle one."""
        depth = case.image.shape[3]
        if z is None:
            z = depth // 2 if regions is None else largest_slice(regions)
        if not 0 <= z < depth:
            raise GliomakitError(f"{case.name} has no slice {z}", todo=f"it has 0 to {depth - 1}")
        shown = np.zeros(case.image.shape[2:0:-1], bool)
        for sequence in case.present:
            volume = case.sequence(sequence)
            shown |= axial(volume, z) != volume.flat[0]
        if not shown.any():
            shown[:] = True
        return cls(case, int(z), *(_range(shown.any(axis)) for axis in (1, 0)))

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in mm."""
        sx, sy, _ = self.case.spacing
        rows, columns = self.cut(self.case.image[0]).shape
        return columns * sx, rows * sy

    def cut(self, volume: np.ndarray) -> np.ndarray:
        """What is shown of a volume (x, y, z)."""
        return axial(volume, self.z)[self.rows, self.columns]

    def grey(self, panel: Axes, sequence: str, dim: float = 1.0) -> None:
        """One sequence in grey; a word where it is missing. `dim` darkens it, so that colours on
        top stay clear."""
        wide, high = self.size
        panel.set(xlim=(0, wide), ylim=(high, 0), xticks=[], yticks=[], facecolor="black", aspect=1)
        panel.spines[:].set_visible(False)
        if sequence not in self.case.present:
            panel.text(wide / 2, high / 2, "not given", color=QUIET, ha="center", va="center")
            return
        volume = self.case.sequence(sequence)
        black, white = window(volume)
        panel.imshow(
            self.cut(volume),
            cmap="gray",
            vmin=black,
            vmax=black + (white - black) * dim,
            extent=(0, wide, high, 0),
            interpolation="bicubic",
        )

    def outline(self, panel: Axes, regions: np.ndarray, width: float, plain: bool = False) -> None:
        """The regions' outlines; `plain` draws all as full lines."""
        for mask, name in zip(regions, REGIONS):
            shown = self.cut(mask).astype(np.float32)
            if shown.any() and not shown.all():
                style = "-" if plain else STYLES[name]
                panel.contour(
                    *self._centres(shown), shown, levels=[0.5], colors=[REGION_COLOURS[name]],
                    linewidths=width, linestyles=style,
                )  # fmt: skip

    def fill(self, panel: Axes, regions: np.ndarray) -> None:
        """The tissues as a veil of colour."""
        for name, mask in tissues(regions).items():
            shown = self.cut(mask).astype(np.float32)
            if shown.any():
                panel.contourf(
                    *self._centres(shown), shown, levels=[0.5, 1.5], colors=[TISSUE_COLOURS[name]],
                    alpha=0.55,
                )  # fmt: skip

    def _centres(self, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the voxels' centres lie in the panel, mm."""
        sx, sy, _ = self.case.spacing
        return (np.arange(shown.shape[1]) + 0.5) * sx, (np.arange(shown.shape[0]) + 0.5) * sy


def outline_lines(width: float = 1.8) -> list[Line2D]:
    """The regions' outlines, for a legend."""
    return [
        Line2D([], [], color=REGION_COLOURS[r], linestyle=STYLES[r], linewidth=width, label=name)
        for r, name in REGION_NAMES.items()
    ]


def mark_sides(panel: Axes) -> None:
    """R and L: the patient's right is on the viewer's left."""
    for x, letter, place in ((0.02, "R", "left"), (0.98, "L", "right")):
        panel.text(x, 0.03, letter, color=QUIET, fontsize=10, ha=place, transform=panel.transAxes)


def mark_scale(panel: Axes, length: float = 50.0) -> None:
    """A bar of so many mm below the panel's right corner."""
    right, (bottom, top) = panel.get_xlim()[1], panel.get_ylim()
    y = bottom + 0.045 * (bottom - top)
    line = {"color": QUIET, "linewidth": 2, "solid_capstyle": "butt", "clip_on": False}
    panel.plot([right - length, right], [y, y], **line)
    panel.text(
        right - length - 3, y, f"{length:g} mm", color=QUIET, fontsize=9.5, ha="right", va="center"
    )


def _range(shown: np.ndarray) -> slice:
    """From the first to the last True, with a margin."""
    at = np.flatnonzero(shown)
    margin = max(2, round(0.04 * len(at)))
    return slice(max(0, int(at[0]) - margin), int(at[-1]) + 1 + margin)
