"""Checkers of lesson 07, *Evaluate*."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ._core import Answer, checker
from ._expect import Hint, close, number

Pair = tuple[np.ndarray, np.ndarray]


def _overlap(predicted: np.ndarray, reference: np.ndarray, empty: float = 1.0) -> float:
    both = int(predicted.sum()) + int(reference.sum())
    return 2 * int((predicted & reference).sum()) / both if both else empty


# ---- 07.summary ------------------------------------------------------------------------------


def _patient(shared: int, missed: int, false: int, size: int = 400) -> Pair:
    """A prediction and a reference with these numbers of voxels."""
    at = np.arange(size).reshape(20, -1)
    return at < shared + false, (at < shared) | ((at >= size - missed) & (missed > 0))


@checker(
    "07.summary",
    call="mean_dice(pairs)",
    praise="one Dice a patient, all patients in it: 1 for a right silence, 0 for a miss",
)
def summary(answer: Answer) -> None:
    """`mean_dice(pairs)`: the mean over patients, none of them left out."""
    plain = [_patient(200, 20, 30), _patient(9, 12, 6)]
    each = [_overlap(*pair) for pair in plain]
    shared = sum(int((p & r).sum()) for p, r in plain)
    sizes = sum(int(p.sum()) + int(r.sum()) for p, r in plain)
    jaccard = [d / (2 - d) for d in each]
    weights = [int(r.sum()) for _, r in plain]
    close(
        number(answer(plain)),
        sum(each) / 2,
        mistakes=[
            (
                2 * shared / sizes,
                "you add up the voxels of all patients first: the patient with the large tumour "
                "then decides; take a Dice for each, then the mean",
            ),
            (sum(each), "you add up; the mean divides by the number of patients"),
            (
                np.average(each, weights=weights),
                "patients count alike, whatever their tumour's size",
            ),
            (sum(jaccard) / 2, "that is the Jaccard index: below stands the sum of both sizes"),
            (sum(each) / 4, "a factor 2 is missing: shared voxels lie in both masks"),
        ],
        what="the mean of two patients",
    )
    missed, spurious, silent = _patient(0, 50, 0), _patient(0, 0, 7), _patient(0, 0, 0)
    value = answer([*plain, missed, spurious, silent])
    if isinstance(value, (float, np.floating)) and np.isnan(value):
        raise Hint("one patient's 0 / 0 made the whole mean nan: both empty is 1 here")
    total = sum(each)
    close(
        number(value),
        (total + 1) / 5,
        mistakes=[
            (
                total / 5,
                "where both masks are empty your Dice is 0: the network was right to say nothing, "
                "that is 1",
            ),
            (
                total / 4,
                "the patient with two empty masks is left out (nan dropped?): a right silence "
                "counts 1, and n stays 5",
            ),
            (
                total / 2,
                "patients where one mask is empty are left out: a missed tumour counts 0, "
                "or missing more would pay",
            ),
            ((total + 1) / 3, "patients with one empty mask are left out: they count 0"),
            ((total + 1) / 4, "one of the patients with an empty mask is left out; it counts 0"),
            (
                (total + 2) / 5,
                "nothing found where nothing is counts 1; a false alarm or a miss, 0",
            ),
            ((total + 3) / 5, "a miss and a false alarm count 0, not 1"),
        ],
        rtol=1e-3,
        what="the mean of five patients, three of them with empty masks,",
    )


# ---- 07.bootstrap ----------------------------------------------------------------------------

SCORES = np.array([0.21, 0.48, 0.74, 0.80, 0.83, 0.86, 0.88, 0.90, 0.91, 0.93, 0.94, 0.95])


def _bounds(answer: Answer, *arguments: object) -> tuple[float, float]:
    value = answer(*arguments)
    if value is None:
        raise Hint("your function returns None: does it end with `return`?")
    try:
        low, high = value
    except (TypeError, ValueError):
        raise Hint("two numbers are wanted, the lower and the upper bound") from None
    return number(low), number(high)


@checker(
    "07.bootstrap",
    call="bootstrap_interval(values, level, draws, seed)",
    praise="patients drawn with replacement, a mean of each draw, percentiles of the means",
)
def bootstrap(answer: Answer) -> None:
    """`bootstrap_interval(values, level=0.95, draws=2000, seed=0)`: the mean's bounds."""
    n, draw = len(SCORES), np.random.default_rng(7)
    drawn = SCORES[draw.integers(n, size=(20_000, n))]
    means, medians = drawn.mean(1), np.median(drawn, axis=1)
    low, high = _bounds(answer, SCORES, 0.95, 2000, 0)
    if low > high:
        raise Hint("the lower bound comes first")
    if high - low < 1e-9:
        raise Hint(
            "your interval has no width: draw with replacement (without it every draw is all "
            "patients, and every mean the same)"
        )
    spread, se = SCORES.std(), SCORES.std() / np.sqrt(n)
    tails = [2.5, 97.5]
    mistakes = [
        (np.percentile(SCORES, tails), "those are percentiles of the patients; take those of the "
         "means of many draws"),
        ([SCORES.mean() - 1.96 * spread, SCORES.mean() + 1.96 * spread],
         "that is the spread of patients, not of their mean: the mean of n varies less"),
        ([SCORES.min(), SCORES.max()], "that is the range of the patients; a draw "
         "has as many patients as there are, and a mean"),
        (np.percentile(medians, tails), "you take the median of each draw; the mean is wanted"),
        (np.percentile(means, [5, 95]), "you cut 5 % on each side: 95 % leaves 2.5 % on each"),
        (np.percentile(means, [0.025, 0.975]), "np.percentile counts to 100, np.quantile to 1"),
        (np.percentile(means, [0, 100]), "you take the smallest and the largest mean: cut 2.5 % on "
         "each side"),
        ([means.mean() - se, means.mean() + se], "one standard error is about 68 %, not 95 %"),
    ]  # fmt: skip
    right = np.percentile(means, tails)
    _near((low, high), right, mistakes)
    if _bounds(answer, SCORES, 0.95, 2000, 0) != (low, high):
        raise Hint("two calls with one seed differ: make the generator from `seed`")
    _near(
        _bounds(answer, SCORES, 0.5, 2000, 1),
        np.percentile(means, [25, 75]),
        [(right, "your function does not use `level`: for 0.5 take 25 and 75 per cent")],
        "at level 0.5",
    )
    few = np.array([0.2, 0.9])
    _near(
        _bounds(answer, few, 0.95, 2000, 0),
        np.array([0.2, 0.9]),
        [],
        "of two patients (draw as many as there are)",
    )


