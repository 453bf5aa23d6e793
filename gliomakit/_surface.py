"""How far two surfaces lie apart: the Hausdorff distance, in mm.

Only the box that holds both masks is looked at. In it the distances come from the fastest that is
there: the package `edt` (an extra, for its licence), else a k-d tree of the surface voxels, else,
where these fill much of the box, SciPy's distance transform.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt
from scipy.spatial import cKDTree

from ._masks import Mask, box, pair, spacing_of

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
    both = [np.percentile(distances(a, b, sides), percentile) for a, b in ((p, r), (r, p))]
    return float(max(both))


def distances(source: Mask, target: Mask, sides: NDArray[np.float64]) -> NDArray[np.float64]:
    """From each voxel of `source` to the nearest of `target`, in mm; neither is empty."""
    if (transform := _edt()) is not None:
        found = transform(~target, anisotropy=tuple(sides.tolist()), parallel=_threads())
        return np.sqrt(found[source], dtype=float)
    if max(source.sum(), target.sum()) > CROWDED * source.size:
        return distance_transform_edt(~target, sampling=sides)[source]
    # Surface voxels that both masks share are zero apart and need no search.
    apart = np.argwhere(source & ~target) * sides
    distances = np.zeros(np.count_nonzero(source))
    distances[: len(apart)] = cKDTree(np.argwhere(target) * sides).query(apart)[0]
    return distances


@cache
def _edt() -> Callable[..., NDArray[np.float32]] | None:
    """The squared distance transform of the package `edt`, if it is installed."""
    try:
        from edt import edtsq
    except ImportError:
        return None
    return edtsq


def _threads() -> int:
    """As many as the environment allows, as for NumPy and PyTorch."""
    allowed = os.environ.get("OMP_NUM_THREADS", "")
    return int(allowed) if allowed.isdecimal() and int(allowed) else os.cpu_count() or 1
