"""A file's voxel grid, and the way between it and the package's own axis order.

Inside the package every array is RAS+: the axes run to the patient's right, front and top. A file
may store its axes in any order and direction. `Grid` remembers what the file had, so that a label
can be written back voxel for voxel.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from nibabel import Nifti1Header
from nibabel.affines import voxel_sizes
from nibabel.orientations import (
    aff2axcodes,
    apply_orientation,
    inv_ornt_aff,
    io_orientation,
    ornt_transform,
)

RAS = np.array([[0, 1], [1, 1], [2, 1]])
SAME = 0.02
"""Two grids are the same if no corner is further apart than this share of a voxel."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Where the voxels of a file lie: as stored, in any orientation.

    shape:  three numbers of voxels, in the file's axis order.
    affine: (4, 4), voxel to mm, in the file's axis order.
    header: the file's own header, whose sform and qform a written label keeps; None for a case
            that was made in memory.

    >>> grid = Grid((4, 5, 6), np.diag([-1, -1, 2, 1]))
    >>> grid.axes, grid.ras.axes, grid.spacing
    ('LPS', 'RAS', (1.0, 1.0, 2.0))
    >>> stored = np.arange(120).reshape(4, 5, 6)
    >>> bool((grid.from_ras(grid.to_ras(stored)) == stored).all())
    True
    """

    shape: tuple[int, int, int]
    affine: np.ndarray
    header: Nifti1Header | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))
        object.__setattr__(self, "affine", np.array(self.affine, np.float64))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Voxel sizes in mm, in the file's axis order."""
        return tuple(float(s) for s in voxel_sizes(self.affine))

    @property
    def axes(self) -> str:
        """Where the file's axes run to, such as `LPS`."""
        return "".join(aff2axcodes(self.affine))

    @cached_property
    def ras(self) -> Grid:
        """The same voxels with their axes in RAS+ order (nibabel's closest canonical)."""
        ornt = io_orientation(self.affine)
        shape = tuple(self.shape[i] for i in np.argsort(ornt[:, 0]))
        return Grid(shape, self.affine @ inv_ornt_aff(ornt, self.shape))

    def to_ras(self, array: np.ndarray) -> np.ndarray:
        """An array (x, y, z) in the file's axis order, turned to RAS+: a view, no copy."""
        return apply_orientation(array, io_orientation(self.affine))

    def from_ras(self, array: np.ndarray) -> np.ndarray:
        """The way back from `to_ras`: a view, no copy."""
        return apply_orientation(array, ornt_transform(RAS, io_orientation(self.affine)))

    def difference(self, other: Grid) -> str | None:
        """In words how the two grids differ; None if voxels lie at the same places.

        Files that store the same voxels in another axis order do not differ.

        >>> Grid((4, 4, 4), np.eye(4)).difference(Grid((4, 4, 5), np.eye(4)))
        'their shapes are 4 x 4 x 4 and 4 x 4 x 5'
        """
        mine, its = self.ras, other.ras
        if mine.shape != its.shape:
            return f"their shapes are {times(self.shape)} and {times(other.shape)}"
        apart = np.linalg.norm(mine._corners() - its._corners(), axis=0).max()
        if apart <= SAME * min(mine.spacing + its.spacing):
            return None
        return f"their affines differ: the same corner lies {apart:.3g} mm apart"

    def overlaps(self, other: Grid) -> bool:
        """Whether the box around `other`, in this grid's voxels, reaches into this grid."""
        there = np.linalg.inv(self.affine) @ np.vstack([other._corners(), np.ones(8)])
        low, high = there[:3].min(axis=1), there[:3].max(axis=1)
        return bool((high > -0.5).all() and (low < np.array(self.shape) - 0.5).all())

    def _corners(self) -> np.ndarray:
        """(3, 8): the centres of the eight corner voxels in mm."""
        box = np.indices((2, 2, 2)).reshape(3, 8) * (np.array(self.shape)[:, None] - 1)
        return self.affine[:3, :3] @ box + self.affine[:3, 3:]


def resample(array: np.ndarray, source: Grid, target: Grid, nearest: bool = False) -> np.ndarray:
    """An array (x, y, z) on RAS grid `source`, on RAS grid `target`; dtype kept.

    Linear, or nearest neighbour for labels; equal to ITK's. Outside the source's voxels a label is
    0 and an image has its background's value (the median of its corners): some data sets have a
    background that is not 0.
    """
    from scipy import ndimage  # a quarter of a second, needed by few

    matrix = np.linalg.inv(source.affine) @ target.affine
    turn, shift = matrix[:3, :3], matrix[:3, 3]
    # "nearest" carries the outermost voxel to its outer face, half a voxel past its centre.
    moved = ndimage.affine_transform(
        array, turn, shift, target.shape, order=0 if nearest else 1, mode="nearest"
    )
    steps = [np.arange(n).reshape(np.roll((-1, 1, 1), i)) for i, n in enumerate(target.shape)]
    corners = array[np.ix_(*[(0, n - 1) for n in array.shape])]
    fill = 0 if nearest else np.median(corners)
    for axis, n in enumerate(source.shape):
        place = sum(factor * step for factor, step in zip(turn[axis], steps)) + shift[axis]
        moved[(place < -0.5 - 1e-6) | (place > n - 0.5 + 1e-6)] = fill
    return moved


def times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
