"""A case's tumour voxels to draw from, and all cases' on a GPU, which then draws by itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ._augment import generator
from ._fill import Stored
from .device import sent

AHEAD = 16
"""Batches whose plans a GPU draws at once: a launch costs as much for sixteen as for one."""


class Foreground:
    """A case's tumour voxels: linear indices (uint32), sorted by tissue."""

    def __init__(self, code: np.ndarray | None):
        flat = np.zeros(0, np.uint8) if code is None else np.asarray(code).reshape(-1)
        voxels = np.flatnonzero(flat)
        tissue = flat[voxels]
        self.voxels = voxels[np.argsort(tissue, kind="stable")].astype(np.uint32)
        self.counts = np.bincount(tissue, minlength=4)[1:]
        self.counts = self.counts[self.counts > 0]
        self.starts = np.cumsum(self.counts) - self.counts

    def draw(self, tissue: float, voxel: float, balance: bool) -> int | None:
        """A voxel's linear index, chosen by two numbers in [0, 1); None if there is none."""
        if not len(self.voxels):
            return None
        if not balance:
            return int(self.voxels[int(voxel * len(self.voxels))])
        k = int(tissue * len(self.counts))
        return int(self.voxels[self.starts[k] + int(voxel * self.counts[k])])


class Atlas:
    """All that a GPU needs to draw and fill batches: nothing is sent there for them. A batch is one
    launch, and every sixteenth another before it, which draws the plans.

    volumes: all cases' on one device, of one type; foregrounds: theirs; present: (cases, 4) bool.
    """

    def __init__(
        self, volumes: Sequence[Stored], foregrounds: Sequence[Foreground], present: np.ndarray
    ):
        first = volumes[0].image
        self._volumes = list(volumes)  # their addresses are in the table
        self._kept = first.dtype, volumes[0].scale is not None
        self._voxels = [sent(f.voxels.view(np.int32), first.device) for f in foregrounds]
        rows = [
            np.concatenate([volume.row, [voxels.data_ptr()], _counted(tumour)])
            for volume, voxels, tumour in zip(volumes, self._voxels, foregrounds, strict=True)
        ]
        self._table = sent(np.array(rows), first.device)
        self._present = sent(present.view(np.uint8), first.device)
        self._drawn: list[tuple[Tensor, Tensor]] = []
        self._next: tuple = ()

    def batch(self, image: Tensor, code: Tensor, steps: range, asked: tuple[int, ...]) -> Tensor:
        """Write the batches of the steps, one behind the other: image (n, 4, x, y, z) and code
        (n, x, y, z); return what is present (n, 4). asked: see `asked`."""
        from . import _kernels

        each = len(image) // len(steps)
        if self._next != (each, steps.start, asked) or len(self._drawn) < len(steps):
            self._drawn = self._draw(each, steps, asked)
        self._next = each, steps.stop, asked
        taken = [self._drawn.pop() for _ in steps]
        table, present = taken[0] if len(taken) == 1 else map(torch.cat, zip(*taken))
        _kernels.fill(image, code, table, *self._kept)
        return present

    def _draw(self, n: int, steps: range, asked: tuple[int, ...]) -> list[tuple[Tensor, Tensor]]:
        """Table (n, COLUMNS) and what is present (n, 4) of these steps and of some after them, the
        last step's first."""
        from . import _draw_kernel, _kernels

        device, many = self._table.device, max(AHEAD, len(steps))
        table = torch.empty((many, n, _kernels.COLUMNS), dtype=torch.int64, device=device)
        present = torch.empty((many, n, 4), dtype=torch.uint8, device=device)
        _draw_kernel.draw(table, present, self._table, self._present, steps.start, asked)
        return [*zip(table.unbind(), present.view(torch.bool).unbind())][::-1]


def asked(
    seed: int,
    foreground: float,
    size: tuple[int, int, int],
    balance: bool,
    rotate: bool,
    flip: Sequence[bool],
) -> tuple[int, ...]:
    """A sampler's settings (`patches.PatchSampler`) in whole numbers, as the kernel takes them."""
    # A number below `foreground` in [0, 1) is one below this among its 53 bits.
    limit = math.ceil(foreground * 2.0**53)
    flips = sum(1 << axis for axis, wanted in enumerate(flip) if wanted)
    return (seed % 2**64, limit, *size, int(balance), int(rotate), flips)


def _counted(tumour: Foreground) -> list[int]:
    """Voxels, tissues, and of three tissues the first voxel and the count."""
    rest = [0] * (3 - len(tumour.counts))
    return [len(tumour.voxels), len(tumour.counts), *tumour.starts, *rest, *tumour.counts, *rest]


def trial(device: torch.device) -> bool:
    """Whether the kernels draw and fill there as the processor does: eight voxels out of eight."""
    numbers = np.arange(8, dtype=np.float32)
    volume = Stored(torch.from_numpy(numbers).to(device).view(1, 1, 1, 8), None)
    present, tumour = np.ones((1, 4), bool), Foreground(np.ones(8, np.uint8))
    image = torch.empty((8, 1, 1, 1, 1), device=device)
    code = torch.empty((8, 1, 1, 1), dtype=torch.uint8, device=device)
    settings = asked(0, 1.0, (1, 1, 1), False, False, (False,) * 3)
    Atlas([volume], [tumour], present).batch(image, code, range(1), settings)
    drawn = generator(0, 0).random((3, 8))[2]
    return bool((image.flatten().cpu().numpy() == np.floor(8 * drawn)).all())
