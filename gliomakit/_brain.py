"""Where the brain is in a skull-stripped image, and where a sequence's field of view ends in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ._frame import Span
from ._workers import in_threads

_CUBE = np.ones((3, 3, 3), bool)


def brain_mask(image: np.ndarray, known: Sequence[float | None] | None = None) -> np.ndarray:
    """The brain of a skull-stripped image (sequence, x, y, z): bool (x, y, z).

    A voxel belongs to it if it differs from the background in any sequence, so that a field of
    view that ends early in one sequence cuts nothing off; then the largest connected piece, with
    its holes filled. The background is the commonest value on the volume's faces, in each sequence
    its own: usually 0, but not in data that were z-scored with their background (BraTS 2013 as
    DeepMedic gives it). An image without any such value is foreground everywhere. `known` is what
    `background` gives for each sequence, where that is known.

    >>> image = np.full((1, 5, 5, 5), -3.5)
    >>> image[0, 1:4, 1:4, 1:4] = 1
    >>> image[0, 2, 2, 2] = -3.5
    >>> int(brain_mask(image).sum())
    27
    """

    backgrounds = in_threads(background, image) if known is None else known
    if any(one is None for one in backgrounds):
        return np.ones(image.shape[1:], bool)
    parts = in_threads(lambda pair: pair[0] != pair[1], zip(image, backgrounds))
    found = np.logical_or.reduce(parts)
    box = bounds(found)
    if box is None:
        return found
    where = tuple(slice(*span) for span in box)
    brain = np.zeros_like(found)
    brain[where] = _whole(found[where])
    return brain


def _whole(mask: np.ndarray) -> np.ndarray:
    """The largest connected piece of a mask that is not empty, with its holes filled."""
    mask = np.pad(mask, 1)
    pieces = np.empty(mask.shape, np.int32)  # used twice: new memory costs as much as the search
    if ndimage.label(mask, output=pieces) > 1:
        mask = pieces == _largest(pieces, np.count_nonzero(mask))
    # All but the air around, in a third of the time of `ndimage.binary_fill_holes`.
    ndimage.label(~mask, output=pieces)
    return (pieces != pieces[0, 0, 0])[1:-1, 1:-1, 1:-1]


def _largest(pieces: np.ndarray, filled: int) -> int:
    """The number of the largest piece. One that has more than half of all `filled` voxels is it,
    and a few voxels say which to try; else all are counted."""
    few = np.bincount(pieces[::3, ::3, ::3].ravel(), minlength=2)
    likely = int(few[1:].argmax()) + 1
    if 2 * np.count_nonzero(pieces == likely) > filled:
        return likely
    return int(np.bincount(pieces.ravel())[1:].argmax()) + 1


def cut_off(channel: np.ndarray, inside: np.ndarray, empty: float | None) -> np.ndarray:
    """Where a sequence has no data inside the brain: solid blocks of its background value.

    channel: (x, y, z). inside, and the result: bool, the brain. empty: the value, or None.

    Single voxels of that value are tissue that happens to have it (dark fluid, a clipped minimum).
    """
    same = inside & (channel == empty)
    blocks = ndimage.binary_opening(same, _CUBE) if np.count_nonzero(same) >= 27 else None
    if blocks is None or not blocks.any():
        return np.zeros_like(same)
    pieces, n = ndimage.label(same, _CUBE)
    solid = np.zeros(n + 1, bool)
    solid[pieces[blocks]] = True
    return solid[pieces]


def background(channel: np.ndarray) -> float | None:
    """The commonest value on the faces of a volume, if it makes up a tenth of them."""
    ends = [np.take(channel, (0, -1), axis).ravel() for axis in range(3)]
    values, counts = np.unique(np.concatenate(ends), return_counts=True)
    most = counts.argmax()
    return values[most] if counts[most] >= 0.1 * counts.sum() else None


def bounds(mask: np.ndarray) -> tuple[Span, Span, Span] | None:
    """The smallest box that holds all of a mask; None if it is empty."""
    spans = []
    for axis in range(3):
        filled = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
        if not len(filled):
            return None
        spans.append(Span(int(filled[0]), int(filled[-1]) + 1))
    return tuple(spans)
