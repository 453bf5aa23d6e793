"""What is too small to be believed: pieces that are dropped after thresholding."""

import numpy as np
from scipy import ndimage

from ._brain import bounds


def postprocess(
    regions: np.ndarray,
    voxel_ml: float,
    min_wt_ml: float = 0.0,
    min_et_ml: float = 0.0,
    min_wt_share: float = 0.0,
) -> np.ndarray:
    """Drop what is too small to be believed; nested regions (3, x, y, z) in, a new array out.

    min_wt_ml:    pieces of WT (voxels that touch, corners too) of less than this many mL go, with
                  the TC and ET in them.
    min_wt_share: so do those smaller than this share of the largest piece.
    min_et_ml:    ET of less than this in all becomes core.

    >>> regions = np.zeros((3, 5, 1, 1), bool)
    >>> regions[0, [0, 2, 3]] = regions[1:, 3] = True
    >>> postprocess(regions, voxel_ml=1, min_wt_ml=2, min_et_ml=2)[..., 0, 0].astype(int)
    array([[0, 0, 1, 1, 0],
           [0, 0, 0, 1, 0],
           [0, 0, 0, 0, 0]])
    """
    wt, tc, et = np.array(regions, bool)
    box = bounds(wt)
    if (min_wt_ml > 0 or min_wt_share > 0) and box is not None:
        inside = tuple(slice(*span) for span in box)
        pieces, _ = ndimage.label(wt[inside], np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        small = (sizes * voxel_ml < min_wt_ml) | (sizes < min_wt_share * sizes.max())
        small[0] = False
        wt[inside] &= ~small[pieces]
        tc &= wt
        et &= wt
    et &= et.sum() * voxel_ml >= min_et_ml
    return np.stack([wt, tc, et])
