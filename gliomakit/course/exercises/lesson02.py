"""Checkers of lesson 02, *Preprocess*."""

from __future__ import annotations

from collections import Counter

import numpy as np

from ._core import Answer, checker
from ._expect import Hint, array, close

# ---- 02.box ----------------------------------------------------------------------------------

SPACING = (1.0, 2.0, 3.0)


@checker(
    "02.box",
    call="crop_box(mask, spacing, margin)",
    praise="the box holds all of the mask and the margin in mm, and ends where the volume ends",
)
def box(answer: Answer) -> None:
    """`crop_box(mask, spacing, margin)`: three slices."""
    mask = np.zeros((30, 28, 26), bool)
    mask[8:20, 9:15, 10:12] = True
    mask[12, 19, 13] = True  # a piece of its own, so that the middle slice does not hold the box
    tight = ((8, 20), (9, 20), (10, 14))
    found = _ends(answer(mask, SPACING, 0.0), mask.shape)
    short = tuple((low, high - 1) for low, high in tight)
    _same(
        found,
        tight,
        {
            short: "the last slice of the mask is cut off: the end of a Python slice is not in it, "
            "so add 1",
            ((8, 20), (9, 15), (10, 12)): "a small piece lies outside: the box holds all voxels",
            _turned(tight): "your axes are in reverse order: the box is along x, y, z",
        },
        "with a margin of 0",
    )
    wide = _grown(tight, (6, 3, 2))
    found = _ends(answer(mask, SPACING, 6.0), mask.shape)
    _same(
        found,
        wide,
        {
            tight: "the margin is not used",
            _grown(tight, (6, 6, 6)): "you take the margin for voxels: 6 mm are 6, 3 and 2 voxels "
            "here, for a voxel is 1 × 2 × 3 mm",
            _grown(tight, (6, 12, 18)): "divide the margin by the spacing, do not multiply",
            _cut(_grown(tight, (6, 12, 18)), mask.shape): "divide the margin by the spacing, do "
            "not multiply",
            tuple((a, d) for (a, _), (_, d) in zip(wide, tight)): "the margin belongs at the far "
            "end too",
            tuple((c, b) for (_, b), (c, _) in zip(wide, tight)): "the margin belongs at the near "
            "end too",
            _grown(tight, (3, 1.5, 1)): "the margin goes on each side, not half of it",
        },
        "with a margin of 6 mm",
    )
    rounded = _grown(tight, (4, 2, 2))
    found = _ends(answer(mask, SPACING, 4.0), mask.shape)
    _same(
        found,
        rounded,
        {
            _grown(tight, (4, 2, 1)): "4 mm are 1.33 voxels of 3 mm: one voxel would be less than "
            "the margin, so round up",
        },
        "with a margin of 4 mm (at least 4, so whole voxels are rounded up)",
    )
    _edges(answer)


def _edges(answer: Answer) -> None:
    """Masks at the volume's edges: a negative start would count from the other end."""
    mask = np.zeros((12, 10, 9), bool)
    mask[1:4, 8:10, 0:9] = True
    value = answer(mask, SPACING, 5.0)
    for span in value:
        if span.start is not None and span.start < 0:
            raise Hint(
                "near the edge your box starts below 0: Python then counts from the other end, "
                "and the crop is empty or wrong; begin at 0 at the least"
            )
    _same(
        tuple(span.indices(n)[:2] for span, n in zip(value, mask.shape)),
        ((0, 9), (5, 10), (0, 9)),
        {},
        "for a mask at the edge of the volume, with a margin of 5 mm",
    )


Ends = tuple[tuple[int, int], ...]


def _ends(value: object, shape: tuple[int, ...]) -> Ends:
    """Start and stop of three slices, or a hint why they are none."""
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")
    if not isinstance(value, (tuple, list)) or len(value) != 3:
        raise Hint(f"three slices are wanted, one an axis; you return {str(value)[:60]}")
    if isinstance(value, list):
        raise Hint("return a tuple of slices: NumPy takes a list for something else than a box")
    for span in value:
        if not isinstance(span, slice):
            raise Hint(
                f"you return {str(value)[:60]}; wanted is an index, slice(start, stop), for each "
                "axis, so that mask[box] works"
            )
        for end in (span.start, span.stop):
            if end is not None and not isinstance(end, (int, np.integer)):
                raise Hint(f"a slice's ends are whole numbers, not {end!r}: round up, then int")
        if span.step not in (None, 1):
            raise Hint("the slices leave out voxels: their step is 1")
    return tuple((span.start or 0, n if span.stop is None else span.stop)
                 for span, n in zip(value, shape))  # fmt: skip


