"""Checkers of lesson 12, *Read the papers*."""

from __future__ import annotations

import numpy as np

from ..worked_papers import as_printed, positive_range, tumour_dice, undo_average
from ._core import Answer, checker
from ._expect import Hint, close, number


def _numbers(value: object, n: int, wanted: str) -> np.ndarray:
    """Several numbers as an array, or a hint; `wanted` names what should have been returned."""
    if value is None or isinstance(value, (str, bytes, dict, set)):
        number(value)
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        raise Hint(f"your function returns one {type(value).__name__}; wanted are {wanted}")
    if len(value) != n:
        raise Hint(f"your function returns {len(value)} values; wanted are {wanted}")
    return np.array([number(one) for one in value])


# ---- 12.foreground ---------------------------------------------------------------------------


@checker(
    "12.foreground",
    call="tumour_dice(mean, background, classes)",
    praise="the background is taken out of the sum, and the rest shared among the other classes",
)
def foreground(answer: Answer) -> None:
    """`tumour_dice(mean, background, classes)`: the mean of the other classes."""
    mean, back = 0.9, 0.98
    close(
        number(answer(mean, back, 2)),
        tumour_dice(mean, back),
        mistakes=[
            (mean, "you return the mean itself: the background is still in it"),
            (back, "you return the background's Dice"),
            ((mean + back) / 2, "you average once more; undo the average: sum = classes · mean"),
            (mean - back, "a mean is a sum, divided: multiply by the classes before you subtract"),
            (back - mean, "a mean is a sum, divided: multiply by the classes before you subtract"),
            (mean / back, "Dice are added in a mean, not multiplied: subtract the background"),
            ((2 * mean - back) / 2, "divide by the number of the *other* classes, classes − 1"),
            (2 * back - mean, "mean and background are exchanged"),
            (mean - (1 - back), "take the background's Dice from the sum, not its error"),
            (2 * mean - 1, "you take the background for perfect: use its Dice"),
        ],
        what="with 2 classes, mean 0.9 and background 0.98 the tumour's Dice",
    )
    mean, back = 0.8, 0.99
    close(
        number(answer(mean, back, 4)),
        tumour_dice(mean, back, 4),
        mistakes=[
            (
                2 * mean - back,
                "right for two classes; this mean has 4, three of them not background",
            ),
            (4 * mean - back, "that is the sum of three classes; their mean is wanted"),
            ((4 * mean - back) / 4, "divide by the number of the *other* classes, classes − 1"),
            ((2 * mean - back) / 3, "four classes add up to 4 · mean"),
        ],
        what="with 4 classes, mean 0.8 and background 0.99 the mean of the others",
    )


# ---- 12.claims -------------------------------------------------------------------------------


@checker(
    "12.claims",
    call="as_printed(pred, ref)",
    praise="to the letter: twice the overlap over all pixels. It has little to do with Dice",
)
def claims(answer: Answer) -> None:
    """`as_printed(pred, ref)`: the second paper's formula."""
    pred, ref = np.zeros((4, 6), bool), np.zeros((4, 6), bool)
    pred[1:3, 1:5], ref[1:4, 3:5] = True, True
    both, p, r, n = int((pred & ref).sum()), int(pred.sum()), int(ref.sum()), ref.size
    close(
        number(answer(pred, ref)),
        as_printed(pred, ref),
        mistakes=[
            (2 * both / (p + r), "that is Dice; the paper's text divides by all pixels instead"),
            (
                both / n,
                "the factor 2 of the formula is missing (or the pixels are counted twice: one "
                "image is chosen)",
            ),
            (both / (p + r - both), "that is the Jaccard index; the text says: over total pixels"),
            (2 * both / (p + r - both), "the text divides by all pixels of the image, not a union"),
            (2 * both / r, "“total pixels in the image chosen” are all pixels, not the tumour's"),
            (
                2 * both / p,
                "“total pixels in the image chosen” are all pixels, not the prediction's",
            ),
            (2 * both / len(ref), "len counts rows; .size counts pixels"),
            (
                2 * (n - p - r + 2 * both) / n,
                "overlap is where both are tumour, not where they agree",
            ),
            ((n - p - r + 2 * both) / n, "that is the accuracy: overlap is where both are tumour"),
            (2 * (p + r - both) / n, "you count where either is tumour; overlap is where both are"),
            (2 * both, "that is above the line only: divide by all pixels"),
        ],
        what="the formula's value",
    )
    stored = pred.astype(np.int32) * 255, ref.astype(np.int32) * 255  # in uint8 255² is 1
    close(
        number(answer(*stored)),
        as_printed(pred, ref),
        what="with masks stored as 0 and 255 (count pixels, do not add values) the formula's value",
    )
    full = np.ones((3, 3), bool)
    close(
        number(answer(full, full)),
        2.0,
        mistakes=[(1.0, "for two full masks the formula gives 2, absurd as it is: do not mend it")],
        what="the formula's value for two full masks",
    )


# ---- 12.undo ---------------------------------------------------------------------------------


