"""Checkers of lesson 03, *Patches*."""

from __future__ import annotations

import numpy as np

from ._core import Answer, checker
from ._expect import Hint, array, close, number


@checker(
    "03.memory",
    call="batch_mib(n, channels, sides, bytes_each)",
    praise="images times channels times voxels times bytes, and 2²⁰ bytes are a MiB",
)
def memory(answer: Answer) -> None:
    """`batch_mib(n, channels, sides, bytes_each)`: MiB of a batch."""
    # No two factors are alike, so that no mistake gives the right number by chance.
    n, channels, sides, each = 3, 5, (40, 56, 72), 2
    voxels = float(np.prod(sides))
    whole = n * channels * voxels * each
    close(
        number(answer(n, channels, sides, each)),
        whole / 2**20,
        mistakes=[
            (whole, "that is the number of bytes; 2**20 bytes are one MiB"),
            (whole / 1e6, "that is in MB (a million bytes); a MiB has 2**20"),
            (whole / 2**10, "that is in KiB; a MiB has 2**20 bytes, 1024 × 1024"),
            (whole / 2**30, "that is in GiB; a MiB has 2**20 bytes"),
            (whole * 8 / 2**20, "you count bits: bytes_each is in bytes already"),
            (whole / each / 2**20, "each number takes bytes_each bytes: multiply by it"),
            (whole / each * 4 / 2**20, "numbers need not take 4 bytes: use bytes_each"),
            (whole / n / 2**20, "that is one image; a batch has n"),
            (whole / channels / 2**20, "every image has several channels, each of all voxels"),
            (n * channels * sum(sides) * each / 2**20, "multiply the three sides, do not add them"),
            *(
                (n * channels * side**3 * each / 2**20, "the sides may differ: multiply all three")
                for side in sides
            ),
        ],
        what="3 images of 5 channels, 40 × 56 × 72 voxels and 2 bytes a number, in MiB,",
    )
    close(
        number(answer(400, 4, (240, 240, 155), 4)),
        54492.1875,
        what="400 images of 4 channels, 240 × 240 × 155 voxels and 4 bytes a number, in MiB,",
    )


@checker(
    "03.starts",
    call="starts(length, size, overlap)",
    praise="every voxel is in a window, no window leaves the axis, and none comes twice",
)
def starts(answer: Answer) -> None:
    """`starts(length, size, overlap)`: first voxels of windows that cover an axis."""
    cases = ((10, 4, 0.5), (11, 4, 0.5), (8, 4, 0.0), (4, 4, 0.5), (3, 4, 0.5), (13, 8, 0.75))
    cases += ((11, 5, 0.5), (6, 3, 0.75), (155, 64, 0.25))
    for length, size, overlap in cases:
        _judge_starts(answer(length, size, overlap), length, size, overlap)


def _judge_starts(found: object, length: int, size: int, overlap: float) -> None:
    asked = f"starts({length}, {size}, {overlap:g})"
    if found is None:
        raise Hint("your function returns None: does it end with `return`?")
    if isinstance(found, np.ndarray):
        found = found.tolist()
    if not isinstance(found, (list, tuple)):
        raise Hint(f"return a list of whole numbers, not {type(found).__name__}")
    if any(isinstance(s, bool) or not isinstance(s, (int, np.integer)) for s in found):
        raise Hint(f"voxels are counted in whole numbers: {asked} returns {found}")
    found = [int(s) for s in found]
    last, step = max(length - size, 0), max(int(size * (1 - overlap)), 1)
    right = sorted({*range(0, last, step), last})
    if found == right:
        return
    said = f"{asked} returns {found}: "
    if not found:
        raise Hint(said + "there must be one window at least")
    if min(found) < 0:
        raise Hint(said + "a window begins before the axis; where it is short, begin at 0")
    if max(found) > last:
        raise Hint(said + f"a window reaches past the end, voxel {length - 1}: move it back")
    if len(set(found)) < len(found):
        raise Hint(said + "a place comes twice")
    if found != sorted(found):
        raise Hint(said + "give the places in ascending order")
    if found[0] > 0:
        raise Hint(said + "the first voxels are in no window: begin at 0")
    if found[-1] < last:
        raise Hint(said + "the last voxels are in no window: add one that ends with the axis")
    raise Hint(
        said + f"the step is int({size} * (1 - {overlap:g})), at least 1, which is {step}; only "
        "the last window is moved"
    )


@checker(
    "03.blend",
    call="blend(pieces, windows, shape, weight)",
    praise="each voxel's weights are divided away again, so that equal values stay as they are",
)
def blend(answer: Answer) -> None:
    """`blend(pieces, windows, shape, weight)`: the weighted mean where pieces overlap."""
    pieces = np.array([[1.0, 2.0, 3.0, 4.0], [20.0, 30.0, 40.0, 50.0]])
    windows, shape = [(slice(0, 4),), (slice(2, 6),)], (6,)
    weight = np.array([0.2, 1.0, 0.7, 0.1])
    close(
        array(answer(pieces, windows, shape, weight), shape),
        _blended(pieces, windows, shape, weight),
        mistakes=_blend_mistakes(pieces, windows, shape, weight),
        rtol=1e-5,
        what="two pieces of 4 voxels that share 2, blended,",
    )
    # Three windows over one voxel, in a plane; sides that differ.
    draw = np.random.default_rng(0)
    windows = [(slice(a, a + 3), slice(b, b + 2)) for a in (0, 1, 2) for b in (0, 1)]
    pieces, weight = draw.uniform(1, 9, (6, 3, 2)), draw.uniform(0.1, 1, (3, 2))
    try:
        found = answer(pieces, windows, (5, 3), weight)
    except Hint as hint:
        raise Hint(f"a line works, a plane does not ({hint}): write total[window]") from None
    close(
        array(found, (5, 3)),
        _blended(pieces, windows, (5, 3), weight),
        rtol=1e-5,
        what="six pieces in a plane, blended,",
    )


def _sums(pieces, windows, shape, weight) -> tuple[np.ndarray, np.ndarray]:
    total, weights = np.zeros(shape), np.zeros(shape)
    for piece, window in zip(pieces, windows, strict=True):
        total[window] += weight * piece
        weights[window] += weight
    return total, weights


def _blended(pieces, windows, shape, weight) -> np.ndarray:
    total, weights = _sums(pieces, windows, shape, weight)
    return total / weights


def _blend_mistakes(pieces, windows, shape, weight) -> list[tuple[np.ndarray, str]]:
    ones = np.ones_like(weight)
    total, weights = _sums(pieces, windows, shape, weight)
    plain, count = _sums(pieces, windows, shape, ones)
    over, weighted_over = np.zeros(shape), np.zeros(shape)
    for piece, window in zip(pieces, windows, strict=True):
        over[window], weighted_over[window] = piece, weight * piece
    overwritten = "a later piece replaces an earlier one: add with +="
    return [
        (total, "you never divide by the sum of the weights"),
        (plain, "you add the pieces: weigh them, and divide by the sum of the weights"),
        (plain / count, "all pieces count alike: use the weights"),
        (total / count, "divide by the sum of the weights, not by the number of pieces"),
        (total / len(pieces), "divide by the sum of the weights in each voxel, not by n"),
        (plain / weights, "you divide by the weights, but did not weigh the pieces"),
        (total / weights.sum(), "each voxel has its own sum of weights: do not add them all up"),
        (over, overwritten),
        (weighted_over, overwritten),
        (weighted_over / weights, overwritten),
    ]
