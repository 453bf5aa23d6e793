"""Does a probability mean what it says? Of all voxels called 70 % tumour, 70 % should be."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import ArrayLike

from ._masks import mask, same_shape
from .errors import GliomakitError


class Reliability(TypedDict):
    """A reliability table: one entry a bin, `None` where a bin is empty; `edges` has one more."""

    edges: list[float]
    n: list[int]
    probability: list[float | None]
    observed: list[float | None]
    ece: float


def calibration(
    probability: ArrayLike, ref: ArrayLike, bins: int = 10, where: ArrayLike | None = None
) -> Reliability:
    """Predicted probability against what was there, in equal bins from 0 to 1.

    probability: float, 0 to 1; ref: bool, or 0 and 1, of that shape; where: mask of the voxels that
    are looked at. Give the brain, or better a margin around the tumour: thousands of easy voxels
    outside make any network look calibrated.

    n: voxels in the bin; probability: their mean prediction; observed: the share of them that is
    tumour; ece: the expected calibration error, the mean |probability - observed| over all voxels
    (0 when no voxel is looked at). Bins are closed below, the last one above too.
    Raises `GliomakitError` for shapes that differ and for values outside 0 to 1.
    Source: Guo et al. 2017 (arXiv:1706.04599).

    >>> table = calibration([0.1, 0.1, 0.9, 0.9], [0, 0, 1, 0], bins=2)
    >>> table["n"], table["observed"], round(table["ece"], 3)
    ([2, 2], [0.0, 0.5], 0.25)
    """
    p, r = np.asarray(probability), mask(ref, "reference")
    same_shape(p, r)
    if bins < 1:
        raise GliomakitError(f"{bins} bins make no table", todo="use at least one")
    if where is not None:
        looked_at = mask(where, "mask")
        same_shape(looked_at, r)
        p, r = p[looked_at], r[looked_at]
    p, r = p.ravel().astype(float), r.ravel()
    # Written so that nan, which compares false with everything, is caught as well.
    if p.size and not (p.min() >= 0 and p.max() <= 1):
        raise GliomakitError(
            f"a probability lies between 0 and 1, these between {p.min():.3g} and {p.max():.3g}",
            todo="put the logits through a sigmoid or softmax",
        )
    bin_of = np.minimum((p * bins).astype(np.intp), bins - 1)
    n = np.bincount(bin_of, minlength=bins)
    predicted = np.bincount(bin_of, weights=p, minlength=bins)
    observed = np.bincount(bin_of[r], minlength=bins)
    return {
        "edges": np.linspace(0, 1, bins + 1).tolist(),
        "n": n.tolist(),
        "probability": [float(s / k) if k else None for s, k in zip(predicted, n)],
        "observed": [float(s / k) if k else None for s, k in zip(observed, n)],
        "ece": float(np.abs(predicted - observed).sum() / max(p.size, 1)),
    }
