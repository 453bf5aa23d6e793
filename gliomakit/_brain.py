"""Where the brain is in a skull-stripped image, and where a sequence's field of view ends in it."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from ._frame import Span
from ._workers import in_threads

_CUBE = np.ones((3, 3, 3), bool)


def brain_mask(image: np.ndarray) -> np.ndarray:
    """The brain of a skull-stripped image (sequence, x, y, z): bool (x, y, z).

    A voxel belongs to it if it differs from the background in any sequence, so that a field of
    view that ends early in one sequence cuts nothing off; then the largest connected piece, with
    its holes filled. The background is the commonest value on the volume's faces, in each sequence
    its own: usually 0, but not in data that were z-scored with their background (BraTS 2013 as
    DeepMedic gives it). An image without any such value is foreground everywhere.

    >>> image = np.full((1, 5, 5, 5), -3.5)
    >>> image[0, 1:4, 1:4, 1:4] = 1
    >>> image[0, 2, 2, 2] = -3.5
    >>> int(brain_mask(image).sum())
    27
    """

    def foreground(channel: np.ndarray) -> np.ndarray | None:
        background = _background(channel)
        return None if background is None else channel != background

    parts = in_threads(foreground, image)
    if any(part is None for part in parts):
        return np.ones(image.shape[1:], bool)
    found = np.logical_or.reduce(parts)
    box = bounds(found)
    if box is None:
        return found
    inside = found[tuple(slice(*span) for span in box)]
    pieces, n = ndimage.label(inside)
    if n > 1:
        inside = pieces == np.bincount(pieces.ravel())[1:].argmax() + 1
    brain = np.zeros_like(found)
    brain[tuple(slice(*span) for span in box)] = _without_holes(inside)
    return brain


def _without_holes(mask: np.ndarray) -> np.ndarray:
    """`ndimage.binary_fill_holes`, in a third of the time: all but the air around."""
    pieces, _ = ndimage.label(np.pad(~mask, 1, constant_values=True))
    return pieces[1:-1, 1:-1, 1:-1] != pieces[0, 0, 0]


def cut_off(channel: np.ndarray, inside: np.ndarray, box: tuple[slice, ...]) -> np.ndarray:
    """Where a sequence has no data inside the brain: solid blocks of its background value.

    channel: the whole volume (x, y, z). inside, and the result: bool, the brain within `box`.

    Single voxels of that value are tissue that happens to have it (dark fluid, a clipped minimum).
    """
    background = _background(channel)
    same = inside & (channel[box] == background)
    blocks = ndimage.binary_opening(same, _CUBE) if np.count_nonzero(same) >= 27 else None
    if blocks is None or not blocks.any():
        return np.zeros_like(same)
    pieces, n = ndimage.label(same, _CUBE)
    solid = np.zeros(n + 1, bool)
    solid[pieces[blocks]] = True
    return solid[pieces]


def _background(channel: np.ndarray) -> float | None:
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
