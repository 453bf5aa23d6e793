"""The losses a network is trained with: the first paper's weighted Dice, and plain ones beside it.

A loss is one number that is small when prediction and reference agree, and that has a gradient. All
of them take logits (what the network gives, before softmax or sigmoid), compute in float32 even
when the network runs in half precision (float64 stays float64), and return a scalar.

Each has an attribute `output`: "classes" (softmax over the channels; the reference is a class index
a voxel) or "regions" (sigmoid of each channel; the reference is 0 or 1 a voxel and region).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._fused_dice import FusedDice, Rule
from ._processes import summed
from .errors import GliomakitError

WEIGHTS = {"square": 2, "simple": 1, "uniform": 0}
"""How the weight of a class falls with its area: 1 / area to this power."""

ABSENT = ("skip", "paper", "largest")
"""What weight a class gets in a sample that has none of it: see `WeightedDiceLoss`."""

TINY = 1e-8
"""What `absent="paper"` divides by instead of an area of zero."""


class WeightedDiceLoss(nn.Module):
    """The weighted (generalised) Dice loss, eq. 1 and 2 of the first paper, mean over the samples.

        L = 1 - 2 Σ_k w_k Σ_m Y_km T_km / Σ_k w_k Σ_m (Y_km² + T_km²),   w_k = 1 / (Σ_m T_km)²

    with Y the softmax probability, T the reference as 0 and 1, k the classes, m the voxels. The
    weights let a small tumour count as much as a large background.

    weight:  "square" is eq. 2, "simple" is 1 / area, "uniform" is 1.
    absent:  the weight of a class that the sample has none of, where eq. 2 divides by zero.
             "skip": 0, the class counts for nothing in this sample. "paper": 1 / 1e-8, as
             MathWorks' worked example has it; then a patch without tumour has loss 1 and a gradient
             of nearly zero. "largest": the largest weight of the other classes, as MONAI does.
             With "uniform" nothing is divided: only "skip" changes anything.
    from_logits: False if the input already is a probability.
    fused:   of logits and class indices, compute loss and gradient without a one-hot reference
             (`_fused_dice` says how): the same numbers to rounding, in less time and memory. False
             leaves the gradient to autograd.

    logits: (b, K, …) of any float type. target: class indices (b, …), or 0 and 1 (b, K, …).
    Raises `GliomakitError` for shapes that do not belong together and for a class beyond K.

    Sudre et al. 2017 (arXiv:1707.03237) do not square Y and T below; this follows the paper.

    >>> tumour = torch.zeros(1, 8, 8, 8).long()
    >>> tumour[0, 2:5, 2:5, 2:5] = 1
    >>> right = F.one_hot(tumour, 2).movedim(-1, 1).float()
    >>> WeightedDiceLoss(from_logits=False)(right, tumour)
    tensor(0.)
    """

    output = "classes"

    def __init__(
        self,
        weight: str = "square",
        absent: str = "skip",
        from_logits: bool = True,
        fused: bool = True,
    ):
        super().__init__()
        _known("weight", weight, tuple(WEIGHTS))
        _known("absent", absent, ABSENT)
        self.weight, self.absent, self.from_logits = weight, absent, from_logits
        self.fused = fused

    def weights(self, area: Tensor) -> Tensor:
        """The weight of each class from its area in voxels, both (b, K).

        >>> WeightedDiceLoss("simple", absent="largest").weights(torch.tensor([[100.0, 4.0, 0.0]]))
        tensor([[0.0100, 0.2500, 0.2500]])
        """
        divisor = area ** WEIGHTS[self.weight]
        if self.absent == "paper":
            return 1 / divisor.clamp(min=TINY)
        there = area > 0
        # The division is kept from zero first: an infinity would come back as nan in the gradient.
        weights = torch.where(there, 1 / torch.where(there, divisor, 1), 0)
        if self.absent == "skip":
            return weights
        return torch.where(there, weights, weights.amax(dim=1, keepdim=True))

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        if self.fused and self.from_logits and target.shape != logits.shape:
            _check_indices(target, logits)
            rule = Rule(self.weights, WEIGHTS[self.weight], self.absent, TINY)
            return FusedDice.apply(logits, target, rule)
        y = _full(logits)
        if self.from_logits:
            y = y.softmax(dim=1)
        t = _indicator(target, y).flatten(2)
        y, area = y.flatten(2), t.sum(2)
        squares = area if target.ndim < logits.ndim else (t * t).sum(2)  # 1² = 1 saves a pass
        w = self.weights(area)
        above = 2 * (w * (y * t).sum(2)).sum(1)
        below = (w * ((y * y).sum(2) + squares)).sum(1)
        # A sample in which no class counts has loss 0, and no gradient.
        return torch.where(below > 0, 1 - above / torch.where(below > 0, below, 1), 0).mean()


class SoftDiceLoss(nn.Module):
    """One minus the Dice of probabilities, a mean over samples and classes, without weights.

        1 - (2 Σ Y T + smooth) / (Σ Y + Σ T + smooth)

    background: whether class 0 counts. It is so large that its Dice hides the tumour's.
    smooth:     what makes an absent class that is not predicted give 0 instead of 0 / 0, in voxels.

    logits: (b, K, …). target: class indices (b, …), or 0 and 1 (b, K, …).
    """

    output = "classes"

    def __init__(self, background: bool = False, smooth: float = 1e-5):
        super().__init__()
        self.background, self.smooth = background, smooth

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        y = _full(logits).softmax(dim=1)
        t = _indicator(target, y)
        first = 0 if self.background else 1
        y, t = y[:, first:].flatten(2), t[:, first:].flatten(2)
        return (1 - _soft_dice(y, t, self.smooth)).mean()


class CrossEntropyLoss(nn.Module):
    """Minus the logarithm of the true class's probability, a mean over all voxels.

    logits: (b, K, …). target: class indices (b, …), or 0 and 1 (b, K, …).
    """

    output = "classes"

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        y = _full(logits)
        if target.ndim == y.ndim - 1:
            _check_indices(target, y)
            return F.cross_entropy(y, target.long())
        return F.cross_entropy(y, _indicator(target, y))


class DiceCrossEntropyLoss(nn.Module):
    """`SoftDiceLoss` plus `CrossEntropyLoss`: Dice minds the overlap, cross-entropy each voxel."""

    output = "classes"

    def __init__(self, background: bool = False, smooth: float = 1e-5):
        super().__init__()
        self.dice, self.cross_entropy = SoftDiceLoss(background, smooth), CrossEntropyLoss()

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.dice(logits, target) + self.cross_entropy(logits, target)


class RegionLoss(nn.Module):
    """For nested regions, each its own yes or no: soft Dice plus binary cross-entropy.

    batch:  Dice over all samples of the batch at once (True), so that a region which one patch
            lacks is measured on the patches that have it; or a mean over the samples.
    smooth: the Dice is (2 Σ Y T + smooth) / (Σ Y + Σ T + smooth), in voxels. For a region that the
            whole batch lacks the Dice part is Σ Y / (Σ Y + smooth): with 1e-5 it is 1 and flat
            until fewer voxels than that are called tumour. With ten it still pulls at a false alarm
            of a hundred voxels, and a region of ten voxels that is missed still costs a half.
    dice:   the share of the Dice part; cross-entropy has 1.

    logits: (b, R, …). target: 0 and 1 of any type (b, R, …).

    >>> logits = torch.full((1, 3, 4, 4, 4), -20.0)
    >>> RegionLoss()(logits, torch.zeros(1, 3, 4, 4, 4)) < 1e-6
    tensor(True)
    """

    output = "regions"

    def __init__(self, batch: bool = True, smooth: float = 10.0, dice: float = 1.0):
        super().__init__()
        self.batch, self.smooth, self.dice = batch, smooth, dice

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        logits = _full(logits)
        if logits.shape != target.shape:
            raise _mismatch(logits, target)
        t = target.to(logits.dtype)
        cross_entropy = F.binary_cross_entropy_with_logits(logits, t)
        y, t = logits.sigmoid().flatten(2), t.flatten(2)
        if self.batch:
            y, t = y.transpose(0, 1).flatten(1), t.transpose(0, 1).flatten(1)
        return self.dice * (1 - _soft_dice(y, t, self.smooth, self.batch)).mean() + cross_entropy


LOSSES: dict[str, Callable[[], nn.Module]] = {
    "weighted-dice": WeightedDiceLoss,
    "weighted-dice-paper": lambda: WeightedDiceLoss(absent="paper"),
    "weighted-dice-largest": lambda: WeightedDiceLoss(absent="largest"),
    "weighted-dice-simple": lambda: WeightedDiceLoss(weight="simple"),
    "weighted-dice-uniform": lambda: WeightedDiceLoss(weight="uniform"),
    "dice": SoftDiceLoss,
    "cross-entropy": CrossEntropyLoss,
    "dice-ce": DiceCrossEntropyLoss,
    "regions": RegionLoss,
}
"""The losses by the names that the command line takes."""


def from_name(name: str) -> nn.Module:
    """The loss of that name, with its defaults.

    >>> from_name("weighted-dice-paper").absent
    'paper'
    """
    _known("loss", name, tuple(LOSSES))
    return LOSSES[name]()


def _known(what: str, name: str, names: tuple[str, ...]) -> None:
    if name not in names:
        raise GliomakitError(f"there is no {what} {name!r}", todo=f"known are {', '.join(names)}")


def _full(x: Tensor) -> Tensor:
    """At least float32: in float16 an area past 65,504 is infinite, its square past 256."""
    return x if x.dtype == torch.float64 else x.float()


def _soft_dice(y: Tensor, t: Tensor, smooth: float, everywhere: bool = False) -> Tensor:
    """Dice of probabilities over the last axis, and over all processes that train together if it
    is over the whole batch."""
    both, one = (y * t).sum(-1), y.sum(-1) + t.sum(-1)
    if everywhere:
        both, one = summed(both), summed(one)
    return (2 * both + smooth) / (one + smooth)


def _indicator(target: Tensor, y: Tensor) -> Tensor:
    """The reference as 0 and 1 a class, in the shape and type of `y` (b, K, …)."""
    if target.shape == y.shape:
        return target.to(y.dtype)
    _check_indices(target, y)
    classes = torch.arange(y.shape[1], device=target.device)
    return (target.unsqueeze(1) == classes.view(1, -1, *[1] * (y.ndim - 2))).to(y.dtype)


def _check_indices(target: Tensor, y: Tensor) -> None:
    if target.shape != y.shape[:1] + y.shape[2:] or target.dtype.is_floating_point:
        raise _mismatch(y, target)
    # On a GPU this look would wait for all that is still running, so there it is left out.
    if target.device.type == "cpu" and target.numel():
        low, high = (int(v) for v in target.aminmax())
        if low < 0 or high >= y.shape[1]:
            raise GliomakitError(
                f"the reference has class {low if low < 0 else high}, "
                f"the prediction has classes 0 to {y.shape[1] - 1}"
            )


def _mismatch(y: Tensor, target: Tensor) -> GliomakitError:
    return GliomakitError(
        f"a prediction of shape {tuple(y.shape)} and a reference of shape {tuple(target.shape)}, "
        f"{str(target.dtype).removeprefix('torch.')}, do not belong together",
        todo="a reference is 0 and 1 in the prediction's shape, or whole numbers without its "
        "channel axis where there are classes",
    )