def _near(
    found: tuple[float, float],
    right: np.ndarray,
    mistakes: Sequence[tuple[Sequence[float], str]],
    what: str = "",
) -> None:
    """Chance moves bounds a little: a tenth of the interval's width is allowed."""

    def off(bounds: Sequence[float]) -> float:
        return float(np.abs(np.subtract(found, bounds)).max())

    room = 0.1 * float(right[1] - right[0])
    nearest = min(mistakes, key=lambda one: off(one[0]), default=None)
    if off(right) <= room and (nearest is None or off(right) <= off(nearest[0])):
        return
    if nearest is not None and off(nearest[0]) <= room:
        raise Hint(nearest[1])
    said = f"your interval {what}".strip()
    raise Hint(
        f"{said} is {found[0]:.3f} to {found[1]:.3f}; about {right[0]:.3f} to {right[1]:.3f} "
        "would be right"
    )


# ---- 07.lesion -------------------------------------------------------------------------------


def _by_lesion(
    predicted: np.ndarray,
    reference: np.ndarray,
    corners: bool = True,
    missed: bool = True,
    spurious: bool = True,
    inside: bool = False,
    weigh: bool = False,
    whole: bool = False,
) -> float:
    """Lesion-wise Dice, and with the switches turned, its usual mistakes."""
    structure = ndimage.generate_binary_structure(reference.ndim, reference.ndim if corners else 1)
    lesions, n = ndimage.label(reference, structure)
    parts, n_parts = ndimage.label(predicted, structure)
    scores, weights, touched = [], [], set()
    for k in range(1, n + 1):
        lesion = lesions == k
        mine = set(parts[lesion].tolist()) - {0}
        touched |= mine
        given = predicted if whole else np.isin(parts, list(mine))
        if mine or missed:
            scores.append(_overlap(given & lesion if inside else given, lesion))
            weights.append(int(lesion.sum()) if weigh else 1)
    if spurious:
        scores += [0.0] * (n_parts - len(touched))
        weights += [1] * (n_parts - len(touched))
    return float(np.average(scores, weights=weights)) if scores else 1.0


