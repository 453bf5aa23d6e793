"""Which sequence an image looks like, by the contrast of its tissues.

The physics behind it: fluid is bright on T2 and dark on the other three; T1 and T1ce show the same
anatomy, T2 its negative; contrast agent adds bright spots to T1ce that T1 has not; a glioma makes
broad bright areas on FLAIR, T1ce has its brightness in thin vessels and rims.

Each of these is a number that is large if images are what their names say. `likeness` adds them up
for any way to hand out the names, so that the best way can be compared with the files' own.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from scipy import ndimage

from ._look import ENOUGH, Look, crop

WEIGHTS = {
    "fluid": 1.7,
    "fluid, flair": 2.4,
    "anatomy, t1 t1ce": 2.3,
    "anatomy, t1 t2": -1.5,
    "anatomy, flair t1": -1.1,
    "anatomy, flair t2": 2.1,
    "anatomy, t1ce t2": -1.0,
    "added brightness, t1ce": 1.5,
    "broad brightness, flair": 1.2,
    "fine brightness, flair": -2.0,
    "fine brightness, t1ce": 0.8,
}
"""How much each term says, in units of log-odds: a logistic regression on 177 phantoms, on all
their sets of two to four sequences (results/checks_fit.py; how often it is right: checks.md)."""

SURE = 1.4
"""Log-odds from which on another order is believed. Less is doubt, and doubt is kept quiet."""


@dataclass(frozen=True)
class Measures:
    """What is measured once for each image, or each ordered pair of images.

    fine, broad: skewness of what is narrower than 2 mm, and of what is 4 to 16 mm wide: positive if
                 the bright side has the longer tail.
    alike:       rank correlation of two images.
    together:    mean of a² b, of the detail of a and b: what b does where a stands out.
    added:       skewness of a once what b foretells is taken away.
    """

    fine: dict[str, float]
    broad: dict[str, float]
    alike: dict[tuple[str, str], float]
    together: dict[tuple[str, str], float]
    added: dict[tuple[str, str], float]


def likely_order(seen: Look) -> tuple[tuple[str, ...], float]:
    """What the images look like, in the order of `seen.names`, and the log-odds of that order
    against the files' own (0 if it is that)."""
    shared_ml = np.count_nonzero(seen.covered.all(0)) * np.prod(seen.spacing) / 1000
    if len(seen.names) < 2 or shared_ml < ENOUGH:
        return seen.names, 0.0
    return best(measure(seen), seen.names)


def best(found: Measures, names: tuple[str, ...]) -> tuple[tuple[str, ...], float]:
    """The most likely handing out of names, and how much more likely than `names` it is."""
    own = likeness(found, dict(zip(names, names)))
    other = max(
        (order for order in permutations(names) if order != names),
        key=lambda order: likeness(found, dict(zip(order, names))),
    )
    gain = likeness(found, dict(zip(other, names))) - own
    return (other, gain) if gain > 0 else (names, 0.0)


def likeness(found: Measures, image: dict[str, str]) -> float:
    """How well images fit the names handed out. image: sequence to the image that has its name."""
    return sum(WEIGHTS[term] * value for term, value in terms(found, image).items())


def terms(found: Measures, image: dict[str, str]) -> dict[str, float]:
    """The terms of `likeness`, for those sequences that there are."""
    values = dict.fromkeys(WEIGHTS, 0.0)
    flair, t1, t1ce, t2 = (image.get(name) for name in ("flair", "t1", "t1ce", "t2"))
    for other in (flair, t1, t1ce):
        if t2 and other:
            term = "fluid, flair" if other == flair else "fluid"
            values[term] += found.together[other, t2] - found.together[t2, other]
    for term in WEIGHTS:
        what, _, pair = term.partition(", ")
        if what == "anatomy":
            a, b = (image.get(name) for name in pair.split())
            if a and b:
                values[term] = found.alike[a, b]
    if t1 and t1ce:
        values["added brightness, t1ce"] = found.added[t1ce, t1] - found.added[t1, t1ce]
    if flair:
        values["broad brightness, flair"] = found.broad[flair]
        values["fine brightness, flair"] = found.fine[flair]
    if t1ce:
        values["fine brightness, t1ce"] = found.fine[t1ce]
    return values


