"""Lesion by lesion: a small second tumour counts as much as the large first one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from ._masks import box, pair, spacing_of

MERGE_MM = 3.0
"""How far a lesion reaches: parts of the reference whose surroundings touch are one lesion."""

SMALLEST_ML = 0.05
"""Reference lesions of this volume or less are left out: at 1 mm these are 50 voxels."""


@dataclass(frozen=True)
class Lesions:
    """What became of each lesion.

    dice:       Dice of each reference lesion that counts, 0 for one that was missed.
    volumes_ml: their volumes in the reference.
    missed:     how many of them no predicted part touches.
    spurious:   predicted parts that touch no reference lesion.
    """

    dice: tuple[float, ...]
    volumes_ml: tuple[float, ...]
    missed: int
    spurious: int

    @property
    def mean(self) -> float:
        """Mean Dice over lesions and spurious parts, which count 0; 1 if there are neither."""
        n = len(self.dice) + self.spurious
        return float(sum(self.dice) / n) if n else 1.0


def lesions(pred: ArrayLike, ref: ArrayLike, spacing: float | Sequence[float]) -> Lesions:
    """Match the parts of a prediction with the lesions of a reference, as BraTS 2023 does.

    A lesion: the parts (26-connected) of the reference that are still one when each is grown by
    3 mm. The growing steps are whole voxels, over faces and edges: three at 1 mm. Every part of the
    prediction that touches the grown lesion belongs to it, and the lesion's Dice is that of these
    parts and the lesion as it was before growing (a part that touches two lesions belongs to both).
    Lesions of 0.05 mL or less are left out, and the parts that touch them are not spurious. A
    predicted part of any size that touches nothing is.

    pred, ref: bool, or 0 and 1, of one shape; spacing: mm a voxel.
    Source: Saluja et al., BraTS 2023 lesion-wise metrics
    (github.com/rachitsaluja/BraTS-2023-Metrics), whose glioma settings these are.

    >>> ref = np.zeros((30, 30, 30), bool); ref[2:8, 2:8, 2:8] = ref[20:26, 20:26, 20:26] = True
    >>> pred = ref.copy(); pred[15:] = False; pred[28, 2, 2] = True
    >>> lesions(pred, ref, spacing=1)
    Lesions(dice=(1.0, 0.0), volumes_ml=(0.216, 0.216), missed=1, spurious=1)
    """
    p, r = pair(pred, ref)
    sides = spacing_of(spacing, p.ndim)
    where = box(p | r)
    if where is None:
        return Lesions((), (), 0, 0)
    # Grown lesions may meet outside the box that holds both masks: keep room for that.
    steps = max(1, round(MERGE_MM / float(sides.prod() ** (1 / p.ndim))))
    p, r = np.pad(p[where], steps), np.pad(r[where], steps)
    parts, n_parts = ndimage.label(p, np.ones([3] * p.ndim))
    edges = ndimage.generate_binary_structure(p.ndim, min(2, p.ndim))
    grown, n_lesions = ndimage.label(
        ndimage.binary_dilation(r, edges, iterations=steps) if r.any() else r, np.ones([3] * p.ndim)
    )
    # touching[i, j]: does part j touch lesion i; row 0 and column 0 stand for "none".
    touching = np.zeros((n_lesions + 1, n_parts + 1), bool)
    touching[grown[p], parts[p]] = True
    touching = touching[1:, 1:]
    sizes = np.bincount(parts[p], minlength=n_parts + 1)[1:]
    predicted = touching @ sizes
    reference = np.bincount(grown[r], minlength=n_lesions + 1)[1:]
    common = np.bincount(grown[p & r], minlength=n_lesions + 1)[1:]
    volumes = reference * sides.prod() / 1000
    kept = volumes > SMALLEST_ML * (1 + 1e-9)  # 50 voxels of 1 mm are 0.05 mL up to rounding
    dice = 2 * common / np.maximum(predicted + reference, 1)
    return Lesions(
        dice=tuple(dice[kept].tolist()),
        volumes_ml=tuple(volumes[kept].tolist()),
        missed=int(np.count_nonzero(predicted[kept] == 0)),
        spurious=int(np.count_nonzero(~touching.any(axis=0))),
    )


def lesion_dice(pred: ArrayLike, ref: ArrayLike, spacing: float | Sequence[float]) -> float:
    """Mean Dice over the reference's lesions and the prediction's spurious parts (0 each).

    How lesions are told apart and matched: see `lesions`. Both empty 1, one empty 0.
    """
    return lesions(pred, ref, spacing).mean
