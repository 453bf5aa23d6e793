"""Whether a label's tissues lie and look as their convention says.

Edema surrounds the core and fades into the brain; the core and what enhances lie deeper. What
enhances is the brightest of the three on T1ce. Where a tissue is missing there is nothing to
compare, and nothing is said.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .regions import convention, distinct, fitting

LEAST = 0.3
"""mL of a tissue below which it is not judged."""

# In labels read rightly edema is outside by -0.4 or less, and what enhances is at least half a
# standard deviation brighter than the rest.
INSIDE, DARKER = 0.1, 0.25


def complaints(
    label: np.ndarray,
    name: str,
    t1ce: np.ndarray | None,
    brain: np.ndarray,
    spacing: tuple[float, float, float],
) -> list[str]:
    """What speaks against reading a label (x, y, z) in that convention; empty if nothing does.

    t1ce: the sequence's voxels, if there is one. brain: bool.
    """
    known = convention(name)
    tissues = {
        "edema": label == known.edema,
        "core": np.isin(label, known.core),
        "enhancing tumour": label == known.enhancing,
    }
    voxel_ml = float(np.prod(spacing)) / 1000
    there = {t: m for t, m in tissues.items() if np.count_nonzero(m) * voxel_ml >= LEAST}
    if len(there) < 2:
        return []
    found = []
    if "edema" in there:
        inner = "core" if "core" in there else "enhancing tumour"
        whole = np.logical_or.reduce(list(tissues.values()))
        if _inside(there["edema"], there[inner], whole, spacing) > INSIDE:
            found.append(f"what it calls edema lies inside what it calls {inner}")
    if "enhancing tumour" in there and t1ce is not None and brain.any():
        spread = float(np.subtract(*np.percentile(t1ce[brain], (84, 16)))) / 2
        bright = {t: float(np.median(t1ce[m])) for t, m in there.items()}
        own = bright.pop("enhancing tumour")
        other = max(bright, key=bright.get)
        if own < bright[other] - DARKER * spread:
            found.append(f"what it calls enhancing is darker on T1ce than its {other}")
    return found


def better(
    label: np.ndarray,
    name: str,
    t1ce: np.ndarray | None,
    brain: np.ndarray,
    spacing: tuple[float, float, float],
) -> list[str]:
    """Other conventions that the values fit and that nothing speaks against."""
    others = [c for c in fitting(distinct(label)) if c != name]
    return [c for c in others if not complaints(label, c, t1ce, brain, spacing)]


def _inside(
    one: np.ndarray, other: np.ndarray, whole: np.ndarray, spacing: tuple[float, float, float]
) -> float:
    """How much one tissue lies inside another: above 0 if it does, the other's value negated.

    By how deep both lie in the tumour, and whose the tumour's border is: neither alone is right for
    a core that comes in several pieces, or one that is nearly the whole tumour.
    """
    depth = ndimage.distance_transform_edt(whole, spacing)  # the end of the volume is no border
    border = whole & ~ndimage.binary_erosion(whole, border_value=1)
    ours, theirs = (np.count_nonzero(border & mask) for mask in (one, other))
    share = ours / (ours + theirs) if ours + theirs else 0.5
    return float(np.log(depth[one].mean() / depth[other].mean()) - 2 * (share - 0.5))