def _grown(ends: Ends, voxels: tuple[float, ...]) -> tuple:
    return tuple((low - v, high + v) for (low, high), v in zip(ends, voxels))


def _cut(ends: Ends, shape: tuple[int, ...]) -> Ends:
    return tuple((max(low, 0), min(high, n)) for (low, high), n in zip(ends, shape))


def _turned(ends: Ends) -> Ends:
    return ends[::-1]


def _same(found: Ends, right: Ends, mistakes: dict[tuple, str], when: str) -> None:
    if found == right:
        return
    for wrong, hint in mistakes.items():
        if found == wrong:
            raise Hint(hint)
    raise Hint(f"{when} the box runs from {_said(right)}, yours from {_said(found)}")


def _said(ends: Ends) -> str:
    return ", ".join(f"{low} to {high}" for low, high in ends)


# ---- 02.zscore -------------------------------------------------------------------------------


@checker(
    "02.zscore",
    call="z_score(volume, brain)",
    praise="only the brain's voxels decide about mean and spread, and the air stays 0",
)
def zscore(answer: Answer) -> None:
    """`z_score(volume, brain)`: mean 0, standard deviation 1 in the brain, 0 outside."""
    draw = np.random.default_rng(2)
    brain = np.zeros((9, 8, 7), bool)
    brain[2:7, 2:6, 1:6] = True
    volume = np.where(brain, draw.normal(500, 80, brain.shape), 0).astype(np.float32)
    volume[3, 3, 3] = 0  # dark fluid inside: a voxel of the brain that is 0
    volume[8, 7, 6] = 900  # and a bright remnant outside
    inside = volume[brain]
    mean, spread = inside.mean(dtype=np.float64), inside.std(dtype=np.float64)
    right = np.where(brain, (volume - mean) / spread, 0)
    everywhere = (volume - volume.mean()) / volume.std()
    other = volume[volume != 0]
    by_zero = (volume - other.mean()) / other.std()
    found = array(answer(volume, brain), volume.shape)
    unmasked = "outside the brain the result is 0: there is nothing to normalise"
    background = "your mean and spread come from all voxels, air too: take volume[brain] for both"
    close(
        found,
        right,
        mistakes=[
            (everywhere, background),
            (np.where(brain, everywhere, 0), background),
            ((volume - mean) / spread, unmasked),
            (
                np.where(brain, by_zero, 0),
                "you take the voxels that are not 0: the brain has one that is 0, and outside "
                "there is one that is not; use the mask",
            ),
            (by_zero, "you take the voxels that are not 0 for the brain; use the mask"),
            (np.where(brain, volume - mean, 0), "divide by the standard deviation as well"),
            (np.where(brain, volume / spread, 0), "take the mean off before you divide"),
            (
                np.where(brain, (volume - mean) / spread**2, 0),
                "that is divided by the variance: the standard deviation is its root",
            ),
            (
                np.where(brain, (volume - inside.min()) / np.ptp(inside), 0),
                "that runs from 0 to 1; wanted are a mean of 0 and a standard deviation of 1",
            ),
            (
                np.where(brain, (volume - np.median(inside)) / spread, 0),
                "that takes off the median; the mean is wanted",
            ),
            (
                np.where(brain, (volume - mean) / volume.std(), 0),
                "your standard deviation comes from all voxels; take the brain's",
            ),
        ],
        rtol=1e-3,
        atol=1e-3,
    )
    whole = (volume * 10).astype(np.int16)
    found = array(answer(whole, brain), volume.shape)
    if not np.allclose(found, right, atol=0.02):
        raise Hint(
            "with whole numbers (int16, as scanners store them) the answer is another: is "
            "something rounded, or written back into the array of whole numbers?"
        )


# ---- 02.split --------------------------------------------------------------------------------

PATIENTS = {"anna": 9, "ben": 3, "cem": 6, "dora": 4, "eva": 8, "finn": 2, "gita": 5, "hugo": 7}


