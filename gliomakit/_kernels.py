"""The Triton kernel that fills a batch of patches on a GPU. Importing this needs Triton.

One launch fills the whole batch: every program of the grid writes `BLOCK` voxels of one patch, and
works out for each where in which volume it comes from. Nothing is cut out, padded, turned or
flipped beforehand, so every voxel of the batch is written once and read once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

BLOCK = 512
"""Voxels a program writes."""

VOLUME = 13
"""Numbers that describe a volume: see `_fill.Stored.row`."""

COLUMNS = VOLUME + 7
"""Numbers that describe a patch in the table: its volume, and where and how it lies there."""


@triton.jit
def _fill_batch(
    out,  # the batch's images, (n, C, SX, SY, SZ) float32
    codes,  # its labels, (n, SX, SY, SZ) uint8
    table,  # (n, COLUMNS) int64: what each patch is
    stride_n, stride_c, stride_x, stride_y, stride_z,  # of out
    C: tl.constexpr, SX: tl.constexpr, SY: tl.constexpr, SZ: tl.constexpr,
    STORED: tl.constexpr,  # type of the volumes' numbers
    SCALED: tl.constexpr,  # whether they are multiplied by a number of each sequence's own
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    # Which patch, and which of its voxels, in the order in which they lie in memory.
    patch = tl.program_id(1).to(tl.int64)
    voxel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    z = voxel % SZ
    y = voxel // SZ % SY
    x = voxel // (SZ * SY)
    written = voxel < SX * SY * SZ

    # The patch's row: addresses, strides, shape and origin in the volume, how it is turned.
    row = table + patch * COLUMNS
    image = tl.load(row).to(tl.pointer_type(STORED))
    label_at = tl.load(row + 1)
    label = label_at.to(tl.pointer_type(tl.uint8))
    image_c, image_x = tl.load(row + 2), tl.load(row + 3)
    image_y, image_z = tl.load(row + 4), tl.load(row + 5)
    label_x, label_y, label_z = tl.load(row + 6), tl.load(row + 7), tl.load(row + 8)
    shape_x, shape_y, shape_z = tl.load(row + 9), tl.load(row + 10), tl.load(row + 11)
    scale = tl.load(row + 12).to(tl.pointer_type(tl.float32))
    from_x, from_y, from_z = tl.load(row + 13), tl.load(row + 14), tl.load(row + 15)
    swap = tl.load(row + 16)
    back_x, back_y, back_z = tl.load(row + 17), tl.load(row + 18), tl.load(row + 19)

    # Flipped: counted from the other end. Turned: x and y exchanged, then perhaps flipped.
    a = tl.where(back_x != 0, SX - 1 - x, x)
    b = tl.where(back_y != 0, SY - 1 - y, y)
    c = tl.where(back_z != 0, SZ - 1 - z, z)
    i = from_x + tl.where(swap != 0, b, a)
    j = from_y + tl.where(swap != 0, a, b)
    k = from_z + c

    # Beyond the volume's border nothing is read, and 0 is written.
    inside = (i >= 0) & (i < shape_x) & (j >= 0) & (j < shape_y) & (k >= 0) & (k < shape_z)
    inside = inside & written
    source = i * image_x + j * image_y + k * image_z
    target = out + patch * stride_n + x * stride_x + y * stride_y + z * stride_z
    for channel in tl.static_range(C):
        value = tl.load(image + channel * image_c + source, mask=inside, other=0).to(tl.float32)
        if SCALED:
            value = value * tl.load(scale + channel)
        tl.store(target + channel * stride_c, value, mask=written)
    source = i * label_x + j * label_y + k * label_z
    labelled = tl.where(inside, label_at, 0) != 0
    code = tl.load(label + source, mask=labelled, other=0)
    tl.store(codes + patch * (SX * SY * SZ) + voxel, code, mask=written)


_TYPES = {torch.float32: tl.float32, torch.float16: tl.float16, torch.int16: tl.int16}


def fill(
    image: torch.Tensor, code: torch.Tensor, table: torch.Tensor, stored: torch.dtype, scaled: bool
) -> None:
    """Launch the kernel: image (n, c, x, y, z) float32 of any strides, code (n, x, y, z) uint8
    contiguous; table (n, COLUMNS) int64 on the same device; stored: the volumes' type; scaled:
    whether they have a scale."""
    n, channels, *size = image.shape
    grid = (triton.cdiv(size[0] * size[1] * size[2], BLOCK), n)
    _fill_batch[grid](
        image, code, table, *image.stride(),
        C=channels, SX=size[0], SY=size[1], SZ=size[2],
        STORED=_TYPES[stored], SCALED=scaled, COLUMNS=COLUMNS, BLOCK=BLOCK,
    )  # fmt: skip
