"""Checkers of lesson 05, *Weighted Dice*."""

from __future__ import annotations

import torch
from torch import Tensor

from ._core import Answer, checker
from ._expect import Hint, close, number, tensor

CUT = (
    "your answer has no gradient: a threshold, a comparison, .item() and NumPy cut it; use tensors "
    "and sums all the way"
)


def _value(answer: Answer, *arguments: Tensor) -> float:
    """The number that a loss or score gives; it must still have its gradient."""
    value = answer(*arguments)
    found = number(value)
    if not isinstance(value, Tensor) or not value.requires_grad:
        raise Hint(CUT)
    return found


def _patch(seed: int = 5) -> tuple[Tensor, Tensor]:
    """Probabilities, on no power of two, and a reference (3, 4, 5)."""
    draw = torch.Generator().manual_seed(seed)
    probability = torch.rand(3, 4, 5, generator=draw, dtype=torch.float64) * 0.9 + 0.03
    reference = torch.zeros_like(probability)
    reference[1:, 1:3, 1:4] = 1
    return probability.requires_grad_(), reference


# ---- 05.soft ---------------------------------------------------------------------------------


@checker(
    "05.soft",
    call="soft_dice(probability, reference)",
    praise="probabilities count as parts of voxels, the gradient is kept, two empty ones give 1",
)
def soft(answer: Answer) -> None:
    """`soft_dice(probability, reference)`: one number, with its gradient."""
    given, t = _patch()
    y = given.detach()
    shared, sizes = float((y * t).sum()), float(y.sum() + t.sum())
    squares = float((y**2).sum() + t.sum())
    hard = (y > 0.5).double()
    close(
        number(answer(given, t)),
        2 * shared / sizes,
        mistakes=[
            (shared / sizes, "the shared part counts twice, for it lies in both: times 2"),
            (1 - 2 * shared / sizes, "that is the loss, 1 − Dice; wanted is the Dice itself"),
            (shared / (sizes - shared), "that is the Jaccard index: below stands the plain sum"),
            (
                2 * shared / y.numel(),
                "you divide by the number of all voxels (the second paper's words say so too): "
                "below stands the sum of both sizes, Σ Y + Σ T",
            ),
            (
                2 * shared / squares,
                "you square the probabilities below the line: that is eq. 1, which comes later",
            ),
            (
                float(2 * (hard * t).sum() / (hard.sum() + t.sum())),
                "you make the probabilities hard first: a threshold has no slope, so nothing could "
                "be learned from it",
            ),
            (
                float((2 * y * t / (y + t)).mean()),
                "you divide voxel by voxel: sum first, then divide once",
            ),
            (
                float((2 * (y * t).sum(-1) / (y + t).sum(-1)).mean()),
                "you sum along one axis only: Dice is of the whole patch",
            ),
        ],
        what="the soft Dice",
    )
    _value(answer, given, t)
    # Two empty masks: nothing is shared, and nothing is wrong.
    nothing = torch.zeros(2, 3, dtype=torch.float64)
    empty = answer(nothing, nothing)
    if isinstance(empty, Tensor) and empty.numel() == 1 and bool(empty.isnan()):
        raise Hint("where both are empty you give nan, 0 / 0: return 1 there, nothing is wrong")
    if abs(number(empty) - 1) > 1e-3:
        raise Hint(f"where both are empty your answer is {number(empty):.3g}; nothing is wrong: 1")
    # A smoothing that mends 0 / 0 must not change what a small tumour scores.
    small = torch.tensor([0.002, 0.0], dtype=torch.float64)
    close(
        number(answer(small, torch.tensor([1.0, 0.0], dtype=torch.float64))),
        0.004 / 1.002,
        rtol=0.02,
        what="the soft Dice of a single voxel with 0.002 (is your smoothing large beside it?)",
    )


# ---- 05.gradient -----------------------------------------------------------------------------


@checker(
    "05.gradient",
    call="dice_gradient(probability, reference)",
    praise="tumour voxels have one value, all others another: neither asks what the voxel says",
)
def gradient(answer: Answer) -> None:
    """`dice_gradient(probability, reference)`: of 1 − soft Dice by each probability."""
    y, t = _patch(6)
    y = y.detach()
    n, d = (y * t).sum(), y.sum() + t.sum()
    right = 2 * (n - t * d) / d**2
    close(
        tensor(answer(y, t), y.shape),
        right,
        mistakes=[
            (-right, "the sign is turned: the loss is 1 − Dice, so a tumour voxel's is below 0"),
            (
                -2 * t / d,
                "you take the sum below for a constant: each probability stands in it too",
            ),
            (2 * n / d**2 * torch.ones_like(t), "that is the part of the sum below alone"),
            (-2 * (t * d - n) / d, "the quotient rule divides by the square of what is below"),
            ((n - t * d) / d**2, "the factor 2 of the Dice is missing"),
            (2 * (t * d + n) / d**2, "the quotient rule has a minus: N′ D − N D′"),
            (-2 * (t * d + n) / d**2, "the quotient rule has a minus: N′ D − N D′"),
            (
                right * y * (1 - y),
                "that is the gradient by the logit; wanted is the one by the probability",
            ),
            (
                2 * (2 * n - t * d) / d**2,
                "count the 2 once: N is Σ Y T here, and 1 − 2 N / D is the loss",
            ),
            (
                -2 * (t * (y * y + t).sum() - 2 * y * n) / (y * y + t).sum() ** 2,
                "you square the probabilities below the line: that is eq. 1, which comes later",
            ),
        ],
        rtol=1e-4,
        what="the gradient",
    )


