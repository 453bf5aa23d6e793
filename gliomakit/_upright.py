"""A case turned upright, whichever way its axes run: planes of it as radiologists look at them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from nibabel.orientations import apply_orientation, io_orientation

from ._axial import fitting, largest_slice
from ._brain import bounds
from .cases import Case
from .errors import GliomakitError

PLANES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
"""Of right, front and top: the axis across, the one upward, the one through the plane."""

HIGH, LOW = "RAS", "LPI"
"""What an axis grows towards, and what it comes from. The high end is on the left and on top."""

MARGIN = 4  # voxels around brain and tumours


class Upright:
    """A case and a prediction, cut to brain and tumours.

    Voxels (x, y, z) are those of the case's arrays. What is cut out lies so that the patient's
    right is on the left of axial and coronal planes, the face on top of axial and on the left of
    sagittal ones.

    regions: of "reference" and "prediction", bool (3, x, y, z) or None.
    """

    def __init__(self, case: Case, prediction: np.ndarray | None = None):
        if not case.present:
            raise GliomakitError("there is no sequence to show", where=case.name)
        for name in case.present:
            if not np.isfinite(case.sequence(name)).all():
                raise GliomakitError(f"{name} has voxels that are no numbers", where=case.name)
        found = None if prediction is None else fitting(case, prediction)
        self.case, self.shape = case, case.image.shape[1:]
        self.regions = {"reference": fitting(case, None), "prediction": found}
        self._turn = io_orientation(case.affine)
        self._order = np.argsort(self._turn[:, 0])
        self.spacing = np.array(case.spacing)[self._order]
        self.box = self._box()

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """The first and the last voxel of x, y and z that are shown."""
        shown = []
        for (axis, way), length in zip(self._turn.astype(int), self.shape):
            low, high = self.box[axis].start, self.box[axis].stop - 1
            shown.append((low, high) if way > 0 else (length - 1 - high, length - 1 - low))
        return tuple(shown)

    def size(self, plane: str) -> tuple[float, float]:
        """Width and height of a plane, mm."""
        sides = [(s.stop - s.start) * mm for s, mm in zip(self.box, self.spacing)]
        across, up, _ = PLANES[plane]
        return float(sides[across]), float(sides[up])

    def cut(self, volume: np.ndarray, plane: str, at: Sequence[int]) -> np.ndarray:
        """The plane of a volume (x, y, z) through a voxel: rows from above, columns from the left,
        a view."""
        through = PLANES[plane][2]
        place: list[slice | int] = list(self.box)
        place[through] = self._upright(at)[through]
        return apply_orientation(volume, self._turn)[tuple(place)][::-1, ::-1].T

    def through(self, plane: str) -> int:
        """Which of x, y and z leads through a plane."""
        return int(self._order[PLANES[plane][2]])

    def point(self, plane: str, at: Sequence[int]) -> tuple[float, float]:
        """Where a voxel's centre lies in a plane: mm from the left, mm from above."""
        across, up, _ = PLANES[plane]
        voxel = self._upright(at)
        return tuple(
            float((self.box[a].stop - voxel[a] - 0.5) * self.spacing[a]) for a in (across, up)
        )

    def inside(self, at: Sequence[int] | None) -> tuple[int, int, int]:
        """The voxel as whole numbers; None is the tumour's middle. An error outside the volume."""
        if at is None:
            return self.start()
        voxel = tuple(int(v) for v in at)
        if len(voxel) != 3 or not all(0 <= v < n for v, n in zip(voxel, self.shape)):
            last = ", ".join(str(n - 1) for n in self.shape)
            raise GliomakitError(
                f"there is no voxel {voxel}", where=self.case.name, todo=f"they end with {last}"
            )
        return voxel

    def start(self, of: str | None = None) -> tuple[int, int, int]:
        """The middle of a tumour in its largest slice, the reference's or else the prediction's;
        without any the middle of what is shown."""
        sources = ("reference", "prediction") if of is None else (of,)
        for regions in (self.regions[source] for source in sources):
            if regions is not None and regions[0].any():
                z = largest_slice(regions)
                x, y = (int(np.median(found)) for found in np.nonzero(regions[0, ..., z]))
                return x, y, z
        return tuple((low + high) // 2 for low, high in self.spans)

    def _upright(self, at: Sequence[int]) -> list[int]:
        """A voxel in the upright grid."""
        turned = [
            v if way > 0 else n - 1 - v for v, n, way in zip(at, self.shape, self._turn[:, 1])
        ]
        return [turned[axis] for axis in self._order]

    def _box(self) -> tuple[slice, slice, slice]:
        shown = np.zeros(self.shape, bool)
        for name in self.case.present:
            shown |= self.case.sequence(name) != self.case.sequence(name).flat[0]
        for regions in self.regions.values():
            if regions is not None:
                shown |= regions[0]
        shown = apply_orientation(shown, self._turn)
        spans = bounds(shown) or [(0, n) for n in shown.shape]
        return tuple(
            slice(max(low - MARGIN, 0), min(high + MARGIN, n))
            for (low, high), n in zip(spans, shown.shape)
        )
