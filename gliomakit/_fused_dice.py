"""The weighted Dice loss and its gradient without a one-hot reference: fewer passes, less memory.

Autograd would keep softmax, reference and two products, each as large as the logits, and add the
gradients of all of them. But the loss of a sample needs only three sums a class,

    A_k = Σ_m T_km,   I_k = Σ_m Y_km T_km,   S_k = Σ_m Y_km²,

and its gradient only the softmax Y and the class indices: with r = above / below,

    dL/dY_km = c_k (r Y_km - T_km),          c_k = 2 w_k / below,
    dL/dX_km = Y_km (dL/dY_km - Σ_j Y_jm dL/dY_jm).

So the softmax is all that is kept, and the gradient is written over it, piece by piece, as a
processor's cache has room for. On a GPU Triton kernels do the same in two passes and keep nothing
(`_dice_kernels`); without Triton all is done at once there, since launches count more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

PIECE = 1 << 18
"""Voxels at once on a processor."""

MOST = 16
"""Classes that a kernel is compiled for: it does one after the other."""


class Rule(NamedTuple):
    """What a class weighs: `weights`, from areas (b, K) to weights (b, K); and the same in words
    for the kernels, 1 / area to a power and what an absent class weighs."""

    weights: Callable[[Tensor], Tensor]
    power: int
    absent: str
    tiny: float


class FusedDice(torch.autograd.Function):
    """`FusedDice.apply(logits, target, rule)`: the mean loss over the samples.

    logits: (b, K, …) of any float type, in any memory format; the gradient comes in both. target:
    class indices (b, …), whole numbers.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, target: Tensor, rule: Rule) -> Tensor:
        ctx.kernels = _kernels_for(logits)
        if ctx.kernels:
            losses, shares, slopes = ctx.kernels.losses(logits, target, *rule[1:])
            ctx.save_for_backward(logits, target, slopes, shares)
            return losses.mean()
        y = _softmax(logits)
        area, both, squares = _sums(y, target)
        w = rule.weights(area)
        above, below = 2 * (w * both).sum(1), (w * (squares + area)).sum(1)
        # A sample in which no class counts has loss 0, and no gradient.
        counts = below > 0
        below = torch.where(counts, below, 1)
        ctx.save_for_backward(logits, target, w, above, below)
        ctx.softmax = y
        return torch.where(counts, 1 - above / below, 0).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.kernels:
            logits, target, *rest = ctx.saved_tensors
            return ctx.kernels.gradient(logits, target, gradient, *rest), None, None
        logits, target, w, above, below = ctx.saved_tensors
        c = 2 * w / below[:, None] * gradient / len(w)
        r = above / below
        # A second time (`retain_graph`) it holds the gradient.
        y, ctx.softmax = ctx.softmax, None
        y = _softmax(logits) if y is None else y
        sides = (..., *[None] * (y.ndim - 2))
        classes = y.shape[1]
        for some, rows, (label, t, inner, *each) in _pieces(y, 3 + classes):
            label.copy_(target[some, rows])
            inner.zero_()
            for k in range(classes):
                torch.eq(label, k, out=t)
                torch.mul(y[some, k, rows], r[some][sides], out=each[k])
                each[k].sub_(t).mul_(c[some, k][sides])
                inner.addcmul_(each[k], y[some, k, rows])
            for k in range(classes):
                y[some, k, rows].mul_(each[k].sub_(inner))
        return y.to(logits.dtype), None, None


def _sums(y: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A, I and S of each sample and class, (b, K) each."""
    area, both, squares = (y.new_zeros(y.shape[:2]) for _ in range(3))
    for some, rows, (label, t, room) in _pieces(y, 3):
        label.copy_(target[some, rows])
        for k in range(y.shape[1]):
            one = y[some, k, rows]
            torch.eq(label, k, out=t)
            area[some, k] += t.flatten(1).sum(1)
            both[some, k] += torch.mul(one, t, out=room).flatten(1).sum(1)
            squares[some, k] += torch.mul(one, one, out=room).flatten(1).sum(1)
    return area, both, squares


def _kernels_for(logits: Tensor) -> ModuleType | None:
    """The kernels, where logits are on a GPU that can run them."""
    exact = logits.dtype == torch.float64
    return None if exact or not logits.is_cuda or logits.shape[1] > MOST else _kernels()


@cache
def _kernels() -> ModuleType | None:
    """`_dice_kernels`, if it works; the other way needs no word, for it gives the same."""
    try:
        from . import _dice_kernels

        logits = torch.zeros(1, 2, 1, 1, 4, device="cuda")
        target = torch.zeros_like(logits[:, 0]).long()
        # Areas 4 and 0, products 2 and 0, squares 1 and 1: the loss is 1 - 4 / 6.
        loss, _, _ = _dice_kernels.losses(logits, target, 0, "largest", 1.0)
        return _dice_kernels if abs(float(loss) - 1 / 3) < 1e-6 else None
    except Exception:  # no Triton, no compiler, an old GPU
        return None


def _softmax(logits: Tensor) -> Tensor:
    """Softmax over the channels, in float32 at least. Channels-last logits would first be copied,
    so their last axis is taken, which is the channels'."""
    dtype, last = torch.promote_types(logits.dtype, torch.float32), logits.movedim(1, -1)
    if last.is_contiguous():
        return last.softmax(-1, dtype=dtype).movedim(-1, 1)
    return logits.softmax(1, dtype=dtype)


def _pieces(y: Tensor, rooms: int) -> Iterator[tuple[slice, slice, list[Tensor]]]:
    """Which samples, which rows of their first axis, and memory for so many arrays of one class
    there, always the same: to ask for it anew would cost more than what is done in it."""
    samples, rows = len(y), y.shape[2]
    if y.device.type == "cpu":
        row = max(y[0, 0, 0].numel(), 1)
        rows = min(max(PIECE // row, 1), rows)
        samples = min(max(PIECE // (row * rows), 1), samples)
    room = [torch.empty_like(y[:samples, 0, :rows]) for _ in range(rooms)]
    for i in range(0, len(y), samples):
        for first in range(0, y.shape[2], rows):
            n, last = min(samples, len(y) - i), min(first + rows, y.shape[2])
            held = [part[:n, : last - first] for part in room]
            yield slice(i, i + n), slice(first, last), held
