"""What a lesson goes on with where an exercise has not passed and the package has no such function
of its own: nothing else needs it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from scipy import ndimage

from .. import metrics
from .._brain import bounds
from ..errors import GliomakitError


def crop_box(
    mask: np.ndarray, spacing: Sequence[float], margin: float = 0.0
) -> tuple[slice, slice, slice]:
    """The smallest box that holds a mask and at least `margin` mm around it, within the volume.

    mask: bool (x, y, z). spacing: mm of a voxel along x, y, z. Returned as an index: mask[box].
    Raises `GliomakitError` if the mask is empty.

    >>> mask = np.zeros((9, 9, 9), bool)
    >>> mask[4, 4, 1] = True
    >>> crop_box(mask, spacing=(1, 2, 3), margin=3)
    (slice(1, 8, None), slice(2, 7, None), slice(0, 3, None))
    """
    box = bounds(np.asarray(mask, bool))
    if box is None:
        raise GliomakitError("an empty mask has no box")
    more = [ceil(margin / mm - 1e-6) for mm in spacing]
    return tuple(
        slice(max(span.low - m, 0), min(span.high + m, n))
        for span, m, n in zip(box, more, mask.shape, strict=True)
    )


def tumour_dice(mean: float, background: float) -> float:
    """The tumour's Dice, from the mean over tumour and background and the background's Dice.

    >>> round(tumour_dice(0.9, 0.99), 4)
    0.81
    """
    return 2 * mean - background


def mean_dice(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """The mean of the patients' Dice, each of a prediction and a reference, as `metrics.dice`.

    >>> empty, full = np.zeros(4, bool), np.ones(4, bool)
    >>> mean_dice([(full, full), (empty, full), (empty, empty)])
    0.6666666666666666
    """
    return float(np.mean([metrics.dice(predicted, reference) for predicted, reference in pairs]))


def lesion_dice(predicted: np.ndarray, reference: np.ndarray) -> float:
    """Mean Dice over the reference's pieces and the predicted pieces that touch none (0 each).

    Pieces hang together over corners too. `metrics.lesion_dice` does more: it joins pieces that
    are close, and leaves tiny ones out.

    >>> mask = np.array([1, 1, 0, 1, 0, 0], bool)
    >>> lesion_dice(np.array([1, 1, 0, 0, 0, 1], bool), mask)
    0.3333333333333333
    """
    corners = np.ones([3] * np.ndim(reference))
    lesions, n = ndimage.label(reference, corners)
    parts, n_parts = ndimage.label(predicted, corners)
    scores, touched = [], set()
    for number in range(1, n + 1):
        lesion = lesions == number
        mine = set(parts[lesion].tolist()) - {0}
        scores.append(metrics.dice(np.isin(parts, list(mine)), lesion))
        touched |= mine
    scores += [0.0] * (n_parts - len(touched))
    return float(np.mean(scores)) if scores else 1.0
