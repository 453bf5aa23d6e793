"""The Triton kernel that draws batches' plans on a GPU. Importing this needs Triton.

It draws what `patches.PatchSampler.plan` draws, to the bit: Triton's Philox is NumPy's (`tl.philox`
with 64-bit counters), so the numbers of (seed, step) are worked out where they are needed, each by
its place in NumPy's stream. A tumour voxel is looked up in the index that lies there. The result is
the table that `_kernels` fills a batch by; nothing of it comes from the processor.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from ._kernels import COLUMNS, VOLUME

BLOCK = 32
"""Patches of a program."""

ROW = VOLUME + 9
"""Numbers of a case in the atlas: its volume's, then of its tumour voxels the address of the index,
how many there are, of how many tissues, and of up to three tissues the first and the count."""


@triton.jit
def _word(seed, step, place):
    """The 64 bits at that place of `_augment.generator(seed, step)`'s stream."""
    block = (place // 4 + 1).to(tl.uint64)  # NumPy counts up before it draws
    none = block * 0
    a, b, c, d = tl.philox(seed, block, none, none, none + step.to(tl.uint64))
    at = place % 4
    return tl.where(at == 0, a, tl.where(at == 1, b, tl.where(at == 2, c, d)))


@triton.jit
def _bits(seed, step, place):
    """32 bits, as `patches._below` has them: a word is two, the lower half first."""
    word = _word(seed, step, place // 2)
    return tl.where(place % 2 == 0, word & 0xFFFFFFFF, word >> 32).to(tl.int64)


@triton.jit
def _part(seed, step, place, whole):
    """`int(rng.random() * whole)`: the upper 53 bits as a number in [0, 1)."""
    number = (_word(seed, step, place) >> 11).to(tl.int64).to(tl.float64) * (2.0**-53)
    return (number * whole.to(tl.float64)).to(tl.int64)


@triton.jit(do_not_specialize=[*range(4, 15)])
def _draw_batch(
    table,  # (steps, n, COLUMNS) int64: what `_kernels` fills by
    present,  # (steps, n, 4) uint8: the sequences that each patch's case has
    atlas,  # (cases, ROW) int64
    has,  # (cases, 4) uint8
    step,  # the first of the steps
    n, cases, seed, foreground, size_x, size_y, size_z, balance, rotate, flips,
    VOLUME: tl.constexpr, ROW: tl.constexpr, COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = i < n
    later = tl.program_id(1).to(tl.int64)
    step = step.to(tl.int64) + later
    row = table + (later * n + i) * COLUMNS
    known = present + (later * n + i) * 4

    # The case. With one only, nothing is drawn for it, and what follows moves up.
    case = _bits(seed, step, i) * cases >> 32
    first = tl.where(cases > 1, (n + 1) // 2, 0)
    place = atlas + case * ROW
    for column in tl.static_range(VOLUME):
        tl.store(row + column, tl.load(place + column, mask=real, other=0), mask=real)
    for sequence in tl.static_range(4):
        there = tl.load(has + case * 4 + sequence, mask=real, other=0)
        tl.store(known + sequence, there, mask=real)

    # Around a tumour voxel? Then which: its place in the index, from all or from one tissue's.
    tumour = place + VOLUME
    address = tl.load(tumour, mask=real, other=0).to(tl.pointer_type(tl.uint32))
    count = tl.load(tumour + 1, mask=real, other=0)
    wanted = (_word(seed, step, first + i) >> 11).to(tl.int64) < foreground
    wanted = wanted & (count > 0) & real
    tissue = _part(seed, step, first + n + i, tl.load(tumour + 2, mask=real, other=1))
    one = wanted & (i * 0 + balance != 0)
    start = tl.load(tumour + 3 + tissue, mask=one, other=0)
    count = tl.where(one, tl.load(tumour + 6 + tissue, mask=one, other=0), count)
    voxel = start + _part(seed, step, first + 2 * n + i, count)
    voxel = tl.load(address + voxel, mask=wanted, other=0).to(tl.int64)

    # A quarter turn, two bits. After an odd number of cases half a word is left, which comes first.
    left = tl.where(cases > 1, n % 2, 0)
    at = tl.where((left == 1) & (i == 0), 2 * first - 1, 2 * (first + 6 * n) + i - left)
    turn = tl.where(rotate != 0, _bits(seed, step, at) >> 30, 0)
    turn = tl.where(size_x == size_y, turn, turn // 2 * 2)
    words = tl.where(rotate != 0, (n - left + 1) // 2, 0)
    swap = turn % 2

    # Along each axis: the first voxel, and whether the patch is read from the other end.
    shape_y = tl.load(place + 10, mask=real, other=1)
    shape_z = tl.load(place + 11, mask=real, other=1)
    for axis in tl.static_range(3):
        room = tl.load(place + 9 + axis, mask=real, other=1)
        if axis == 0:
            centre = voxel // (shape_y * shape_z) - size_x // 2
            room -= size_x
            back = (turn == 1) | (turn == 2)
        elif axis == 1:
            centre = voxel // shape_z % shape_y - size_y // 2
            room -= size_y
            back = (turn == 2) | (turn == 3)
        else:
            centre = voxel % shape_z - size_z // 2
            room -= size_z
            back = turn < 0
        origin = _part(seed, step, first + 3 * n + 3 * i + axis, tl.maximum(room, 0) + 1)
        origin = tl.where(wanted, centre, origin)
        origin = tl.minimum(tl.maximum(origin, 0), tl.maximum(room, 0))
        # A volume smaller than the patch lies in its middle.
        origin = tl.where(room < 0, -((-room) // 2), origin)
        tl.store(row + VOLUME + axis, origin, mask=real)
        half = _word(seed, step, first + 6 * n + words + 3 * i + axis) >> 63 == 0
        back = back ^ (half & ((i * 0 + flips) >> axis & 1 == 1))
        tl.store(row + VOLUME + 4 + axis, back.to(tl.int64), mask=real)
    tl.store(row + VOLUME + 3, swap, mask=real)


def draw(
    table: Tensor, present: Tensor, atlas: Tensor, has: Tensor, step: int, asked: tuple[int, ...]
) -> None:
    """Launch the kernel for the steps from `step` on: table (steps, n, COLUMNS) int64 and present
    (steps, n, 4) uint8 are written; atlas (cases, ROW) int64, has (cases, 4) uint8; asked as
    `_drawing.asked` has it."""
    steps, n = table.shape[:2]
    _draw_batch[(triton.cdiv(n, BLOCK), steps)](
        table, present, atlas, has, step, n, len(atlas), *asked,
        VOLUME=VOLUME, ROW=ROW, COLUMNS=COLUMNS, BLOCK=BLOCK,
    )  # fmt: skip