class _Name(str):
    """A name whose hash is another in "another kernel": Python salts the hashes of text."""

    salt = 0

    def __hash__(self) -> int:
        return hash((self.salt, str(self)))


class _Other(_Name):
    salt = 1


class _Third(_Name):
    salt = 2


@checker(
    "02.split",
    call="split_by_patient(slices, share, seed)",
    praise="no patient is in both lists, no slice is lost, and the same seed gives the same split",
)
def split(answer: Answer) -> None:
    """`split_by_patient(slices, share, seed)`: training and validation slices."""
    slices = [(name, z) for name, count in PATIENTS.items() for z in range(count)]
    slices = [slices[i] for i in np.random.default_rng(1).permutation(len(slices))]
    training, validation = _two(answer(slices, 0.25, 7))
    _complete(slices, training, validation)
    both = {name for name, _ in training} & {name for name, _ in validation}
    if both:
        raise Hint(
            f"{len(both)} of 8 patients have slices in both lists, {sorted(both)[0]} for example: "
            "draw patients, not slices"
        )
    _count(training, validation)
    _seeds(answer, slices)
    for share, wanted in ((0.5, 4), (0.05, 1)):
        found = len({name for name, _ in _two(answer(slices, share, 0))[1]})
        if found == 0:
            raise Hint(f"a share of {share:g} of 8 patients rounds to none: keep at least one")
        if found != wanted:
            raise Hint(
                f"a share of {share:g} of 8 patients is {wanted} for validation, yours are {found}"
            )


def _two(value: object) -> tuple[list, list]:
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise Hint("two lists are wanted: return training, validation")
    both = []
    for part in value:
        if not isinstance(part, (list, tuple)):
            raise Hint(f"two lists of pairs are wanted; one of yours is a {type(part).__name__}")
        for one in part:
            if isinstance(one, str):
                raise Hint("you return names of patients; wanted are their slices, (name, number)")
            if not isinstance(one, tuple) or len(one) != 2:
                raise Hint(f"each entry is a pair (name, number) as in `slices`, not {one!r}")
        both.append(list(part))
    return both[0], both[1]


def _complete(slices: list, training: list, validation: list) -> None:
    had, found = Counter(slices), Counter(training) + Counter(validation)
    if missing := had - found:
        raise Hint(f"{sum(missing.values())} of {len(slices)} slices are in neither list")
    if extra := found - had:
        raise Hint(f"{sum(extra.values())} slices are there more than once, or are new")


def _count(training: list, validation: list) -> None:
    kept = len({name for name, _ in validation})
    if kept == 6:
        raise Hint(
            "the lists are exchanged, or `share` is: training comes first, and `share` is the part "
            "for validation"
        )
    if kept != 2:
        raise Hint(f"a quarter of 8 patients is 2 for validation, yours are {kept}")


def _seeds(answer: Answer, slices: list) -> None:
    def kept(seed: int, given: list = slices) -> frozenset:
        return frozenset(str(name) for name, _ in _two(answer(given, 0.25, seed))[1])

    if len({kept(7) for _ in range(4)}) > 1:
        raise Hint("the same seed gives another split each time: draw with the seed")
    if len({kept(seed) for seed in range(12)}) == 1:
        raise Hint("twelve seeds give one and the same split: is the seed used, is it drawn?")

    def as_before(given: list, prefix: str = "") -> bool:
        try:
            return all(
                kept(seed, given) == frozenset(prefix + name for name in kept(seed))
                for seed in range(6)
            )
        except Hint:
            return False

    # Either test alone would refuse a right answer: one that turns names into NumPy's text, or one
    # that draws by a digest of the names.
    salted = all(
        as_before([(kind(name), z) for name, z in slices]) for kind in (_Name, _Other, _Third)
    )
    renamed = all(
        as_before([(prefix + name, z) for name, z in slices], prefix) for prefix in ("q", "tcga_")
    )
    if not salted and not renamed:
        raise Hint(
            "in a new kernel the same seed gives another split: a set of names has no fixed order "
            "in Python, so sort it before you draw"
        )
    if not as_before(slices[::-1]):
        raise Hint(
            "the same patients in another order give another split: sort the names before you draw"
        )
