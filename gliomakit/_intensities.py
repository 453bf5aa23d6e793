"""A sequence's numbers: clipped, averaged over the voxels it covers, z-scored."""

from __future__ import annotations

import numpy as np

from ._frame import Frame, resample

Clip = tuple[float, float] | None
"""Percentiles between which the numbers are kept; None does not clip."""

FEW = 100
"""Ranks in a hundredth of the values by which a percentile may be off; more is looked up in all."""


def z_score(volume: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """A volume with mean 0 and standard deviation 1 over the voxels inside, and 0 elsewhere.

    inside: bool, of the volume's shape. Where all values inside are equal, they become 0. Returned
    as float32.

    >>> z_score(np.array([0, 2, 4, 100]), np.array([False, True, True, False]))
    array([ 0., -1.,  1.,  0.], dtype=float32)
    """
    values = volume[inside].astype(np.float64)
    spread = values.std()
    scaled = (volume - np.float32(values.mean())) / np.float32(spread if spread > 0 else 1)
    return np.where(inside, scaled, np.float32(0)).astype(np.float32, copy=False)


def clipped(values: np.ndarray, sample: np.ndarray, covered: np.ndarray, clip: Clip) -> np.ndarray:
    """One sequence, clipped over the voxels it covers, `sample`; 0 elsewhere, and 0 their mean.

    Measured from the mean a large offset costs no digits of a float32 when voxels are averaged.
    """
    if clip is not None:
        values = np.clip(values, *limits(sample, clip))
    return np.where(covered, values - np.float32(sample.mean(dtype=np.float64)), 0)


def scale(values: np.ndarray, share: np.ndarray, brain: np.ndarray, frame: Frame) -> np.ndarray:
    """What `clipped` gives, resampled over the voxels covered alone, z-scored.

    share: how much of each prepared voxel the sequence covers.
    """
    out = resample(values.astype(np.float32), frame.size, frame.ratio)
    there = brain & (share > 0)
    out = np.divide(out, share, out=np.zeros_like(out), where=there)
    return z_score(out, there)


def scale_kept(sample: np.ndarray, clip: Clip) -> np.ndarray:
    """The same where nothing is resampled: the voxels covered alone, the same to the bit."""
    mean = np.float32(sample.mean(dtype=np.float64))
    if clip is not None:
        sample = np.clip(sample, *limits(sample, clip))
    sample = sample - mean
    return z_score(sample, np.ones(sample.shape, bool))


def limits(sample: np.ndarray, clip: tuple[float, float]) -> list[np.float32]:
    """`np.percentile`, the same to the bit, in a quarter of the time: of the values sorted only
    those are looked at that a sample says may be it."""
    few = np.sort(sample[::101])
    found = []
    for percent in clip:
        place = (sample.size - 1) * (percent / 100)
        k, part = int(place), place % 1
        about = k // 101
        first, last = max(about - FEW, 0), about + FEW
        low = few[first] if first else -np.inf
        high = few[last] if last < len(few) else np.inf
        below = np.count_nonzero(sample < low)
        near = sample[(sample >= low) & (sample <= high)]
        if not below <= k < k + 1 < below + len(near):  # a sample like no other
            found.append(np.float32(np.percentile(sample, percent)))
            continue
        a, b = np.partition(near, (k - below, k - below + 1))[k - below : k - below + 2]
        a, b, step = (np.float64(v) for v in (a, b, b - a))
        found.append(np.float32(b - step * (1 - part) if part >= 0.5 else a + step * part))
    return found
