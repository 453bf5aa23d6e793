"""What an array of voxels must be to pass as an image, a label or a mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ._grid import Grid, times
from ._nifti import Nifti, open_nifti
from .errors import GliomakitError

WHOLE = 1e-3
"""A label's voxels may be this far from whole numbers: header scaling rounds."""


def copy(target: np.ndarray, source: np.ndarray) -> None:
    """Copy between axis orders and types: plane by plane stays in the processor's cache."""
    with np.errstate(over="ignore", invalid="ignore"):
        for y in range(target.shape[1]):
            target[:, y] = source[:, y]


def check_image(volume: np.ndarray, name: str, path: Path, may_be_empty: bool) -> None:
    """Refuse a sequence (float32) that holds no image."""
    low, high = volume.min(), volume.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(np.count_nonzero(~np.isfinite(volume)))
        raise GliomakitError(
            f"{name} has {bad} voxel{'s' * (bad > 1)} that are NaN or infinite", where=path
        )
    if low == high and not (may_be_empty and low == 0):
        raise GliomakitError(
            f"all voxels of {name} are {low:g}", where=path, todo="leave a missing sequence out"
        )


def check_volume(nifti: Nifti, what: str, todo: str | None = None) -> None:
    if len(nifti.shape) != 3:
        raise GliomakitError(
            f"is a {len(nifti.shape)}-D image ({times(nifti.shape)}) where {what}, 3-D, is meant",
            where=nifti.path,
            todo=todo,
        )


def whole_numbers(array: np.ndarray, path: Path) -> np.ndarray:
    """Whole numbers (uint8 where they fit) of a label's voxels."""
    if array.dtype == np.uint8:
        return array
    with np.errstate(invalid="ignore"):
        whole = array.astype(np.uint8)
    if np.array_equal(whole, array):
        return whole
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise GliomakitError("a label with NaN or infinite voxels", where=path)
        rounded = np.rint(array)
        off = np.abs(array - rounded)
        if off.max() > WHOLE:
            raise GliomakitError(
                f"a label must hold whole numbers, but it holds {array.flat[off.argmax()]:g}",
                where=path,
                todo="an image was given as label, or a label was resampled linearly",
            )
        array = rounded.clip(-(2**62), 2**62).astype(np.int64)
    fits = array.min() >= 0 and array.max() <= 255
    return array.astype(np.uint8) if fits else array


def read_mask(path: Path) -> tuple[np.ndarray, Grid]:
    """A brain mask: bool, RAS. Two values only, 0 and another: anything else is an image."""
    nifti = open_nifti(path)
    check_volume(nifti, "a brain mask")
    array = nifti.grid.to_ras(nifti.voxels().reshape(nifti.grid.shape, order="F"))
    low, high = array.min(), array.max()
    if not (abs(low) <= WHOLE < high and ((array == low) | (array == high)).all()):
        raise GliomakitError(
            "is not a brain mask: it should hold 0 outside and 1 inside the brain", where=path
        )
    return array == high, nifti.grid