def _toy() -> Pair:
    """Three lesions: one found in two parts and with too much, one that hangs on a corner, one
    missed; and two false alarms."""
    reference, predicted = np.zeros((2, 16, 24, 6), bool)
    reference[1:9, 1:9, 1:4] = True
    predicted[1:4, 2:11, 1:4] = predicted[6:10, 2:9, 1:4] = True
    reference[12:14, 2:4, 1:3] = reference[14:16, 4:6, 3:5] = True
    predicted[12:14, 2:4, 1:3] = True
    reference[12:15, 18:21, 1:4] = True
    predicted[2, 20, 2] = predicted[8, 22, 4] = True
    return predicted, reference


@checker(
    "07.lesion",
    call="lesion_dice(prediction, reference)",
    praise="each lesion counts alike, a missed one and a false alarm count 0",
)
def lesion(answer: Answer) -> None:
    """`lesion_dice(prediction, reference)`: lesions count alike, false alarms 0."""
    p, r = _toy()
    close(
        number(answer(p, r)),
        _by_lesion(p, r),
        mistakes=[
            (_overlap(p, r), "that is the Dice of all voxels together; go lesion by lesion"),
            (
                _by_lesion(p, r, spurious=False),
                "a predicted piece that touches no lesion is a false alarm: it counts 0, and n "
                "grows by one",
            ),
            (
                _by_lesion(p, r, missed=False),
                "a missed lesion is left out; it counts 0",
            ),
            (
                _by_lesion(p, r, missed=False, spurious=False),
                "missed lesions and false alarms are left out; each counts 0",
            ),
            (
                _by_lesion(p, r, corners=False),
                "ndimage.label joins voxels over faces only; give it np.ones((3, 3, 3)), for "
                "corners join too",
            ),
            (
                _by_lesion(p, r, inside=True),
                "you look at the prediction inside the lesion only: what a piece has outside it "
                "is wrong too",
            ),
            (
                _by_lesion(p, r, inside=True, spurious=False),
                "you look at the prediction inside the lesion only, and false alarms are left out",
            ),
            (
                _by_lesion(p, r, whole=True),
                "each lesion is compared with the whole prediction; take the pieces that touch it",
            ),
            (
                _by_lesion(p, r, whole=True, spurious=False),
                "each lesion is compared with the whole prediction; take the pieces that touch it",
            ),
            (_by_lesion(p, r, weigh=True), "lesions count alike, not by their volume"),
            (_by_lesion(p, r, weigh=True, spurious=False), "lesions count alike, not by volume"),
        ],
        what="the lesion-wise Dice of the toy",
    )
    nothing = np.zeros_like(p)
    for given, right, words in (
        ((nothing, nothing), 1.0, "both masks are empty: nothing is wrong, that is 1"),
        ((nothing, r), 0.0, "the prediction is empty: every lesion is missed, that is 0"),
        ((p, nothing), 0.0, "the reference is empty: every piece is a false alarm, that is 0"),
        ((r, r), 1.0, "prediction and reference are equal: that is 1"),
    ):
        value = answer(*given)
        if isinstance(value, (float, np.floating)) and np.isnan(value):
            raise Hint(f"your answer is nan where {words}")
        if abs(number(value) - right) > 1e-4:
            raise Hint(f"your answer is {number(value):.3g} where {words}")


# ---- 07.background ---------------------------------------------------------------------------


@checker(
    "07.background",
    call="tumour_dice(mean, background)",
    praise="a mean of two is twice itself, less the other",
)
def background(answer: Answer) -> None:
    """`tumour_dice(mean, background)`: solve a mean of two for one of them."""
    mean, other = 0.95583, 0.997
    close(
        number(answer(mean, other)),
        2 * mean - other,
        mistakes=[
            (mean, "that is the mean itself: half of it is the background's"),
            ((mean + other) / 2, "you average once more; solve mean = (tumour + background) / 2"),
            (2 * (mean - other), "2 · mean = tumour + background: take the background away once"),
            (mean - other, "2 · mean = tumour + background: the 2 is missing"),
            (mean - other / 2, "that is half the tumour's Dice: multiply by 2"),
            (2 * other - mean, "the two are exchanged"),
            (mean / other, "a mean adds; nothing is divided by the background"),
            (mean * other, "a mean adds; nothing is multiplied"),
            (2 * mean - 1, "background is not quite 1: use the second argument"),
            (200 * mean - 100 * other, "a Dice between 0 and 1 is wanted, not per cent"),
        ],
        rtol=1e-6,
        what="the tumour's Dice",
    )
    close(number(answer(0.5, 1.0)), 0.0, what="for a mean of 0.5 and a background of 1 it")