# ---- 05.weighted -----------------------------------------------------------------------------


def _weighted(y: Tensor, t: Tensor, weight: Tensor, power: int = 2) -> float:
    """Eq. 1 with these weights; power 1 leaves out the squares below."""
    y, t = y.detach().flatten(1), t.flatten(1)
    above, below = (y * t).sum(1), (y**power + t**power).sum(1)
    return float(1 - 2 * (weight * above).sum() / (weight * below).sum())


@checker(
    "05.weighted",
    call="weighted_dice_loss(probability, reference)",
    praise="weights from the reference's areas, squares below the line, absent classes left out",
)
def weighted(answer: Answer) -> None:
    """`weighted_dice_loss(probability, reference)`: eq. 1 and 2 for one patch."""
    given, t = _classes([34, 20, 6])
    y = given.detach()
    areas = t.flatten(1).sum(1)
    w = 1 / areas**2
    right = _weighted(y, t, w)
    each = [1 - _weighted(y[k : k + 1], t[k : k + 1], w[:1] * 0 + 1) for k in range(3)]
    flat = y.flatten(1)
    sums = float(
        1 - 2 * (w * (flat * t.flatten(1)).sum(1)).sum() / (w * (flat.sum(1) ** 2 + areas**2)).sum()
    )
    close(
        _value(answer, given, t),
        right,
        mistakes=[
            (1 - right, "that is the weighted Dice; the loss is 1 minus it"),
            ((1 + right) / 2, "a factor is missing: 2 stands above the line"),
            (_weighted(y, t, 1 / areas), "eq. 2 squares the area: w = 1 / area²"),
            (_weighted(y, t, torch.ones(3).double()), "the weights are missing: w = 1 / area²"),
            (_weighted(y, t, areas**2), "you multiply by area²: a large class should count less"),
            (
                _weighted(y, t, w, power=1),
                "eq. 1 squares Y and T below the line (Sudre's paper of 2017 does not)",
            ),
            (sums, "square each voxel's probability first, then sum: Σ Y², not (Σ Y)²"),
            (
                1 - sum(each) / 3,
                "you divide class by class and take the mean: there the weights cancel; eq. 1 sums "
                "over the classes above and below, and divides once",
            ),
            (
                _weighted(y, t, 1 / flat.sum(1) ** 2),
                "your weights come from the prediction: eq. 2 takes the areas of the reference",
            ),
            (
                _weighted(y, t, 1 / y[0].numel() ** 2 * torch.ones(3).double()),
                "all your weights are equal: sum the reference over the voxels, not the classes",
            ),
        ],
        what="the loss",
    )
    _absent(answer)


def _absent(answer: Answer) -> None:
    """A patch that lacks a class, where eq. 2 divides by zero."""
    y, t = _classes([50, 10, 0])
    value = answer(y, t)
    if isinstance(value, Tensor) and value.numel() == 1 and not bool(value.isfinite()):
        raise Hint(
            f"for a patch that lacks a class your loss is {float(value)}: eq. 2 divides by an area "
            "of 0 there; give such a class the weight 0"
        )
    areas = t.flatten(1).sum(1)
    w = torch.where(areas > 0, 1 / areas.clamp(min=1) ** 2, 0)
    close(
        _value(answer, y, t),
        _weighted(y, t, w),
        mistakes=[
            *(
                (
                    _weighted(y, t, torch.where(areas > 0, w, 1 / tiny)),
                    "a class that the patch lacks gets a huge weight and decides alone: that is "
                    "what the worked example does (1 / 1e-8); give it the weight 0",
                )
                for tiny in (1e-8, 1e-16, 1e-6, 1e-12)
            ),
            (
                _weighted(y, t, torch.where(areas > 0, w, w.max())),
                "the absent class has the largest weight, as in MONAI; wanted here is 0",
            ),
            (
                _weighted(y, t, torch.where(areas > 0, w, 1)),
                "an area of 0 was taken for 1, which gives the absent class the weight 1; give 0",
            ),
        ],
        what="the loss of a patch that lacks a class",
    )


def _classes(areas: list[int]) -> tuple[Tensor, Tensor]:
    """Probabilities and a one-hot reference (3, 3, 4, 5) with these areas."""
    draw = torch.Generator().manual_seed(7)
    y = torch.randn(3, 3, 4, 5, generator=draw, dtype=torch.float64).softmax(0)
    index = torch.repeat_interleave(torch.arange(3), torch.tensor(areas))
    index = index[torch.randperm(60, generator=draw)].view(3, 4, 5)
    return y.requires_grad_(), torch.stack([(index == k).double() for k in range(3)])