def measure(seen: Look) -> Measures:
    """Measure all images inside the brain, away from its border, where all of them have data."""
    covered = seen.covered.all(0)
    box = crop(covered)
    covered = covered[box]
    half = tuple(slice(None, None, 2 if s < 3 else 1) for s in seen.spacing)
    spacing = tuple(s * (h.step or 1) for s, h in zip(seen.spacing, half))
    depth = ndimage.distance_transform_edt(np.pad(covered[half], 1), spacing)[1:-1, 1:-1, 1:-1]
    inner = depth > 6
    if inner.sum() < 1000:
        inner = depth > 0
    detail, rank, fine, broad = {}, {}, {}, {}
    small = _Smooth(covered, seen.spacing)
    large = _Smooth(covered[half], spacing)
    for name, channel in zip(seen.names, seen.image):
        values = channel[box]
        values = np.clip(values, *np.percentile(values[covered], (0.1, 99.9)))
        # What is 4 mm wide or wider needs no more than every 4 mm.
        sharp, soft = (small(values, mm)[half] for mm in (1, 2))
        coarse = {mm: large(soft, mm)[inner] for mm in (4, 8, 16)}
        sharp, soft = sharp[inner], soft[inner]
        detail[name] = np.clip(_standard(sharp - coarse[8]), -4, 4)
        rank[name] = _ranks(sharp)
        fine[name] = float(np.clip(_skewness(sharp - soft), -2, 2))
        broad[name] = float(np.clip(_skewness(coarse[4] - coarse[16]), -2, 2))
    alike, together, added = {}, {}, {}
    for a, b in permutations(seen.names, 2):
        alike[a, b] = float(np.corrcoef(rank[a], rank[b])[0, 1])
        together[a, b] = float(np.clip(np.mean(detail[a] ** 2 * detail[b]), -2, 2))
        added[a, b] = _skewness(_beyond(detail[a], rank[b]))
    return Measures(fine, broad, alike, together, added)


class _Smooth:
    """Means over a Gaussian, of the voxels of a mask alone."""

    def __init__(self, mask: np.ndarray, spacing: tuple[float, float, float]):
        self.mask, self.spacing = mask, spacing
        self.weight: dict[float, np.ndarray] = {}

    def __call__(self, values: np.ndarray, mm: float) -> np.ndarray:
        if mm not in self.weight:
            self.weight[mm] = np.maximum(self._blur(self.mask.astype(np.float32), mm), 1e-3)
        return self._blur(np.where(self.mask, values, np.float32(0)), mm) / self.weight[mm]

    def _blur(self, values: np.ndarray, mm: float) -> np.ndarray:
        sigma = [mm / s for s in self.spacing]
        return ndimage.gaussian_filter(values, sigma, truncate=3, mode="constant")


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread > 0 else 1)


def _skewness(values: np.ndarray) -> float:
    """Third moment of standardised values; clipped, so that a few voxels do not decide."""
    return float(np.mean(np.clip(_standard(values), -6, 6) ** 3))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Place of each value in their order, 0 to 1: the same for any brightness curve."""
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(values, kind="stable")] = np.linspace(0, 1, len(values))
    return ranks


def _beyond(values: np.ndarray, rank: np.ndarray, bins: int = 40) -> np.ndarray:
    """Values less the median of those voxels that are alike in the other image."""
    group = np.minimum((rank * bins).astype(int), bins - 1)
    order = np.argsort(group, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(group, minlength=bins))[:-1])
    out = np.empty_like(values)
    out[order] = np.concatenate([part - np.median(part) if part.size else part for part in parts])
    return out
