"""What scanners do to an image, to a whole batch at once, each sequence with its own number.

Blurring and coarser voxels both mix the voxels of a row, whichever row it is: a matrix along each
axis. So both are three matrix products, as many as there are sequences at once, on any device.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from .device import sent

DEGREE = 3
"""A field of uneven sensitivity is made of products of polynomials of up to this degree in all."""


def bend(image: Tensor, inside: Tensor, exponent: Tensor) -> Tensor:
    """Gamma on each sequence's own range inside the brain: image, inside (m, x, y, z), exponent
    (m,); a new tensor."""
    high = image.amax((1, 2, 3), keepdim=True)
    # Voxels outside are 0 and must not become the range's lower end.
    low = torch.where(inside, image, high).amin((1, 2, 3), keepdim=True)
    span = (high - low).clamp(min=1e-6)
    bent = image.sub(low).div_(span).clamp_(0, 1)
    return bent.pow_(exponent[:, None, None, None]).mul_(span).add_(low)


def uneven(image: Tensor, coefficients: Tensor) -> Tensor:
    """Multiply each sequence by a smooth field, in place: image (m, x, y, z), coefficients (m,
    DEGREE + 1, DEGREE + 1, DEGREE + 1) of the field's logarithm, by Legendre polynomials over the
    patch along x, y, z."""
    log = coefficients
    for axis, sides in enumerate(image.shape[1:], start=1):
        log = torch.movedim(torch.tensordot(log, _legendre(sides, log), ([axis], [0])), -1, axis)
    return image.mul_(log.exp_())


def blurred(image: Tensor, sigma: Tensor) -> Tensor:
    """Blur by a Gaussian: image (m, x, y, z), sigma (m,) in voxels; a new tensor. At the patch's
    border the weights of what is there add up to 1. A sigma of 0 changes nothing."""
    width = sigma.clamp(min=1e-3)[:, None, None]
    axes = []
    for side in image.shape[1:]:
        place = torch.arange(side, dtype=image.dtype, device=image.device)
        weights = torch.exp(-((place[:, None] - place) ** 2) / (2 * width**2))
        axes.append(weights / weights.sum(2, keepdim=True))
    return _along(image, axes)


def coarsened(image: Tensor, factors: list[float]) -> Tensor:
    """As if taken with larger voxels and resampled: image (m, x, y, z), m factors of 1 and more; a
    new tensor. Voxels are averaged into round(side / factor) larger ones, then interpolated."""
    axes = []
    for side in image.shape[1:]:
        each = [_coarse(side, max(round(side / factor), 1)) for factor in factors]
        axes.append(sent(torch.stack(each), image.device, image.dtype))
    return _along(image, axes)


def _along(image: Tensor, matrices: list[Tensor]) -> Tensor:
    """Multiply the rows along x, y and z by (m, side, side) matrices."""
    for axis, matrix in enumerate(matrices, start=1):
        rows = image.movedim(axis, 1)
        mixed = torch.bmm(matrix, rows.flatten(2)).view(rows.shape)
        image = mixed.movedim(1, axis)
    return image


@lru_cache(maxsize=256)
def _coarse(side: int, fewer: int) -> Tensor:
    """What averaging into fewer voxels and interpolating back does to a row: (side, side)."""
    rows = torch.eye(side)[:, None]
    small = F.interpolate(rows, size=fewer, mode="area")
    return F.interpolate(small, size=side, mode="linear")[:, 0].T.contiguous()


def _legendre(side: int, like: Tensor) -> Tensor:
    """Legendre polynomials from -1 to 1, (DEGREE + 1, side)."""
    x = torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device)
    found = [torch.ones_like(x), x]
    for n in range(1, DEGREE):
        found.append(((2 * n + 1) * x * found[n] - n * found[n - 1]) / (n + 1))
    return torch.stack(found[: DEGREE + 1])
