"""The overlap-tile grid: cut a volume into overlapping windows and blend them back.

Positions and weights are MONAI's (`dense_patch_slices`, `compute_importance_map`), so that a
sliding window here gives what a sliding window there gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from math import prod
from typing import TypeVar

import numpy as np
import torch

from .errors import GliomakitError

Array = TypeVar("Array", np.ndarray, torch.Tensor)
Tile = tuple[slice, ...]


def tiles(
    shape: Sequence[int], size: int | Sequence[int], overlap: float = 0.5
) -> list[tuple[slice, ...]]:
    """Windows of `size` voxels that cover a volume of `shape`, each overlapping the next.

    The step is ``int(size * (1 - overlap))``, at least 1; the last window of an axis is moved
    back so that it ends with the volume. An axis shorter than the window has one window, of the
    axis' length. Raises `GliomakitError` if `overlap` is not in [0, 1) or a length is below 1.

    >>> tiles((10,), 4)
    [(slice(0, 4, None),), (slice(2, 6, None),), (slice(4, 8, None),), (slice(6, 10, None),)]
    >>> len(tiles((240, 240, 155), 96))
    48
    """
    size = _lengths(size, len(shape))
    if not 0 <= overlap < 1:
        raise GliomakitError(f"overlap is {overlap}; it is a share from 0 up to, not including, 1")
    if min(*size, *shape) < 1:
        raise GliomakitError(f"a volume of {tuple(shape)} has no windows of {size} voxels")
    axes = [
        [slice(a, a + min(window, length)) for a in starts(length, window, overlap)]
        for length, window in zip(shape, size, strict=True)
    ]
    return list(product(*axes))


def starts(length: int, size: int, overlap: float = 0.5) -> list[int]:
    """Where the windows of `tiles` begin along one axis.

    >>> starts(11, 4)
    [0, 2, 4, 6, 7]
    """
    last, step = max(length - size, 0), max(int(size * (1 - overlap)), 1)
    return [min(i * step, last) for i in range(-(-last // step) + 1)]


def gaussian(size: int | Sequence[int], sigma_scale: float = 0.125) -> torch.Tensor:
    """Blending weights of one window: 1 in the middle, less toward the border.

    A Gaussian of standard deviation ``sigma_scale * size`` along every axis, never below 0.001.
    float32, on the CPU, of shape `size` (three axes if that is one number).

    >>> gaussian((3, 3, 3))[1, 1]
    tensor([0.0286, 1.0000, 0.0286])
    """
    weight = torch.ones(())
    for length in (size,) * 3 if isinstance(size, int) else size:
        x = torch.arange(length, dtype=torch.float32) - (length - 1) / 2
        weight = weight.unsqueeze(-1) * torch.exp(-(x**2) / (2 * (sigma_scale * length) ** 2))
    return weight.clamp(min=max(float(weight.min()), 1e-3))


def cut(array: Array, windows: Sequence[Tile]) -> Array:
    """The windows of an array (…, x, y, z), stacked: (n, …, sx, sy, sz). Copies; keeps dtype and
    device.

    >>> cut(np.arange(6), tiles((6,), 4))
    array([[0, 1, 2, 3],
           [2, 3, 4, 5]])
    """
    parts = [array[(..., *window)] for window in windows]
    return torch.stack(parts) if isinstance(array, torch.Tensor) else np.stack(parts)


def blend(
    patches: Array,
    windows: Sequence[Tile],
    shape: Sequence[int],
    weight: Array | None = None,
) -> Array:
    """Put windows back into a volume of `shape`: the weighted mean where they overlap.

    patches: (n, …, sx, sy, sz), as `cut` makes them. weight: (sx, sy, sz), as `gaussian` makes
    it; None weighs all voxels alike. Returns (…, x, y, z) of the patches' kind, device and dtype
    (float32 for whole numbers). `blend(cut(a, t), t, shape)` is `a`, to rounding.

    >>> grid = tiles((6,), 4)
    >>> blend(cut(np.arange(6.0), grid), grid, (6,))
    array([0., 1., 2., 3., 4., 5.])
    """
    if isinstance(patches, np.ndarray):
        weight = None if weight is None else torch.as_tensor(weight)
        return blend(torch.from_numpy(patches), windows, shape, weight).numpy()
    dtype = patches.dtype if patches.is_floating_point() else torch.float32
    size = patches.shape[-len(shape) :]
    if weight is None:
        weight = torch.ones(size)
    if tuple(weight.shape) != tuple(size):
        raise GliomakitError(
            f"weights of {tuple(weight.shape)} do not fit windows of {tuple(size)}"
        )
    weight = weight.to(device=patches.device, dtype=dtype)
    between = patches.shape[1 : patches.ndim - len(shape)]
    total = torch.zeros((*between, *shape), dtype=dtype, device=patches.device)
    weights = torch.zeros(tuple(shape), dtype=dtype, device=patches.device)
    for patch, window in zip(patches, windows, strict=True):
        total[(..., *window)] += patch * weight
        weights[window] += weight
    if prod(weights.shape) and not bool((weights > 0).all()):
        raise GliomakitError("the windows do not cover the volume")
    return total.div_(weights)


def _lengths(size: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    lengths = (int(size),) * ndim if isinstance(size, int | np.integer) else tuple(map(int, size))
    if len(lengths) != ndim:
        raise GliomakitError(f"a size of {ndim} numbers is needed, not {lengths}")
    return lengths
