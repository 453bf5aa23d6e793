"""The way from a case's grid to its prepared grid, and back.

Both grids have the same axes. The prepared one begins at the low corner of a box and has voxels
of its own size:

    case      | 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 |        box: voxels 1 to 6
    prepared      |   0   |   1   |   2   |            voxels twice as long

so the two touch at the box's corner, not at voxel centres, and nothing is shifted. Toward larger
voxels an axis is averaged over the length of each new voxel (a thin structure keeps its share);
toward smaller ones it is interpolated linearly between voxel centres.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import numpy as np

_SAME = 1e-4  # spacings that differ by less than this share are one: headers are rounded


class Span(NamedTuple):
    """Voxels `low` up to, not including, `high` of one axis."""

    low: int
    high: int


@dataclass(frozen=True)
class Frame:
    """A box of a case's grid and the voxel size it is prepared at: all that `restore` needs.

    shape:   (x, y, z) of the case's grid.
    box:     one `Span` an axis.
    spacing: mm of the case's voxels.
    target:  mm of the prepared voxels, None to keep the case's.
    """

    shape: tuple[int, int, int]
    box: tuple[Span, Span, Span]
    spacing: tuple[float, float, float]
    target: tuple[float, float, float] | None = None

    @property
    def ratio(self) -> tuple[float, float, float]:
        """Length of a prepared voxel in the case's voxels; exactly 1 where nothing is resampled."""
        if self.target is None:
            return (1.0, 1.0, 1.0)
        ratios = (b / a for a, b in zip(self.spacing, self.target, strict=True))
        return tuple(1.0 if abs(r - 1) < _SAME else r for r in ratios)

    @property
    def size(self) -> tuple[int, int, int]:
        """(x, y, z) of the prepared grid: as many voxels as the box needs to be covered.

        >>> Frame((8, 8, 8), (Span(1, 7), Span(0, 8), Span(0, 5)), (1, 1, 1), (2, 2, 2)).size
        (3, 4, 3)
        """
        lengths = (span.high - span.low for span in self.box)
        return tuple(
            n if r == 1 else max(ceil(n / r - _SAME), 1)
            for n, r in zip(lengths, self.ratio, strict=True)
        )

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The box as an index into the case's grid."""
        return tuple(slice(span.low, span.high) for span in self.box)

    @property
    def prepared_spacing(self) -> tuple[float, float, float]:
        """mm of the prepared voxels."""
        return tuple(s * r for s, r in zip(self.spacing, self.ratio, strict=True))

    def affine(self, affine: np.ndarray) -> np.ndarray:
        """The prepared grid's affine (4, 4, voxel to mm), from the case's.

        >>> box = (Span(1, 7), Span(0, 8), Span(0, 5))
        >>> Frame((8, 8, 8), box, (1, 1, 1), (2, 2, 2)).affine(np.eye(4))[0]
        array([2. , 0. , 0. , 1.5])
        """
        step = np.eye(4)
        for axis, (span, r) in enumerate(zip(self.box, self.ratio, strict=True)):
            step[axis, axis] = r
            step[axis, 3] = span.low + (r - 1) / 2
        return np.asarray(affine, float) @ step


def resample(array: np.ndarray, size: tuple[int, int, int], ratio: tuple[float, ...]) -> np.ndarray:
    """Resample the last three axes of a float array to `size` voxels, each `ratio` voxels long.

    array: (…, x, y, z); returned as float32, C order. Both grids begin at the same corner. Voxels
    beyond the array's end are not counted in the averages.

    >>> resample(np.array([[[1.0, 3.0, 5.0, 7.0]]]), (1, 1, 2), (1, 1, 2))
    array([[[2., 6.]]], dtype=float32)
    >>> resample(np.array([[[2.0, 6.0]]]), (1, 1, 4), (1, 1, 0.5))
    array([[[2., 3., 5., 6.]]], dtype=float32)
    """
    array = np.ascontiguousarray(array, np.float32)
    # The axes are independent. Those that shrink come first, when most is gained by it.
    for axis in sorted(range(3), key=lambda axis: -ratio[axis]):
        array = _along(array, axis - 3, size[axis], ratio[axis])
    return array


def restore(array: np.ndarray, frame: Frame, fill: float = 0) -> np.ndarray:
    """Bring (…, x, y, z) from the prepared grid back to the case's grid; `fill` outside the box.

    Where nothing was resampled the values and the dtype are kept as they are. Else floats are
    interpolated (float32), masks too, and are true from a half on. Raises `ValueError` for whole
    numbers that would have to be interpolated: labels are no quantities, restore regions instead.

    >>> frame = Frame((5, 1, 1), (Span(1, 4), Span(0, 1), Span(0, 1)), (1.0, 1.0, 1.0))
    >>> restore(np.array([[[7]], [[8]], [[9]]]), frame).ravel()
    array([0, 7, 8, 9, 0])
    """
    array = np.asarray(array)
    if array.shape[-3:] != frame.size:
        raise ValueError(f"the array is {array.shape[-3:]}, the prepared grid {frame.size}")
    if any(r != 1 for r in frame.ratio):
        if not (array.dtype == bool or np.issubdtype(array.dtype, np.floating)):
            raise ValueError(f"{array.dtype} cannot be interpolated; restore regions (bool)")
        box = tuple(span.high - span.low for span in frame.box)
        values = resample(array, box, tuple(1 / r for r in frame.ratio))
        array = values >= 0.5 - _SAME if array.dtype == bool else values
    out = np.full((*array.shape[:-3], *frame.shape), fill, array.dtype)
    out[(..., *frame.slices)] = array
    return out


def _along(array: np.ndarray, axis: int, size: int, ratio: float) -> np.ndarray:
    """`resample` along one axis.

    A new voxel needs few old ones, so a sum of scaled gathers is as fast as a matrix product, and
    unlike a threaded one it does not stall on a busy machine.
    """
    if ratio == 1 and size == array.shape[axis]:
        return array
    out = None
    for index, weight in _taps(array.shape[axis], size, ratio):
        part = np.take(array, index, axis)
        part *= weight.reshape(-1, *(1,) * (-axis - 1))
        out = part if out is None else np.add(out, part, out=out)
    return out


def _taps(n: int, m: int, ratio: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """What m new voxels take from n old ones: pairs of index and weight (m,); the weights of a
    voxel sum to 1."""
    new = np.arange(m)[:, None]
    if ratio > 1:
        low = new * ratio
        old = np.floor(low).astype(int) + np.arange(ceil(ratio) + 1)
        shared = np.minimum(low + ratio, old + 1) - np.maximum(low, old)
    else:
        centre = np.clip((new + 0.5) * ratio - 0.5, 0, n - 1)
        old = np.floor(centre).astype(int) + np.arange(2)
        shared = 1 - np.abs(centre - old)
    shared = np.where(old < n, np.maximum(shared, 0), 0)
    shared = (shared / shared.sum(1, keepdims=True)).astype(np.float32)
    old = np.minimum(old, n - 1)
    return [(old[:, k], shared[:, k]) for k in range(old.shape[1]) if shared[:, k].any()]
