"""Another scanner for a whole batch in two Triton kernels: what `_augment.augment_intensity` does.

Gamma needs the range of a sequence's brain first: one kernel finds it, block by block, where gamma
was drawn. The other reads each voxel once and writes it once. They replace dozens of launches,
which cost more than their work. Importing this needs Triton.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import triton
import triton.language as tl
from torch import Tensor

from .device import sent

BLOCK = 2048
"""Voxels of a program."""


@triton.jit
def _range(
    image,  # (rows, M) float32, a row being a sequence of a patch
    numbers,  # (4, rows) float32: factor, shift, exponent or 0, sigma or 0
    ranges,  # (rows, 2, blocks) float32: the least of the brain, the largest of all
    M, BLOCK: tl.constexpr,
):  # fmt: skip
    row, rows = tl.program_id(1).to(tl.int64), tl.num_programs(1)
    if tl.load(numbers + 2 * rows + row) > 0:
        voxel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
        x = tl.load(image + row * M + voxel, mask=voxel < M, other=float("-inf"))
        inside = (voxel < M) & (x != 0)
        place = ranges + row * 2 * tl.num_programs(0) + tl.program_id(0)
        tl.store(place, tl.min(tl.where(inside, x, float("inf"))))
        tl.store(place + tl.num_programs(0), tl.max(x))


@triton.jit
def _change(
    image, numbers, ranges,
    seeds,  # (steps,) int64: of the noise; the rows are those of the steps, one behind the other
    M,
    STEPS: tl.constexpr,
    BLOCKS: tl.constexpr,  # a power of two, at least as many as there are blocks
    BLOCK: tl.constexpr,
):  # fmt: skip
    row, rows = tl.program_id(1).to(tl.int64), tl.num_programs(1)
    voxel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    before = tl.load(image + row * M + voxel, mask=voxel < M, other=0)
    x = before
    exponent = tl.load(numbers + 2 * rows + row)
    if exponent > 0:
        block, blocks = tl.arange(0, BLOCKS), tl.num_programs(0)
        place = ranges + row * 2 * blocks + block
        low = tl.min(tl.load(place, mask=block < blocks, other=float("inf")))
        high = tl.max(tl.load(place + blocks, mask=block < blocks, other=float("-inf")))
        span = tl.maximum(high - low, 1e-6)
        part = tl.minimum(tl.maximum((x - low) / span, 0.0), 1.0)
        x = tl.exp2(exponent * tl.log2(part)) * span + low
    x = x * tl.load(numbers + row) + tl.load(numbers + rows + row)
    sigma = tl.load(numbers + 3 * rows + row)
    if sigma > 0:
        each = rows // STEPS
        x += sigma * tl.randn(tl.load(seeds + row // each), (row % each * M + voxel).to(tl.uint32))
    tl.store(image + row * M + voxel, tl.where(before != 0, x, 0.0), mask=voxel < M)


def change(image: Tensor, numbers: np.ndarray, seeds: Sequence[int]) -> Tensor:
    """Change a batch in place: image (n, c, x, y, z) float32, contiguous; numbers (4, n, c):
    factor, shift, exponent (0: no gamma), sigma (0: no noise); seeds: of the noise, of one step or
    of several whose patches lie one behind the other."""
    rows, voxels = image.shape[0] * image.shape[1], image[0, 0].numel()
    blocks = triton.cdiv(voxels, BLOCK)
    told = np.array(seeds, np.int64).view(np.uint8), numbers.astype(np.float32).view(np.uint8)
    there = sent(np.concatenate([part.ravel() for part in told]), image.device)
    of_noise = there[: 8 * len(seeds)].view(torch.int64)
    numbers = there[8 * len(seeds) :].view(torch.float32)
    ranges = torch.empty((rows, 2, blocks), device=image.device)
    _range[(blocks, rows)](image, numbers, ranges, voxels, BLOCK=BLOCK)
    _change[(blocks, rows)](
        image, numbers, ranges, of_noise, voxels, STEPS=len(seeds),
        BLOCKS=triton.next_power_of_2(blocks), BLOCK=BLOCK,
    )  # fmt: skip
    return image
