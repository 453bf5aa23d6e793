"""What every measure of two masks begins with: are they masks, of one grid, and where are they."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import GliomakitError

Mask = NDArray[np.bool_]


def mask(array: ArrayLike, what: str = "mask") -> Mask:
    """An array as bool. Anything but true and false, or 0 and 1, raises `GliomakitError`: a label
    map or a probability taken for a mask would be scored without a word.

    >>> mask([0, 1, 1])
    array([False,  True,  True])
    """
    array = np.asarray(array)
    if array.dtype == bool:
        return array
    true = array == 1
    if not np.array_equal(true, array != 0):
        raise GliomakitError(
            f"the {what} holds other values than 0 and 1",
            todo="make regions of a label with regions.to_regions, threshold a probability",
        )
    return true


def pair(pred: ArrayLike, ref: ArrayLike) -> tuple[Mask, Mask]:
    """Prediction and reference as masks of one shape; `GliomakitError` if the shapes differ."""
    p, r = mask(pred, "prediction"), mask(ref, "reference")
    same_shape(p, r)
    return p, r


def same_shape(pred: np.ndarray, ref: np.ndarray) -> None:
    """Raise `GliomakitError` unless both arrays have one shape."""
    if pred.shape != ref.shape:
        raise GliomakitError(
            f"the prediction has shape {pred.shape}, the reference {ref.shape}",
            todo="compare them on one grid",
        )


def spacing_of(spacing: float | Sequence[float], ndim: int) -> NDArray[np.float64]:
    """The voxel's sides in mm, one an axis; one number stands for all axes.

    >>> spacing_of(2, 3)
    array([2., 2., 2.])
    """
    sides = np.asarray(spacing, float)
    if (
        sides.ndim > 1
        or sides.size not in (1, ndim)
        or not (np.isfinite(sides) & (sides > 0)).all()
    ):
        raise GliomakitError(
            f"spacing {spacing} does not fit an array of {ndim} axes",
            todo="give the voxel's sides in mm, one an axis",
        )
    return np.broadcast_to(sides.ravel(), (ndim,)).copy()


def box(mask: Mask) -> tuple[slice, ...] | None:
    """The smallest box that holds every true voxel; None if there is none.

    >>> box(np.array([[0, 0, 0], [0, 1, 1]], bool))
    (slice(1, 2, None), slice(1, 3, None))
    """
    found: list[slice] = []
    for axis in range(mask.ndim):
        others = tuple(i for i in range(mask.ndim) if i != axis)
        where = np.flatnonzero(mask.any(axis=others))
        if not where.size:
            return None
        found.append(slice(int(where[0]), int(where[-1]) + 1))
        # What is cut off here need not be looked at along the other axes.
        mask = mask[tuple([slice(None)] * axis + [found[-1]])]
    return tuple(found)
