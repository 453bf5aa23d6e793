"""The weighted Dice loss and its gradient without a one-hot reference: fewer passes, less memory.

Autograd would keep softmax, reference and two products, each as large as the logits, and add the
gradients of all of them. But the loss of a sample needs only three sums a class,

    A_k = Σ_m T_km,   I_k = Σ_m Y_km T_km,   S_k = Σ_m Y_km²,

and its gradient only the softmax Y and the class indices: with r = above / below,

    dL/dY_km = c_k (r Y_km - T_km),          c_k = 2 w_k / below,
    dL/dX_km = Y_km (dL/dY_km - Σ_j Y_jm dL/dY_jm).

So the softmax is kept, the gradient is written once and then changed in place, and the reference is
one class of a quarter of the samples at a time (on a GPU: of all, where launches count more).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


class FusedDice(torch.autograd.Function):
    """`FusedDice.apply(logits, target, weights)`: the mean loss over the samples.

    logits: (b, K, …) of any float type, in any memory format; the gradient comes in both. target:
    class indices (b, …), whole numbers. weights: from areas (b, K) to weights (b, K).
    """

    @staticmethod
    def forward(
        ctx: FunctionCtx, logits: Tensor, target: Tensor, weights: Callable[[Tensor], Tensor]
    ) -> Tensor:
        y = _softmax(logits, torch.promote_types(logits.dtype, torch.float32))
        area, both, squares = (y.new_empty(y.shape[:2]) for _ in range(3))
        for some, label, t, room in _parts(y, target):
            for k in range(y.shape[1]):
                torch.eq(label, k, out=t)
                area[some, k] = t.flatten(1).sum(1)
                both[some, k] = torch.mul(y[some, k], t, out=room).flatten(1).sum(1)
                squares[some, k] = torch.mul(y[some, k], y[some, k], out=room).flatten(1).sum(1)
        w = weights(area)
        above, below = 2 * (w * both).sum(1), (w * (squares + area)).sum(1)
        # A sample in which no class counts has loss 0, and no gradient.
        counts = below > 0
        below = torch.where(counts, below, 1)
        ctx.save_for_backward(y, target, w, above, below)
        ctx.dtype = logits.dtype
        return torch.where(counts, 1 - above / below, 0).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None]:
        y, target, w, above, below = ctx.saved_tensors
        c = 2 * w / below[:, None] * gradient / len(y)
        r = above / below
        sides = (..., *[None] * (y.ndim - 2))
        g = torch.empty_like(y)
        for some, label, t, inner in _parts(y, target):
            inner.zero_()
            for k in range(y.shape[1]):
                torch.eq(label, k, out=t)
                one = torch.mul(y[some, k], r[some][sides], out=g[some, k])
                one.sub_(t).mul_(c[some, k][sides])
                inner.addcmul_(one, y[some, k])
            g[some].sub_(inner[:, None]).mul_(y[some])
        return g.to(ctx.dtype), None, None


def _softmax(logits: Tensor, dtype: torch.dtype) -> Tensor:
    """Softmax over the channels. Channels-last logits would first be copied, so their last axis is
    taken, which is the channels'."""
    last = logits.movedim(1, -1)
    if last.is_contiguous():
        return last.softmax(-1, dtype=dtype).movedim(-1, 1)
    return logits.softmax(1, dtype=dtype)


def _parts(y: Tensor, target: Tensor) -> Iterator[tuple[slice, Tensor, Tensor, Tensor]]:
    """Which samples; their class indices in y's type, which are compared fastest; and memory for
    two more arrays of one class, always the same: to ask for it anew would cost more than what is
    done in it."""
    step = max(len(y) // 4, 1) if y.device.type == "cpu" else len(y)
    label, mask, room = (torch.empty_like(y[:step, 0]) for _ in range(3))
    for i in range(0, len(y), step):
        yield slice(i, i + step), label.copy_(target[i : i + step]), mask, room