@checker(
    "12.undo",
    call="undo_average(printed, batches, weight)",
    praise="the correction is taken back, the old part subtracted, the rest divided by its weights",
)
def undo(answer: Answer) -> None:
    """`undo_average(printed, batches, weight)`: a list, one mean an epoch."""
    truth, batches, weight = np.array([2.0, 9.0, 1.0, 0.5]), 20, 0.95
    fade, k = weight**batches, np.arange(1, 5)
    a, total = [], 0.0
    for level in truth:  # every batch of an epoch has one loss
        total = fade * total + (1 - fade) * level
        a.append(total)
    a = np.array(a)
    printed = a / (1 - fade**k)
    before = np.r_[0.0, a[:-1]]
    shown = np.r_[0.0, printed[:-1]]
    given = [float(v) for v in printed]
    assert np.allclose(undo_average(given, batches, weight), truth)
    same_count = printed * (1 - fade)
    wrong_power = np.array(undo_average(given, 1, weight))
    close(
        _numbers(answer(given, batches, weight), 4, "4, one an epoch"),
        truth,
        mistakes=[
            (printed, "you return what was printed"),
            (a, "that is the average before its correction; now take the last epoch's part away"),
            (
                (printed - fade * shown) / (1 - fade),
                "the bias correction is left out: printed values are a / (1 − weight^n), so "
                "multiply by that first",
            ),
            (
                np.r_[printed[0], ((printed - fade * shown) / (1 - fade))[1:]],
                "the bias correction is left out: printed values are a / (1 − weight^n), so "
                "multiply by that first",
            ),
            (
                (same_count - fade * np.r_[0.0, same_count[:-1]]) / (1 - fade),
                "the count of batches goes on over all epochs: after epoch k it is k · batches",
            ),
            (a - fade * before, "divide by what the epoch's weights sum to: 1 − weight^batches"),
            (
                (a - before) / (1 - fade),
                "of the last average only weight^batches is left: multiply",
            ),
            (
                (a - fade * shown) / (1 - fade),
                "what is left is of the last *uncorrected* average, not of the printed value",
            ),
            (
                wrong_power,
                "an epoch has many batches: an old value keeps weight^batches, not weight",
            ),
            (
                np.array(undo_average(given, batches, 0.98)),
                "your weight is always 0.98; use the one that is given",
            ),
            (
                np.array(undo_average(given, 106, weight)),
                "your number of batches is always 106; use the one that is given",
            ),
            (truth[::-1], "the epochs are in reverse order"),
        ],
        rtol=1e-6,
        what="the list of own means",
    )
    close(
        _numbers(answer([3.0], 7, 0.9), 1, "1, for one epoch"),
        np.array([3.0]),
        what="for a single epoch, whose mean is what was printed, your answer",
    )


# ---- 12.positive -----------------------------------------------------------------------------


@checker(
    "12.positive",
    call="positive_range(mean, empty)",
    praise="lowest if all empty slices are right, highest if all are wrong, both within 0 and 1",
)
def positive(answer: Answer) -> None:
    """`positive_range(mean, empty)`: (lowest, highest)."""
    mean, empty = 0.5, 0.2
    low, high = positive_range(mean, empty)

    def ask(mean: float, empty: float) -> np.ndarray:
        return _numbers(answer(mean, empty), 2, "2, the lowest and the highest")

    close(
        ask(mean, empty),
        np.array([low, high]),
        mistakes=[
            ((high, low), "lowest first: it is the one where every empty slice scores 1"),
            ((mean - empty, mean), "divide by the share of slices that hold tumour, 1 − empty"),
            ((mean - empty, high), "divide the lowest by the share of slices with tumour, too"),
            ((low, mean), "the highest: empty slices score 0, so all of the mean is from the rest"),
            (
                (low, 1.0),
                "the highest is not always 1: a mean of 0.5 with 20 % empty cannot give 1",
            ),
            ((0.0, high), "the lowest is not always 0: empty slices give at most their share"),
            (
                ((mean - empty) / empty, mean / empty),
                "you divide by the share of *empty* slices; wanted are those with tumour",
            ),
            (
                ((mean - (1 - empty)) / empty, mean / empty),
                "`empty` is the share without tumour; you take it for the share with tumour",
            ),
            (
                (max(0.0, (mean - (1 - empty)) / empty), min(1.0, mean / empty)),
                "`empty` is the share without tumour; you take it for the share with tumour",
            ),
            (
                (mean * (1 - empty), mean),
                "the mean is a sum of two parts: take the empty part away",
            ),
        ],
        what="for mean 0.5 with 20 % empty the range",
    )
    ends = ask(0.3, 0.6)
    if ends[0] < 0:
        raise Hint(f"for mean 0.3 with 60 % empty your lowest is {ends[0]:.3g}: no Dice is below 0")
    close(ends, np.array(positive_range(0.3, 0.6)), what="for mean 0.3 with 60 % empty the range")
    ends = ask(0.9, 0.6)
    if ends[1] > 1:
        raise Hint(
            f"for mean 0.9 with 60 % empty your highest is {ends[1]:.3g}: no Dice is above 1"
        )
    close(ends, np.array(positive_range(0.9, 0.6)), what="for mean 0.9 with 60 % empty the range")
    close(ask(0.7, 0.0), np.array([0.7, 0.7]), what="without empty slices the range")
