"""What a lesson goes on with where an exercise has not passed and the package has no such function
of its own: nothing else needs it."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np

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
