"""How far two surfaces lie apart: the Hausdorff distance, in mm.

Only the box that holds both masks is looked at. There every surface voxel looks into the columns of
voxels around its own, nearest first, for how far along each the other surface is; and as soon as
95 % have found their nearest, the others do not matter. If too many are far, the fastest that is
there does the rest: the package `edt` (an extra, for its licence), else a k-d tree of the surface
voxels, else, where these fill much of the box, SciPy's distance transform.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ._masks import Mask, box, pair, spacing_of
from ._workers import threads

REACH = 12
"""How far away columns are looked into, in the smallest side of a voxel."""

PATIENCE = 6
"""How many looks a voxel of the box is worth; in vain they take about as long as `edt` does."""

HOPE = 0.25, 0.8
"""Of a surface that was moved by a way, the distances to where it was are spread evenly up to that
way. So from a quarter of the reach on, 0.8 of the share of the voxels must be settled that would
bring all within reach; else the others are too far, and what comes is in vain."""

CROWDED = 0.1
"""Above this share of surface voxels in the box a distance transform is faster than a k-d tree."""


def surface(mask: Mask) -> Mask:
    """The voxels of a mask that lose one of their face neighbours; outside the array is empty.

    >>> surface(np.ones((3, 3), bool)).astype(int)
    array([[1, 1, 1],
           [1, 0, 1],
           [1, 1, 1]])
    """
    padded, inside = np.pad(mask, 1), mask.copy()
    for axis in range(mask.ndim):
        for first in (0, 2):
            shifted = [slice(1, -1)] * mask.ndim
            shifted[axis] = slice(first, first + mask.shape[axis])
            inside &= padded[tuple(shifted)]
    return mask & ~inside


def diagonal_mm(shape: Sequence[int], spacing: float | Sequence[float]) -> float:
    """The longest distance in a volume, corner to corner, in mm.

    >>> round(diagonal_mm((240, 240, 155), 1), 2)
    373.13
    """
    return float(np.linalg.norm(np.asarray(shape) * spacing_of(spacing, len(shape))))


def hd95(
    pred: ArrayLike, ref: ArrayLike, spacing: float | Sequence[float], percentile: float = 95
) -> float:
    """The 95th percentile of the Hausdorff distance between two masks, in mm.

    For each surface voxel of one mask the distance to the nearest surface voxel of the other, the
    95th percentile of these; the larger of both directions. Percentiles are interpolated, as in
    NumPy and MONAI.

    pred, ref: bool, or 0 and 1, of one shape; spacing: mm a voxel.
    Both empty: 0. One empty: the diagonal of the volume, so give masks on the whole grid. (BraTS
    writes 373.13 for it: the diagonal of 240 × 240 × 155 mm.)
    Raises `GliomakitError` for different shapes and for values other than 0 and 1.

    >>> a = np.zeros((20, 20, 20), bool); a[4:9, 4:9, 4:9] = True
    >>> hd95(a, np.roll(a, 2, axis=0), spacing=1.5)
    3.0
    """
    p, r = pair(pred, ref)
    sides = spacing_of(spacing, p.ndim)
    where = box(p | r)
    if where is None:
        return 0.0
    p, r = p[where], r[where]
    if not (p.any() and r.any()):
        return diagonal_mm(np.shape(ref), sides)
    p, r = surface(p), surface(r)
    share = percentile / 100
    both = [np.percentile(nearest(a, b, sides, share), percentile) for a, b in ((p, r), (r, p))]
    return float(max(both))


def nearest(
    source: Mask, target: Mask, sides: NDArray[np.float64], share: float = 1.0
) -> NDArray[np.float64]:
    """From each voxel of `source` to the nearest of `target`, in mm; neither is empty.

    share: of the voxels, the nearest first, beyond which a distance may be infinite instead: enough
           for a percentile, which does not ask how far the rest is.
    """
    rim = (REACH * sides.min() // sides).astype(int)
    rim[0] = 0  # columns run along the first axis
    wide = [(n, n) for n in rim]
    flat = np.pad(np.ascontiguousarray(target), wide)
    places = np.flatnonzero(np.pad(np.ascontiguousarray(source), wide))
    along = _along(flat, sides[0]).ravel()
    first = np.dot(rim, flat.strides)  # a voxel is a byte; no step leads further back than this
    places -= first
    found = np.full(len(places), np.inf, np.float32)
    left, least = np.arange(len(places)), found.copy()
    enough = min(int(share * (len(places) - 1)) + 2, len(places))
    looks = PATIENCE * source.size
    for aside, steps, certain in _rings(tuple(sides.tolist())):
        looks -= len(steps) * len(left)
        if looks < 0:
            break
        near = np.full(len(left), np.inf, np.float32)
        for step in steps @ flat.strides:
            np.minimum(near, along[first + step :].take(places, mode="clip"), out=near)
        np.minimum(least, near + aside, out=least)
        sure = least <= certain
        found[left[sure]] = least[sure]
        places, left, least = places[~sure], left[~sure], least[~sure]
        settled, way = (len(found) - len(left)) / enough, np.sqrt(certain) / (REACH * sides.min())
        if settled >= 1:
            return np.sqrt(found, dtype=float)
        if way > HOPE[0] and settled < HOPE[1] * way:
            break
    far = np.zeros_like(source)
    far[tuple(np.argwhere(source)[left].T)] = True
    found = np.sqrt(found, dtype=float)
    found[left] = distances(far, target, sides)
    return found


def distances(source: Mask, target: Mask, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same by a distance transform or a tree, for voxels that are far."""
    if (transform := _edt()) is not None:
        found = transform(~target, anisotropy=tuple(sides.tolist()), parallel=threads())
        return np.sqrt(found[source], dtype=float)
    if max(source.sum(), target.sum()) > CROWDED * source.size:
        return distance_transform_edt(~target, sampling=sides)[source]
    return cKDTree(np.argwhere(target) * sides).query(np.argwhere(source) * sides)[0]


def _along(target: Mask, side: float) -> NDArray[np.float32]:
    """Of each voxel the squared distance to the nearest of `target` in its column, mm²."""
    steps = np.where(target, np.int32(0), np.int32(1 << 15))
    for here, before in (*zip(steps[1:], steps), *zip(steps[-2::-1], steps[::-1])):
        np.minimum(here, before + 1, out=here)
    mm = steps * np.float32(side)
    return np.square(mm, out=mm)


@lru_cache(maxsize=8)
def _rings(sides: tuple[float, ...]) -> list[tuple[np.float32, NDArray[np.int64], np.float32]]:
    """Columns around one, nearest first: the squared distance of those equally far, mm²; the steps
    to them, (n, axes); and the square below which no other column can hold anything nearer."""
    reach = REACH * min(sides)
    ends = [np.zeros(1), *(np.arange(-(reach // s), reach // s + 1) for s in sides[1:])]
    steps = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(-1, len(sides)).astype(int)
    mm = np.linalg.norm(steps * sides, axis=1)
    order = np.argsort(mm, kind="stable")
    order = order[mm[order] <= reach]
    mm, steps = mm[order], steps[order]
    parts = np.flatnonzero(np.diff(mm) > 1e-9 * reach) + 1
    squares = np.array([*mm[[0, *parts]], reach], np.float32) ** 2
    return list(zip(squares, np.split(steps, parts), squares[1:]))


@cache
def _edt() -> Callable[..., NDArray[np.float32]] | None:
    """The squared distance transform of the package `edt`, if it is installed."""
    try:
        from edt import edtsq
    except ImportError:
        return None
    return edtsq
