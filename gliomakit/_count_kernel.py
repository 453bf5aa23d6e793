"""The Triton kernel that counts the regions of two label maps on a GPU, in one pass over both.

Importing this needs Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 4096
"""Voxels of a program."""

UNKNOWN = 8
"""In a table of values: the bit of a value that its convention lacks; the lower three are WT, TC,
ET."""


@triton.jit
def _count(
    pred, ref,  # (b, M) whole numbers
    of_pred, of_ref,  # (CODES,) int32: of each value the bits of its regions
    counts,  # (b, 10) int32, zeros: of each region in both, predicted, in the reference; unknown
    M, CODES: tl.constexpr, UNKNOWN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    case = tl.program_id(1).to(tl.int64)
    voxel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    there = voxel < M
    a = tl.load(pred + case * M + voxel, mask=there, other=0)
    b = tl.load(ref + case * M + voxel, mask=there, other=0)
    known = (a >= 0) & (a < CODES) & (b >= 0) & (b < CODES)
    x = tl.load(of_pred + tl.where(known, a, 0).to(tl.int32))
    y = tl.load(of_ref + tl.where(known, b, 0).to(tl.int32))
    place = counts + case * 10
    for region in tl.static_range(3):
        p = tl.where(there, x >> region & 1, 0)
        r = tl.where(there, y >> region & 1, 0)
        # Most blocks are background: nobody waits for a counter to add nothing to it.
        both, first, second = tl.sum(p & r), tl.sum(p), tl.sum(r)
        tl.atomic_add(place + 3 * region, both, mask=both > 0)
        tl.atomic_add(place + 3 * region + 1, first, mask=first > 0)
        tl.atomic_add(place + 3 * region + 2, second, mask=second > 0)
    wrong = tl.sum(tl.where(there & (~known | ((x | y) >= UNKNOWN)), 1, 0))
    tl.atomic_add(place + 9, wrong, mask=wrong > 0)


def count(pred: Tensor, ref: Tensor, of_pred: Tensor, of_ref: Tensor) -> Tensor:
    """Launch the kernel: pred, ref (b, …) whole numbers and the tables, all on one device. Returns
    (b, 10) int32, as `_count` has it."""
    voxels = pred[0].numel()
    counts = torch.zeros((len(pred), 10), dtype=torch.int32, device=pred.device)
    _count[(triton.cdiv(voxels, BLOCK), len(pred))](
        pred.contiguous(), ref.contiguous(), of_pred, of_ref, counts, voxels,
        CODES=len(of_pred), UNKNOWN=UNKNOWN, BLOCK=BLOCK,
    )  # fmt: skip
    return counts
