"""Dice of two-dimensional results, said in the four ways that papers say it, and baselines.

On the same masks these are four different numbers. A slice without tumour for which nothing is
predicted counts as 1 in the first and not at all in the others: so predicting nothing at all has a
good Dice "per slice" where most slices are empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from .errors import GliomakitError
from .metrics import Counts, bootstrap_interval, counts, dice

Volumes = Mapping[str, NDArray]
"""Patient -> slices (n, rows, columns), as `slices.stack` gives them."""


@dataclass(frozen=True)
class SliceScores:
    """Means of Dice of one result.

    per_slice:  mean over all slices; both empty is 1, one empty 0.
    positive:   mean over the slices that hold tumour; nan if there is none.
    pooled:     all pixels of all patients as one mask, as fastai's `Dice` counts.
    per_volume: mean over patients, each one's pixels as one mask.
    volumes:    the patients' own.
    accuracy:   share of pixels that are right.
    empty:      share of slices without tumour.
    """

    per_slice: float
    positive: float
    pooled: float
    per_volume: float
    accuracy: float
    empty: float
    slices: int
    volumes: dict[str, float] = field(repr=False)


def slice_scores(pred: Volumes, ref: Volumes) -> SliceScores:
    """The scores of predicted masks (n, rows, columns), patient by patient, against references.

    Raises `GliomakitError` if the patients or a patient's shapes differ.

    >>> ref = {"a": np.array([[[1, 1]], [[0, 0]], [[0, 0]]])}
    >>> nothing = slice_scores({"a": np.zeros((3, 1, 2))}, ref)
    >>> round(nothing.per_slice, 3), nothing.positive, nothing.pooled, nothing.per_volume
    (0.667, 0.0, 0.0, 0.0)
    """
    if set(pred) != set(ref) or not ref:
        other = sorted(set(pred) ^ set(ref))
        raise GliomakitError(
            f"prediction and reference are of different patients: {', '.join(other[:3]) or 'none'}"
        )
    each: list[float] = []
    full: list[bool] = []
    volumes: dict[str, float] = {}
    total = np.zeros(4, np.int64)
    for name in sorted(ref):
        p, r = np.asarray(pred[name]) > 0, np.asarray(ref[name]) > 0
        if p.shape != r.shape:
            raise GliomakitError(f"{name}: a prediction of {p.shape} for a reference of {r.shape}")
        each += [dice(a, b) for a, b in zip(p, r, strict=True)]
        full += [bool(b.any()) for b in r]
        c = counts(p, r)
        volumes[name] = dice(c)
        total += (c.tp, c.fp, c.fn, c.tn)
    scores, holds = np.array(each), np.array(full)
    return SliceScores(
        per_slice=float(scores.mean()),
        positive=float(scores[holds].mean()) if holds.any() else float("nan"),
        pooled=dice(Counts(*map(int, total))),
        per_volume=float(np.mean(list(volumes.values()))),
        accuracy=float((total[0] + total[3]) / total.sum()),
        empty=float(1 - holds.mean()),
        slices=len(scores),
        volumes=volumes,
    )


@dataclass(frozen=True)
class Paired:
    """One result less another, patient by patient.

    mean, low, high: the mean difference and its 95 % bootstrap interval over patients.
    better:          patients in which the first has the higher score.
    p:               of Wilcoxon's signed-rank test; 1 if no patient differs.
    """

    mean: float
    low: float
    high: float
    better: int
    p: float


def paired(first: Mapping[str, float], second: Mapping[str, float]) -> Paired:
    """Compare two results on the same patients. Raises `GliomakitError` if they differ.

    >>> test = paired({"a": 0.9, "b": 0.8, "c": 0.7}, {"a": 0.8, "b": 0.6, "c": 0.7})
    >>> round(test.mean, 2), test.better, round(test.p, 2)
    (0.1, 2, 0.5)
    """
    if set(first) != set(second) or not first:
        raise GliomakitError("a paired test needs the same patients in both results")
    apart = np.array([first[name] - second[name] for name in sorted(first)])
    low, high = bootstrap_interval(apart)
    p = float(stats.wilcoxon(apart).pvalue) if apart.any() else 1.0
    return Paired(float(apart.mean()), low, high, int((apart > 0).sum()), p)


def predict_nothing(ref: Volumes) -> dict[str, NDArray[np.bool_]]:
    """No tumour anywhere."""
    return {name: np.zeros(np.shape(volume), bool) for name, volume in ref.items()}


def best_threshold(images: Volumes, ref: Volumes, steps: int = 128) -> float:
    """The brightness above which calling it tumour gives the best pooled Dice.

    images: one channel, FLAIR, scaled as `relative` does. Choose it on training patients.
    """
    values = np.concatenate([np.ravel(images[name]) for name in sorted(ref)])
    true = np.concatenate([np.ravel(ref[name]) for name in sorted(ref)]) > 0
    edges = np.linspace(0, float(values.max()), steps + 1)[:-1]
    # Both counts for all thresholds at once: how many values lie above each.
    found = len(values) - np.searchsorted(np.sort(values), edges, side="right")
    right = int(true.sum()) - np.searchsorted(np.sort(values[true]), edges, side="right")
    scores = 2 * right / np.maximum(found + true.sum(), 1)
    return float(edges[int(scores.argmax())])


def relative(volume: NDArray, percentile: float = 99.0) -> NDArray[np.float32]:
    """Brightness as a share of the volume's own 99th percentile: patients become comparable."""
    top = float(np.percentile(volume, percentile)) or 1.0
    return np.asarray(volume, np.float32) / top


def above(images: Volumes, threshold: float) -> dict[str, NDArray[np.bool_]]:
    """Tumour is what is brighter than the threshold."""
    return {name: volume > threshold for name, volume in images.items()}


def nearest_image(
    images: NDArray, known_images: NDArray, known_masks: NDArray, side: int = 32
) -> NDArray[np.bool_]:
    """For each slice the mask of the known slice that looks most like it, by thumbnails.

    images, known_images: (n, rows, columns, channels); rows and columns multiples of `side`.
    """
    new, old = thumbnails(images, side), thumbnails(known_images, side)
    apart = (new**2).sum(1)[:, None] - 2 * new @ old.T + (old**2).sum(1)
    return np.asarray(known_masks)[apart.argmin(1)] > 0


def thumbnails(images: NDArray, side: int = 32) -> NDArray[np.float32]:
    """Each slice as a row of side × side × channels means."""
    n, rows, columns, channels = images.shape
    if rows % side or columns % side:
        raise GliomakitError(f"{rows} × {columns} pixels do not make thumbnails of {side}")
    blocks = images.reshape(n, side, rows // side, side, columns // side, channels)
    return blocks.mean((2, 4), dtype=np.float32).reshape(n, -1)


def nearest_slice(masks: NDArray, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A patient's masks as somebody who sees no image would copy them from neighbours.

    masks: (n, rows, columns) of one patient. known: bool (n,), which slices are in training. Each
    other slice gets the mask of the nearest known one (of two, the lower), or nothing.

    >>> masks = np.array([[[1]], [[1]], [[0]], [[0]]])
    >>> nearest_slice(masks, np.array([True, False, False, True])).ravel()
    array([ True,  True, False, False])
    """
    where = np.flatnonzero(known)
    if not len(where):
        return np.zeros(np.shape(masks), bool)
    apart = np.abs(np.arange(len(masks))[:, None] - where)
    return np.asarray(masks)[where[apart.argmin(1)]] > 0
