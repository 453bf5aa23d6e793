"""What is measured of an exam to compare phantoms with patients: intensities by tissue, shapes.

All on prepared exams (2 mm, z-scores inside the brain): what a network sees, and the same for every
scanner.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from gliomakit.preprocess import Prepared
from gliomakit.regions import SEQUENCES

PERCENTILES = (5, 25, 50, 75, 95)
NORMAL, SHAPE = "normal brain", "shape"
TISSUES = {NORMAL: 0, "edema": 1, "core without ET": 2, "ET": 3}
"""Tissue -> its number in `Prepared.regions`."""

LEAST = 50
"""Voxels (0.4 mL) of a tissue from which on it is measured."""

EDGES = np.linspace(-4, 6, 101)
"""Bins of the histograms, in standard deviations; what is beyond counts to the outer ones."""

Key = tuple[str, str, str]
"""Tissue or shape, sequence ("" for a shape), and what of it."""


def measure(exam: Prepared, whole: bool = True) -> dict[Key, float]:
    """Intensities of each tissue in each sequence, and the tumour's shape.

    whole: False for a slab, whose tumour is cut off: it has no shape.
    """
    found: dict[Key, float] = {}
    for channel, sequence in enumerate(SEQUENCES):
        if sequence not in exam.present:
            continue
        for tissue in TISSUES:
            values = intensities(exam, channel, tissue)
            if values.size < LEAST:
                continue
            if tissue == NORMAL:
                for p, value in zip(PERCENTILES, np.percentile(values, PERCENTILES)):
                    found[tissue, sequence, f"{p} %"] = float(value)
            else:
                found[tissue, sequence, "mean"] = float(values.mean())
                found[tissue, sequence, "sd"] = float(values.std())
    return found | (shapes(exam.regions, exam.spacing) if whole else {})


def intensities(exam: Prepared, channel: int, tissue: str) -> np.ndarray:
    """The z-scores of a tissue in one sequence; voxels that it does not cover are exactly 0."""
    image = exam.image[channel]
    return image[exam.brain & (exam.regions == TISSUES[tissue]) & (image != 0)]


def shapes(code: np.ndarray, spacing: Sequence[float]) -> dict[Key, float]:
    """Volume of WT, the shares of TC in it and of ET in TC, how thick ET is; where there is some.

    >>> code = np.zeros((10, 10, 10), np.uint8)
    >>> code[:, :, 2:7] = 1; code[:, :, 4:] *= 2
    >>> {k[2]: v for k, v in shapes(code, (2, 2, 2)).items()}
    {'WT, mL': 4.0, 'TC / WT': 0.6, 'ET / TC': 0.0}
    """
    wt, tc, et = (int(np.count_nonzero(code >= level)) for level in (1, 2, 3))
    found: dict[Key, float] = {}
    if wt:
        found[SHAPE, "", "WT, mL"] = float(wt * np.prod(spacing) / 1000)
        found[SHAPE, "", "TC / WT"] = tc / wt
    if tc:
        found[SHAPE, "", "ET / TC"] = et / tc
    if et >= LEAST:
        found[SHAPE, "", "thickness of ET, mm"] = thickness(code == 3, spacing)
    return found


def thickness(mask: np.ndarray, spacing: Sequence[float]) -> float:
    """How thick a shell is, mm: four times the mean depth of its voxels, which for a plate is its
    thickness. Centres lie half a voxel deeper than faces.

    >>> mask = np.zeros((20, 20, 20), bool); mask[:, :, 8:12] = True
    >>> thickness(mask, (2, 2, 2))
    8.0
    """
    depth = ndimage.distance_transform_edt(mask, sampling=spacing)
    return float(4 * (depth[mask].mean() - min(spacing) / 2))


def histogram(values: np.ndarray) -> np.ndarray:
    """The share of the values in each bin of `EDGES`."""
    counts, _ = np.histogram(np.clip(values, EDGES[0], EDGES[-1]), EDGES)
    return counts / max(values.size, 1)


def overlap(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> float:
    """What two pools of histograms have in common: 1 - total variation distance. Every exam has
    the same weight in its pool.

    >>> overlap([np.array([0.5, 0.5, 0]), np.array([0.5, 0.5, 0])], [np.array([0, 0.5, 0.5])])
    0.5
    """
    return float(np.minimum(np.mean(first, axis=0), np.mean(second, axis=0)).sum())


def overlaps(phantoms: Sequence[np.ndarray], real: Sequence[np.ndarray]) -> dict[str, float | int]:
    """Both pools; and as a yardstick, the median exam with the phantoms, with its own kind."""
    found: dict[str, float | int] = {"phantom_phantoms": _alone(phantoms)}
    if len(real) > 1:
        one = [overlap([h], phantoms) for h in real]
        found |= {"pools": overlap(phantoms, real), "real_phantoms": float(np.median(one))}
        found |= {"real_real": _alone(real), "n_real": len(real)}
    return {name: round(value, 3) for name, value in found.items()}


def _alone(pool: Sequence[np.ndarray]) -> float:
    """The median overlap of one with all the others."""
    others = [[*pool[:i], *pool[i + 1 :]] for i in range(len(pool))]
    return float(np.median([overlap([h], rest) for h, rest in zip(pool, others)]))


def compared(
    phantoms: Sequence[dict[Key, float]], real: Sequence[dict[Key, float]]
) -> list[dict[str, object]]:
    """A row for each measure: median and 5 to 95 % of the phantoms, median and range of the real
    patients, how many of these lie within the phantoms' 5 to 95 %."""
    rows = []
    for key in sorted({key for exam in phantoms for key in exam}, key=_order):
        mine = [exam[key] for exam in phantoms if key in exam]
        theirs = [exam[key] for exam in real if key in exam]
        low, middle, high = np.percentile(mine, (5, 50, 95))
        row: dict[str, object] = dict(zip(("tissue", "sequence", "what"), key))
        row["phantoms"] = {"median": middle, "low": low, "high": high, "n": len(mine)}
        if theirs:
            inside = sum(low <= value <= high for value in theirs)
            row["real"] = {"median": np.median(theirs), "low": min(theirs), "high": max(theirs)}
            row["real"] |= {"n": len(theirs), "inside": inside}
        for kind in ("phantoms", "real"):
            row[kind] = {k: round(float(v), 3) for k, v in row.get(kind, {}).items()} or None
        rows.append(row)
    return rows


def _order(key: Key) -> tuple:
    """Tissues from outside in, sequences as everywhere, percentiles by size."""
    tissue, sequence, what = key
    places = [*TISSUES, SHAPE]
    size = int(what.split()[0]) if what.endswith(" %") else 0
    named = ["mean", "sd", "WT, mL", "TC / WT", "ET / TC", "thickness of ET, mm"]
    channel = SEQUENCES.index(sequence) if sequence else -1
    return places.index(tissue), channel, size, named.index(what) if what in named else -1
