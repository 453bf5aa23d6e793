"""How good is a segmentation? Counts, overlaps, distances, volumes; one case, then many.

A case may lack a region, and a network may predict none. What a measure is then is a convention,
and means change with it. Ours, the same as BraTS's:

                                         both empty    one empty
    Dice, Jaccard, sensitivity, PPV           1             0
    HD95                                    0 mm        the volume's diagonal
    lesion-wise Dice                          1             0

So Dice stays the harmonic mean of sensitivity and PPV in every case. Specificity is the share of
the reference's background that was left alone, and 1 when the reference has no background. Beside
every mean `summarise` counts how many cases were missed (reference there, prediction empty) and
how many spurious (prediction there, reference empty): without these a mean cannot be read.

NumPy arrays in, plain Python numbers out. Arrays that do not have one shape, and masks with other
values than 0 and 1, raise `GliomakitError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._calibration import Reliability, calibration
from ._lesions import Lesions, lesion_dice, lesions
from ._masks import box, mask, pair, same_shape, spacing_of
from ._surface import diagonal_mm, hd95
from .errors import GliomakitError
from .regions import REGIONS, Convention, check_values, convention, to_regions

__all__ = [
    "Counts", "Lesions", "Reliability", "bootstrap_interval", "calibration", "counts",
    "diagonal_mm", "dice", "evaluate_case", "hd95", "jaccard", "lesion_dice", "lesions", "ppv",
    "region_counts", "sensitivity", "specificity", "summarise", "volume_ml",
]  # fmt: skip

Scores = dict[str, float | bool]
"""The measures of one region of one case, by name."""

CODES = 16
"""Label values that `region_counts` can pair in one byte; no convention goes beyond 4."""


@dataclass(frozen=True)
class Counts:
    """Voxels that are tumour in both (tp), in the prediction alone (fp), in the reference alone
    (fn), in neither (tn)."""

    tp: int
    fp: int
    fn: int
    tn: int


def counts(pred: ArrayLike, ref: ArrayLike) -> Counts:
    """The four counts of two masks: bool, or 0 and 1, of one shape.

    >>> counts([1, 1, 0, 0, 0], [1, 0, 1, 0, 0])
    Counts(tp=1, fp=1, fn=1, tn=2)
    """
    p, r = pair(pred, ref)
    both, n_p, n_r = (int(np.count_nonzero(m)) for m in (p & r, p, r))
    return Counts(both, n_p - both, n_r - both, p.size - n_p - n_r + both)


def region_counts(
    pred: NDArray, pred_convention: str | Convention, ref: NDArray, ref_convention: str | Convention
) -> dict[str, Counts]:
    """The counts of WT, TC and ET from two label maps, in one pass over their voxels.

    pred, ref: whole numbers, one shape; each with its own convention.
    Raises `GliomakitError` for different shapes and for a value that its convention lacks.

    >>> region_counts(np.array([0, 1, 3]), "msd", np.array([0, 2, 2]), "brats2017")["et"]
    Counts(tp=0, fp=1, fn=0, tn=2)
    """
    conventions = convention(pred_convention), convention(ref_convention)
    p, r = _codes(pred, conventions[0]), _codes(ref, conventions[1])
    same_shape(p, r)
    where = box((p | r) != 0)
    pairs = np.zeros(CODES * CODES, np.int64)
    if where is not None:
        # Each voxel's two values make one byte; one histogram of it holds all that is asked.
        pairs += np.bincount((p[where] * np.uint8(CODES) + r[where]).ravel("K"), minlength=CODES**2)
    pairs[0] += p.size - pairs.sum()
    return counts_of_pairs(pairs.reshape(CODES, CODES), *conventions)


def counts_of_pairs(
    pairs: NDArray[np.int64], pred_convention: Convention, ref_convention: Convention
) -> dict[str, Counts]:
    """The counts of WT, TC and ET from how often each pair of values occurs: (CODES, CODES), by the
    prediction's value and the reference's."""
    is_pred = _regions_of_values(pairs.sum(axis=1), pred_convention)
    is_ref = _regions_of_values(pairs.sum(axis=0), ref_convention)
    found = {}
    for i, region in enumerate(REGIONS):
        a, b = is_pred[i], is_ref[i]
        cells = pairs[a][:, b], pairs[a][:, ~b], pairs[~a][:, b], pairs[~a][:, ~b]
        found[region] = Counts(*(int(c.sum()) for c in cells))
    return found


def dice(pred: Counts | ArrayLike, ref: ArrayLike | None = None) -> float:
    """2 tp / (2 tp + fp + fn), from counts or from two masks. Both empty 1, one empty 0.

    >>> dice(Counts(tp=2, fp=1, fn=1, tn=0)), dice([1, 1, 0], [0, 1, 1])
    (0.6666666666666666, 0.5)
    """
    c = _counted(pred, ref)
    return _share(2 * c.tp, 2 * c.tp + c.fp + c.fn)


def jaccard(pred: Counts | ArrayLike, ref: ArrayLike | None = None) -> float:
    """tp / (tp + fp + fn), intersection over union. Both empty 1, one empty 0."""
    c = _counted(pred, ref)
    return _share(c.tp, c.tp + c.fp + c.fn)


def sensitivity(pred: Counts | ArrayLike, ref: ArrayLike | None = None) -> float:
    """tp / (tp + fn), the share of the tumour that was found. Both empty 1, one empty 0."""
    c = _counted(pred, ref)
    return _share(c.tp, c.tp + c.fn, c.fp)


def specificity(pred: Counts | ArrayLike, ref: ArrayLike | None = None) -> float:
    """tn / (tn + fp), the share of the rest that was left alone; 1 if there is no rest.

    It depends on how much air and brain is around the tumour, and is close to 1 for nearly any
    segmentation.
    """
    c = _counted(pred, ref)
    return _share(c.tn, c.tn + c.fp)


def ppv(pred: Counts | ArrayLike, ref: ArrayLike | None = None) -> float:
    """tp / (tp + fp), the share of the prediction that is tumour. Both empty 1, one empty 0."""
    c = _counted(pred, ref)
    return _share(c.tp, c.tp + c.fp, c.fn)


def volume_ml(pred: ArrayLike, spacing: float | Sequence[float]) -> float:
    """The volume of a mask in mL; spacing in mm.

    >>> volume_ml(np.ones((10, 10, 10), bool), spacing=2)
    8.0
    """
    m = mask(pred)
    return float(np.count_nonzero(m) * spacing_of(spacing, m.ndim).prod() / 1000)


def evaluate_case(
    pred: ArrayLike,
    ref: ArrayLike,
    spacing: float | Sequence[float],
    names: Sequence[str] = REGIONS,
) -> dict[str, Scores]:
    """All measures of one case, by region.

    pred, ref: bool, or 0 and 1, (region, x, y, z), on the whole grid (HD95 of a missed region is
    the grid's diagonal); spacing: mm a voxel; names: of the regions, in the arrays' order.
    """
    p, r = pair(pred, ref)
    if len(p) != len(names):
        raise GliomakitError(f"{len(p)} masks do not belong to the regions {', '.join(names)}")
    return {name: _evaluate(a, b, spacing) for name, a, b in zip(names, p, r)}


def _evaluate(pred: NDArray[np.bool_], ref: NDArray[np.bool_], spacing) -> Scores:
    c = counts(pred, ref)
    n_pred, n_ref = c.tp + c.fp, c.tp + c.fn
    voxel_ml = float(spacing_of(spacing, pred.ndim).prod()) / 1000
    return {
        "dice": dice(c),
        "jaccard": jaccard(c),
        "sensitivity": sensitivity(c),
        "specificity": specificity(c),
        "ppv": ppv(c),
        "hd95_mm": hd95(pred, ref, spacing),
        "lesion_dice": lesion_dice(pred, ref, spacing),
        "volume_ml": n_pred * voxel_ml,
        "reference_ml": n_ref * voxel_ml,
        "missed": n_pred == 0 and n_ref > 0,
        "spurious": n_pred > 0 and n_ref == 0,
    }


def summarise(cases: Sequence[Mapping[str, Scores]]) -> dict[str, dict[str, float | int | None]]:
    """Means over the results of `evaluate_case`, by region, with what is needed to read them.

    Means are over all n cases, with the values that the module's convention gives where a side is
    empty. Beside them: n; missed; spurious; absent (both sides empty); hd95_found_mm, the mean HD95
    over the n - missed - spurious - absent cases where both sides are there (None if there are
    none). A method that misses more tumours can have the better hd95_found_mm.
    """
    if not cases:
        raise GliomakitError("there is no case to summarise")
    summary = {}
    for region in cases[0]:
        rows = [case[region] for case in cases]
        found = [s["hd95_mm"] for s in rows if s["volume_ml"] > 0 and s["reference_ml"] > 0]
        missed, spurious = (sum(bool(s[key]) for s in rows) for key in ("missed", "spurious"))
        summary[region] = {
            "n": len(rows),
            "missed": missed,
            "spurious": spurious,
            "absent": len(rows) - missed - spurious - len(found),
            **{k: _mean([s[k] for s in rows]) for k in rows[0] if k not in ("missed", "spurious")},
            "hd95_found_mm": _mean(found) if found else None,
        }
    return summary


def bootstrap_interval(
    values: ArrayLike, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Between which bounds the mean over patients would lie with other patients of the same kind.

    The mean is taken over `draws` samples of the values with replacement; the bounds are the
    percentiles that leave (1 - level) / 2 on each side. With fewer than about ten values it is too
    narrow.

    >>> low, high = bootstrap_interval([0.8] * 5 + [0.9] * 5)
    >>> print(f"{low:.2f} to {high:.2f}")
    0.82 to 0.88
    """
    v = np.asarray(values, float).ravel()
    if not v.size:
        raise GliomakitError("there is no value to take an interval of")
    means = v[np.random.default_rng(seed).integers(v.size, size=(draws, v.size))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _counted(pred: Counts | ArrayLike, ref: ArrayLike | None) -> Counts:
    if isinstance(pred, Counts):
        return pred
    if ref is None:
        raise GliomakitError("a measure needs counts, or a prediction and a reference")
    return counts(pred, ref)


def _share(part: int, whole: int, wrong: int = 0) -> float:
    """part / whole; of nothing 1, or 0 if the other side has voxels there."""
    return part / whole if whole else float(not wrong)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _codes(label: NDArray, known: Convention) -> NDArray[np.uint8]:
    """A label as uint8 below `CODES`; what does not fit there is in no convention."""
    label = np.asarray(label)
    if label.dtype.kind == "f" and not (np.isfinite(label) & (label == np.floor(label))).all():
        raise GliomakitError("a label holds whole numbers, this one does not")
    if label.size and not (label.min() >= 0 and label.max() < CODES):
        check_values(label, known)
    return label.astype(np.uint8, copy=False)


def _regions_of_values(histogram: NDArray[np.int64], known: Convention) -> NDArray[np.bool_]:
    """For each label value below `CODES` whether it is in WT, TC, ET: (3, CODES)."""
    check_values(np.flatnonzero(histogram), known)
    table = np.zeros((len(REGIONS), CODES), bool)
    values = sorted(known.values)
    table[:, values] = to_regions(np.array(values), known)
    return table
