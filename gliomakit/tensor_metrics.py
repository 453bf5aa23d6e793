"""Counts and HD95 of segmentations that lie on a device: what `metrics` says, without leaving it.

Label maps and masks are tensors with a batch axis; results are plain Python numbers, equal to those
of `metrics`. Nothing of a volume comes to the processor but a histogram and one distance a region.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ._fill import triton_fault
from ._masks import spacing_of
from .device import sent
from .errors import GliomakitError
from .metrics import CODES, Counts, counts_of_pairs, diagonal_mm
from .regions import REGIONS, Convention, check_values, convention, to_regions

PAIRS = 2**27
"""Distances that are computed at once: half a gigabyte, and as much to work in."""


def region_counts(
    pred: Tensor, pred_convention: str | Convention, ref: Tensor, ref_convention: str | Convention
) -> list[dict[str, Counts]]:
    """The counts of WT, TC and ET of each case of a batch: on a GPU in one pass over both labels
    (`_count_kernel`), elsewhere and without Triton by one histogram.

    pred, ref: whole numbers (b, x, y, z), one shape, on one device; each with its convention.
    Raises `GliomakitError` as `metrics.region_counts` does.

    >>> label = torch.tensor([[[[0, 1, 3]]]])
    >>> region_counts(label, "msd", label, "msd")[0]["et"]
    Counts(tp=1, fp=0, fn=0, tn=2)
    """
    conventions = convention(pred_convention), convention(ref_convention)
    _fitting(pred, ref)
    for label in (pred, ref):
        if label.is_floating_point() or label.is_complex():
            raise GliomakitError("a label on a device holds whole numbers, not floating-point ones")
    if pred.numel() and _by_kernel(pred) and _by_kernel(ref):
        found = _in_one_pass(pred, ref, *conventions)
        if found is not None:
            return found
    for label, known in zip((pred, ref), conventions):
        low, high = (int(v) for v in label.aminmax()) if label.numel() else (0, 0)
        if low < 0 or high >= CODES:
            check_values(label.unique().cpu().numpy(), known)
    # A voxel's two values make one number; one histogram a case holds all that is asked.
    code = (pred.to(torch.uint8) * CODES + ref.to(torch.uint8)).flatten(1)
    tables = [torch.bincount(one, minlength=CODES * CODES).cpu().numpy() for one in code]
    return [counts_of_pairs(table.reshape(CODES, CODES), *conventions) for table in tables]


def _by_kernel(label: Tensor) -> bool:
    """Whether labels are counted by `_count_kernel`."""
    return label.is_cuda and label.dtype != torch.bool and triton_fault("cuda") is None


def _in_one_pass(
    pred: Tensor, ref: Tensor, of_pred: Convention, of_ref: Convention
) -> list[dict[str, Counts]] | None:
    """The counts by the kernel; None if a value is in no region of its convention."""
    from ._count_kernel import count

    tables = (_regions_of_value(known, pred.device) for known in (of_pred, of_ref))
    rows, voxels = count(pred, ref, *tables).tolist(), pred[0].numel()
    if any(row[9] for row in rows):
        return None
    each = [[row[i : i + 3] for i in (0, 3, 6)] for row in rows]
    return [
        {
            region: Counts(both, p - both, r - both, voxels - p - r + both)
            for region, (both, p, r) in zip(REGIONS, row)
        }
        for row in each
    ]


@lru_cache(maxsize=64)
def _regions_of_value(known: Convention, device: torch.device) -> Tensor:
    """Of each value below CODES the bits of its regions, on the device."""
    from ._count_kernel import UNKNOWN

    values = sorted(known.values)
    table = np.full(CODES, UNKNOWN, np.int32)
    table[values] = to_regions(np.array(values), known).T @ (1, 2, 4)
    return sent(table, device)


def hd95(
    pred: Tensor, ref: Tensor, spacing: float | Sequence[float], percentile: float = 95
) -> list[float]:
    """HD95 in mm of each pair of masks, (b, x, y, z) bool, as `metrics.hd95` has it.

    Distances are taken between all pairs of surface voxels, which a GPU does in milliseconds; on a
    processor `metrics.hd95` is faster.

    >>> mask = torch.zeros(1, 9, 9, 9, dtype=torch.bool); mask[0, 2:5, 2:5, 2:5] = True
    >>> hd95(mask, mask.roll(2, 1), 1.5)
    [3.0]
    """
    _fitting(pred, ref)
    if pred.dtype != torch.bool or ref.dtype != torch.bool:
        raise GliomakitError("distances are between masks: give bool tensors")
    sides = torch.tensor(spacing_of(spacing, 3), device=pred.device, dtype=torch.float32)
    found = [_hd95(p, r, sides, percentile) for p, r in zip(pred, ref)]
    # The processor asks once for all of them: every question is a wait for the device.
    return torch.stack(found).tolist() if found else []


def _hd95(pred: Tensor, ref: Tensor, sides: Tensor, percentile: float) -> Tensor:
    a, b = (_surface(mask).nonzero().float() * sides for mask in (pred, ref))
    if not len(a) and not len(b):
        return sides.new_zeros((), dtype=torch.float64)
    if not len(a) or not len(b):
        whole = diagonal_mm(pred.shape, sides.tolist())
        return sides.new_full((), whole, dtype=torch.float64)
    share = percentile / 100
    return torch.stack([_nearest(x, y).double().quantile(share) for x, y in ((a, b), (b, a))]).max()


def _surface(mask: Tensor) -> Tensor:
    """The voxels of a mask that lose one of their face neighbours; outside is empty."""
    inside = mask.clone()
    for axis in range(3):
        n = mask.shape[axis]
        inside.narrow(axis, 1, n - 1).logical_and_(mask.narrow(axis, 0, n - 1))
        inside.narrow(axis, 0, n - 1).logical_and_(mask.narrow(axis, 1, n - 1))
        inside.select(axis, 0).zero_()
        inside.select(axis, n - 1).zero_()
    return mask & ~inside


def _nearest(source: Tensor, target: Tensor) -> Tensor:
    """From each point of one set (n, 3) to the nearest of the other."""
    rows = max(PAIRS // len(target), 1)
    return torch.cat([_squares(some, target).amin(1) for some in source.split(rows)]).sqrt_()


def _squares(source: Tensor, target: Tensor) -> Tensor:
    """Squared distances of all pairs, an axis at a time: `torch.cdist` takes a GPU far longer for
    three axes, and by a matrix product the fourth digit is wrong."""
    found = (source[:, None, 0] - target[:, 0]).square_()
    for axis in (1, 2):
        apart = source[:, None, axis] - target[:, axis]
        found.addcmul_(apart, apart)
    return found


def _fitting(pred: Tensor, ref: Tensor) -> None:
    if pred.shape != ref.shape or pred.ndim != 4:
        raise GliomakitError(
            f"the prediction has shape {tuple(pred.shape)}, the reference {tuple(ref.shape)}",
            todo="give both as (case, x, y, z)",
        )
